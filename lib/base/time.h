// Time as a number that the caller passes in. Monotonic: a clock that jumps expires nothing.
#pragma once

#include <chrono>

namespace tidepool::base {

using Duration = std::chrono::microseconds;

struct Monotonic {  // a tag: nobody in lib/ can ask it what time it is
  using rep = Duration::rep;
  using period = Duration::period;
  using duration = Duration;
  using time_point = std::chrono::time_point<Monotonic>;
  static constexpr bool is_steady = true;  // NOLINT(readability-identifier-naming): the name of std::chrono
};
using TimePoint = Monotonic::time_point;

}  // namespace tidepool::base
