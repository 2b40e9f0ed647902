// Remembers each pool's totals of one and of two periods ago, so that averages can be told: over the time
// since the older of the two, as PgBouncer does (src/stats.c, calc_average). They so cover between one and
// two periods; before the first period is over, all the time since the start.
//   start/period n-1        period n            now
//   older ------------------ newer -------------- |
// Fed once per kStatsPeriod.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "lib/base/time.h"
#include "lib/stats/snapshot.h"

namespace tidepool::stats {

inline constexpr base::Duration kStatsPeriod = std::chrono::seconds(60);

class StatsHistory {
 public:
  explicit StatsHistory(base::TimePoint start) : older_{start, {}}, newer_{start, {}} {}

  // A period is over: remembers the `traffic` of each row.
  void record(base::TimePoint now, const std::vector<PoolRow>& pools);

  // Fills `averages` of each row from its `traffic`. Counts and bytes are per second; transaction_us is per
  // transaction, query_us per query, wait_us per server assignment.
  void fill_averages(base::TimePoint now, std::vector<PoolRow>& pools) const;

 private:
  struct Mark {
    base::TimePoint at;
    std::map<std::string, Traffic> totals;  // by the pool's name
  };

  Mark older_;
  Mark newer_;
};

}  // namespace tidepool::stats
