// Who waits, for how long, and what those are told who wait in vain.
#include "tests/unit/pool/conversation.h"

namespace tidepool::pool {

namespace {

PoolLimits patient(base::Duration timeout) {
  PoolLimits limits = sizes(1, 1);
  limits.timeout = timeout;
  return limits;
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("a waiter whose timeout ends is refused with 53300, the pool, the limit and the wait") {
  Conversation with(patient(30s));
  with.open(1);
  with.checkout(1);
  CHECK(with.checkout(2) == "");
  CHECK(with.ledger.next_deadline() == with.now + 30s);
  CHECK(with.after(29999ms) == "");
  CHECK(with.after(1ms) == "refuse t2: timed out");
  CHECK(with.last_error.sqlstate == "53300");
  CHECK(with.last_error.message ==
        "no server of pool \"orders\" was free within 30 s (timeout 30 s, max_size 1)");
  CHECK(with.ledger.next_deadline() == std::nullopt);
}

TEST_CASE("each waiter has its own timeout, and a late tick refuses all that are due") {
  Conversation with(patient(10s));
  with.open(1);
  with.checkout(1);
  with.checkout(2);
  with.after(1s);
  with.checkout(3);
  with.after(1s);
  with.checkout(4);
  CHECK(with.after(8s) == "refuse t2: timed out");
  CHECK(with.after(5s) == "refuse t3: timed out; refuse t4: timed out");
}

TEST_CASE("a timeout tells why no server can be opened") {
  Conversation with(patient(10s));
  with.checkout(1);
  with.dial_fails(1, DialFailure::Unreachable, {"08001", "no route to host"});
  with.now += 10s;
  CHECK(contains(with.after(0s), "refuse t1: timed out"));
  CHECK(contains(with.last_error.detail, "no route to host"));
}

TEST_CASE("who finds the queue full is refused at once, those in it are not") {
  PoolLimits limits = patient(30s);
  limits.max_waiting = 2;
  Conversation with(limits);
  with.open(1);
  with.checkout(1);
  CHECK(with.checkout(2) == "");
  with.after(1500ms);
  CHECK(with.checkout(3) == "");
  CHECK(with.checkout(4) == "refuse t4: queue full");
  CHECK(with.last_error.sqlstate == "53300");
  CHECK(with.last_error.message ==
        "pool \"orders\" has 2 clients waiting already (max_waiting 2, max_size 1), the first of them for "
        "1.5 s");
  CHECK(with.give_back(1) == "grant t2 c1");
  CHECK(with.checkout(5) == "");
}

TEST_CASE("max_waiting 0 is no limit") {
  Conversation with(patient(30s));
  with.open(1);
  with.checkout(1);
  for (uint64_t ticket = 2; ticket < 2000; ++ticket) REQUIRE(with.checkout(ticket) == "");
  CHECK(with.stats().requests_waiting == 1998);
}

TEST_CASE("a waiter gets one notice after notice_after") {
  PoolLimits limits = patient(30s);
  limits.notice_after = 5s;
  Conversation with(limits);
  with.open(1);
  with.checkout(1);
  with.checkout(2);
  with.after(1s);
  with.checkout(3);
  CHECK(with.ledger.next_deadline() == with.now + 4s);
  CHECK(with.after(4s) == "notice t2");
  CHECK(with.last_wait == 5s);
  CHECK(with.after(1s) == "notice t3");
  CHECK(with.run_for(20s) == "");
}

TEST_CASE("no notice for one who is served or leaves in time") {
  PoolLimits limits = patient(30s);
  limits.notice_after = 5s;
  Conversation with(limits);
  with.open(1);
  with.checkout(1);
  with.checkout(2);
  with.checkout(3);
  with.checkout(4);
  with.after(1s);
  CHECK(with.give_back(1) == "grant t2 c1");
  CHECK(with.last_wait == 1s);
  CHECK(with.withdraw(3) == "");
  CHECK(with.run_for(10s) == "notice t4");
}

TEST_CASE("a withdrawn client gets nothing, and withdraw says whether it was in time") {
  Conversation with(patient(30s));
  with.open(1);
  with.checkout(1);
  with.checkout(2);
  CHECK(with.withdraw(2) == "");
  CHECK(with.was_waiting);
  CHECK(with.withdraw(2) == "");
  CHECK_FALSE(with.was_waiting);
  CHECK(with.withdraw(1) == "");
  CHECK_FALSE(with.was_waiting);
  CHECK(with.give_back(1) == "");
  CHECK(with.run_for(1min) == "");
}

TEST_CASE(
    "who asks again goes to the head, oldest wish first, with the time it has left, and is counted once") {
  Conversation with(patient(30s));
  with.open(1);
  const base::TimePoint first = with.now;
  with.checkout(1);
  with.after(1s);
  const base::TimePoint second = with.now;
  with.checkout(2);
  with.checkout(3);
  CHECK(with.checkout_again(10, second) == "");
  CHECK(with.checkout_again(11, first) == "");
  CHECK(with.stats().requests_num == 3);
  CHECK(with.give_back(1) == "grant t11 c1");
  CHECK(with.after(29s) == "");
  CHECK(with.checkout_again(12, first) == "");
  CHECK(with.after(0s) == "refuse t12: timed out");
  CHECK(with.give_back(1) == "grant t10 c1");
  CHECK(with.give_back(1) == "grant t2 c1");
}

TEST_CASE("who asks again is granted at once what rests") {
  Conversation with(sizes(2, 2));
  with.open(2);
  CHECK(with.checkout(1) == "grant t1 c2");
  CHECK(with.lost(2, CloseReason::Bad) == "");
  CHECK(with.checkout_again(2, with.now) == "grant t2 c1");
}

TEST_CASE("who asks again is not told a second time that it waits") {
  PoolLimits limits = patient(30s);
  limits.notice_after = 5s;
  Conversation with(limits);
  with.open(1);
  const base::TimePoint first = with.now;
  with.checkout(1);
  with.checkout(2);
  CHECK(with.run_for(6s) == "notice t2");
  CHECK(with.give_back(1) == "grant t2 c1");
  CHECK(with.lost(1, CloseReason::Bad) == "");
  CHECK(with.checkout_again(3, first) == "");
  CHECK(with.checkout_again(4, with.now) == "");
  CHECK(with.run_for(10s) == "notice t4");
}

TEST_CASE("one who asks again and goes ahead of another who did gets its notice, too") {
  PoolLimits limits = patient(30s);
  limits.notice_after = 5s;
  Conversation with(limits);
  with.open(1);
  with.checkout(1);
  const base::TimePoint first = with.now;
  with.after(1s);
  with.checkout_again(3, with.now);
  with.checkout_again(2, first);
  CHECK(with.run_for(10s) == "notice t2; notice t3");
}

TEST_CASE("a queue keeps its order, its notices and its timeouts whatever leaves it") {
  PoolLimits limits = patient(10s);
  limits.notice_after = 2s;
  Conversation with(limits);
  with.open(1);
  with.checkout(1);
  for (uint64_t ticket = 2; ticket <= 7; ++ticket) {
    with.checkout(ticket, static_cast<WorkerId>(ticket % 3));
    with.run_for(500ms);
  }
  // Asked at 0, 0.5, 1, 1.5, 2, 2.5 s; at 3 s those of 2, 3 and 4 have been noticed.
  with.withdraw(5);
  with.withdraw(2);
  with.withdraw(7);
  CHECK(with.run_for(2s) == "notice t6");
  CHECK(with.run_for(10s) == "refuse t3: timed out; refuse t4: timed out; refuse t6: timed out");
}

}  // namespace tidepool::pool
