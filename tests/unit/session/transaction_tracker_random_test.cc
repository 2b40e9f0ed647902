// Thousands of random conversations with a model of PostgreSQL's main loop, the tracker in between seeing
// what a relay sees: requests when they are sent, answers when they arrive, which is any time later. It never
// says too early that a server is quiet. Whenever the server has read all and all its answers have arrived,
// it says what the server waits for, or that it is in doubt; and a client that keeps to the protocol never
// brings it into doubt.
#include <doctest/doctest.h>

#include <random>

#include "lib/session/transaction_tracker.h"
#include "tests/unit/session/postgres_model.h"

namespace tidepool::session {
namespace {

class RandomConversation {
 public:
  RandomConversation(uint32_t seed, bool is_wild) : random_(seed), is_wild_(is_wild) {}

  void run(int turns) {
    for (int turn = 0; turn < turns && !postgres_.is_dead(); ++turn) {
      if (chance(40)) client_turn();
      for (unsigned i = below(6); i > 0 && postgres_.has_work(); --i) postgres_.step();
      for (unsigned i = below(12); i > 0 && postgres_.has_answer(); --i) deliver();
      if (chance(10)) settle();
    }
    settle();
    if (!is_wild_) {
      finish();
      REQUIRE(tracker_.server_is_free() == (postgres_.told_status() == 'I'));
    }
  }

  std::string transcript;

 private:
  unsigned below(unsigned limit) { return std::uniform_int_distribution<unsigned>(0, limit - 1)(random_); }
  bool chance(unsigned percent) { return below(100) < percent; }
  char one_of(std::string_view choices) { return choices[below(static_cast<unsigned>(choices.size()))]; }

  void send(char type, std::string fate = "") {
    transcript += std::string(" ") + type + fate;
    const Request request{type, std::move(fate)};
    tracker_.client_sent(request.message());
    postgres_.receive(request);
  }
  void deliver() {
    const Answer answer = postgres_.take_answer();
    transcript += std::string(" <") + answer.type;
    const char status[] = {answer.status};
    tracker_.server_sent(answer.type, {status, answer.type == 'Z' ? size_t{1} : 0});
    if (!is_wild_) REQUIRE_FALSE(tracker_.in_doubt());
    if (!tracker_.in_doubt() && tracker_.is_quiet()) nothing_may_follow(postgres_);
  }
  void nothing_may_follow(PostgresModel future) {
    while (future.has_work()) future.step();
    REQUIRE_FALSE(future.has_answer());
    REQUIRE(future.is_idle());
  }

  // All is read and all has arrived.
  void settle() {
    while (postgres_.has_work()) postgres_.step();
    while (postgres_.has_answer()) deliver();
    transcript += " .";
    if (postgres_.is_dead() || tracker_.in_doubt()) return;
    REQUIRE(tracker_.is_quiet() == postgres_.is_idle());
    REQUIRE(tracker_.ready_owed() == 0);
    REQUIRE(tracker_.batch_is_open() == postgres_.batch_is_open());
    REQUIRE(tracker_.copy_in() == postgres_.copies());
    REQUIRE(tracker_.copy_in_extended() == postgres_.copies_for_execute());
    REQUIRE(tracker_.is_answering() == postgres_.copies());
    REQUIRE(tracker_.status() == postgres_.told_status());
  }

  void client_turn() {
    if (is_wild_) return wild_turn();
    if (in_batch_) return batch_turn();
    switch (below(8)) {
      case 0:
        return send('S', chance(10) ? "e" : "");
      case 1:
        return send('F', chance(20) ? "e" : "");
      case 2:
        in_batch_ = chance(10);
        return send('H', in_batch_ ? "e" : "");
      case 3:
      case 4:
        return query();
      default:
        in_batch_ = true;
        return batch_turn();
    }
  }

  void query() {
    std::string fate;
    for (unsigned i = 1 + below(3); i > 0; --i) fate += one_of("rruzoifebc");
    send('Q', fate);
    for (char statement : fate)
      if (statement == 'i' || statement == 'f') copy_data();
  }

  // A client that pipelines its data, or one that waits for CopyInResponse and may see an error first.
  void copy_data() {
    if (chance(50)) settle();
    for (unsigned i = below(4); i > 0; --i) {
      if (chance(10)) settle();
      send('d', chance(15) ? "e" : "");
      if (chance(10)) send('H');
    }
    send(chance(85) ? 'c' : 'f');
  }

  void batch_turn() {
    switch (below(10)) {
      case 0:
      case 1:
        return send(one_of("PBC"), chance(8) ? "e" : "");
      case 2:
        return send('D', std::string(1, one_of("tne")));
      case 3:
        return send('H', chance(8) ? "e" : "");
      case 4:
      case 5:
      case 6: {
        const char fate = one_of("rruszoifebc");
        send('E', std::string(1, fate));
        if (fate == 'i' || fate == 'f') copy_data();
        return;
      }
      case 7:
        in_batch_ = false;
        return query();  // without a Sync, as our own prelude does; after an error it is not answered
      default:
        in_batch_ = false;
        return send('S', chance(5) ? "e" : "");
    }
  }

  void wild_turn() {
    const char type = one_of("QQSSSPBDECEEFHddcf");
    std::string fate;
    if (type == 'Q')
      for (unsigned i = 1 + below(3); i > 0; --i) fate += one_of("ruiifeobc");
    else if (type == 'E')
      fate = one_of("rsiiifeoz");
    else if (type == 'D')
      fate = one_of("tne");
    else if (chance(10))
      fate = "e";
    send(type, fate);
  }

  void finish() {
    if (tracker_.copy_in()) send('f');
    if (tracker_.batch_is_open()) send('S');
    settle();
    if (tracker_.batch_is_open()) send('S');  // the COPY had swallowed the first one
    settle();
    REQUIRE(tracker_.is_quiet());
  }

  std::mt19937 random_;
  bool is_wild_;
  bool in_batch_ = false;
  PostgresModel postgres_;
  TransactionTracker tracker_;
};

void run(uint32_t first_seed, int conversations, bool is_wild) {
  for (uint32_t seed = first_seed; seed < first_seed + static_cast<uint32_t>(conversations); ++seed) {
    RandomConversation conversation(seed, is_wild);
    CAPTURE(seed);
    CAPTURE(conversation.transcript);
    conversation.run(200);
  }
}

TEST_CASE("a client that keeps to the protocol: the tracker knows what the server waits for") {
  run(1, 2000, false);
}
TEST_CASE(
    "a client that sends anything at all: the tracker knows what the server waits for, or that it does not") {
  run(1, 5000, true);
}

}  // namespace
}  // namespace tidepool::session
