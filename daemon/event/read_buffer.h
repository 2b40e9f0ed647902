// The one buffer that a worker reads into, for every socket: idle sessions own none. In front of what was
// read there is room, so that the unfinished tail of the read before (a header, a ParameterStatus) can be put
// before it and the whole be walked as one.
#pragma once

#include <cassert>
#include <cstddef>
#include <cstring>
#include <memory>
#include <string>

#include "lib/base/bytes.h"

namespace tidepool::event {

class ReadBuffer {
 public:
  static constexpr size_t kHeadroom = 64 * 1024;
  static constexpr size_t kSize = 64 * 1024;

  char* data() { return bytes_.get() + kHeadroom; }

  // `read` is empty or lies at data(). Puts `tail` (at most kHeadroom bytes) in front and forgets it.
  base::Bytes join(std::string& tail, base::Bytes read) {
    if (tail.empty()) return read;
    assert(tail.size() <= kHeadroom && (read.empty() || read.data() == data()));
    char* start = data() - tail.size();
    std::memcpy(start, tail.data(), tail.size());
    const base::Bytes joined(start, tail.size() + read.size());
    tail.clear();
    return joined;
  }

 private:
  std::unique_ptr<char[]> bytes_{new char[kHeadroom + kSize]};
};

}  // namespace tidepool::event
