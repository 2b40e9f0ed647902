#include "daemon/event/server_socket.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>

namespace tidepool::event {
namespace {

// A server socket on one end of a pair of sockets; the test is the server at the other.
class Pair : public ServerSocketEvents {
 public:
  Pair() {
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends_) == 0);
    socket = std::make_unique<ServerSocket>(ends_[0], nullptr, *this);
    socket->watch(loop, buffer);
  }
  ~Pair() override {
    socket.reset();
    hang_up();
    close(ends_[0]);
  }
  Pair(const Pair&) = delete;
  Pair& operator=(const Pair&) = delete;

  void say(const std::string& words) {
    CHECK(write(ends_[1], words.data(), words.size()) == ssize_t(words.size()));
  }
  void hang_up() {
    if (ends_[1] >= 0) close(ends_[1]);
    ends_[1] = -1;
  }
  // What the server can read now.
  std::string heard() {
    std::string all;
    char piece[65536];
    for (ssize_t size; (size = read(ends_[1], piece, sizeof piece)) > 0;)
      all.append(piece, static_cast<size_t>(size));
    return all;
  }
  bool server_reads_the_end() {
    char byte = 0;
    return read(ends_[1], &byte, 1) == 0;
  }
  void turn() { loop.turn(); }

  SocketLoop loop;
  ReadBuffer buffer;
  std::unique_ptr<ServerSocket> socket;
  std::string received;
  int ended = -1;
  int drained = 0;

 private:
  void on_server_bytes(base::Bytes bytes) override { received.append(bytes); }
  void on_server_end(int error) override { ended = error; }
  void on_server_drained() override { ++drained; }

  int ends_[2] = {-1, -1};
};

}  // namespace

TEST_CASE("what the server says arrives, and then its end") {
  Pair pair;
  pair.say("hello");
  pair.turn();
  CHECK(pair.received == "hello");
  CHECK(pair.ended == -1);
  pair.hang_up();
  pair.turn();
  CHECK(pair.ended == 0);
}

TEST_CASE("a paused socket reads nothing until it is resumed, and then everything") {
  Pair pair;
  pair.socket->pause_reading();
  pair.say("later");
  pair.turn();
  CHECK(pair.received.empty());
  pair.socket->resume_reading();
  pair.turn();
  CHECK(pair.received == "later");
}

TEST_CASE("a server that hangs up while its answers are paused is read to its last word first") {
  Pair pair;
  pair.socket->pause_reading();
  pair.say("last word");
  pair.hang_up();
  for (int i = 0; i < 3; ++i) pair.turn();
  CHECK(pair.received.empty());
  CHECK(pair.ended == -1);
  pair.socket->resume_reading();
  for (int i = 0; i < 3; ++i) pair.turn();
  CHECK(pair.received == "last word");
  CHECK(pair.ended == 0);
}

TEST_CASE("what the kernel refuses is kept, sent when there is room, and then told once") {
  Pair pair;
  const std::string much(8 * 1024 * 1024, 'x');
  CHECK(pair.socket->write(much));
  CHECK(pair.socket->is_congested());
  CHECK(pair.socket->write("end"));
  std::string heard;
  for (int turns = 0; turns < 10000 && pair.drained == 0; ++turns) {
    heard += pair.heard();
    pair.turn();
  }
  heard += pair.heard();
  CHECK(heard.size() == much.size() + 3);
  CHECK(heard.ends_with("xend"));
  CHECK(pair.drained == 1);
  CHECK_FALSE(pair.socket->is_congested());
}

TEST_CASE("a write to a server that is gone says that nothing was sent") {
  Pair pair;
  pair.hang_up();
  CHECK_FALSE(pair.socket->write("anything"));
}

TEST_CASE("after end_writing the server reads the last words and the end, and its answer is still heard") {
  Pair pair;
  pair.socket->end_writing("bye");
  CHECK(pair.heard() == "bye");
  CHECK(pair.server_reads_the_end());
  pair.say("good bye");
  pair.hang_up();
  for (int i = 0; i < 3; ++i) pair.turn();
  CHECK(pair.received == "good bye");
  CHECK(pair.ended == 0);
}

TEST_CASE("a socket goes to another loop and is heard there") {
  Pair pair;
  SocketLoop other;
  ReadBuffer others_buffer;
  pair.socket->unwatch();
  pair.turn();
  pair.socket->watch(other, others_buffer);
  pair.say("over here");
  pair.turn();
  CHECK(pair.received.empty());
  other.turn();
  CHECK(pair.received == "over here");
  pair.socket->unwatch();
}

}  // namespace tidepool::event
