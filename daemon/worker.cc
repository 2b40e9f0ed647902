#include "daemon/worker.h"

#include <openssl/crypto.h>
#include <algorithm>
#include <cstring>
#include <utility>

#include "daemon/client_session.h"
#include "daemon/gathering.h"
#include "daemon/log.h"
#include "daemon/login_rules.h"

namespace tidepool::daemon {

namespace {

constexpr uint64_t kTickMs = 100;
constexpr uint64_t kCleaningMs = 5;
const base::Error kShuttingDown{"57P01", "terminating connection: tidepool is shutting down"};

thread_local const Worker* this_threads_worker = nullptr;

session::CleanupPolicy cleanup_policy_of(const config::PoolSettings& settings) {
  session::CleanupPolicy policy;
  switch (settings.reset) {
    case config::ResetKind::DiscardAll:
      policy.reset = session::CleanupPolicy::Reset::DiscardAll;
      break;
    case config::ResetKind::Rollback:
      policy.reset = session::CleanupPolicy::Reset::Rollback;
      break;
    case config::ResetKind::None:
      policy.reset = session::CleanupPolicy::Reset::None;
      break;
    case config::ResetKind::Close:
      policy.reset = session::CleanupPolicy::Reset::Close;
      break;
    case config::ResetKind::Sql:
      policy.reset = session::CleanupPolicy::Reset::Sql;
      break;
  }
  policy.reset_sql = settings.reset_sql;
  policy.cancel_orphans = settings.orphans == config::Orphans::Cancel;
  policy.timeout = settings.reset_timeout;
  return policy;
}

void learn_settings(PoolHere& pool) {
  pool.settings = pool.shared->settings();
  pool.cleanup = cleanup_policy_of(*pool.settings);
  pool.cleanup_of_known = pool.cleanup_of_unknown = pool.cleanup_of_lasting = pool.cleanup;
  pool.cleanup_of_lasting.reset = session::CleanupPolicy::Reset::Close;
  pool.cleanup_of_known.reset = session::CleanupPolicy::Reset::None;
  if (pool.cleanup.reset != session::CleanupPolicy::Reset::Close)
    pool.cleanup_of_unknown.reset = session::CleanupPolicy::Reset::DiscardAll;
  const auto summary = summarize_conninfo(pool.settings->conninfo);
  pool.application_name = summary ? summary->application_name : "";
}

// A ticket names its session: worker, slot, and a number that makes it unique.
constexpr unsigned kTicketSlotShift = 32;
constexpr unsigned kTicketWorkerShift = 52;
static_assert(session::ProcessIds::kMostSlots <= 1u << (kTicketWorkerShift - kTicketSlotShift));
// A server's number: the worker that it was dialed for, and how many that worker had before.
constexpr unsigned kServerNumberBits = 40;

}  // namespace

Worker::Worker(pool::WorkerId id, WorkerParts parts, std::shared_ptr<const World> world)
    : id_(id),
      parts_(std::move(parts)),
      world_(std::move(world)),
      peer_names_(std::make_unique<PeerNames>()) {
  inbox_ = std::make_unique<event::Inbox<WorkerMessage>>(
      loop_.uv(), [this](WorkerMessage message) { handle(std::move(message)); });
  timer_ = std::make_unique<event::Timer>(loop_.uv(), [this] { tick(); });
  cleaning_timer_ = std::make_unique<event::Timer>(loop_.uv(), [this] { clean_servers(); });
}

Worker::~Worker() {
  cancel_desk_.drop_all();
  for (Slot& slot : slots_) slot.session.reset();
  pools_.clear();
  listeners_.clear();
  own_messages_.clear();
  inbox_.reset();
  timer_.reset();
  cleaning_timer_.reset();
}

void Worker::start(const std::vector<ListeningSocket>& listeners) {
  for (const ListeningSocket& socket : listeners)
    listeners_.push_back(std::make_unique<Listener>(*this, loop_, socket));
  thread_ = std::thread([this] { run(); });
}

void Worker::join() {
  if (thread_.joinable()) thread_.join();
}

void Worker::run() {
  this_threads_worker = this;
  pthread_setname_np(pthread_self(), ("worker " + std::to_string(id_)).c_str());  // for top -H
  loop_.run([this] { end_turn(); });
}

void Worker::tell(WorkerMessage message) {
  if (this_threads_worker == this) {
    own_messages_.push_back(std::move(message));
  } else {
    inbox_->post(std::move(message));
  }
}

base::TimePoint Worker::now() {
  if (!now_is_known_) {
    now_ = now_monotonic();
    now_is_known_ = true;
  }
  return now_;
}

void Worker::end_turn() {
  while (!own_messages_.empty()) {
    handling_.swap(own_messages_);
    for (WorkerMessage& message : handling_) handle(std::move(message));
    handling_.clear();
  }
  if (!retired_servers_.empty()) {
    for (ServerConnection* server : retired_servers_) server->pool()->servers.erase(server->id());
    retired_servers_.clear();
    forget_empty_pools();
  }
  for (ClientSession* session : retired_sessions_) {
    const uint32_t slot = session->id().slot;
    slots_[slot].session.reset();
    free_slots_.give_back(slot);
  }
  retired_sessions_.clear();
  now_is_known_ = false;
  if (stopping_) stop_if_done();
}

// --- sessions

void Worker::adopt_client(int fd, const ListenerHere& from) {
  const uint32_t slot = free_slots_.take();
  if (slot == session::FreeSlots::kNone) {
    log::warning("accepting a client failed: there are too many sessions");
    ::close(fd);
    return;
  }
  if (slot == slots_.size()) slots_.emplace_back();
  Slot& entry = slots_[slot];
  entry.session = std::make_unique<ClientSession>(*this, SessionId{id_, slot, ++entry.generation}, from, fd);
  const int error = entry.session->open();
  if (error != 0) {
    log::warning(std::string("accepting a client failed: ") + std::strerror(error));
    retired_sessions_.push_back(entry.session.get());
    return;
  }
  forget_logged_in();
  logging_in_.push_back({entry.session->id(), now()});
  tell_oldest_login();
  if (!entry.session->begin_login()) make_way_for_login();
}

// Most are in by the time that the next one comes.
void Worker::forget_logged_in() {
  const auto is_in = [this](const Login& login) {
    const ClientSession* session = find(login.session);
    return session == nullptr || session->state() != ClientSession::State::LoggingIn;
  };
  while (!logging_in_.empty() && is_in(logging_in_.front())) logging_in_.pop_front();
  constexpr size_t kFew = 1000;
  if (logging_in_.size() > 2 * size_t{client_count().logins()} + kFew) std::erase_if(logging_in_, is_in);
}

void Worker::tell_oldest_login() {
  client_count().set_oldest_login(
      id_, logging_in_.empty() ? std::nullopt : std::optional(logging_in_.front().since));
}

// Of all workers' the one that has been at it for longest. If a worker's oldest is in by now, or gone, the
// next one's turn comes.
void Worker::make_way_for_login() {
  const auto where = client_count().worker_of_oldest_login();
  if (!where) return;
  if (*where != id_) return switchboard().tell_worker(*where, to_worker::MakeWay{});
  const base::Error error{"53300", "too many peers are logging in: limits.max_logins is " +
                                       std::to_string(world_->settings->limits.max_logins)};
  while (!logging_in_.empty()) {
    ClientSession* oldest = find(logging_in_.front().session);
    logging_in_.pop_front();
    tell_oldest_login();
    if (oldest != nullptr && oldest->makes_way(error)) return;
  }
  make_way_for_login();
}

void Worker::on(to_worker::MakeWay&&) {
  make_way_for_login();
}

PoolHere* Worker::pool_named(std::string_view name) {
  const auto found = world_->pools.find(name);
  return found == world_->pools.end() ? nullptr : &here(found->second);
}

PoolHere& Worker::here(const std::shared_ptr<SharedPool>& pool) {
  auto& entry = pools_[pool.get()];
  if (!entry) {
    entry = std::make_unique<PoolHere>();
    entry->shared = pool;
    entry->is_removed = !is_current(*pool);
    learn_settings(*entry);
  }
  return *entry;
}

// Not one that a reload has removed, even if another one has its name now.
bool Worker::is_current(const SharedPool& pool) const {
  const auto found = world_->pools.find(pool.name());
  return found != world_->pools.end() && found->second.get() == &pool;
}

pool::Ticket Worker::new_ticket(const ClientSession& session) {
  return pool::Ticket{uint64_t{id_} << kTicketWorkerShift | uint64_t{session.id().slot} << kTicketSlotShift |
                      ++ticket_number_};
}

ClientSession* Worker::find(pool::Ticket ticket) {
  const auto number = static_cast<uint64_t>(ticket);
  const auto slot = static_cast<uint32_t>(number >> kTicketSlotShift) & (session::ProcessIds::kMostSlots - 1);
  if (slot >= slots_.size()) return nullptr;
  ClientSession* session = slots_[slot].session.get();
  return session != nullptr && session->ticket() == ticket ? session : nullptr;
}

ClientSession* Worker::find(SessionId id) {
  if (id.slot >= slots_.size() || slots_[id.slot].generation != id.generation) return nullptr;
  return slots_[id.slot].session.get();
}

ServerConnection* Worker::find_server(PoolHere& pool, pool::ConnectionId id) {
  const auto found = pool.servers.find(id);
  return found == pool.servers.end() ? nullptr : found->second.get();
}

std::string& Worker::emptied(std::string& bytes) {
  constexpr size_t kMostKept = size_t{256} * 1024;
  if (bytes.capacity() > kMostKept) std::string().swap(bytes);
  bytes.clear();
  return bytes;
}

void Worker::retire(ClientSession& session) {
  retired_sessions_.push_back(&session);
}
void Worker::retire(ServerConnection& server) {
  retired_servers_.push_back(&server);
}

void Worker::need_tick() {
  tick_is_needed_ = true;
  if (!timer_->is_active()) timer_->start(kTickMs, kTickMs);
}

void Worker::tick() {
  const base::TimePoint time = now();
  tick_is_needed_ = false;  // what happens in here may need the next one
  forget_empty_pools();
  bool needed = cancel_desk_.tick(time);
  for (auto& listener : listeners_) needed |= listener->tick();
  if (stopping_) {
    needed = true;
    if (time >= stops_by_) give_up();
  } else if (draining_) {
    needed = true;
    end_who_has_nothing_to_finish();
  }
  for (Slot& slot : slots_)
    if (slot.session) needed |= slot.session->tick(time);
  for (auto& [shared, pool] : pools_) {
    needed |= pool->is_removed;
    for (auto& [id, server] : pool->servers) needed |= server->tick(time);
  }
  if (!needed && !tick_is_needed_) timer_->stop();
}

void Worker::need_cleaning() {
  cleaning_is_needed_ = true;
  if (!cleaning_timer_->is_active()) cleaning_timer_->start(kCleaningMs, kCleaningMs);
}

void Worker::clean_servers() {
  const base::TimePoint time = now();
  cleaning_is_needed_ = false;
  for (auto& [shared, pool] : pools_)
    for (auto& [id, server] : pool->servers) cleaning_is_needed_ |= server->clean_if_due(time);
  if (!cleaning_is_needed_) cleaning_timer_->stop();
}

void Worker::send_cancel(ServerConnection& server, std::function<void()> done) {
  server.hold_for_cancel();
  cancel_desk_.send(loop_.uv(), server.open(), now(),
                    [this, shared = server.pool()->shared, id = server.id(), done = std::move(done)] {
                      const auto pool = pools_.find(shared.get());
                      if (pool != pools_.end()) {
                        if (ServerConnection* held = find_server(*pool->second, id)) held->cancel_done();
                      }
                      if (done) done();
                    });
  need_tick();
}

// --- messages

void Worker::handle(WorkerMessage&& message) {
  std::visit([this](auto&& what) { on(std::forward<decltype(what)>(what)); }, std::move(message));
}

void Worker::on(to_worker::CarryOut&& message) {
  PoolHere& pool = here(message.pool);
  std::visit([&](const auto& action) { carry_out(pool, action); }, message.action);
}

void Worker::on(to_worker::Granted&& message) {
  carry_out(here(message.pool), message.grant);
}

void Worker::carry_out(PoolHere& pool, const pool::Grant& grant) {
  ServerConnection* server = find_server(pool, grant.connection);
  const bool is_there = server != nullptr && server->may_be_lent();
  if (!is_there) {
    return tell_or_handle(grant.client_worker, to_worker::ServerWasDead{pool.shared, grant.ticket});
  }
  if (grant.client_worker == id_) return hand_to_client(pool, *server, grant);
  std::unique_ptr<ServerConnection> moving = std::move(pool.servers.extract(grant.connection).mapped());
  moving->depart();
  parts_.switchboard.tell_worker(grant.client_worker,
                                 to_worker::TakeServer{pool.shared, std::move(moving), grant});
}

void Worker::tell_or_handle(pool::WorkerId worker, WorkerMessage message) {
  if (worker == id_) return handle(std::move(message));
  parts_.switchboard.tell_worker(worker, std::move(message));
}

void Worker::hand_to_client(PoolHere& pool, ServerConnection& server, const pool::Grant& grant) {
  if (ClientSession* session = find(grant.ticket)) return session->on_server_granted(server);
  pool.shared->give_back(server.id(), false, false, now());
}

void Worker::on(to_worker::TakeServer&& message) {
  PoolHere& pool = here(message.pool);
  ServerConnection& server = *message.server;
  pool.servers.emplace(server.id(), std::move(message.server));
  server.arrive(*this, pool);
  hand_to_client(pool, server, message.grant);
}

void Worker::on(to_worker::ServerWasDead&& message) {
  if (ClientSession* session = find(message.ticket)) session->on_granted_server_dead();
}

void Worker::on(to_worker::HasPlace&& message) {
  ClientSession* session = find(message.session);
  if (session == nullptr || !session->on_place()) message.pool->unpin();
}

void Worker::carry_out(PoolHere&, const pool::Refuse& refuse) {
  if (ClientSession* session = find(refuse.ticket)) session->on_refused(refuse);
}

void Worker::carry_out(PoolHere&, const pool::Notice& notice) {
  if (ClientSession* session = find(notice.ticket)) session->on_notice(notice.waited);
}

void Worker::carry_out(PoolHere& pool, const pool::Check& check) {
  if (ServerConnection* server = find_server(pool, check.connection)) server->check();
}

void Worker::carry_out(PoolHere& pool, const pool::Close& close) {
  if (ServerConnection* server = find_server(pool, close.connection)) server->close(close.reason, "", true);
}

void Worker::on(to_worker::DialFinished&& message) {
  if (const auto* failure = std::get_if<DialFailed>(&message.result)) {
    log::debug("pool=" + message.pool->name() + " dial failed: " + failure->error.sqlstate + " " +
               log::shown(failure->error.message));
    return message.pool->dial_failed(message.dial, message.flavour, *failure, now());
  }
  PoolHere& pool = here(message.pool);
  auto open = std::move(std::get<std::unique_ptr<OpenServer>>(message.result));
  log::debug("pool=" + message.pool->name() + " server_pid=" + std::to_string(open->process_id) +
             " server logged in");
  const session::ParameterMap parameters = open->parameters;
  const pool::ConnectionId id =
      message.pool->dial_succeeded(message.dial, message.flavour, parameters, message.took, now());
  const uint64_t number = uint64_t{id_} << kServerNumberBits | ++server_number_;
  auto server =
      std::make_unique<ServerConnection>(std::move(open), std::move(message.flavour), id, number, holders());
  server->arrive(*this, pool);
  pool.servers.emplace(id, std::move(server));
}

void Worker::on(to_worker::CancelWanted&& message) {
  const SessionId canceller = message.canceller;
  auto answer = [this, canceller, from = std::move(message.from)](bool matched) {
    parts_.switchboard.tell_worker(canceller.worker, to_worker::CancelFinished{canceller, matched, from});
  };
  const uint32_t slot = process_ids().place_of(message.process_id).slot;
  ClientSession* session = slot < slots_.size() ? slots_[slot].session.get() : nullptr;
  const bool is_it = session != nullptr && session->process_id() == message.process_id;
  if (!is_it || !session->cancel(message.secret, [answer] { answer(true); })) answer(false);
}

void Worker::on(to_worker::CancelFinished&& message) {
  // It counts for whoever asked, who may have left by now.
  if (!message.matched) cancel_desk_.note_failure(message.from, now());
  if (ClientSession* session = find(message.canceller)) session->on_cancel_finished(message.matched);
}

void Worker::on(to_worker::NewWorld&& message) {
  world_ = std::move(message.world);
  for (auto& [shared, pool] : pools_) {
    learn_settings(*pool);
    pool->is_removed = !is_current(*pool->shared);
  }
  forget_empty_pools();
  need_tick();  // time limits may be others; and who is in a pool that is gone is sent away
}

void Worker::forget_empty_pools() {
  std::erase_if(pools_, [](const auto& entry) {
    const PoolHere& pool = *entry.second;
    return pool.is_removed && pool.servers.empty() && pool.sessions == 0;
  });
}

void Worker::on(to_worker::Collected&& message) {
  if (ClientSession* session = find(message.console)) session->on_snapshot(*message.snapshot);
}

void Worker::on(to_worker::EffectDone&& message) {
  if (ClientSession* session = find(message.console)) session->on_effect_done(message.status);
}

void Worker::on(to_worker::Collect&& message) {
  const base::TimePoint time = now();
  message.into->contribute([&](stats::Snapshot& snapshot) {
    for (const Slot& slot : slots_) {
      if (!slot.session || slot.session->state() == ClientSession::State::Ending) continue;
      snapshot.clients.push_back(slot.session->row(time));
      ++snapshot.clients_total;
      if (snapshot.clients.back().state == stats::ClientState::Login) ++snapshot.clients_in_login;
    }
    for (const auto& [shared, pool] : pools_) {
      for (const auto& [id, server] : pool->servers) snapshot.servers.push_back(server->row());
      const auto row =
          std::find_if(snapshot.pools.begin(), snapshot.pools.end(),
                       [&name = shared->name()](const stats::PoolRow& each) { return each.name == name; });
      if (row == snapshot.pools.end()) continue;
      row->traffic += pool->traffic;
      for (const Slot& slot : slots_) {
        if (!slot.session || slot.session->pool() != pool.get()) continue;
        if (slot.session->state() == ClientSession::State::Linked) ++row->clients_active;
        if (slot.session->state() == ClientSession::State::Idle) ++row->clients_idle;
        if (slot.session->state() == ClientSession::State::Waiting) ++row->clients_waiting;
      }
      for (const auto& [id, server] : pool->servers) {
        if (server->is_on_its_way_back()) ++row->servers_cleaning;
        if (server->is_held()) ++row->servers_cancelling;
      }
    }
  });
}

void Worker::look_up_peer(uint32_t uid, SessionId session) {
  if (!peer_names_->wait_for(uid, session)) return;
  parts_.names.submit(std::to_string(uid), [uid, id = id_, &switchboard = parts_.switchboard] {
    return [uid, id, &switchboard, name = PeerNames::look_up(uid)] {
      switchboard.tell_worker(id, to_worker::PeerNamed{uid, name});
    };
  });
}

// `world` has the secret.
void Worker::check_password(session::PasswordToCheck check, std::shared_ptr<const World> world,
                            const std::string& whose, SessionId session) {
  const auto shared = std::make_shared<session::PasswordToCheck>(std::move(check));
  parts_.passwords.submit(
      whose, [shared, world = std::move(world), session, &switchboard = parts_.switchboard] {
        const bool is_right = shared->matches();
        OPENSSL_cleanse(shared->password.data(), shared->password.size());
        return [session, is_right, &switchboard] {
          switchboard.tell_worker(session.worker, to_worker::PasswordChecked{session, is_right});
        };
      });
}

void Worker::on(to_worker::PeerNamed&& message) {
  for (const SessionId id : peer_names_->found(message.uid, message.name, now()))
    if (ClientSession* session = find(id)) session->on_peer_named(message.name);
}

void Worker::on(to_worker::PasswordChecked&& message) {
  if (ClientSession* session = find(message.session)) session->on_password_checked(message.is_right);
}

void Worker::on(to_worker::Beat&& message) {
  message.beats->fetch_add(1, std::memory_order_relaxed);
}

void Worker::on(to_worker::Drain&&) {
  draining_ = true;
  listeners_.clear();
  end_who_has_nothing_to_finish();
  need_tick();
}

void Worker::end_who_has_nothing_to_finish() {
  bool someone_works = false;
  for (Slot& slot : slots_) {
    if (!slot.session) continue;
    if (slot.session->is_at_work()) {
      someone_works = true;
    } else if (slot.session->state() != ClientSession::State::Console) {  // it may look on, or end this
      slot.session->end(kShuttingDown);
    }
  }
  if (someone_works || std::exchange(drain_told_, true)) return;
  parts_.switchboard.tell_main(to_main::WorkerDrained{});
}

void Worker::on(to_worker::Stop&& message) {
  const base::TimePoint by = now() + message.at_most;
  stops_by_ = stopping_ ? std::min(stops_by_, by) : by;
  stopping_ = true;
  listeners_.clear();
  for (Slot& slot : slots_)
    if (slot.session) slot.session->end(kShuttingDown);
  need_tick();
}

// Clients that do not read their last words, servers that do not come to an end.
void Worker::give_up() {
  for (Slot& slot : slots_)
    if (slot.session) slot.session->give_up();
  cancel_desk_.drop_all();
  for (auto& [shared, pool] : pools_) {
    if (!pool->servers.empty())
      log::warning("pool=" + shared->name() +
                   " servers given up at the end: " + std::to_string(pool->servers.size()));
    pool->servers.clear();
  }
  retired_servers_.clear();
}

// Clients and servers are gone: the loop has nothing to wait for.
void Worker::stop_if_done() {
  if (stop_told_) return;
  for (const Slot& slot : slots_)
    if (slot.session) return;
  for (const auto& [shared, pool] : pools_)
    if (!pool->servers.empty()) return;
  stop_told_ = true;
  parts_.switchboard.tell_main(to_main::WorkerStopped{id_});
  loop_.stop();
}

}  // namespace tidepool::daemon
