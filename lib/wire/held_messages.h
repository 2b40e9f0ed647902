// Bytes of a client's that wait, from the beginning of a message on: for a server, for an answer, for the
// rest of a header. They are looked at as they come, so that a length that no message can have ends its
// client while it waits, and not only when its turn comes.
//
//   |<---------- held ---------->|
//   header body | header body | he
//                               ^ looked at so far: the next header begins here, or behind the end
#pragma once

#include <string>
#include <utility>

#include "lib/base/bytes.h"
#include "lib/wire/frame_cursor.h"

namespace tidepool::wire {

class HeldMessages {
 public:
  HeldMessages() = default;
  // As a string that is taken away.
  HeldMessages(std::string bytes) : bytes_(std::move(bytes)) {}
  operator std::string() && { return take(); }
  operator base::Bytes() const { return bytes_; }

  bool empty() const { return bytes_.empty(); }
  size_t size() const { return bytes_.size(); }

  void assign(base::Bytes bytes) {
    if (bytes.empty() && bytes_.empty()) return;
    bytes_.assign(bytes);
    next_header_ = 0;
  }
  void append(base::Bytes bytes) { bytes_.append(bytes); }
  // The first `size` bytes, which end with a message, are done with.
  void drop(size_t size) {
    bytes_.erase(0, size);
    next_header_ = 0;
  }
  std::string take() {
    next_header_ = 0;
    return std::exchange(bytes_, {});
  }
  // To be put in front of what was read.
  std::string& tail() {
    next_header_ = 0;
    return bytes_;
  }

  // A header has come whose length cannot be.
  bool is_broken() {
    while (next_header_ < bytes_.size() && bytes_.size() - next_header_ >= kHeaderSize) {
      const uint32_t length = base::read_u32(bytes_.data() + next_header_ + 1);
      if (!is_possible_length(length)) return true;
      next_header_ += size_t{1} + length;
    }
    return false;
  }

 private:
  std::string bytes_;
  size_t next_header_ = 0;
};

}  // namespace tidepool::wire
