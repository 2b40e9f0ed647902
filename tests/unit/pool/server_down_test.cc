// What happens when dials fail: backoff, probes, what clients are told.
#include "tests/unit/pool/conversation.h"

namespace tidepool::pool {

namespace {

PoolLimits down(WhenDown when_down, uint32_t min_size = 0, uint32_t max_size = 4) {
  PoolLimits limits = sizes(min_size, max_size);
  limits.when_down = when_down;
  return limits;
}

const base::Error kRefused{"08001", "connection refused"};
const base::Error kNoRole{"28000", "role \"app\" does not exist"};
const base::Error kTooMany{"53300", "sorry, too many clients already"};

}  // namespace

TEST_CASE("with nobody waiting, probes go out after 1 s, 2, 4, 8, 16, then each 30 s, all ±10 %") {
  Conversation with(down(WhenDown::Wait, 1, 1));
  with.after(0s);
  CHECK(with.dial_fails(1) == "down");
  uint64_t dial = 1;
  for (const base::Duration expected : {1s, 2s, 4s, 8s, 16s, 30s, 30s, 30s}) {
    const base::Duration until_probe = *with.ledger.next_deadline() - with.now;
    CHECK(until_probe >= expected * 9 / 10);
    CHECK(until_probe <= expected * 11 / 10);
    ++dial;
    CHECK(with.after(until_probe) == words("dial ", dial, " @0"));
    CHECK(with.dial_fails(dial) == "");
  }
}

TEST_CASE("while clients wait one probe goes out every 500 ms") {
  Conversation with(down(WhenDown::Wait));
  CHECK(with.checkout(1) == "dial 1 @0 for t1");
  CHECK(with.checkout(2) == "dial 2 @0 for t2");
  CHECK(with.dial_fails(1) == "down");
  CHECK(with.dial_fails(2) == "");
  for (uint64_t dial = 3; dial < 20; ++dial) {
    CHECK(with.after(499ms) == "");
    CHECK(with.after(1ms) == words("dial ", dial, " @0 for t1"));
    CHECK(with.dial_fails(dial) == "");
  }
}

TEST_CASE("a probe that hangs does not hold up the next, up to max_dials") {
  PoolLimits limits = down(WhenDown::Wait);
  limits.max_dials = 2;
  Conversation with(limits);
  CHECK(with.checkout(1) == "dial 1 @0 for t1");
  CHECK(with.dial_fails(1) == "down");
  CHECK(with.run_for(10s) == "dial 2 @0 for t1; dial 3 @0");
  CHECK(with.dialed(3) == "back; grant t1 c3");
}

TEST_CASE("when the server is back everybody is dialed for at once") {
  Conversation with(down(WhenDown::Wait));
  with.checkout(1);
  CHECK(with.dial_fails(1) == "down");
  CHECK(with.checkout(2) == "");
  CHECK(with.checkout(3) == "");
  CHECK(with.stats().down);
  CHECK(with.run_for(500ms) == "dial 2 @0 for t1");
  CHECK(with.dialed(2) == "back; grant t1 c2; dial 3 @0 for t2; dial 4 @0 for t3");
  CHECK_FALSE(with.stats().down);
}

TEST_CASE("dials that fail together count as one failure") {
  Conversation with(down(WhenDown::Wait, 3, 3));
  CHECK(with.after(0s) == "dial 1 @0; dial 2 @0; dial 3 @0");
  with.now += 1ms;
  CHECK(with.dial_fails(1) == "down");
  CHECK(with.dial_fails(2) == "");
  CHECK(with.dial_fails(3) == "");
  CHECK(*with.ledger.next_deadline() - with.now <= 1100ms);
  CHECK(with.run_for(1100ms) == "dial 4 @0");
}

TEST_CASE("when_down: wait keeps clients in the queue until their timeout") {
  Conversation with(down(WhenDown::Wait));
  with.checkout(1);
  CHECK(with.dial_fails(1) == "down");
  CHECK(with.ledger.why_down() == std::nullopt);
  CHECK(with.stats().requests_waiting == 1);
  with.now += 30s;
  CHECK(with.after(0s) == "refuse t1: timed out; dial 2 @0");
}

TEST_CASE(
    "when_down: fail refuses those who wait and those who come, in the words of the last dial; their asking "
    "sends probes") {
  Conversation with(down(WhenDown::Fail));
  CHECK(with.checkout(1) == "dial 1 @0 for t1");
  CHECK(with.checkout(2) == "dial 2 @0 for t2");
  CHECK(with.dial_fails(1, DialFailure::Unreachable, kRefused) ==
        "down; refuse t1: server down; refuse t2: server down");
  CHECK(with.last_error == kRefused);
  CHECK(with.ledger.why_down() == kRefused);
  CHECK(with.dial_fails(2) == "");
  with.now += 499ms;
  CHECK(with.checkout(3) == "refuse t3: server down");
  with.now += 1ms;
  CHECK(with.checkout(4) == "dial 3 @0 for t4; refuse t4: server down");
  CHECK(with.checkout(5) == "refuse t5: server down");
  CHECK(with.dialed(3) == "back");
  CHECK(with.ledger.why_down() == std::nullopt);
  CHECK(with.checkout(6) == "grant t6 c3");
}

TEST_CASE("when_down: fail goes on lending while connections live") {
  Conversation with(down(WhenDown::Fail, 0, 2));
  with.open(1);
  CHECK(with.checkout(1) == "grant t1 c1");
  CHECK(with.checkout(2) == "dial 2 @0 for t2");
  CHECK(with.dial_fails(2) == "down");
  CHECK(with.ledger.why_down() == std::nullopt);
  CHECK(with.give_back(1) == "grant t2 c1");
  CHECK(with.checkout(3) == "");
  CHECK(with.lost(1) == "refuse t3: server down");
}

TEST_CASE("an error without an SQLSTATE gets 08006") {
  Conversation with(down(WhenDown::Fail));
  with.checkout(1);
  CHECK(with.dial_fails(1, DialFailure::Unreachable, {"", "could not translate host name"}) ==
        "down; refuse t1: server down");
  CHECK(with.last_error == base::Error{"08006", "could not translate host name"});
}

TEST_CASE("a login turned away by why_down() asks for a probe as a checkout does") {
  Conversation with(down(WhenDown::Fail));
  with.checkout(1);
  with.dial_fails(1);
  with.ledger.turned_away(3, with.now, with.out);
  CHECK(with.out.empty());
  with.now += 500ms;
  with.ledger.turned_away(3, with.now, with.out);
  CHECK(with.after(0s) == "dial 2 @3");
}

TEST_CASE("a refused login reaches clients at once in the server's words, whatever when_down says") {
  base::Error told = kNoRole;
  told.detail = "This is about the login of pool \"orders\" at PostgreSQL, not about the client's.";
  Conversation with(down(WhenDown::Wait));
  CHECK(with.checkout(1) == "dial 1 @0 for t1");
  CHECK(with.checkout(2) == "dial 2 @0 for t2");
  CHECK(with.dial_fails(1, DialFailure::LoginRefused, kNoRole) ==
        "down; refuse t2: login refused; refuse t1: login refused");
  CHECK(with.last_error == told);
  CHECK(with.ledger.why_down() == told);
  CHECK(with.dial_fails(2, DialFailure::LoginRefused, kNoRole) == "");
  CHECK(with.checkout(3) == "refuse t3: login refused");
  CHECK(with.last_error == told);
}

TEST_CASE(
    "a refused login is not tried again faster than every 5 s, but it is tried, and clients are served when "
    "it works") {
  Conversation with(down(WhenDown::Wait));
  with.checkout(1);
  with.dial_fails(1, DialFailure::LoginRefused, kNoRole);
  with.now += 4s;
  CHECK(with.checkout(2) == "refuse t2: login refused");
  with.now += 1s;
  CHECK(with.checkout(3) == "dial 2 @0 for t3; refuse t3: login refused");
  CHECK(with.dial_fails(2, DialFailure::LoginRefused, kNoRole) == "");
  // Nobody asks: slower and slower.
  const base::Duration until_probe = *with.ledger.next_deadline() - with.now;
  CHECK(until_probe >= 9s);
  CHECK(until_probe <= 11s);
  CHECK(with.run_for(11s) == "dial 3 @0");
  CHECK(with.dialed(3) == "back");
  CHECK(with.checkout(4) == "grant t4 c3");
}

TEST_CASE("a refused login leaves those alone who can be served by what works") {
  PoolLimits limits = down(WhenDown::Wait, 0, 4);
  limits.check = 30s;
  Conversation with(limits);
  with.open(2);
  with.after(31s);
  CHECK(with.checkout(1) == "check c2");
  CHECK(with.checkout(2) == "check c1");
  CHECK(with.checkout(3) == "dial 3 @0 for t1");
  CHECK(with.dial_fails(3, DialFailure::LoginRefused, kNoRole) == "down");
  CHECK(with.check_passed(1) == "grant t1 c1");
  CHECK(with.check_passed(2) == "grant t2 c2");
  CHECK(with.ledger.why_down() == std::nullopt);
  CHECK(with.give_back(1) == "grant t3 c1");
  // The last that works is lost: now there is nothing to wait for.
  CHECK(with.checkout(4) == "");
  CHECK(with.lost(1) == "");
  CHECK(with.lost(2) == "refuse t4: login refused");
}

TEST_CASE("a refused login is no reason to refuse anybody when the pool is as large as it may be") {
  Conversation with(down(WhenDown::Wait, 0, 2));
  with.open(1);
  CHECK(with.checkout(1) == "grant t1 c1");
  CHECK(with.checkout(2) == "dial 2 @0 for t2");
  CHECK(with.dial_fails(2, DialFailure::LoginRefused, kNoRole) == "down");
  CHECK(with.set_limits(down(WhenDown::Wait, 0, 1)) == "");
  CHECK(with.checkout(3) == "");
  CHECK(with.give_back(1) == "grant t2 c1");
  CHECK(with.give_back(1) == "grant t3 c1");
}

TEST_CASE("too many connections is no outage while the pool has some: it waits and backs off") {
  Conversation with(down(WhenDown::Fail));
  with.open(1);
  with.checkout(1);
  CHECK(with.checkout(2) == "dial 2 @0 for t2");
  CHECK(with.dial_fails(2, DialFailure::TooMany, kTooMany) == "");
  CHECK_FALSE(with.stats().down);
  CHECK(with.stats().requests_waiting == 1);
  CHECK(with.run_for(499ms) == "");
  CHECK(with.run_for(1ms) == "dial 3 @0 for t2");
  CHECK(with.dial_fails(3, DialFailure::TooMany, kTooMany) == "");
  CHECK(with.give_back(1) == "grant t2 c1");
  // Nobody needs another: no probe.
  CHECK(with.ledger.next_deadline() == std::nullopt);
}

TEST_CASE("too many connections is an outage for a pool that has none") {
  Conversation with(down(WhenDown::Fail));
  with.checkout(1);
  CHECK(with.dial_fails(1, DialFailure::TooMany, kTooMany) == "down; refuse t1: server down");
  CHECK(with.last_error == kTooMany);
}

TEST_CASE("after reconnect_timeout the pool says once that it gave up, and probes go on") {
  PoolLimits limits = down(WhenDown::Wait, 1, 1);
  limits.reconnect_timeout = 5min;
  limits.timeout = 1h;
  Conversation with(limits);
  with.after(0s);
  uint64_t dial = 1;
  std::string events = with.dial_fails(dial);
  const auto live_for = [&](base::Duration duration) {
    const base::TimePoint end = with.now + duration;
    while (with.ledger.next_deadline() && *with.ledger.next_deadline() <= end) {
      const std::string said = with.after(*with.ledger.next_deadline() - with.now);
      if (said.find("dial") != std::string::npos) with.dial_fails(++dial);
      if (said.find("gave up") != std::string::npos) events += ", gave up";
    }
    with.now = end;
  };
  live_for(4min + 59s);
  CHECK(events == "down");
  live_for(2s);
  CHECK(events == "down, gave up");
  CHECK(with.stats().gave_up == 1);
  const uint64_t before = dial;
  live_for(10min);
  CHECK(events == "down, gave up");
  CHECK(dial - before >= 18);
  CHECK(dial - before <= 23);
  // Clients who come now wait, and are probed for as ever.
  CHECK(with.checkout(1) == words("dial ", dial + 1, " @0 for t1"));
  with.dial_fails(++dial);
  live_for(10s);
  CHECK(dial - before >= 38);
  with.run_for(500ms);
  CHECK(with.dialed(dial + 1) == words("back; grant t1 c", dial + 1));
  // The next outage is a new one.
  CHECK(with.lost(dial + 1) == "");
  CHECK(with.closed(dial + 1) == words("dial ", dial + 2, " @0"));
  dial += 2;
  CHECK(with.dial_fails(dial) == "down");
  live_for(6min);
  CHECK(with.stats().gave_up == 2);
}

TEST_CASE("probes go on when no min_size asks for them, so that it is known when the server is back") {
  Conversation with(down(WhenDown::Fail));
  with.checkout(1);
  with.dial_fails(1);
  CHECK(with.run_for(2s) == "dial 2 @0");
  CHECK(with.dialed(2) == "back");
}

}  // namespace tidepool::pool

// -- Servers that log in and are no good ----------------------------------------------------------

namespace tidepool::pool {

TEST_CASE("a server that fails at its first use counts as a failed dial, from the second in a row on") {
  Conversation with(down(WhenDown::Wait, 0, 2));
  CHECK(with.checkout(1) == "dial 1 @0 for t1");
  CHECK(with.dialed(1) == "grant t1 c1");
  CHECK(with.fails(1) == "");
  CHECK(with.checkout_again(2, with.now) == "dial 2 @0 for t2");
  CHECK(with.dialed(2) == "grant t2 c2");
  CHECK(with.fails(2) == "down");
  with.closed(1);
  with.closed(2);
  CHECK(with.checkout_again(3, with.now) == "");
  for (uint64_t number = 3; number < 10; ++number) {
    CHECK(with.after(499ms) == "");
    CHECK(with.after(1ms) == words("dial ", number, " @0 for t", number));
    CHECK(with.dialed(number) == words("grant t", number, " c", number));
    CHECK(with.fails(number) == "");
    with.closed(number);
    CHECK(with.checkout_again(number + 1, with.now) == "");
  }
  CHECK(with.run_for(30s).find("refuse t10: timed out") != std::string::npos);
  CHECK(with.last_error.sqlstate == "53300");
  CHECK(with.last_error.detail.find("the server hung up") != std::string::npos);
}

TEST_CASE("with nobody waiting servers that fail at once are probed ever more seldom") {
  Conversation with(down(WhenDown::Wait, 1, 1));
  uint64_t dial = 0;
  CHECK(with.after(0s) == "dial 1 @0");
  for (; dial < 2; with.closed(dial)) {
    ++dial;
    CHECK(with.dialed(dial) == "");
    CHECK(with.fails(dial) == (dial == 1 ? "" : "down"));
  }
  for (const base::Duration expected : {1s, 2s, 4s, 8s, 16s, 30s, 30s}) {
    const base::Duration until_probe = *with.ledger.next_deadline() - with.now;
    CHECK(until_probe >= expected * 9 / 10);
    CHECK(until_probe <= expected * 11 / 10);
    ++dial;
    CHECK(with.after(until_probe) == words("dial ", dial, " @0"));
    CHECK(with.dialed(dial) == "");
    CHECK(with.fails(dial) == "");
    with.closed(dial);
  }
  CHECK(with.stats().down);
}

TEST_CASE("a server that answers a client, or lives for a while, ends the doubt") {
  for (const bool answers : {true, false}) {
    Conversation with(down(WhenDown::Wait, 0, 4));
    for (uint64_t number = 1; number <= 2; ++number) {
      with.checkout(number);
      with.dialed(number);
      with.fails(number);
      with.closed(number);
    }
    CHECK(with.stats().down);
    CHECK(with.checkout(3) == "");
    CHECK(with.run_for(500ms) == "dial 3 @0 for t3");
    CHECK(with.dialed(3) == "grant t3 c3");
    CHECK(with.stats().down);
    CHECK(with.checkout(4) == "");
    if (answers) {
      CHECK(with.answers(3) == "back; dial 4 @0 for t4");
    } else {
      CHECK(with.run_for(5s).find("back") != std::string::npos);
    }
    CHECK_FALSE(with.stats().down);
  }
}

TEST_CASE("a server that was of use, that is old, or that its client has spoilt is no failed dial") {
  Conversation with(down(WhenDown::Wait, 0, 1));
  uint64_t number = 0;
  const auto is_granted = [&] {
    ++number;
    CHECK(with.checkout(number) == words("dial ", number, " @0 for t", number));
    CHECK(with.dialed(number) == words("grant t", number, " c", number));
  };
  for (int round = 0; round < 3; ++round) {
    is_granted();
    CHECK(with.answers(number) == "");
    CHECK(with.fails(number) == "");
    with.closed(number);
    is_granted();
    CHECK(with.lost(number, CloseReason::Bad) == "");
    with.closed(number);
    is_granted();
    with.now += 5s;
    CHECK(with.fails(number) == "");
    with.closed(number);
  }
  CHECK_FALSE(with.stats().down);
}

}  // namespace tidepool::pool
