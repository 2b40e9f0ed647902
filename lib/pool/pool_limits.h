// What a pool may do: the numbers of psycopg_pool, and ours. A value; the ledger is given a new one on
// reload.
#pragma once

#include <cstdint>
#include <optional>

#include "lib/base/time.h"

namespace tidepool::pool {

using namespace std::chrono_literals;

enum class WhenDown : uint8_t { Wait, Fail };

struct PoolLimits {
  uint32_t min_size = 4;
  uint32_t max_size = 4;
  base::Duration timeout = 30s;
  uint32_t max_waiting = 0;          // 0 = no limit
  base::Duration max_lifetime = 1h;  // 0 = no limit
  base::Duration max_idle = 10min;   // 0 = never shrinks
  base::Duration reconnect_timeout = 5min;
  std::optional<base::Duration> check = base::Duration(30s);  // nothing = never; 0 = before every use
  base::Duration notice_after = 5s;                           // 0 = no notice
  uint32_t max_dials = 3;
  WhenDown when_down = WhenDown::Wait;

  bool operator==(const PoolLimits&) const = default;
};

}  // namespace tidepool::pool
