// Random numbers for spreading things in time; nothing that must not be guessed. SplitMix64: the state is one
// word.
#pragma once

#include <cstdint>

#include "lib/base/time.h"

namespace tidepool::pool {

class Jitter {
 public:
  explicit Jitter(uint64_t seed) : state_(seed) {}

  // Uniform in [low, high).
  double between(double low, double high) {
    constexpr double kUnit = 1.0 / 9007199254740992.0;  // 2^-53
    return low + (high - low) * static_cast<double>(next() >> 11) * kUnit;
  }

 private:
  uint64_t next() {
    uint64_t mixed = state_ += 0x9e3779b97f4a7c15u;
    mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111ebu;
    return mixed ^ mixed >> 31;
  }

  uint64_t state_;
};

inline base::Duration scaled(base::Duration duration, double factor) {
  return base::Duration(static_cast<base::Duration::rep>(static_cast<double>(duration.count()) * factor));
}

}  // namespace tidepool::pool
