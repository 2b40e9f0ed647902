// psycopg_pool's statistics (get_stats()), by its names, in its order, and the few numbers more that SHOW
// POOLS needs. https://www.psycopg.org/psycopg3/docs/advanced/pool.html#pool-stats
#pragma once

#include <cstdint>

#include "lib/base/time.h"

namespace tidepool::pool {

struct PoolStats {
  int64_t pool_min = 0;
  int64_t pool_max = 0;
  int64_t pool_size = 0;       // dialing, resting, checking, lent and closing
  int64_t pool_available = 0;  // resting
  int64_t requests_waiting = 0;
  int64_t usage_ms = 0;
  int64_t requests_num = 0;
  int64_t requests_queued = 0;
  int64_t requests_wait_ms = 0;
  int64_t requests_errors = 0;
  int64_t returns_bad = 0;
  int64_t connections_num = 0;
  int64_t connections_ms = 0;
  int64_t connections_errors = 0;
  int64_t connections_lost = 0;

  // Not psycopg_pool's.
  int64_t lent = 0;
  int64_t checking = 0;
  int64_t dialing = 0;
  int64_t closing = 0;
  base::Duration longest_wait{0};  // of those who wait now
  int64_t gave_up = 0;             // times that the server was unreachable for reconnect_timeout
  int64_t gave_way = 0;            // servers closed for one with other startup settings
  bool down = false;
};

}  // namespace tidepool::pool
