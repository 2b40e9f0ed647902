// New limits, RECONNECT, and the end of a pool.
#include "tests/unit/pool/conversation.h"

namespace tidepool::pool {

TEST_CASE("a raised min_size is dialed for from the current size, without overshoot") {
  Conversation with(sizes(4, 10));
  with.open(10);
  CHECK(with.set_limits(sizes(10, 10)) == "");
  CHECK(with.set_limits(sizes(12, 12)) == "dial 11 @0; dial 12 @0");
  CHECK(with.stats().pool_size == 12);
  CHECK(with.stats().pool_max == 12);
}

TEST_CASE(
    "a lowered max_size closes resting connections now, longest resting first, and lent ones when they come "
    "back") {
  Conversation with(sizes(0, 6));
  with.open(6);
  CHECK(with.checkout(1) == "grant t1 c6");
  CHECK(with.checkout(2) == "grant t2 c5");
  CHECK(with.checkout(3) == "grant t3 c4");
  CHECK(with.set_limits(sizes(0, 2)) ==
        "close c1: max_size lowered; close c2: max_size lowered; close c3: max_size lowered");
  CHECK(with.checkout(4) == "");
  CHECK(with.give_back(4) == "close c4: max_size lowered");
  CHECK(with.give_back(5) == "grant t4 c5");
  for (uint64_t connection = 1; connection <= 4; ++connection) CHECK(with.closed(connection) == "");
  CHECK(with.stats().pool_size == 2);
}

TEST_CASE("a dial that succeeds after the pool was made smaller is closed") {
  Conversation with(sizes(0, 2));
  with.checkout(1);
  with.checkout(2);
  CHECK(with.dialed(1) == "grant t1 c1");
  CHECK(with.set_limits(sizes(0, 1)) == "");
  CHECK(with.dialed(2) == "close c2: max_size lowered");
  CHECK(with.give_back(1) == "grant t2 c1");
}

TEST_CASE("a raised max_size serves those who wait") {
  Conversation with(sizes(0, 1));
  with.open(1);
  with.checkout(1);
  CHECK(with.checkout(2) == "");
  CHECK(with.checkout(3) == "");
  CHECK(with.set_limits(sizes(0, 5)) == "dial 2 @0 for t2; dial 3 @0 for t3");
}

TEST_CASE("new times hold for connections and waiters that are there already") {
  Conversation with(sizes(0, 2));
  with.open(2);
  CHECK(with.checkout(1) == "grant t1 c2");
  with.after(10min);
  PoolLimits limits = sizes(0, 2);
  limits.max_lifetime = 5min;
  CHECK(with.set_limits(limits) == "close c1: max_lifetime reached");
  CHECK(with.give_back(2) == "close c2: max_lifetime reached");

  Conversation waiting(sizes(1, 1));
  waiting.open(1);
  waiting.checkout(1);
  waiting.checkout(2);
  waiting.after(5s);
  PoolLimits impatient = sizes(1, 1);
  impatient.timeout = 3s;
  waiting.set_limits(impatient);
  CHECK(waiting.after(0s) == "refuse t2: timed out");
}

TEST_CASE("limits() are those last set") {
  Conversation with(sizes(0, 1));
  with.set_limits(sizes(1, 7));
  CHECK(with.ledger.limits() == sizes(1, 7));
}

TEST_CASE("replace_all closes what rests, what is lent when it comes back, and throws away dials in flight") {
  Conversation with(sizes(2, 4));
  with.open(2);
  CHECK(with.checkout(1) == "grant t1 c2");
  CHECK(with.checkout(2) == "grant t2 c1");
  CHECK(with.checkout(3) == "dial 3 @0 for t3");
  CHECK(with.give_back(1) == "grant t3 c1");
  CHECK(with.give_back(1) == "");
  CHECK(with.replace_all() == "close c1: replaced; dial 4 @0");
  CHECK(with.give_back(2) == "close c2: replaced");
  CHECK(with.dialed(3) == "close c3: replaced");
  CHECK(with.closed(1) == "dial 5 @0");
  CHECK(with.closed(2) == "");
  CHECK(with.closed(3) == "");
  CHECK(with.dialed(4) == "");
  CHECK(with.dialed(5) == "");
  CHECK(with.stats().pool_available == 2);
}

TEST_CASE("replace_all dials anew for a waiter whose dial it throws away, and ignores how that one ends") {
  Conversation with(sizes(0, 4));
  CHECK(with.checkout(1) == "dial 1 @0 for t1");
  CHECK(with.replace_all() == "dial 2 @0 for t1");
  CHECK(with.dial_fails(1) == "");
  CHECK_FALSE(with.stats().down);
  CHECK(with.dialed(2) == "grant t1 c2");
}

TEST_CASE("replace_all lets a connection finish its check, then closes it") {
  PoolLimits limits = sizes(0, 3);
  limits.check = 30s;
  Conversation with(limits);
  with.open(1);
  with.after(31s);
  CHECK(with.checkout(1) == "check c1");
  CHECK(with.replace_all() == "dial 2 @0 for t1");
  CHECK(with.check_passed(1) == "close c1: replaced");
  CHECK(with.dialed(2) == "grant t1 c2");
}

TEST_CASE("replace_all forgets the backoff: a mended conninfo is tried at once") {
  Conversation with(sizes(0, 1));
  with.checkout(1);
  CHECK(with.dial_fails(1, DialFailure::LoginRefused, {"28P01", "password authentication failed"}) ==
        "down; refuse t1: login refused");
  with.replace_all();
  CHECK(with.ledger.why_down() == std::nullopt);
  CHECK(with.checkout(2) == "dial 2 @0 for t2");
  CHECK(with.dialed(2) == "back; grant t2 c2");
}

TEST_CASE("a draining pool serves who holds, waits and comes, and closes what nobody needs") {
  Conversation with(sizes(3, 3));
  with.open(3);
  CHECK(with.checkout(1) == "grant t1 c3");
  CHECK(with.checkout(2) == "grant t2 c2");
  const std::string why = ": not needed any more, tidepool is shutting down";
  CHECK(with.drain() == "close c1" + why);
  CHECK(with.closed(1) == "");  // min_size is not kept up
  CHECK(with.checkout(3) == "dial 4 @0 for t3");
  CHECK(with.checkout(4) == "");
  CHECK(with.give_back(2) == "grant t3 c2");
  CHECK(with.dialed(4) == "grant t4 c4");
  CHECK(with.give_back(2) == "close c2" + why);
  CHECK(with.give_back(3) == "close c3" + why);
  CHECK(with.give_back(4) == "close c4" + why);
  for (uint64_t connection = 2; connection <= 4; ++connection) CHECK(with.closed(connection) == "");
  CHECK(with.ledger.is_empty());
  CHECK(with.after(1h) == "");
}

TEST_CASE("a draining pool whose server is down is probed for those who wait only") {
  Conversation with(sizes(0, 1));
  with.checkout(1);
  CHECK(with.dial_fails(1) == "down");
  CHECK(with.drain() == "");
  CHECK(with.after(500ms) == "dial 2 @0 for t1");
  CHECK(with.dial_fails(2) == "");
  CHECK(with.withdraw(1) == "");
  CHECK(with.after(1h) == "gave up");
}

TEST_CASE("a removed pool refuses its waiters and those who come, with 57P01, and empties itself") {
  Conversation with(sizes(0, 4));
  with.open(2);
  CHECK(with.checkout(1) == "grant t1 c2");
  CHECK(with.checkout(2) == "grant t2 c1");
  CHECK(with.give_back(1) == "");
  with.checkout(3);
  CHECK(with.checkout(4) == "dial 3 @0 for t4");
  CHECK(with.give_back(1) == "grant t4 c1");
  CHECK(with.give_back(1) == "");
  with.checkout(5);
  with.checkout(6);
  CHECK(with.remove() == "refuse t6: pool removed");
  CHECK(with.last_error.sqlstate == "57P01");
  CHECK(with.checkout(7) == "refuse t7: pool removed");
  CHECK(with.checkout_again(8, with.now) == "refuse t8: pool removed");
  CHECK(with.dialed(3) == "close c3: pool removed");
  CHECK(with.give_back(1) == "close c1: pool removed");
  CHECK(with.lost(2, CloseReason::Bad) == "");
  CHECK_FALSE(with.ledger.is_empty());
  with.closed(1);
  with.closed(2);
  CHECK(with.closed(3) == "");
  with.run_for(1h);
  for (const auto& [number, dial] : with.dials) {
    if (number > 3) with.dial_fails(number);
  }
  CHECK(with.ledger.is_empty());
  CHECK(with.ledger.next_deadline() == std::nullopt);
}

TEST_CASE("a removed pool closes what rests at once and does not dial for min_size") {
  Conversation with(sizes(2, 2));
  with.open(2);
  CHECK(with.remove() == "close c1: pool removed; close c2: pool removed");
  CHECK(with.closed(1) == "");
  CHECK(with.closed(2) == "");
  CHECK(with.run_for(1h) == "");
  CHECK(with.ledger.is_empty());
}

TEST_CASE("one that its clients have outgrown is closed and replaced, one at a time") {
  Conversation with(sizes(3, 3));
  with.open(3);
  for (uint64_t ticket = 1; ticket <= 3; ++ticket) with.checkout(ticket);
  CHECK(with.give_back_outgrown(2) == words("close c2: ", name_of(CloseReason::Outgrown)));
  CHECK(with.give_back_outgrown(1) == "");
  CHECK(with.checkout(4) == "grant t4 c1");
  CHECK(with.closed(2) == "dial 4 @0");
  CHECK(with.give_back_outgrown(1) == "");
  CHECK(with.checkout(5) == "grant t5 c1");
  CHECK(with.dialed(4) == "");
  CHECK(with.give_back_outgrown(1) == words("close c1: ", name_of(CloseReason::Outgrown)));
  CHECK(with.stats().returns_bad == 0);
}

TEST_CASE("in a pool whose server cannot be reached nothing is outgrown") {
  Conversation with(sizes(1, 2));
  with.open(1);
  CHECK(with.checkout(1) == "grant t1 c1");
  CHECK(with.checkout(2) == "dial 2 @0 for t2");
  with.dial_fails(2);
  CHECK(with.give_back_outgrown(1) == "grant t2 c1");
}

}  // namespace tidepool::pool
