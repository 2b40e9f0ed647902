// The numbers that the packets without a type begin with, behind their length.
// https://www.postgresql.org/docs/current/protocol-message-formats.html
#pragma once

#include <cstddef>
#include <cstdint>

namespace tidepool::wire {

constexpr uint32_t protocol_version(int major, int minor) {
  return static_cast<uint32_t>(major) << 16 | static_cast<uint32_t>(minor);
}

inline constexpr uint32_t kCancelRequestCode = protocol_version(1234, 5678);
inline constexpr uint32_t kSslRequestCode = protocol_version(1234, 5679);
inline constexpr uint32_t kGssEncRequestCode = protocol_version(1234, 5680);

inline constexpr int kNewestMinor = 2;  // of protocol 3, that we speak

}  // namespace tidepool::wire
