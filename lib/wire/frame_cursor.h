// Walks a stream of typed messages (Byte1 type, Int32 length, body) that arrives in arbitrary pieces, header
// by header: bodies that nobody wants are skipped, however long, and need not be there.
// https://www.postgresql.org/docs/current/protocol-overview.html#PROTOCOL-MESSAGE-CONCEPTS
//
//   |<--------------- bytes --------------->|
//   ...rest of a body | header body | header body | hea
//                                                 ^ consumed: the tail is presented again, in front of more
//
// Knows no directions and no meanings. Allocates nothing.
#pragma once

#include <bitset>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <utility>

#include "lib/base/bytes.h"

namespace tidepool::wire {

// The longest message that PostgreSQL sends: a StringInfo holds less than MaxAllocSize bytes (0x3fffffff),
// and the length field counts itself too. What it accepts is 4 bytes shorter, and it says so itself.
inline constexpr uint32_t kMaxMessageLength = 0x3fffffff - 1 + 4;
inline constexpr size_t kHeaderSize = 5;
// The length field counts itself.
inline constexpr bool is_possible_length(uint32_t length) {
  return length >= 4 && length <= kMaxMessageLength;
}

// A set of message types.
class TypeSet {
 public:
  TypeSet() = default;
  TypeSet(std::initializer_list<char> types) {
    for (char type : types) bits_.set(static_cast<unsigned char>(type));
  }
  bool has(char type) const { return bits_.test(static_cast<unsigned char>(type)); }

 private:
  std::bitset<256> bits_;
};

struct Message {
  char type;
  size_t at;                                // where its header begins in the bytes that were walked
  size_t size;                              // header and body, whether they are all here or not
  base::Bytes body;                         // whole if the type was wanted; else what is here of it
  size_t end() const { return at + size; }  // may lie behind the end of the bytes
  bool is_whole() const { return kHeaderSize + body.size() == size; }
};

enum class Walk {
  Go,         // on to the next message
  StopAfter,  // this message is consumed, the next is not looked at
  StopBefore  // this message is not consumed either
};

class FrameCursor {
 public:
  struct Result {
    size_t consumed = 0;  // everything before is walked; the rest is to be presented again
    bool broken = false;  // a length that PostgreSQL would not accept: the stream cannot be followed any more
    size_t needed = 0;    // if a wanted message is incomplete: its whole size, else 0
  };

  // Calls visit(const Message&) -> Walk for each message whose header is in `bytes` and, for a type in
  // `wanted`, whose body is too.
  template <class Visitor>
  Result walk(base::Bytes bytes, const TypeSet& wanted, Visitor&& visit) {
    return walk_if(
        bytes,
        [&wanted](char type, base::Bytes body, size_t size) {
          return body.size() == size || !wanted.has(type);
        },
        std::forward<Visitor>(visit));
  }
  // The same for each message of which enough is in `bytes`: enough(type, what is here of the body, the
  // body's size).
  template <class Enough, class Visitor>
  Result walk_if(base::Bytes bytes, Enough&& enough, Visitor&& visit) {
    size_t at = 0;
    if (body_left_ > 0) {
      at = body_left_ < bytes.size() ? static_cast<size_t>(body_left_) : bytes.size();
      body_left_ -= static_cast<uint32_t>(at);
    }
    while (bytes.size() - at >= kHeaderSize) {
      const uint32_t length = base::read_u32(bytes.data() + at + 1);
      if (!is_possible_length(length)) return {at, true, 0};
      const size_t size = size_t{1} + length;
      const size_t here = bytes.size() - at < size ? bytes.size() - at : size;
      const Message message{bytes[at], at, size, bytes.substr(at + kHeaderSize, here - kHeaderSize)};
      if (!enough(message.type, message.body, size - kHeaderSize)) return {at, false, size};
      const Walk next = visit(message);
      if (next == Walk::StopBefore) return {at, false, 0};
      at += here;
      body_left_ = static_cast<uint32_t>(size - here);
      if (next == Walk::StopAfter || body_left_ > 0) return {at, false, 0};
    }
    return {at, false, 0};
  }

  // Bytes of the last visited message that are still to come.
  uint32_t body_left() const { return body_left_; }
  bool between_messages() const { return body_left_ == 0; }

 private:
  uint32_t body_left_ = 0;
};

}  // namespace tidepool::wire
