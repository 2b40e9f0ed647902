#include "lib/stats/stats_history.h"

#include <doctest/doctest.h>

using namespace tidepool;
using namespace tidepool::stats;
using std::chrono::seconds;

namespace {

constexpr base::TimePoint kStart{seconds(1000)};

std::vector<PoolRow> pool_with(const Traffic& traffic) {
  std::vector<PoolRow> pools(1);
  pools[0].name = "orders";
  pools[0].traffic = traffic;
  return pools;
}

Traffic averages(const StatsHistory& history, base::TimePoint now, const Traffic& traffic) {
  auto pools = pool_with(traffic);
  history.fill_averages(now, pools);
  return pools[0].averages;
}

Traffic queries(uint64_t count, uint64_t us = 0) {
  Traffic traffic;
  traffic.queries = count;
  traffic.query_us = us;
  return traffic;
}

}  // namespace

TEST_CASE("traffic adds up field by field") {
  Traffic a, b;
  uint64_t number = 0;
  for (auto field : kTrafficFields) a.*field = ++number;
  b = a;
  b += a;
  for (auto field : kTrafficFields) CHECK(b.*field == 2 * (a.*field));
}

TEST_CASE("counts are averaged per second, times per thing") {
  Traffic traffic;
  traffic.transactions = 100;
  traffic.transaction_us = 50'000;
  traffic.queries = 200;
  traffic.query_us = 30'000;
  traffic.server_assignments = 20;
  traffic.wait_us = 1000;
  traffic.received = 10'000;
  traffic.sent = 1'000'000;
  traffic.logins = 9;
  const Traffic average = averages(StatsHistory(kStart), kStart + seconds(10), traffic);
  CHECK(average.transactions == 10);
  CHECK(average.transaction_us == 500);
  CHECK(average.queries == 20);
  CHECK(average.query_us == 150);
  CHECK(average.server_assignments == 2);
  CHECK(average.wait_us == 50);
  CHECK(average.received == 1000);
  CHECK(average.sent == 100'000);
  CHECK(average.logins == 0);  // a fraction
}

TEST_CASE("averages cover the time since the record before the last") {
  StatsHistory history(kStart);
  history.record(kStart + seconds(60), pool_with(queries(600)));
  CHECK(averages(history, kStart + seconds(90), queries(900)).queries == 10);
  history.record(kStart + seconds(120), pool_with(queries(600)));
  CHECK(averages(history, kStart + seconds(160), queries(1600)).queries == 10);
  history.record(kStart + seconds(180), pool_with(queries(1600)));
  CHECK(averages(history, kStart + seconds(220), queries(1600)).queries == 10);
  history.record(kStart + seconds(240), pool_with(queries(1600)));
  CHECK(averages(history, kStart + seconds(280), queries(1600)).queries == 0);
}

TEST_CASE("nothing counted, or no time passed, is an average of nothing") {
  const StatsHistory history(kStart);
  CHECK(averages(history, kStart, queries(100, 100)) == Traffic());
  CHECK(averages(history, kStart + seconds(1), Traffic()) == Traffic());
}

TEST_CASE("a pool that was removed and came back is averaged from nothing") {
  StatsHistory history(kStart);
  for (int period = 1; period <= 2; ++period)
    history.record(kStart + period * seconds(60), pool_with(queries(1'000'000, 1)));
  CHECK(averages(history, kStart + seconds(160), queries(500, 1000)) == queries(5, 2));
}
