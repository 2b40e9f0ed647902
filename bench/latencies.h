// How long transactions took, millions of them, in 54 KiB: counts by class, a class being as
// wide as 1 % of its times at most. Knows no clock.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace tidepool::bench {

class Latencies {
 public:
  void add(uint64_t took) {  // nanoseconds
    ++counts_[class_of(std::min(took, (uint64_t{1} << kWidest) - 1))];
    ++count_;
  }

  // The time that `share` of all (0 to 1) did not exceed; 0 if there are none.
  double nanoseconds(double share) const {
    const auto wanted = static_cast<uint64_t>(share * static_cast<double>(count_));
    uint64_t passed = 0;
    for (size_t i = 0; i < counts_.size(); ++i) {
      passed += counts_[i];
      if (passed > 0 && passed >= wanted) return middle_of(i);
    }
    return 0;
  }

 private:
  // A class is a number's 8 leading bits and how many follow them; below 256 every number has its own.
  static constexpr unsigned kWidest = 60, kBits = 8, kHalf = 1U << (kBits - 1);
  static constexpr unsigned dropped(uint64_t size) {
    return size < 2 * kHalf ? 0 : static_cast<unsigned>(std::bit_width(size)) - kBits;
  }
  static constexpr size_t class_of(uint64_t size) {
    return dropped(size) * kHalf + static_cast<size_t>(size >> dropped(size));
  }
  static constexpr double middle_of(size_t index) {
    if (index < 2 * kHalf) return static_cast<double>(index);
    const size_t shift = index / kHalf - 1;
    const uint64_t width = uint64_t{1} << shift;
    return static_cast<double>((index - shift * kHalf) * width) + static_cast<double>(width) / 2;
  }

  std::array<uint64_t, (kWidest - kBits + 2) * kHalf> counts_{};
  uint64_t count_ = 0;
};

}  // namespace tidepool::bench
