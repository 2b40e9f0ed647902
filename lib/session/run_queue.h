// A first-in first-out queue that stores runs of equal things as one: a million Syncs in flight are one
// entry. Its ring grows when it must and is kept, so that steady use allocates nothing.
#pragma once

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace tidepool::session {

template <class Thing>
class RunQueue {
 public:
  struct Run {
    Thing thing;
    uint32_t count;
  };

  bool is_empty() const { return size_ == 0; }
  size_t run_count() const { return size_; }
  const Run& front() const {
    assert(size_ > 0);
    return ring_[first_];
  }
  // The run behind the front one, if there is one.
  const Run* second() const { return size_ > 1 ? &ring_[slot(1)] : nullptr; }
  bool front_is(Thing thing) const { return size_ > 0 && ring_[first_].thing == thing; }

  void push(Thing thing) {
    if (size_ > 0) {
      Run& last = ring_[slot(size_ - 1)];
      if (last.thing == thing && last.count != UINT32_MAX) {
        ++last.count;
        return;
      }
    }
    if (size_ == ring_.size()) grow();
    ring_[slot(size_)] = {thing, 1};
    ++size_;
  }

  void pop_one() {
    assert(size_ > 0);
    if (--ring_[first_].count == 0) drop_front();
  }
  // Takes the whole front run.
  uint32_t pop_run() {
    assert(size_ > 0);
    const uint32_t count = ring_[first_].count;
    drop_front();
    return count;
  }
  // Takes one thing, or the whole run, that stands behind the front run. There must be one.
  void pop_one_behind_front() {
    const Run front = behind_front();
    pop_one();
    put_back(front);
  }
  uint32_t pop_run_behind_front() {
    const Run front = behind_front();
    const uint32_t count = pop_run();
    put_back(front);
    return count;
  }

 private:
  static constexpr size_t kFirstSize = 8;

  size_t slot(size_t index) const {
    return (first_ + index) & (ring_.size() - 1);
  }  // sizes are powers of two
  void drop_front() {
    first_ = slot(1);
    --size_;
  }
  Run behind_front() {
    assert(size_ > 1);
    const Run front = ring_[first_];
    drop_front();
    return front;
  }
  void put_back(Run front) {
    first_ = slot(ring_.size() - 1);
    ring_[first_] = front;
    ++size_;
  }
  void grow() {
    std::vector<Run> larger(ring_.empty() ? kFirstSize : ring_.size() * 2);
    for (size_t i = 0; i < size_; ++i) larger[i] = ring_[slot(i)];
    ring_ = std::move(larger);
    first_ = 0;
  }

  // ring_[first_ .. first_ + size_), round the end: what was pushed and not yet popped
  std::vector<Run> ring_;
  size_t first_ = 0;
  size_t size_ = 0;
};

}  // namespace tidepool::session
