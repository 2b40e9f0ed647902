#include "lib/base/time.h"

#include <doctest/doctest.h>

using namespace tidepool::base;
using namespace std::chrono_literals;

TEST_CASE("time is a number that is added to and compared") {
  const TimePoint start{};
  const TimePoint later = start + 1500ms;
  CHECK(later > start);
  CHECK(later - start == 1'500'000us);
  CHECK(start + 1h - 3600s == start);
}
