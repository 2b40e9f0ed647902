#include "daemon/gathering.h"

#include "daemon/clock.h"
#include "daemon/server_connection.h"  // messages may hold one
#include "daemon/server_dialer.h"
#include "daemon/shared_pool.h"

namespace tidepool::daemon {

void Gathering::start(Switchboard& switchboard, std::optional<SessionId> console,
                      std::shared_ptr<const World> world) {
  auto gathering = std::make_shared<Gathering>(switchboard, console, std::move(world));
  for (unsigned worker = 0; worker < switchboard.worker_count(); ++worker)
    switchboard.tell_worker(static_cast<pool::WorkerId>(worker), to_worker::Collect{gathering});
}

Gathering::Gathering(Switchboard& switchboard, std::optional<SessionId> console,
                     std::shared_ptr<const World> world)
    : switchboard_(switchboard),
      console_(console),
      world_(std::move(world)),
      snapshot_(std::make_shared<stats::Snapshot>()),
      left_(switchboard.worker_count()) {
  stats::Snapshot& snapshot = *snapshot_;
  snapshot.version = "tidepool " TIDEPOOL_VERSION;
  snapshot.now_us = now_wall_us();
  snapshot.workers = left_;
  snapshot.users = static_cast<uint32_t>(world_->settings->users.size());
  for (const auto& [name, pool] : world_->pools) {
    stats::PoolRow row{};
    const auto settings = pool->settings();
    row.name = name;
    row.mode = config::name_of(settings->mode);
    row.max_lifetime_s = settings->max_lifetime.count() / 1'000'000;
    if (const auto summary = summarize_conninfo(settings->conninfo)) {
      row.server_user = summary->user;
      row.host = summary->host;
      row.server_database = summary->database;
      row.port = std::atoi(summary->port.c_str());
      row.shuffles_hosts = summary->shuffles_hosts;
    }
    row.stats = pool->stats(now_monotonic());
    snapshot.pools.push_back(std::move(row));
  }
  for (const auto& row : config::rows_of(*world_->settings))
    snapshot.config.push_back({row.key, row.value, row.fallback, row.changeable});
}

void Gathering::finish() {
  std::shared_ptr<stats::Snapshot> done;
  {
    std::lock_guard lock(mutex_);
    done = std::move(snapshot_);
  }
  switchboard_.tell_main(to_main::Gathered{console_, std::move(done)});
}

}  // namespace tidepool::daemon
