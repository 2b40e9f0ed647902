#include "daemon/daemon.h"

#include <signal.h>
#include <sys/resource.h>

#include <algorithm>
#include <utility>

#include "daemon/clock.h"
#include "daemon/gathering.h"
#include "daemon/log.h"
#include "daemon/shared_pool.h"
#include "lib/auth/scram_server.h"

namespace tidepool::daemon {

namespace {

constexpr uint64_t kIdleTickMs = 1000;
constexpr uint64_t kStatisticsPeriodMs = 60'000;
// Descriptors that are neither clients' nor servers': loops, log, listeners, dials and cancels on their way.
constexpr uint64_t kOwnDescriptors = 64;

}  // namespace

config::Loaded load_settings(const std::string& file, const std::string& mock_key) {
  const auto read_conninfo = [](const std::string& conninfo) -> base::Result<config::ConninfoFacts> {
    auto summary = summarize_conninfo(conninfo);
    if (!summary) return summary.error();
    return config::ConninfoFacts{summary->user};
  };
  return config::load_file(file, read_conninfo,
                           [&](std::string_view user) { return auth::mock_salt(mock_key, user); });
}

Daemon::Daemon(std::shared_ptr<const config::Settings> settings, std::string mock_key)
    : mock_key_(std::move(mock_key)), history_(now_monotonic()), started_us_(now_wall_us()) {
  uv_loop_init(&loop_);
  inbox_ = std::make_unique<event::Inbox<MainMessage>>(&loop_, [this](const MainMessage& message) {
    std::visit([this](const auto& what) { on(what); }, message);
  });
  timer_ = std::make_unique<event::Timer>(&loop_, [this] { tick(); });
  statistics_timer_ =
      std::make_unique<event::Timer>(&loop_, [this] { Gathering::start(*this, std::nullopt, world_); });
  dialer_ = std::make_unique<ServerDialer>(settings->limits.max_dials);
  auto world = std::make_shared<World>();
  world->settings = std::move(settings);
  world_ = std::move(world);
}

Daemon::~Daemon() {
  dialer_.reset();  // no dial is told to anyone any more
  workers_.clear();
  signals_.clear();
  timer_.reset();
  statistics_timer_.reset();
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
  for (const auto& listen : settings.listen) {
    auto sockets = ListeningSocket::open_all(listen);
    if (!sockets) return sockets.error();
    for (auto& socket : *sockets) listeners_.push_back(std::move(socket));
  }
  count_descriptors(settings);
  const unsigned count = std::min(settings.workers, CancelKey::kMaxWorkers);
  swap_world(world_->settings);
  for (unsigned id = 0; id < count; ++id)
    workers_.push_back(std::make_unique<Worker>(static_cast<pool::WorkerId>(id),
                                                WorkerParts{*this, client_count_, mock_key_}, world_));
  for (auto& worker : workers_) worker->start(listeners_);
  for (const auto& socket : listeners_) log::info("listening on " + socket.shown_address());
  log::info("tidepool " TIDEPOOL_VERSION " is ready: workers=" + std::to_string(count) +
            " pools=" + std::to_string(world_->pools.size()));
  tick();
  statistics_timer_->start(kStatisticsPeriodMs, kStatisticsPeriodMs);
  return base::Done{};
}

int Daemon::run() {
  uv_run(&loop_, UV_RUN_DEFAULT);
  for (auto& worker : workers_) worker->join();
  log::info("stopped");
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
  const auto wait = std::chrono::duration_cast<std::chrono::milliseconds>(next - now).count() + 1;
  timer_->start(static_cast<uint64_t>(std::max<int64_t>(wait, 1)), 0);
}

void Daemon::on(const to_main::PoolNeedsTick&) {
  if (!stopping_) tick();
}

// --- reload

void Daemon::on(const to_main::Reload& message) {
  tell_worker(message.console.worker, to_worker::EffectDone{message.console, reload()});
}

base::Status Daemon::reload() {
  if (stopping_) return base::Error{"57P03", "tidepool is shutting down"};
  const config::Settings& before = *world_->settings;
  config::Loaded loaded = load_settings(before.file, mock_key_);
  for (const auto& warning : loaded.warnings) log::warning(warning.to_string());
  if (!loaded.settings) {
    for (const auto& mistake : loaded.mistakes) log::error(mistake.to_string());
    log::error("reload refused, the old settings stay: " + before.file + " has " +
               std::to_string(loaded.mistakes.size()) + " mistake(s)");
    std::string all;
    for (const auto& mistake : loaded.mistakes) all += (all.empty() ? "" : "\n") + mistake.to_string();
    return base::Error{"F0000", "the settings have mistakes, the old ones stay", all};
  }
  if (!(loaded.settings->log == before.log)) {
    if (const std::string why = log::configure(loaded.settings->log); !why.empty())
      log::error("log.to stays as it was: " + why);
  }
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
  world->stopping = stopping_;
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

// As many clients are let in as descriptors are left for, beside the servers.
void Daemon::count_descriptors(const config::Settings& settings) {
  uint64_t servers = 0;
  for (const auto& [name, pool] : settings.pools) servers += pool.max_size;
  const uint64_t others = servers + kOwnDescriptors + (8 + listeners_.size()) * settings.workers +
                          settings.limits.console_reserve;
  const uint64_t needed = settings.limits.max_clients + others;
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur < needed) {
    const rlim_t soft = limit.rlim_cur;
    limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, std::max<rlim_t>(needed, soft));
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) limit.rlim_cur = soft;
  }
  if (limit.rlim_cur >= needed) {
    client_count_.most_that_fit = UINT32_MAX;
    return;
  }
  const uint64_t fit = limit.rlim_cur > others ? limit.rlim_cur - others : 1;
  client_count_.most_that_fit = static_cast<uint32_t>(std::min<uint64_t>(fit, UINT32_MAX));
  log::warning("the settings need " + std::to_string(needed) + " descriptors and this process may have " +
               std::to_string(limit.rlim_cur) + ": " + std::to_string(fit) +
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
    (void)reload();
    return;
  }
  log::info(number == SIGINT ? "SIGINT: shutting down" : "SIGTERM: shutting down");
  if (stopping_) {
    log::warning("told to stop twice: leaving at once");
    log::shut_down();
    listeners_.clear();
    std::_Exit(1);
  }
  stop();
}

void Daemon::on(const to_main::Shutdown&) {
  log::info("SHUTDOWN: shutting down");
  stop();
}

void Daemon::stop() {
  if (std::exchange(stopping_, true)) return;
  timer_->stop();
  statistics_timer_->stop();
  listeners_.clear();  // who comes now finds no socket, rather than one that nobody answers
  auto world = std::make_shared<World>(*world_);
  world->stopping = true;
  world_ = world;
  for (auto& worker : workers_) worker->tell(to_worker::NewWorld{world_});
  for (auto& worker : workers_) worker->tell(to_worker::Stop{});
  for (const auto& [name, pool] : world_->pools) pool->remove(now_monotonic());
}

void Daemon::on(const to_main::WorkerStopped&) {
  if (++workers_stopped_ == workers_.size()) uv_stop(&loop_);
}

}  // namespace tidepool::daemon
