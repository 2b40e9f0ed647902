// How many servers were not needed: the fewest that were idle at any moment since the window began. Each
// max_idle a window ends, and so many may be closed without anyone missing them.
#pragma once

#include <algorithm>
#include <cstdint>

#include "lib/base/time.h"

namespace tidepool::pool {

class IdleWindows {
 public:
  explicit IdleWindows(base::TimePoint now) : began_(now) {}

  void note(uint32_t idle) { fewest_ = std::min(fewest_, idle); }
  uint32_t unneeded() const { return fewest_; }
  base::TimePoint end(base::Duration max_idle) const { return began_ + max_idle; }
  void begin(uint32_t idle, base::TimePoint now) {
    fewest_ = idle;
    began_ = now;
  }

 private:
  base::TimePoint began_;
  uint32_t fewest_ = 0;
};

}  // namespace tidepool::pool
