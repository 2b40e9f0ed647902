#include "daemon/daemon.h"

#include <signal.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "daemon/clock.h"
#include "daemon/gathering.h"
#include "daemon/inherited_sockets.h"
#include "daemon/log.h"
#include "daemon/service_manager.h"
#include "daemon/settings_loading.h"
#include "daemon/shared_pool.h"
#include "lib/config/values.h"

namespace tidepool::daemon {

namespace {

constexpr uint64_t kIdleTickMs = 1000;
constexpr uint64_t kStatisticsPeriodMs = 60'000;
// Descriptors that are neither clients' nor servers': loops, log, listeners, dials and cancels on their way.
constexpr uint64_t kOwnDescriptors = 64;
constexpr base::Duration kStatusPeriod{5'000'000};
// A stop: servers that are being cleaned get so long.
constexpr base::Duration kStopTime{8'000'000};
// After a second signal: enough for cancels and last words to leave.
constexpr base::Duration kLeaveTime{300'000};
// A worker that does not answer is not waited for longer than this beyond its time.
constexpr base::Duration kPatience{2'000'000};
const base::Error kShuttingDown{"57P03", "tidepool is shutting down"};

uint64_t milliseconds(base::Duration duration) {
  return static_cast<uint64_t>(duration.count() / 1000);
}

}  // namespace

Daemon::Daemon(std::shared_ptr<const config::Settings> settings, std::string mock_key)
    : mock_key_(std::move(mock_key)), history_(now_monotonic()), started_us_(now_wall_us()) {
  uv_loop_init(&loop_);
  inbox_ = std::make_unique<event::Inbox<MainMessage>>(&loop_, [this](const MainMessage& message) {
    std::visit([this](const auto& what) { on(what); }, message);
  });
  timer_ = std::make_unique<event::Timer>(&loop_, [this] { tick(); });
  statistics_timer_ =
      std::make_unique<event::Timer>(&loop_, [this] { Gathering::start(*this, std::nullopt, world_); });
  watchdog_timer_ = std::make_unique<event::Timer>(&loop_, [this] { watchdog_->look(); });
  end_timer_ = std::make_unique<event::Timer>(&loop_, [this] {
    if (life_ == Life::Draining) return stop("drain_timeout is over");
    log::error("workers did not stop in time: leaving without them");
    log::Thread::finish();
    std::_Exit(1);
  });
  dialer_ = std::make_unique<ServerDialer>(settings->limits.max_dials);
  auto world = std::make_shared<World>();
  world->settings = std::move(settings);
  world_ = std::move(world);
}

Daemon::~Daemon() {
  dialer_.reset();  // no dial is told to anyone any more
  names_.reset();
  passwords_.reset();
  workers_.clear();
  signals_.clear();
  timer_.reset();
  statistics_timer_.reset();
  watchdog_timer_.reset();
  end_timer_.reset();
  inbox_.reset();
  uv_run(&loop_, UV_RUN_DEFAULT);
  uv_loop_close(&loop_);
}

base::Status Daemon::start() {
  const config::Settings& settings = *world_->settings;
  // Before anybody can see the daemon: whoever can connect can also expect a signal to be heard.
  for (int number : {SIGHUP, SIGINT, SIGTERM}) {
    event::OwnedHandle<uv_signal_t> handle(new uv_signal_t{});
    uv_signal_init(&loop_, handle.get());
    handle->data = this;
    uv_signal_start(
        handle.get(),
        [](uv_signal_t* signal, int which) {
          if (signal->data) static_cast<Daemon*>(signal->data)->on_signal(which);
        },
        number);
    signals_.push_back(std::move(handle));
  }
  auto inherited = InheritedSockets::take();
  if (!inherited) return inherited.error();
  for (const auto& listen : settings.listen) {
    auto sockets = ListeningSocket::open_all(listen, *inherited);
    if (!sockets) return sockets.error();
    for (auto& socket : *sockets) listeners_.push_back(std::move(socket));
  }
  if (auto status = inherited->all_are_claimed(); !status) return status;
  count_descriptors(settings);
  const unsigned count = std::min(settings.workers, session::ProcessIds::kMostWorkers);
  swap_world(world_->settings);
  names_ = std::make_unique<BackgroundJobs>("names", 1);
  passwords_ = std::make_unique<BackgroundJobs>("passwords", count);
  for (unsigned id = 0; id < count; ++id)
    workers_.push_back(
        std::make_unique<Worker>(static_cast<pool::WorkerId>(id),
                                 WorkerParts{*this, client_count_, holders_, *names_, *passwords_,
                                             session::ProcessIds(count), mock_key_},
                                 world_));
  for (auto& worker : workers_) worker->start(listeners_);
  for (const auto& socket : listeners_) log::info("listening on " + socket.shown_address());
  log::info("tidepool " TIDEPOOL_VERSION " is ready: workers=" + std::to_string(count) +
            " pools=" + std::to_string(world_->pools.size()));
  status_told_at_ = now_monotonic();
  service_manager::ready(told_status_ = status());
  watch_workers();
  tick();
  statistics_timer_->start(kStatisticsPeriodMs, kStatisticsPeriodMs);
  return base::Done{};
}

int Daemon::run() {
  uv_run(&loop_, UV_RUN_DEFAULT);
  for (auto& worker : workers_) worker->join();
  log::info("stopped");
  // A thread that waits for a file or a directory server, or is at a password: not for it.
  const bool names_ended = names_->stop(), passwords_ended = passwords_->stop();
  if (reads_settings_ || !names_ended || !passwords_ended) {
    log::Thread::finish();
    std::_Exit(0);
  }
  return 0;
}

void Daemon::tell_worker(pool::WorkerId worker, WorkerMessage message) {
  workers_[worker]->tell(std::move(message));
}
void Daemon::tell_main(MainMessage message) {
  inbox_->post(std::move(message));
}

// --- the pools' clock

void Daemon::tick() {
  const base::TimePoint now = now_monotonic();
  base::TimePoint next = now + std::chrono::milliseconds(kIdleTickMs);
  const auto look = [&](const std::shared_ptr<SharedPool>& pool) {
    if (const auto wanted = pool->tick(now)) next = std::min(next, *wanted);
  };
  for (const auto& [name, pool] : world_->pools) look(pool);
  for (const auto& pool : leaving_) look(pool);
  std::erase_if(leaving_, [](const auto& pool) { return pool->is_empty(); });
  tell_status(now);
  const auto wait = std::chrono::duration_cast<std::chrono::milliseconds>(next - now).count() + 1;
  timer_->start(static_cast<uint64_t>(std::max<int64_t>(wait, 1)), 0);
}

void Daemon::on(const to_main::PoolNeedsTick&) {
  if (timer_->is_active()) tick();
}

// --- the service manager

void Daemon::watch_workers() {
  const auto period = service_manager::watchdog_period();
  if (!period) return;
  watchdog_ = std::make_unique<Watchdog>(
      worker_count(),
      [this](unsigned worker, Beats& beats) {
        tell_worker(static_cast<pool::WorkerId>(worker), to_worker::Beat{&beats});
      },
      [] { service_manager::watchdog_fed(); });
  // A beat that was asked for just after a look is seen by the next but one: half the period, with room.
  const uint64_t each = std::max<uint64_t>(milliseconds(*period) / 4, 1);
  watchdog_timer_->start(0, each);
}

// As `systemctl status` shows it.
std::string Daemon::status() const {
  int64_t waiting = 0;
  int64_t servers = 0;
  for (const auto& [name, pool] : world_->pools) {
    const auto stats = pool->stats(now_monotonic());
    waiting += stats.requests_waiting;
    servers += stats.pool_size;
  }
  return std::string(life_ == Life::Draining ? "draining: " : "") +
         "clients=" + std::to_string(client_count_.now()) + " waiting=" + std::to_string(waiting) +
         " servers=" + std::to_string(servers) + " pools=" + std::to_string(world_->pools.size());
}

void Daemon::tell_status(base::TimePoint now) {
  if (!service_manager::is_there() || now - status_told_at_ < kStatusPeriod) return;
  std::string line = status();
  if (line == told_status_) return;
  status_told_at_ = now;
  service_manager::status(told_status_ = std::move(line));
}

// --- reload

void Daemon::on(const to_main::Reload& message) {
  reload(message.console);
}

void Daemon::reload(std::optional<SessionId> console) {
  if (console) wait_for_next_settings_.push_back(*console);
  if (life_ != Life::Serving) return answer_consoles(wait_for_next_settings_, kShuttingDown);
  reads_again_ = true;
  if (!reads_settings_) read_settings();
}

// Elsewhere: the pools' clock goes on, however long the file and its passwords take.
void Daemon::read_settings() {
  reads_settings_ = true;
  reads_again_ = false;
  wait_for_settings_.swap(wait_for_next_settings_);
  service_manager::reloading();
  load_settings_elsewhere(mock_key_, world_->settings, [this](config::Loaded loaded) {
    tell_main(to_main::SettingsRead{std::make_shared<const config::Loaded>(std::move(loaded))});
  });
}

void Daemon::on(const to_main::SettingsRead& message) {
  reads_settings_ = false;
  if (life_ != Life::Serving) {
    answer_consoles(wait_for_settings_, kShuttingDown);
    return answer_consoles(wait_for_next_settings_, kShuttingDown);
  }
  const base::Status status = take_new_settings(*message.loaded);
  told_status_ = status ? this->status() : "reload refused: " + status.error().message;
  status_told_at_ = now_monotonic();
  service_manager::ready(told_status_);
  answer_consoles(wait_for_settings_, status);
  if (reads_again_) read_settings();
}

void Daemon::answer_consoles(std::vector<SessionId>& consoles, const base::Status& status) {
  for (const SessionId& console : consoles)
    tell_worker(console.worker, to_worker::EffectDone{console, status});
  consoles.clear();
}

base::Status Daemon::take_new_settings(const config::Loaded& loaded) {
  const config::Settings& before = *world_->settings;
  for (const auto& warning : loaded.warnings) log::warning(warning.to_string());
  if (!loaded.settings) {
    for (const auto& mistake : loaded.mistakes) log::error(mistake.to_string());
    log::error("reload refused, the old settings stay: " + before.file + " has " +
               std::to_string(loaded.mistakes.size()) + " mistake(s)");
    std::string all;
    for (const auto& mistake : loaded.mistakes) all += (all.empty() ? "" : "\n") + mistake.to_string();
    return base::Error{"F0000", "the settings have mistakes, the old ones stay", all};
  }
  if (const std::string why = log::configure(loaded.settings->log); !why.empty())
    log::error("log.to stays as it was: " + why);
  say_what_stays(before, *loaded.settings);
  count_descriptors(*loaded.settings);
  dialer_->set_threads(loaded.settings->limits.max_dials);
  swap_world(loaded.settings);
  for (auto& worker : workers_) worker->tell(to_worker::NewWorld{world_});
  log::info("settings reloaded: pools=" + std::to_string(world_->pools.size()));
  tick();
  return base::Done{};
}

void Daemon::say_what_stays(const config::Settings& before, const config::Settings& after) const {
  if (before.workers != after.workers)
    log::warning("workers: stays " + std::to_string(workers_.size()) + " until a restart");
  if (!(before.listen == after.listen)) log::warning("listen: stays as it was until a restart");
}

// Pools of before go on with their new settings; those that are gone finish what they have.
void Daemon::swap_world(std::shared_ptr<const config::Settings> settings) {
  const base::TimePoint now = now_monotonic();
  auto world = std::make_shared<World>();
  world->settings = std::move(settings);
  for (const auto& [name, pool_settings] : world->settings->pools) {
    // The pool's settings live as long as the file's.
    const std::shared_ptr<const config::PoolSettings> own(world->settings, &pool_settings);
    const auto before = world_->pools.find(name);
    if (before == world_->pools.end()) {
      world->pools[name] = std::make_shared<SharedPool>(own, *this, now);
    } else {
      world->pools[name] = before->second;
      before->second->change(own, now);
    }
  }
  for (const auto& [name, pool] : world_->pools) {
    if (world->pools.contains(name)) continue;
    log::info("pool=" + log::shown(name) +
              " is not in the settings any more: its clients are sent away as soon as they hold no server");
    pool->remove(now);
    leaving_.push_back(pool);
  }
  world_ = std::move(world);
}

void Daemon::on(const to_main::Reconnect& message) {
  base::Status status = base::Done{};
  if (message.pool.empty()) {
    for (const auto& [name, pool] : world_->pools) pool->replace_all(now_monotonic());
  } else if (const auto pool = world_->pools.find(message.pool); pool != world_->pools.end()) {
    pool->second->replace_all(now_monotonic());
  } else {
    status = base::Error{"08P01", "no such database: " + message.pool};
  }
  tell_worker(message.console.worker, to_worker::EffectDone{message.console, std::move(status)});
}

// As many clients are let in as descriptors are left for, beside the servers and those who log in.
void Daemon::count_descriptors(const config::Settings& settings) {
  uint64_t servers = 0;
  for (const auto& [name, pool] : settings.pools) servers += pool.max_size;
  const uint64_t others = servers + kOwnDescriptors + (8 + listeners_.size()) * settings.workers +
                          settings.limits.console_reserve;
  const uint64_t needed = settings.limits.max_clients + settings.limits.max_logins + others;
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur < needed) {
    const rlim_t soft = limit.rlim_cur;
    limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, std::max<rlim_t>(needed, soft));
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) limit.rlim_cur = soft;
  }
  client_count_.most_that_fit = client_count_.most_logins_that_fit = UINT32_MAX;
  if (limit.rlim_cur >= needed) return;
  const uint64_t left = limit.rlim_cur > others + 2 ? limit.rlim_cur - others : 2;
  const uint64_t logins = std::min<uint64_t>(settings.limits.max_logins, std::max<uint64_t>(left / 10, 1));
  client_count_.most_logins_that_fit = static_cast<uint32_t>(logins);
  client_count_.most_that_fit = static_cast<uint32_t>(std::min<uint64_t>(left - logins, UINT32_MAX));
  log::warning("the settings need " + std::to_string(needed) + " descriptors and this process may have " +
               std::to_string(limit.rlim_cur) + ": " + std::to_string(left - logins) +
               " clients fit instead of max_clients " + std::to_string(settings.limits.max_clients));
}

void Daemon::on(const to_main::Gathered& message) {
  stats::Snapshot& snapshot = *message.snapshot;
  snapshot.started_us = started_us_;
  if (!message.console) return history_.record(now_monotonic(), snapshot.pools);
  history_.fill_averages(now_monotonic(), snapshot.pools);
  tell_worker(message.console->worker, to_worker::Collected{*message.console, message.snapshot});
}

// --- stopping

void Daemon::on_signal(int number) {
  if (number == SIGHUP) {
    reload(std::nullopt);
    return;
  }
  if (life_ != Life::Serving) return leave();
  if (number == SIGTERM) return drain("SIGTERM");
  stop("SIGINT");
}

void Daemon::on(const to_main::Shutdown& message) {
  if (message.drain) return drain("SHUTDOWN");
  stop("SHUTDOWN");
}

// Who has a server, or waits for one, may finish; nobody else, and nobody new.
void Daemon::drain(const std::string& told_by) {
  if (life_ != Life::Serving) return;
  const base::Duration at_most = world_->settings->limits.drain_timeout;
  if (at_most == base::Duration(0)) return stop(told_by);
  log::info(told_by + ": shutting down, sessions may finish for " + config::print_duration(at_most));
  life_ = Life::Draining;
  begin_to_end(at_most + kStopTime + kPatience);
  const base::TimePoint now = now_monotonic();
  for (const auto& [name, pool] : world_->pools) pool->drain(now);
  for (auto& worker : workers_) worker->tell(to_worker::Drain{});
  end_timer_->start(milliseconds(at_most), 0);
}

void Daemon::on(const to_main::WorkerDrained&) {
  if (++workers_drained_ == workers_.size() && life_ == Life::Draining) stop("all sessions are over");
}

// All clients are told so now; servers are brought to a clean end, in a bounded time.
void Daemon::stop(const std::string& why) {
  if (life_ >= Life::Stopping) return;
  log::info(why + ": shutting down");
  const bool drained = life_ == Life::Draining;
  life_ = Life::Stopping;
  if (!drained) begin_to_end(kStopTime + kPatience);
  stop_workers(kStopTime);
}

// Told again: whatever is not done yet is not waited for.
void Daemon::leave() {
  if (life_ == Life::Leaving) return;
  log::warning("told to stop again: leaving at once");
  life_ = Life::Leaving;
  stop_workers(kLeaveTime);
}

void Daemon::begin_to_end(base::Duration at_most) {
  listeners_.clear();  // who comes now finds no socket, rather than one that nobody answers
  auto world = std::make_shared<World>(*world_);
  world->stopping = true;
  world_ = world;
  for (auto& worker : workers_) worker->tell(to_worker::NewWorld{world_});
  service_manager::stopping(at_most, told_status_ = status());
}

void Daemon::stop_workers(base::Duration at_most) {
  timer_->stop();
  statistics_timer_->stop();
  for (auto& worker : workers_) worker->tell(to_worker::Stop{at_most});
  for (const auto& [name, pool] : world_->pools) pool->remove(now_monotonic());
  end_timer_->start(milliseconds(at_most + kPatience), 0);
}

void Daemon::on(const to_main::WorkerStopped&) {
  if (++workers_stopped_ == workers_.size()) uv_stop(&loop_);
}

}  // namespace tidepool::daemon
