// Which server a client gets, and which client a freed server.
#include "tests/unit/pool/conversation.h"

namespace tidepool::pool {

TEST_CASE("the connection returned last is lent first, so that the surplus rests") {
  Conversation with(sizes(3, 3));
  with.open(3);
  CHECK(with.checkout(1) == "grant t1 c3");
  CHECK(with.checkout(2) == "grant t2 c2");
  with.after(1ms);
  CHECK(with.give_back(3) == "");
  with.after(1ms);
  CHECK(with.give_back(2) == "");
  CHECK(with.checkout(3) == "grant t3 c2");
  CHECK(with.give_back(2) == "");
  CHECK(with.checkout(4) == "grant t4 c2");
}

TEST_CASE("a connection that comes back unused goes back to its place among those at rest") {
  Conversation with(sizes(3, 3));
  with.open(3);
  with.after(1s);
  CHECK(with.checkout(1) == "grant t1 c3");
  CHECK(with.give_back(3) == "");
  with.after(1s);
  CHECK(with.checkout(2) == "grant t2 c3");
  CHECK(with.checkout(3) == "grant t3 c2");
  CHECK(with.give_back(3) == "");
  with.after(1s);
  CHECK(with.give_back(2, false) == "");
  CHECK(with.checkout(4) == "grant t4 c3");
}

TEST_CASE("a connection of the asking worker is preferred, the newest of any other is next best") {
  Conversation with(sizes(0, 4));
  CHECK(with.checkout(1, 0) == "dial 1 @0 for t1");
  CHECK(with.checkout(2, 1) == "dial 2 @1 for t2");
  CHECK(with.checkout(3, 2) == "dial 3 @2 for t3");
  with.dialed(1);
  with.dialed(2);
  with.dialed(3);
  with.after(1ms);
  with.give_back(1);
  with.after(1ms);
  with.give_back(2);
  with.after(1ms);
  with.give_back(3);
  CHECK(with.checkout(4, 0) == "grant t4 c1");
  CHECK(with.checkout(5, 0) == "grant t5 c3 @2>0");
  // It lives on worker 0 from here on.
  CHECK(with.give_back(3) == "");
  CHECK(with.checkout(6, 0) == "grant t6 c3");
}

TEST_CASE("waiters are served first come first served") {
  Conversation with(sizes(1, 1));
  with.open(1);
  CHECK(with.checkout(1) == "grant t1 c1");
  CHECK(with.checkout(2) == "");
  CHECK(with.checkout(3) == "");
  CHECK(with.checkout(4) == "");
  CHECK(with.give_back(1) == "grant t2 c1");
  CHECK(with.give_back(1) == "grant t3 c1");
  CHECK(with.give_back(1) == "grant t4 c1");
  CHECK(with.give_back(1) == "");
}

TEST_CASE("a waiter on the worker where a server is freed overtakes those on others, 16 times at most") {
  Conversation with(sizes(1, 1));
  with.open(1);
  CHECK(with.checkout(1, 0) == "grant t1 c1");
  CHECK(with.checkout(100, 1) == "");
  for (uint64_t ticket = 2; ticket <= 30; ++ticket) CHECK(with.checkout(ticket, 0) == "");
  for (uint64_t ticket = 2; ticket <= 17; ++ticket) {
    CHECK(with.give_back(1) == words("grant t", ticket, " c1"));
  }
  CHECK(with.give_back(1) == "grant t100 c1 @0>1");
}

TEST_CASE("a waiter is overtaken for 5 ms at most") {
  Conversation with(sizes(1, 1));
  with.open(1);
  CHECK(with.checkout(1, 0) == "grant t1 c1");
  CHECK(with.checkout(2, 1) == "");
  for (uint64_t ticket = 3; ticket <= 9; ++ticket) CHECK(with.checkout(ticket, 0) == "");
  with.after(1s);
  CHECK(with.give_back(1) == "grant t3 c1");  // its 5 ms begin here
  with.after(5ms);
  CHECK(with.give_back(1) == "grant t4 c1");
  with.after(1us);
  CHECK(with.give_back(1) == "grant t2 c1 @0>1");
}

TEST_CASE("each waiter that is passed is overtaken, not only the first") {
  Conversation with(sizes(1, 1));
  with.open(1);
  CHECK(with.checkout(1, 0) == "grant t1 c1");
  CHECK(with.checkout(2, 1) == "");
  CHECK(with.checkout(3, 2) == "");
  CHECK(with.checkout(4, 0) == "");
  CHECK(with.checkout(5, 0) == "");
  CHECK(with.give_back(1) == "grant t4 c1");  // overtakes 2 and 3
  CHECK(with.withdraw(2) == "");
  with.after(6ms);
  CHECK(with.give_back(1) == "grant t3 c1 @0>2");  // has had its share
  CHECK(with.checkout(6, 2) == "");
  CHECK(with.give_back(1) == "grant t6 c1");
}

TEST_CASE("one too far back does not overtake") {
  Conversation with(sizes(1, 1));
  with.open(1);
  CHECK(with.checkout(1, 0) == "grant t1 c1");
  for (uint64_t ticket = 2; ticket <= 50; ++ticket) CHECK(with.checkout(ticket, 1) == "");
  CHECK(with.checkout(99, 0) == "");
  CHECK(with.give_back(1) == "grant t2 c1 @0>1");
}

TEST_CASE(
    "overtaking happens among those who ask again, too, but nobody overtakes them from behind for longer") {
  Conversation with(sizes(1, 1));
  with.open(1);
  CHECK(with.checkout(1, 0) == "grant t1 c1");
  CHECK(with.checkout(2, 0) == "");
  CHECK(with.checkout_again(3, with.now, 1) == "");
  CHECK(with.give_back(1) == "grant t2 c1");
  with.after(6ms);
  CHECK(with.checkout(4, 0) == "");
  CHECK(with.give_back(1) == "grant t3 c1 @0>1");
}

TEST_CASE("a connection whose client is gone when it arrives comes back unused and serves the next") {
  Conversation with(sizes(1, 1));
  with.open(1);
  CHECK(with.checkout(1) == "grant t1 c1");
  CHECK(with.withdraw(1) == "");
  CHECK_FALSE(with.was_waiting);
  CHECK(with.checkout(2) == "");
  CHECK(with.give_back(1, false) == "grant t2 c1");
}

}  // namespace tidepool::pool
