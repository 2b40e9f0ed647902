// When a resting connection is asked whether it lives, and what follows when it does not.
#include "tests/unit/pool/conversation.h"

namespace tidepool::pool {

namespace {

PoolLimits checking(uint32_t min_size, uint32_t max_size, base::Duration interval = 30s) {
  PoolLimits limits = sizes(min_size, max_size);
  limits.check = interval;
  return limits;
}

}  // namespace

TEST_CASE("a connection that rested for the check interval is asked before it is lent") {
  Conversation with(checking(1, 1));
  with.open(1);
  with.after(29s);
  CHECK(with.checkout(1) == "grant t1 c1");
  CHECK(with.give_back(1) == "");
  with.after(30s);
  CHECK(with.checkout(2) == "check c1");
  CHECK(with.stats().checking == 1);
  with.after(2ms);
  CHECK(with.check_passed(1) == "grant t2 c1");
  CHECK(with.last_wait == 2ms);
}

TEST_CASE("check: never lends whatever rests") {
  Conversation with(sizes(1, 1));
  with.open(1);
  with.after(24h);
  CHECK(with.checkout(1) == "grant t1 c1");
}

TEST_CASE("check: always asks before every use, also when a server passes from client to client") {
  Conversation with(checking(0, 1, 0s));
  CHECK(with.checkout(1) == "dial 1 @0 for t1");
  CHECK(with.dialed(1) == "grant t1 c1");  // has just logged in
  CHECK(with.checkout(2) == "");
  CHECK(with.give_back(1) == "check c1");
  CHECK(with.check_passed(1) == "grant t2 c1");
  CHECK(with.give_back(1) == "");
  CHECK(with.checkout(3) == "check c1");
  CHECK(with.check_passed(1) == "grant t3 c1");
}

TEST_CASE("a fresh connection of another worker is better than a stale one of its own") {
  Conversation with(checking(0, 2));
  CHECK(with.checkout(1, 0) == "dial 1 @0 for t1");
  CHECK(with.checkout(2, 1) == "dial 2 @1 for t2");
  with.dialed(1);
  with.dialed(2);
  with.give_back(1);
  with.after(20s);
  with.give_back(2);
  with.after(20s);
  CHECK(with.checkout(3, 0) == "grant t3 c2 @1>0");
  CHECK(with.checkout(4, 0) == "check c1");
}

TEST_CASE("a server that comes free serves the waiter before its check is done, and the checked one rests") {
  Conversation with(checking(2, 2));
  with.open(2);
  CHECK(with.checkout(1) == "grant t1 c2");
  with.after(31s);
  CHECK(with.checkout(2) == "check c1");
  CHECK(with.give_back(2) == "grant t2 c2");
  CHECK(with.check_passed(1) == "");
  CHECK(with.stats().pool_available == 1);
  CHECK(with.checkout(3) == "grant t3 c1");
}

TEST_CASE("checks do not touch the idle clock: a checked connection goes back to its place") {
  Conversation with(checking(3, 3));
  with.open(3);
  with.after(31s);
  CHECK(with.checkout(1) == "check c3");
  CHECK(with.checkout(2) == "check c2");
  CHECK(with.withdraw(1) == "");
  CHECK(with.withdraw(2) == "");
  CHECK(with.check_passed(3) == "");
  CHECK(with.check_passed(2) == "");
  CHECK(with.checkout(3) == "grant t3 c3");
  CHECK(with.checkout(4) == "grant t4 c2");
  CHECK(with.checkout(5) == "check c1");
}

TEST_CASE("checks do not keep the surplus alive") {
  PoolLimits limits = checking(0, 3, 1s);
  limits.max_idle = 10s;
  Conversation with(limits);
  with.open(3);
  // One client a second: one server is worked on, two are not.
  for (uint64_t ticket = 1; ticket <= 20; ++ticket) {
    with.run_for(1s);
    if (with.checkout(ticket) == "check c3") with.check_passed(3);
    with.give_back(3);
  }
  CHECK(with.stats().pool_size - with.stats().closing == 1);
}

TEST_CASE(
    "after one failed check all others are asked at once, and the waiter gets a dial, not a place in that "
    "row") {
  Conversation with(checking(0, 5));
  with.open(4);
  with.after(31s);
  CHECK(with.checkout(1) == "check c4");
  CHECK(with.lost(4, CloseReason::CheckFailed) == "check c1; check c2; check c3; dial 5 @0 for t1");
  CHECK(with.check_passed(2) == "grant t1 c2");  // this one was alive after all
  CHECK(with.lost(1, CloseReason::CheckFailed) == "");
  CHECK(with.lost(3, CloseReason::CheckFailed) == "");
  CHECK(with.stats().connections_lost == 3);
  CHECK(with.dialed(5) == "");
}

TEST_CASE("with 100 stale connections no client waits longer than one login and one probe") {
  Conversation with(checking(100, 100));
  with.open(100);
  with.after(1min);
  const base::TimePoint asked = with.now;
  CHECK(with.checkout(1) == "check c100");
  with.after(1ms);
  with.lost(100, CloseReason::CheckFailed);
  CHECK(with.stats().checking == 99);
  CHECK(with.closed(100) == "dial 101 @0 for t1");
  for (uint64_t connection = 1; connection < 100; ++connection)
    with.lost(connection, CloseReason::CheckFailed);
  with.after(3ms);
  CHECK(with.dialed(101) == "grant t1 c101");
  CHECK(with.now - asked == 4ms);
}

TEST_CASE("a connection proven alive after the failed check began is not asked again") {
  Conversation with(checking(3, 4));
  with.open(3);
  CHECK(with.checkout(1) == "grant t1 c3");
  with.after(31s);
  CHECK(with.checkout(2) == "check c2");
  with.after(1ms);
  CHECK(with.give_back(3) == "grant t2 c3");
  with.after(1ms);
  CHECK(with.give_back(3) == "");
  CHECK(with.lost(2, CloseReason::CheckFailed) == "check c1; dial 4 @0");
  CHECK(with.stats().pool_available == 1);
  CHECK(with.checkout(3) == "grant t3 c3");
}

TEST_CASE(
    "a check that is not answered for 500 ms is not counted on: the waiter gets a dial and every other "
    "chance") {
  Conversation with(checking(0, 3));
  with.open(2);
  with.after(31s);
  CHECK(with.checkout(1) == "check c2");
  CHECK(with.ledger.next_deadline() == with.now + 500ms);
  CHECK(with.after(499ms) == "");
  CHECK(with.after(1ms) == "check c1; dial 3 @0 for t1");
  CHECK(with.check_passed(1) == "grant t1 c1");
  CHECK(with.dialed(3) == "");
  CHECK(with.check_passed(2) == "");  // late, but alive
  CHECK(with.stats().pool_available == 2);
}

TEST_CASE("a client that comes while all are in doubt is dialed for") {
  Conversation with(checking(0, 4));
  with.open(3);
  with.after(31s);
  CHECK(with.checkout(1) == "check c3");
  CHECK(with.lost(3, CloseReason::CheckFailed) == "check c1; check c2; dial 4 @0 for t1");
  CHECK(with.checkout(2) == "");  // full: 3 is not closed yet
  CHECK(with.closed(3) == "dial 5 @0 for t2");
}

TEST_CASE("a connection lost at rest casts no doubt: the kernel tells of each") {
  Conversation with(checking(2, 2));
  with.open(2);
  CHECK(with.lost(1) == "");
  CHECK(with.stats().pool_available == 1);
  CHECK(with.stats().connections_lost == 1);
}

TEST_CASE("a connection that is being cleaned is not lent, who comes waits for it, and no other is dialed") {
  Conversation with(checking(1, 2));
  with.open(1);
  CHECK(with.begin_cleaning(1));
  CHECK_FALSE(with.begin_cleaning(1));
  CHECK(with.checkout(1) == "");
  CHECK(with.check_passed(1) == "grant t1 c1");
  CHECK_FALSE(with.begin_cleaning(1));
}

TEST_CASE("a cleaned connection is back at its place, and its resting time goes on") {
  Conversation with(checking(2, 2));
  with.open(2);
  with.checkout(1);
  with.give_back(2);
  with.after(1s);
  CHECK(with.begin_cleaning(1));
  CHECK(with.check_passed(1) == "");
  CHECK(with.checkout(2) == "grant t2 c2");
  CHECK(with.checkout(3) == "grant t3 c1");
}

TEST_CASE("a cleaning that went wrong is a bad return, and says nothing about the others") {
  Conversation with(checking(2, 2));
  with.open(2);
  with.begin_cleaning(1);
  CHECK(with.lost(1, CloseReason::Bad) == "");
  CHECK(with.stats().returns_bad == 1);
  CHECK(with.stats().connections_lost == 0);
}

}  // namespace tidepool::pool
