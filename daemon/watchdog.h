// Feeds the service manager's watchdog as long as every worker's loop turns. Each look asks every worker for
// a beat, idle ones too, and feeds if all of them have beaten since the look before. One worker that hangs (a
// lock, an endless loop, a system call that does not return) starves it, and the service is started anew.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

namespace tidepool::daemon {

// A worker counts one up when it is asked to.
using Beats = std::atomic<uint64_t>;

class Watchdog {
 public:
  // `ask` gets the worker's number and what it is to count up, on its own thread; that lives as long as this.
  Watchdog(unsigned workers, std::function<void(unsigned worker, Beats& beats)> ask,
           std::function<void()> feed)
      : ask_(std::move(ask)), feed_(std::move(feed)), workers_(workers) {}

  // One thread's own; several times in the watchdog's period, since what a look asks for counts at the next.
  void look() {
    bool all_moved = true;
    for (unsigned number = 0; number < workers_.size(); ++number) {
      Heart& heart = workers_[number];
      const uint64_t beats = heart.beats.load(std::memory_order_relaxed);
      all_moved = all_moved && beats != heart.seen;
      heart.seen = beats;
      ask_(number, heart.beats);
    }
    if (all_moved) feed_();
  }

 private:
  struct Heart {
    Beats beats{0};
    uint64_t seen = 0;
  };

  const std::function<void(unsigned, Beats&)> ask_;
  const std::function<void()> feed_;
  std::vector<Heart> workers_;  // never resized: workers hold on to what is in it
};

}  // namespace tidepool::daemon
