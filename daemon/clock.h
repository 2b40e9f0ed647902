// The one place where the daemon asks what time it is.
#pragma once

#include <uv.h>

#include <chrono>

#include "lib/base/time.h"

namespace tidepool::daemon {

inline base::TimePoint now_monotonic() {
  return base::TimePoint(base::Duration(static_cast<int64_t>(uv_hrtime() / 1000)));
}

inline int64_t now_wall_us() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace tidepool::daemon
