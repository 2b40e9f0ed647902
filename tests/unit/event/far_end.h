// The other end of a pair of connected sockets: the test speaks and listens there.
#pragma once

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <utility>

#include "daemon/event/read_buffer.h"

namespace tidepool::event {

class FarEnd {
 public:
  FarEnd() {
    int ends[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
    near_ = ends[0];
    far_ = ends[1];
  }
  ~FarEnd() { hang_up(); }
  FarEnd(const FarEnd&) = delete;
  FarEnd& operator=(const FarEnd&) = delete;

  // Whoever is tested has it, and closes it.
  int near_end() const { return near_; }

  void say(const std::string& words) {
    CHECK(write(far_, words.data(), words.size()) == ssize_t(words.size()));
  }
  void hang_up() {
    if (far_ >= 0) close(std::exchange(far_, -1));
  }
  // More than a read holds, and the end right behind it. Returns what it said.
  std::string say_much_and_hang_up() {
    const std::string much(2 * ReadBuffer::kSize + 1, 'x');
    say(much);
    hang_up();
    return much;
  }
  // What can be read now.
  std::string heard() {
    std::string all;
    char piece[65536];
    for (ssize_t size; (size = read(far_, piece, sizeof piece)) > 0;)
      all.append(piece, static_cast<size_t>(size));
    return all;
  }
  // As read() says it of one byte: 0 is the end.
  ssize_t read_one() {
    char byte = 0;
    return read(far_, &byte, 1);
  }

  // Reads, with a turn() of the loop behind each read, until drained() or for very long.
  template <class Turn, class Drained>
  std::string heard_until(Turn&& turn, Drained&& drained) {
    std::string all;
    for (int turns = 0; turns < 10000 && !drained(); ++turns) {
      all += heard();
      turn();
    }
    return all + heard();
  }

 private:
  int near_ = -1, far_ = -1;
};

}  // namespace tidepool::event
