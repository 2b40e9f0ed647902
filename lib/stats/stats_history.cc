#include "lib/stats/stats_history.h"

#include <utility>

namespace tidepool::stats {

namespace {

// A pool that was removed and came back counts from 0 again.
Traffic since(const Traffic& older, const Traffic& now) {
  Traffic gained = now;
  for (auto field : kTrafficFields)
    if (now.*field < older.*field) return gained;
  for (auto field : kTrafficFields) gained.*field -= older.*field;
  return gained;
}

uint64_t per(uint64_t sum, uint64_t count) {
  return count == 0 ? 0 : sum / count;
}

Traffic average(const Traffic& gained, base::Duration time) {
  Traffic average;
  if (time <= base::Duration::zero()) return average;
  const double seconds = std::chrono::duration<double>(time).count();
  for (auto field : kTrafficFields)
    average.*field = static_cast<uint64_t>(static_cast<double>(gained.*field) / seconds);
  average.transaction_us = per(gained.transaction_us, gained.transactions);
  average.query_us = per(gained.query_us, gained.queries);
  average.wait_us = per(gained.wait_us, gained.server_assignments);
  return average;
}

}  // namespace

void StatsHistory::record(base::TimePoint now, const std::vector<PoolRow>& pools) {
  older_ = std::exchange(newer_, Mark{now, {}});
  for (const PoolRow& pool : pools) newer_.totals.emplace(pool.name, pool.traffic);
}

void StatsHistory::fill_averages(base::TimePoint now, std::vector<PoolRow>& pools) const {
  for (PoolRow& pool : pools) {
    const auto older = older_.totals.find(pool.name);
    const Traffic base = older == older_.totals.end() ? Traffic{} : older->second;
    pool.averages = average(since(base, pool.traffic), now - older_.at);
  }
}

}  // namespace tidepool::stats
