// How a pool loses the servers that it does not need, and those that are too old.
#include "tests/unit/pool/conversation.h"

namespace tidepool::pool {

namespace {

PoolLimits shrinking(uint32_t min_size, uint32_t max_size, base::Duration max_idle) {
  PoolLimits limits = sizes(min_size, max_size);
  limits.max_idle = max_idle;
  return limits;
}

PoolLimits mortal(uint32_t min_size, uint32_t max_size) {
  PoolLimits limits = sizes(min_size, max_size);
  limits.max_lifetime = 1h;
  return limits;
}

}  // namespace

TEST_CASE("after a burst the pool is back at min_size within two windows") {
  Conversation with(shrinking(4, 100, 10min));
  for (uint64_t ticket = 1; ticket <= 100; ++ticket) with.checkout(ticket);
  for (uint64_t dial = 1; dial <= 100; ++dial) with.dialed(dial);
  with.run_for(3min);
  for (uint64_t connection = 1; connection <= 100; ++connection) with.give_back(connection);
  CHECK(with.stats().pool_available == 100);
  with.run_for(20min);
  CHECK(with.stats().pool_available == 4);
  CHECK(with.stats().closing == 96);
  with.run_for(24h);
  CHECK(with.stats().pool_available == 4);
}

TEST_CASE("the surplus of a window closes at once, longest resting first, and what was needed stays") {
  Conversation with(shrinking(0, 5, 10s));
  with.open(5);
  with.run_for(10s);  // the window of the burst
  CHECK(with.checkout(1) == "grant t1 c5");
  CHECK(with.checkout(2) == "grant t2 c4");
  with.give_back(4);
  with.give_back(5);
  CHECK(with.run_for(10s) ==
        "close c1: not needed for max_idle; close c2: not needed for max_idle; close c3: not needed for "
        "max_idle");
  CHECK(with.checkout(3) == "grant t3 c5");
  with.give_back(5);
  CHECK(with.run_for(10s) == "close c4: not needed for max_idle");
}

TEST_CASE(
    "min_size 0, max_size 1, max_idle 5s: the connection goes some seconds after the last use and is back at "
    "the next") {
  Conversation with(shrinking(0, 1, 5s));
  CHECK(with.checkout(1) == "dial 1 @0 for t1");
  CHECK(with.dialed(1) == "grant t1 c1");
  CHECK(with.run_for(12s) == "");
  CHECK(with.give_back(1) == "");
  CHECK(with.run_for(4s) == "");
  CHECK(with.run_for(6s) == "close c1: not needed for max_idle");
  CHECK(with.closed(1) == "");
  CHECK(with.ledger.is_empty());
  CHECK(with.ledger.next_deadline() == std::nullopt);
  CHECK(with.run_for(1h) == "");
  CHECK(with.checkout(2) == "dial 2 @0 for t2");
  CHECK(with.dialed(2) == "grant t2 c2");
  CHECK(with.give_back(2) == "");
  CHECK(with.run_for(10s) == "close c2: not needed for max_idle");
}

TEST_CASE("a connection that is used in every window is never closed for being idle") {
  Conversation with(shrinking(0, 1, 5s));
  with.open(1);
  for (uint64_t ticket = 1; ticket <= 100; ++ticket) {
    CHECK(with.checkout(ticket) == words("grant t", ticket, " c1"));
    with.give_back(1);
    CHECK(with.run_for(4s) == "");
  }
}

TEST_CASE("max_idle 0 never shrinks") {
  Conversation with(shrinking(0, 5, 0s));
  with.open(5);
  CHECK(with.run_for(1000h) == "");
}

TEST_CASE("a lent connection counts for min_size") {
  Conversation with(shrinking(2, 4, 10s));
  with.open(4);
  with.run_for(10s);
  with.checkout(1);
  with.checkout(2);
  with.run_for(10s);
  CHECK(with.stats().lent == 2);
  with.run_for(20s);
  CHECK(with.stats().pool_available == 0);
}

TEST_CASE(
    "max_lifetime holds for a resting connection, with up to 5% of jitter; it is replaced for min_size "
    "only") {
  Conversation with(mortal(1, 2));
  with.open(2);
  CHECK(with.run_for(57min) == "");
  const std::string said = with.run_for(3min);
  CHECK(said.find("close c1: max_lifetime reached") != std::string::npos);
  CHECK(said.find("close c2: max_lifetime reached") != std::string::npos);
  CHECK(with.stats().pool_size == 2);  // both are closing
  CHECK(with.closed(1) == "dial 3 @0");
  CHECK(with.closed(2) == "");
}

TEST_CASE("connections opened together do not expire together") {
  Conversation with(mortal(0, 100));
  with.open(100);
  with.run_for(58min + 30s);
  const int64_t gone = with.stats().closing;
  CHECK(gone > 20);
  CHECK(gone < 80);
}

TEST_CASE("a lent connection lives on until it comes back, then it is closed and the waiter dialed for") {
  Conversation with(mortal(0, 2));
  with.open(1);
  CHECK(with.checkout(1) == "grant t1 c1");
  CHECK(with.run_for(2h) == "");
  CHECK(with.give_back(1) == "close c1: max_lifetime reached");
  CHECK(with.closed(1) == "");

  with.checkout(2);
  CHECK(with.dialed(2) == "grant t2 c2");
  CHECK(with.checkout(3) == "dial 3 @0 for t3");
  CHECK(with.dialed(3) == "grant t3 c3");
  CHECK(with.checkout(4) == "");
  with.run_for(2h);
  CHECK(with.stats().requests_waiting == 0);  // it timed out
  CHECK(with.checkout(5) == "");
  CHECK(with.give_back(2) == "close c2: max_lifetime reached");
  CHECK(with.closed(2) == "dial 4 @0 for t5");
}

TEST_CASE("an expired connection is not lent even if the tick is late") {
  Conversation with(mortal(0, 1));
  with.open(1);
  with.now += 2h;
  CHECK(with.checkout(1) == "close c1: max_lifetime reached");
  CHECK(with.closed(1) == "dial 2 @0 for t1");
}

TEST_CASE("max_lifetime 0 is no limit") {
  Conversation with(sizes(1, 1));
  with.open(1);
  CHECK(with.run_for(100000h) == "");
}

}  // namespace tidepool::pool
