// The words of the errors that a pool refuses clients with.
#pragma once

#include <string>

#include "lib/base/result.h"
#include "lib/base/time.h"
#include "lib/pool/pool_limits.h"

namespace tidepool::pool {

// "30 s", "1.5 s", "250 ms".
std::string words_of(base::Duration duration);

// `dial_error`: why no server can be opened at the moment, or null.
base::Error timed_out(const std::string& pool, const PoolLimits& limits, base::Duration waited,
                      const base::Error* dial_error);
// `longest_wait`: of those who fill the queue.
base::Error queue_full(const std::string& pool, const PoolLimits& limits, size_t waiting,
                       base::Duration longest_wait);
base::Error pool_removed(const std::string& pool);
// The server's own words; an SQLSTATE is added if it is missing, as it is when nobody answered.
base::Error server_down(const base::Error& dial_error);
// PostgreSQL's words about the pool's own login: a client would take them for words about its own.
base::Error login_refused(const std::string& pool, const base::Error& dial_error);

}  // namespace tidepool::pool
