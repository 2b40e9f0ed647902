// How long a client's message may be, by its type, as PostgreSQL has it (SocketBackend() in postgres.c).
#pragma once

#include <array>
#include <cstdint>

#include "lib/wire/frame_cursor.h"

namespace tidepool::wire {

// 0: no such message.
constexpr std::array<uint32_t, 256> make_message_limits() {
  constexpr uint32_t kSmall = 10'000;
  std::array<uint32_t, 256> limits{};
  for (char type : {'Q', 'F', 'B', 'P', 'd', 'f'})
    limits[static_cast<unsigned char>(type)] = kMaxMessageLength;
  for (char type : {'E', 'D', 'C', 'S', 'H', 'X', 'c'}) limits[static_cast<unsigned char>(type)] = kSmall;
  return limits;
}
inline constexpr auto kMessageLimits = make_message_limits();

inline bool is_acceptable(const Message& message) {
  return message.size - 1 <= kMessageLimits[static_cast<unsigned char>(message.type)];
}

}  // namespace tidepool::wire
