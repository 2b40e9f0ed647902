#include "daemon/event/client_socket.h"

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <string>

#include "tests/unit/event/far_end.h"

namespace tidepool::event {
namespace {

// A client socket on one end of a pair of sockets; the test is the client at the other.
class Pair : public FarEnd, public ClientSocketEvents {
 public:
  Pair() : socket(std::make_unique<ClientSocket>(near_end(), loop, buffer, *this)) {
    REQUIRE(socket->open() == 0);
  }

  bool client_reads_the_end() {
    const ssize_t size = read_one();
    return size == 0 || (size < 0 && errno == ECONNRESET);  // the latter if something was left unread
  }
  void turn() { loop.turn(); }

  SocketLoop loop;
  ReadBuffer buffer;
  std::unique_ptr<ClientSocket> socket;
  std::string received;
  int ended = -1, ends = 0;
  int drained = 0;
  bool pauses = false;  // as soon as something comes

 private:
  void on_client_bytes(base::Bytes bytes) override {
    received.append(bytes);
    if (pauses) socket->pause_reading();
  }
  void on_client_end(int error) override {
    ended = error;
    ++ends;
  }
  void on_client_drained() override { ++drained; }
};

}  // namespace

TEST_CASE("what the client says arrives, and then its end, once") {
  Pair pair;
  pair.say("hello");
  pair.turn();
  CHECK(pair.received == "hello");
  CHECK(pair.ends == 0);
  pair.hang_up();
  for (int i = 0; i < 3; ++i) pair.turn();
  CHECK(pair.ended == 0);
  CHECK(pair.ends == 1);
}

TEST_CASE("what comes at once is heard to its end: more than one read holds, and a hanging up behind it") {
  Pair pair;
  const std::string much = pair.say_much_and_hang_up();
  for (int i = 0; i < 5; ++i) pair.turn();
  CHECK(pair.received == much);
  CHECK(pair.ends == 1);
}

TEST_CASE("what is left of a read that filled the buffer waits while the client is not read") {
  Pair pair;
  pair.pauses = true;
  const std::string much(2 * ReadBuffer::kSize, 'x');
  pair.say(much);
  for (int i = 0; i < 3; ++i) pair.turn();
  CHECK(pair.received.size() == ReadBuffer::kSize);
  pair.pauses = false;
  pair.socket->resume_reading();
  for (int i = 0; i < 3; ++i) pair.turn();
  CHECK(pair.received == much);
}

TEST_CASE("what comes while a client is not read waits for it to be read again") {
  Pair pair;
  pair.pauses = true;
  pair.say("now");
  pair.turn();
  CHECK_FALSE(pair.socket->is_reading());
  pair.say(", later");
  for (int i = 0; i < 3; ++i) pair.turn();
  CHECK(pair.received == "now");
  pair.pauses = false;
  pair.socket->resume_reading();
  pair.turn();
  CHECK(pair.received == "now, later");
}

TEST_CASE("a client that hangs up while it is not read is asked for, and heard when it is read again") {
  Pair pair;
  pair.socket->pause_reading();
  CHECK_FALSE(pair.socket->peer_has_left());
  pair.say("last word");
  pair.hang_up();
  for (int i = 0; i < 3; ++i) pair.turn();
  CHECK(pair.ends == 0);
  CHECK(pair.socket->peer_has_left());
  pair.socket->resume_reading();
  for (int i = 0; i < 3; ++i) pair.turn();
  CHECK(pair.received == "last word");
  CHECK(pair.ends == 1);
}

TEST_CASE("what the client does not take is kept, sent when there is room, and then told once") {
  Pair pair;
  const std::string much(8 * 1024 * 1024, 'x');
  pair.socket->write(much);
  CHECK(pair.socket->is_congested());
  pair.socket->write("end");
  const std::string heard = pair.heard_until([&] { pair.turn(); }, [&] { return pair.drained > 0; });
  CHECK(heard.size() == much.size() + 3);
  CHECK(heard.ends_with("xend"));
  CHECK(pair.drained == 1);
  CHECK_FALSE(pair.socket->is_congested());
}

TEST_CASE("a client that takes nothing is still listened to") {
  Pair pair;
  pair.socket->write(std::string(8 * 1024 * 1024, 'x'));
  pair.say("stop");
  pair.turn();
  CHECK(pair.received == "stop");
}

TEST_CASE("a client that hangs up with much unsent is over, and what was unsent is dropped") {
  Pair pair;
  pair.socket->write(std::string(8 * 1024 * 1024, 'x'));
  pair.hang_up();
  for (int i = 0; i < 3; ++i) pair.turn();
  CHECK_FALSE(pair.socket->is_congested());
  CHECK(pair.ends == 1);
  pair.socket->write("to nobody");
  CHECK_FALSE(pair.socket->is_congested());
}

TEST_CASE("a socket that is destroyed closes its connection, and is told nothing more") {
  Pair pair;
  pair.say("unheard");
  pair.socket.reset();
  pair.turn();
  CHECK(pair.received.empty());
  CHECK(pair.client_reads_the_end());
}

}  // namespace tidepool::event
