// Bytes as they came from or go to a peer. A view borrows; a string owns.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace tidepool::base {

using Bytes = std::string_view;
using OwnedBytes = std::string;

// Big-endian integers, as everywhere in PostgreSQL's protocol. The caller has checked the length.
inline uint32_t read_u32(const char* at) {
  auto byte = [at](int i) { return static_cast<uint32_t>(static_cast<unsigned char>(at[i])); };
  return byte(0) << 24 | byte(1) << 16 | byte(2) << 8 | byte(3);
}
inline uint16_t read_u16(const char* at) {
  auto byte = [at](int i) { return static_cast<unsigned>(static_cast<unsigned char>(at[i])); };
  return static_cast<uint16_t>(byte(0) << 8 | byte(1));
}
inline void append_u16(std::string& out, uint16_t value) {
  out.push_back(static_cast<char>(value >> 8));
  out.push_back(static_cast<char>(value));
}
inline void append_u32(std::string& out, uint32_t value) {
  append_u16(out, static_cast<uint16_t>(value >> 16));
  append_u16(out, static_cast<uint16_t>(value));
}

// The string that `bytes` begin with: all of them, if there is no NUL.
inline std::string_view until_nul(Bytes bytes) {
  return bytes.substr(0, bytes.find('\0'));
}

}  // namespace tidepool::base
