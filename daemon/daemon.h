// The whole: settings, pools, workers, dialer, listening sockets. Main thread; its loop handles signals,
// reloads and the pools' clock.
#pragma once

#include <uv.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/event/inbox.h"
#include "daemon/event/timer.h"
#include "daemon/listener.h"
#include "daemon/login_rules.h"
#include "daemon/server_dialer.h"
#include "daemon/switchboard.h"
#include "daemon/watchdog.h"
#include "daemon/worker.h"
#include "daemon/world.h"
#include "lib/config/loader.h"
#include "lib/stats/stats_history.h"

namespace tidepool::daemon {

class Daemon final : public Switchboard {
 public:
  Daemon(std::shared_ptr<const config::Settings> settings, std::string mock_key);
  ~Daemon() override;
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  // Opens the listening sockets and starts the workers: all of it, or an error and nothing.
  base::Status start();
  // Until it is told to stop. Returns the exit code.
  int run();

  void tell_worker(pool::WorkerId worker, WorkerMessage message) override;
  void tell_main(MainMessage message) override;
  ServerDialer& dialer() override { return *dialer_; }
  unsigned worker_count() const override { return static_cast<unsigned>(workers_.size()); }

 private:
  void on(const to_main::Reload& message);
  void on(const to_main::SettingsRead& message);
  void on(const to_main::Reconnect& message);
  void on(const to_main::Shutdown& message);
  void on(const to_main::PoolNeedsTick& message);
  void on(const to_main::WorkerDrained& message);
  void on(const to_main::WorkerStopped& message);
  void on(const to_main::Gathered& message);
  void on_signal(int number);
  void reload(std::optional<SessionId> console);
  void read_settings();
  void answer_consoles(std::vector<SessionId>& consoles, const base::Status& status);
  base::Status take_new_settings(const config::Loaded& loaded);
  void say_what_stays(const config::Settings& before, const config::Settings& after) const;
  void count_descriptors(const config::Settings& settings);
  void swap_world(std::shared_ptr<const config::Settings> settings);
  void tick();
  std::string status() const;
  void tell_status(base::TimePoint now);
  void watch_workers();

  // The ways to the end; each may follow any before it.
  void drain(const std::string& told_by);
  void stop(const std::string& why);
  void leave();
  void begin_to_end(base::Duration at_most);
  void stop_workers(base::Duration at_most);

  uv_loop_t loop_;
  std::shared_ptr<const World> world_;
  std::vector<std::shared_ptr<SharedPool>> leaving_;  // removed pools, until their last server is gone
  const std::string mock_key_;
  // A reload reads the file on another thread. Who asks for one meanwhile waits for another reading: the file
  // may have changed since this one began.
  bool reads_settings_ = false;
  bool reads_again_ = false;
  std::vector<SessionId> wait_for_settings_, wait_for_next_settings_;  // consoles
  ClientCount client_count_;
  ServerHolders holders_;
  std::unique_ptr<ServerDialer> dialer_;
  std::unique_ptr<BackgroundJobs> names_, passwords_;
  std::vector<ListeningSocket> listeners_;
  std::unique_ptr<event::Inbox<MainMessage>> inbox_;
  std::unique_ptr<event::Timer> timer_;
  std::unique_ptr<event::Timer> statistics_timer_;
  stats::StatsHistory history_;
  int64_t started_us_;
  std::vector<event::OwnedHandle<uv_signal_t>> signals_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::unique_ptr<Watchdog> watchdog_;  // what workers are told of may point into it
  std::unique_ptr<event::Timer> watchdog_timer_;
  std::unique_ptr<event::Timer> end_timer_;  // what this way to the end may take
  std::string told_status_;
  base::TimePoint status_told_at_{};
  unsigned workers_drained_ = 0;
  unsigned workers_stopped_ = 0;
  enum class Life : uint8_t { Serving, Draining, Stopping, Leaving } life_ = Life::Serving;
};

}  // namespace tidepool::daemon
