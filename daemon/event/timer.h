// A repeating timer of one loop. Not for clients: a uv_timer_t each would cost memory (facts.md 21); sessions
// are looked at by their worker's tick.
#pragma once

#include <uv.h>

#include <cstdint>
#include <functional>
#include <utility>

#include "daemon/event/handle.h"

namespace tidepool::event {

class Timer {
 public:
  Timer(uv_loop_t* loop, std::function<void()> on_time)
      : on_time_(std::move(on_time)), timer_(new uv_timer_t{}) {
    uv_timer_init(loop, timer_.get());
    timer_->data = this;
  }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  // Milliseconds.
  void start(uint64_t first, uint64_t repeat) {
    uv_timer_start(
        timer_.get(),
        [](uv_timer_t* timer) {
          if (timer->data) static_cast<Timer*>(timer->data)->on_time_();
        },
        first, repeat);
  }
  void stop() { uv_timer_stop(timer_.get()); }
  bool is_active() const { return uv_is_active(as_handle(timer_.get())) != 0; }

 private:
  std::function<void()> on_time_;
  OwnedHandle<uv_timer_t> timer_;
};

}  // namespace tidepool::event
