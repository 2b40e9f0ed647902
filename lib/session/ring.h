// A first-in first-out queue in a ring that grows when it must and is kept, so that steady use allocates
// nothing.
#pragma once

#include <cassert>
#include <cstddef>
#include <utility>
#include <vector>

namespace tidepool::session {

template <class Thing>
class Ring {
 public:
  bool is_empty() const { return size_ == 0; }
  size_t size() const { return size_; }
  Thing& front() { return (*this)[0]; }
  Thing& operator[](size_t index) {
    assert(index < size_);
    return ring_[(first_ + index) & (ring_.size() - 1)];  // sizes are powers of two
  }
  Thing& push() {
    if (size_ == ring_.size()) grow();
    ++size_;
    return (*this)[size_ - 1];
  }
  void pop() {
    front().reset();
    first_ = (first_ + 1) & (ring_.size() - 1);
    --size_;
  }

 private:
  static constexpr size_t kFirstSize = 8;

  void grow() {
    std::vector<Thing> larger(ring_.empty() ? kFirstSize : ring_.size() * 2);
    for (size_t i = 0; i < size_; ++i) larger[i] = std::move((*this)[i]);
    ring_ = std::move(larger);
    first_ = 0;
  }

  std::vector<Thing> ring_;
  size_t first_ = 0;
  size_t size_ = 0;
};

}  // namespace tidepool::session
