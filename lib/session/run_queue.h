// A first-in first-out queue that stores runs of equal things as one: a million Syncs in flight are one
// entry.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lib/session/ring.h"

namespace tidepool::session {

template <class Thing>
class RunQueue {
 public:
  struct Run {
    Thing thing;
    uint32_t count;
  };

  bool is_empty() const { return runs_.is_empty(); }
  size_t run_count() const { return runs_.size(); }
  const Run& front() const { return runs_.front(); }
  // The run behind the front one, if there is one.
  const Run* second() const { return runs_.size() > 1 ? &runs_[1] : nullptr; }
  bool front_is(Thing thing) const { return !is_empty() && front().thing == thing; }

  void push(Thing thing) {
    if (!is_empty()) {
      Run& last = runs_.back();
      if (last.thing == thing && last.count != UINT32_MAX) {
        ++last.count;
        return;
      }
    }
    runs_.push() = {thing, 1};
  }

  void pop_one() {
    if (--runs_.front().count == 0) runs_.pop();
  }
  // Takes the whole front run.
  uint32_t pop_run() {
    const uint32_t count = front().count;
    runs_.pop();
    return count;
  }
  // Takes one thing, or the whole run, that stands behind the front run. There must be one.
  void pop_one_behind_front() {
    const Run front = take_front();
    pop_one();
    runs_.push_front() = front;
  }
  uint32_t pop_run_behind_front() {
    const Run front = take_front();
    const uint32_t count = pop_run();
    runs_.push_front() = front;
    return count;
  }

 private:
  Run take_front() {
    const Run front = runs_.front();
    runs_.pop();
    return front;
  }

  Ring<Run> runs_;
};

}  // namespace tidepool::session
