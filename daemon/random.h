// Random bytes from the operating system, fetched for many askers at once. What was handed out is wiped here.
// Not thread-safe: one for each worker.
#pragma once

#include <array>
#include <cstddef>
#include <string>

namespace tidepool::daemon {

// Asks the operating system. Ends the process if that has none: there is nothing to fall back to.
std::string random_bytes(size_t size);

class RandomStock {
 public:
  // `size`: at most kSize.
  std::string take(size_t size);

 private:
  static constexpr size_t kSize = 1024;
  std::array<char, kSize> bytes_{};
  size_t left_ = 0;
};

}  // namespace tidepool::daemon
