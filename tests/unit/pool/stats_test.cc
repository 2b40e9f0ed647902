// psycopg_pool's statistics, counted as psycopg_pool counts them.
#include "tests/unit/pool/conversation.h"

namespace tidepool::pool {

TEST_CASE("sizes: pool_size counts all that max_size limits, pool_available what rests") {
  Conversation with(sizes(2, 5));
  CHECK(with.after(0s) == "dial 1 @0; dial 2 @0");
  CHECK(with.stats().pool_min == 2);
  CHECK(with.stats().pool_max == 5);
  CHECK(with.stats().pool_size == 2);
  CHECK(with.stats().dialing == 2);
  CHECK(with.stats().pool_available == 0);
  with.dialed(1);
  with.dialed(2);
  CHECK(with.stats().pool_available == 2);
  with.checkout(1);
  CHECK(with.stats().pool_available == 1);
  CHECK(with.stats().lent == 1);
  with.lost(1);
  CHECK(with.stats().closing == 1);
  CHECK(with.stats().pool_size == 3);  // and the dial that replaces it
}

TEST_CASE("requests: all, those that queued, their wait, those that got an error") {
  PoolLimits limits = sizes(1, 1);
  limits.timeout = 10s;
  limits.max_waiting = 1;
  Conversation with(limits);
  with.open(1);
  with.checkout(1);  // served at once
  with.checkout(2);  // queues
  with.after(250ms);
  with.checkout(3);  // queue full
  CHECK(with.stats().requests_num == 3);
  CHECK(with.stats().requests_queued == 1);
  CHECK(with.stats().requests_waiting == 1);
  CHECK(with.stats().longest_wait == 250ms);
  CHECK(with.stats().requests_errors == 1);
  with.give_back(1);
  CHECK(with.stats().requests_wait_ms == 250);
  CHECK(with.stats().requests_waiting == 0);
  with.checkout(4);
  with.after(10s);  // times out
  CHECK(with.stats().requests_errors == 2);
  CHECK(with.stats().requests_wait_ms == 10250);
  with.checkout(5);
  with.after(50ms);
  with.withdraw(5);  // left: a wait, no error
  CHECK(with.stats().requests_wait_ms == 10300);
  CHECK(with.stats().requests_errors == 2);
  CHECK(with.stats().longest_wait == 0s);
}

TEST_CASE("usage_ms is the time that connections were out, and used") {
  Conversation with(sizes(1, 1));
  with.open(1);
  with.checkout(1);
  with.after(1500us);
  with.give_back(1);
  with.checkout(2);
  with.after(1500us);
  with.give_back(1);
  CHECK(with.stats().usage_ms == 3);  // parts of a millisecond add up
  with.checkout(3);
  with.after(1s);
  with.give_back(1, false);
  CHECK(with.stats().usage_ms == 3);
  with.checkout(4);
  with.after(1s);
  with.lost(1, CloseReason::Bad);
  CHECK(with.stats().usage_ms == 1003);
}

TEST_CASE("connections: attempts, time of those that succeeded, errors, lost ones, bad returns") {
  Conversation with(sizes(0, 4));
  with.checkout(1);
  with.checkout(2);
  with.dialed(1);
  CHECK(with.stats().connections_num == 2);
  CHECK(with.stats().connections_ms == 10);
  CHECK(with.stats().connections_errors == 0);
  with.dial_fails(2);
  CHECK(with.stats().connections_num == 2);
  CHECK(with.stats().connections_ms == 10);
  CHECK(with.stats().connections_errors == 1);
  with.give_back(1);
  with.lost(1, CloseReason::Bad);
  CHECK(with.stats().returns_bad == 1);
  CHECK(with.stats().connections_lost == 0);
}

TEST_CASE("a connection lost at rest or in its check counts in connections_lost") {
  PoolLimits limits = sizes(0, 4);
  limits.check = 30s;
  Conversation with(limits);
  with.open(2);
  with.lost(1);
  CHECK(with.stats().connections_lost == 1);
  with.after(31s);
  CHECK(with.checkout(1).substr(0, 8) == "check c2");
  with.lost(2, CloseReason::CheckFailed);
  CHECK(with.stats().connections_lost == 2);
  CHECK(with.stats().returns_bad == 0);
}

}  // namespace tidepool::pool
