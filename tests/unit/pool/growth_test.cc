// How a pool comes to have servers.
#include "tests/unit/pool/conversation.h"

namespace tidepool::pool {

TEST_CASE("min_size is dialed at once, spread over the workers, at most max_dials at a time") {
  PoolLimits limits = sizes(4, 4);
  limits.max_dials = 3;
  Conversation with(limits, 2);
  CHECK(with.ledger.next_deadline() == with.now);
  CHECK(with.after(0s) == "dial 1 @0; dial 2 @1; dial 3 @0");
  CHECK(with.dialed(2) == "dial 4 @1");
  CHECK(with.dialed(1) == "");
  CHECK(with.dialed(3) == "");
  CHECK(with.dialed(4) == "");
  CHECK(with.stats().pool_available == 4);
  CHECK(with.ledger.next_deadline() == std::nullopt);
}

TEST_CASE("max_size defaults to min_size: a fixed pool of four") {
  const PoolLimits limits;
  CHECK(limits.min_size == 4);
  CHECK(limits.max_size == limits.min_size);
}

TEST_CASE("a pool with min_size 0 dials for its first client only") {
  Conversation with(sizes(0, 4));
  CHECK(with.ledger.next_deadline() == std::nullopt);
  CHECK(with.after(1h) == "");
  CHECK(with.checkout(1) == "dial 1 @0 for t1");
  CHECK(with.dialed(1) == "grant t1 c1");
}

TEST_CASE("growth meets demand: a dial for each waiter, side by side") {
  Conversation with(sizes(0, 10));
  CHECK(with.checkout(1, 0) == "dial 1 @0 for t1");
  CHECK(with.checkout(2, 1) == "dial 2 @1 for t2");
  CHECK(with.checkout(3, 2) == "dial 3 @2 for t3");
  CHECK(with.dialed(1) == "grant t1 c1");
  CHECK(with.dialed(2) == "grant t2 c2");
  CHECK(with.dialed(3) == "grant t3 c3");
  CHECK(with.stats().pool_size == 3);
}

TEST_CASE("a burst is no stampede: dials in flight are bounded, and go on only while somebody waits") {
  PoolLimits limits = sizes(0, 10);
  limits.max_dials = 2;
  Conversation with(limits);
  CHECK(with.checkout(1) == "dial 1 @0 for t1");
  CHECK(with.checkout(2) == "dial 2 @0 for t2");
  CHECK(with.checkout(3) == "");
  CHECK(with.checkout(4) == "");
  CHECK(with.dialed(1) == "grant t1 c1; dial 3 @0 for t3");
  CHECK(with.give_back(1) == "grant t2 c1");
  CHECK(with.give_back(1) == "grant t3 c1");
  // Two dials are in flight for the one who still waits: no third.
  CHECK(with.dialed(2) == "grant t4 c2");
  CHECK(with.dialed(3) == "");
  CHECK(with.stats().pool_size == 3);
  CHECK(with.stats().pool_available == 1);
}

TEST_CASE("max_size is exact, whoever asks") {
  Conversation with(sizes(0, 2));
  CHECK(with.checkout(1) == "dial 1 @0 for t1");
  CHECK(with.checkout(2) == "dial 2 @0 for t2");
  CHECK(with.checkout(3) == "");
  CHECK(with.dialed(1) == "grant t1 c1");
  CHECK(with.dialed(2) == "grant t2 c2");
  CHECK(with.checkout(4) == "");
  CHECK(with.stats().pool_size == 2);
  CHECK(with.give_back(2) == "grant t3 c2");
}

TEST_CASE("a closing connection counts until PostgreSQL hung up") {
  Conversation with(sizes(0, 1));
  with.open(1);
  CHECK(with.checkout(1) == "grant t1 c1");
  CHECK(with.checkout(2) == "");
  CHECK(with.lost(1, CloseReason::Bad) == "");
  CHECK(with.stats().closing == 1);
  CHECK(with.stats().pool_size == 1);
  CHECK(with.closed(1) == "dial 2 @0 for t2");
  CHECK(with.dialed(2) == "grant t2 c2");
}

TEST_CASE(
    "a server lost under a client is replaced while others wait, without waiting for the hang-up if there is "
    "room") {
  Conversation with(sizes(0, 2));
  with.open(1);
  CHECK(with.checkout(1) == "grant t1 c1");
  CHECK(with.checkout(2) == "dial 2 @0 for t2");
  CHECK(with.dialed(2) == "grant t2 c2");
  CHECK(with.checkout(3) == "");
  CHECK(with.lost(1) == "");
  CHECK(with.closed(1) == "dial 3 @0 for t3");
}

TEST_CASE("a server lost at rest is replaced if min_size asks for it") {
  Conversation with(sizes(2, 3));
  with.open(2);
  CHECK(with.lost(1) == "dial 3 @0");
  CHECK(with.closed(1) == "");
  CHECK(with.dialed(3) == "");

  Conversation without(sizes(0, 3));
  without.open(2);
  CHECK(without.lost(1) == "");
  CHECK(without.closed(1) == "");
  CHECK(without.stats().pool_size == 1);
}

TEST_CASE("what min_size lacks and what waiters want is not added up") {
  Conversation with(sizes(2, 10));
  CHECK(with.checkout(1, 3) == "dial 1 @3 for t1; dial 2 @0");
  CHECK(with.checkout(2, 3) == "");
  CHECK(with.checkout(3, 3) == "dial 3 @3 for t2");
}

TEST_CASE("a dial goes on when its client is gone, and serves another or rests") {
  Conversation with(sizes(0, 2));
  CHECK(with.checkout(1) == "dial 1 @0 for t1");
  CHECK(with.withdraw(1) == "");
  CHECK(with.was_waiting);
  CHECK(with.checkout(2) == "");
  CHECK(with.dialed(1) == "grant t2 c1");
  CHECK(with.checkout(3) == "dial 2 @0 for t3");
  CHECK(with.withdraw(3) == "");
  CHECK(with.dialed(2) == "");
  CHECK(with.stats().pool_available == 1);
}

TEST_CASE("a client whose dial served another, or failed, is dialed for again") {
  Conversation with(sizes(0, 3));
  CHECK(with.checkout(1, 1) == "dial 1 @1 for t1");
  CHECK(with.checkout(2, 2) == "dial 2 @2 for t2");
  CHECK(with.checkout_again(3, with.now, 2) == "dial 3 @2 for t3");
  CHECK(with.dialed(1) == "grant t1 c1");
  CHECK(with.dialed(2) == "grant t3 c2");
  CHECK(with.lost(1) == "");
  CHECK(with.dial_fails(3) == "down");
  CHECK(with.run_for(500ms) == "dial 4 @2 for t2");
  CHECK(with.dial_fails(4) == "");
  CHECK(with.run_for(500ms) == "dial 5 @2 for t2");
}

TEST_CASE("a connection's id is never used again, and news of one that is gone are ignored") {
  Conversation with(sizes(0, 1));
  with.open(1);
  CHECK(with.lost(1) == "");
  CHECK(with.lost(1) == "");
  CHECK(with.closed(1) == "");
  CHECK(with.checkout(1) == "dial 2 @0 for t1");
  CHECK(with.dialed(2) == "grant t1 c2");
  CHECK(with.id(1) != with.id(2));
  CHECK(with.closed(1) == "");
  CHECK(with.lost(1) == "");
  CHECK(with.check_passed(1) == "");
  CHECK(with.stats().lent == 1);
  CHECK(with.stats().connections_lost == 1);
}

TEST_CASE("a connection that goes without a word is counted and replaced as if it had been reported lost") {
  Conversation with(sizes(1, 1));
  with.open(1);
  CHECK(with.closed(1) == "dial 2 @0");
  CHECK(with.stats().connections_lost == 1);
}

}  // namespace tidepool::pool
