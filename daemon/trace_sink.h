// The private stream that a login is traced into. It may hold passwords: it is never written anywhere and
// wiped when done with.
#pragma once

#include <array>
#include <cstddef>
#include <cstdio>
#include <string>

#include "lib/base/bytes.h"

namespace tidepool::daemon {

class TraceSink {
 public:
  TraceSink();
  ~TraceSink();
  TraceSink(const TraceSink&) = delete;
  TraceSink& operator=(const TraceSink&) = delete;

  FILE* stream() { return stream_; }  // null: no memory
  // What was written so far.
  base::Bytes text();
  // More was written than any login says; the rest is lost.
  bool overflowed() const { return overflowed_; }

 private:
  static ssize_t write(void* sink, const char* bytes, size_t size);
  void append(base::Bytes bytes);

  FILE* stream_;
  std::array<char, 4096> stream_buffer_{};
  std::string text_;
  bool overflowed_ = false;
};

}  // namespace tidepool::daemon
