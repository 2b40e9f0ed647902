// Collects a snapshot of the whole daemon for a console: every worker adds its part on its own thread, the
// last one sends it off.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>

#include "daemon/switchboard.h"
#include "daemon/world.h"
#include "lib/stats/snapshot.h"

namespace tidepool::daemon {

class Gathering : public std::enable_shared_from_this<Gathering> {
 public:
  static void start(Switchboard& switchboard, SessionId console, std::shared_ptr<const World> world);

  // Any thread: `add` is called with the snapshot under a mutex. Exactly once for each worker.
  template <class Add>
  void contribute(Add&& add) {
    bool last = false;
    {
      std::lock_guard lock(mutex_);
      add(*snapshot_);
      last = --left_ == 0;
    }
    if (last) finish();
  }

  Gathering(Switchboard& switchboard, SessionId console, std::shared_ptr<const World> world);

 private:
  void finish();

  Switchboard& switchboard_;
  const SessionId console_;
  const std::shared_ptr<const World> world_;
  std::mutex mutex_;
  std::shared_ptr<stats::Snapshot> snapshot_;  // guarded by mutex_, as is left_
  unsigned left_;
};

}  // namespace tidepool::daemon
