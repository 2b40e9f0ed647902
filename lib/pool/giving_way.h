// Whether the servers of a full pool give way to one another so often that its operator should hear of it:
// within a minute, more of them than the pool has.
#pragma once

#include <cstdint>
#include <optional>

#include "lib/base/time.h"

namespace tidepool::pool {

class GivingWay {
 public:
  explicit GivingWay(base::TimePoint now) : began_(now) {}

  // Every now and then. `count`: how many ever did. Says how many did in the minute that is over, if those
  // are too many.
  std::optional<int64_t> look(base::TimePoint now, int64_t count, uint32_t max_size) {
    constexpr base::Duration kPeriod{60'000'000};
    if (now < began_ + kPeriod) return std::nullopt;
    const int64_t recent = count - count_;
    began_ = now;
    count_ = count;
    return recent > int64_t{max_size} ? std::optional(recent) : std::nullopt;
  }

 private:
  base::TimePoint began_;
  int64_t count_ = 0;
};

}  // namespace tidepool::pool
