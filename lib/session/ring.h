// A first-in first-out queue in a ring that grows when it must and is kept, so that steady use allocates
// nothing: what is popped is reset(), if it can be, and its memory used again.
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
  Thing& front() {
    assert(size_ > 0);
    return ring_[first_];
  }
  const Thing& front() const {
    assert(size_ > 0);
    return ring_[first_];
  }
  Thing& back() { return (*this)[size_ - 1]; }
  Thing& operator[](size_t index) {
    assert(index < size_);
    return ring_[slot(index)];
  }
  const Thing& operator[](size_t index) const {
    assert(index < size_);
    return ring_[slot(index)];
  }
  Thing& push() {
    if (size_ == ring_.size()) grow();
    ++size_;
    return back();
  }
  // In front of the others.
  Thing& push_front() {
    if (size_ == ring_.size()) grow();
    first_ = slot(ring_.size() - 1);
    ++size_;
    return front();
  }
  void pop() {
    assert(size_ > 0);
    if constexpr (requires(Thing & thing) { thing.reset(); }) front().reset();
    first_ = slot(1);
    --size_;
  }

 private:
  static constexpr size_t kFirstSize = 8;

  // Sizes are powers of two.
  size_t slot(size_t index) const { return (first_ + index) & (ring_.size() - 1); }
  void grow() {
    std::vector<Thing> larger(ring_.empty() ? kFirstSize : ring_.size() * 2);
    for (size_t i = 0; i < size_; ++i) larger[i] = std::move((*this)[i]);
    ring_ = std::move(larger);
    first_ = 0;
  }

  // ring_[first_ .. first_ + size_), round the end: what was pushed and not yet popped
  std::vector<Thing> ring_;
  size_t first_ = 0;
  size_t size_ = 0;
};

}  // namespace tidepool::session
