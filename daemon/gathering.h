// Collects a snapshot of the whole daemon: every worker adds its part on its own thread, the last one sends
// it to the main thread, which completes it with averages and passes it on to the console that asked (or
// keeps it as the end of a period of statistics).
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>

#include "daemon/switchboard.h"
#include "daemon/world.h"
#include "lib/stats/snapshot.h"

namespace tidepool::daemon {

class Gathering : public std::enable_shared_from_this<Gathering> {
 public:
  // No console: for the statistics' own sake.
  static void start(Switchboard& switchboard, std::optional<SessionId> console,
                    std::shared_ptr<const World> world);

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

  Gathering(Switchboard& switchboard, std::optional<SessionId> console, std::shared_ptr<const World> world);

 private:
  void finish();

  Switchboard& switchboard_;
  const std::optional<SessionId> console_;
  const std::shared_ptr<const World> world_;
  std::mutex mutex_;
  std::shared_ptr<stats::Snapshot> snapshot_;  // guarded by mutex_, as is left_
  unsigned left_;
};

}  // namespace tidepool::daemon
