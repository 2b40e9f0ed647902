#include "daemon/shared_pool.h"

#include <uv.h>

#include "daemon/log.h"
#include "daemon/server_connection.h"  // messages may hold one

namespace tidepool::daemon {

namespace {

uint64_t random_seed() {
  uint64_t seed = 0;
  uv_random(nullptr, nullptr, &seed, sizeof seed, 0, nullptr);
  return seed;
}

pool::PoolActions& this_threads_actions() {
  thread_local pool::PoolActions actions;
  return actions;
}

// In transaction mode every client would find the name below its own, when it says RESET.
bool gives_names(const config::PoolSettings& settings) {
  return settings.mode == config::PoolMode::Session;
}

bool dialed_otherwise(const config::PoolSettings& a, const config::PoolSettings& b) {
  return a.conninfo != b.conninfo || a.configure != b.configure;
}

}  // namespace

pool::PoolLimits limits_of(const config::PoolSettings& settings) {
  pool::PoolLimits limits;
  limits.min_size = settings.min_size;
  limits.max_size = settings.max_size;
  limits.timeout = settings.timeout;
  limits.max_waiting = settings.max_waiting;
  limits.max_lifetime = settings.max_lifetime;
  limits.max_idle = settings.max_idle;
  limits.reconnect_timeout = settings.reconnect_timeout;
  limits.check = settings.check;
  limits.notice_after = settings.notice_after;
  limits.max_dials = settings.max_dials;
  limits.when_down =
      settings.when_down == config::WhenDown::Fail ? pool::WhenDown::Fail : pool::WhenDown::Wait;
  return limits;
}

// Holds the mutex while the ledger decides; tells afterwards, without it. The storage of the actions is the
// thread's, so that a checkout that is granted at once allocates nothing. Telling does not come back here:
// messages to the own worker are handled later.
class SharedPool::Turn {
 public:
  explicit Turn(SharedPool& pool) : actions(this_threads_actions()), pool_(pool) {
    actions.clear();
    pool_.mutex_.lock();
  }
  ~Turn() {
    bool wake = false;
    if (!actions.empty()) {
      const auto deadline = pool_.ledger_.next_deadline();
      if (deadline && (!pool_.wanted_tick_ || *deadline < *pool_.wanted_tick_)) {
        pool_.wanted_tick_ = deadline;
        wake = true;
      }
    }
    pool_.mutex_.unlock();
    if (wake) pool_.switchboard_.tell_main(to_main::PoolNeedsTick{});
    pool_.tell(actions);
  }
  // For decisions that leave no action but a deadline: a client that begins to wait.
  void look_at_deadline() {
    const auto deadline = pool_.ledger_.next_deadline();
    if (!deadline || (pool_.wanted_tick_ && *pool_.wanted_tick_ <= *deadline)) return;
    pool_.wanted_tick_ = deadline;
    pool_.switchboard_.tell_main(to_main::PoolNeedsTick{});
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

  pool::PoolActions& actions;

 private:
  SharedPool& pool_;
};

SharedPool::SharedPool(std::shared_ptr<const config::PoolSettings> settings, Switchboard& switchboard,
                       base::TimePoint now)
    : name_(settings->name),
      switchboard_(switchboard),
      settings_(std::move(settings)),
      names_servers_(gives_names(*settings_)),
      ledger_(name_, limits_of(*settings_), random_seed(), now),
      giving_way_(now),
      places_(settings_->max_pinned),
      statements_(settings_->statement_memory) {}

std::optional<pool::ConnectionId> SharedPool::checkout(pool::Ticket ticket, pool::WorkerId worker,
                                                       const session::StartupFlavour& flavour,
                                                       const std::string& application_name,
                                                       base::TimePoint now) {
  Turn turn(*this);
  if (names_servers_ && application_name_ != application_name) application_name_ = application_name;
  if (const auto lent = ledger_.lend_at_once(worker, pool::Flavour{flavour.number}, now)) return lent;
  ledger_.checkout(ticket, worker, pool::Flavour{flavour.number}, now, turn.actions);
  if (turn.actions.size() == 1) {
    const auto* grant = std::get_if<pool::Grant>(&turn.actions.front());
    if (grant != nullptr && grant->ticket == ticket && grant->owner == worker) {
      const pool::ConnectionId at_once = grant->connection;
      turn.actions.clear();
      return at_once;
    }
  }
  turn.look_at_deadline();
  return std::nullopt;
}

void SharedPool::checkout_again(pool::Ticket ticket, pool::WorkerId worker,
                                const session::StartupFlavour& flavour, base::TimePoint since,
                                base::TimePoint now) {
  Turn turn(*this);
  ledger_.checkout_again(ticket, worker, pool::Flavour{flavour.number}, since, now, turn.actions);
  turn.look_at_deadline();
}

bool SharedPool::withdraw(pool::Ticket ticket, base::TimePoint now) {
  Turn turn(*this);
  return ledger_.withdraw(ticket, now, turn.actions);
}

void SharedPool::give_back(pool::ConnectionId connection, bool used, bool outgrown, base::TimePoint now) {
  Turn turn(*this);
  ledger_.give_back(connection, used, outgrown, now, turn.actions);
}

void SharedPool::lose(pool::ConnectionId connection, pool::CloseReason reason, base::TimePoint now,
                      const base::Error* fault) {
  Turn turn(*this);
  ledger_.lose(connection, reason, now, turn.actions, fault);
  turn.look_at_deadline();
}

void SharedPool::answered(pool::ConnectionId connection, base::TimePoint now) {
  Turn turn(*this);
  ledger_.answered(connection, now, turn.actions);
}

void SharedPool::closed(pool::ConnectionId connection, base::TimePoint now) {
  Turn turn(*this);
  ledger_.closed(connection, now, turn.actions);
  turn.look_at_deadline();
}

void SharedPool::check_passed(pool::ConnectionId connection, base::TimePoint now) {
  Turn turn(*this);
  ledger_.check_passed(connection, now, turn.actions);
}

bool SharedPool::begin_cleaning(pool::ConnectionId connection, base::TimePoint now) {
  std::lock_guard lock(mutex_);
  return ledger_.begin_cleaning(connection, now);
}

pool::ConnectionId SharedPool::dial_succeeded(pool::DialId dial, const session::FlavourPtr& flavour,
                                              const session::ParameterMap& parameters, base::Duration took,
                                              base::TimePoint now) {
  Turn turn(*this);
  greetings_.learn(flavour, parameters);
  return ledger_.dial_succeeded(dial, took, now, turn.actions);
}

void SharedPool::dial_failed(pool::DialId dial, const session::FlavourPtr& flavour, const DialFailed& failure,
                             base::TimePoint now) {
  Turn turn(*this);
  // Its next client is to hear of it when it logs in.
  if (failure.kind == pool::DialFailure::SettingsRefused && flavour) greetings_.forget(flavour);
  ledger_.dial_failed(dial, failure.kind, failure.error, now, turn.actions);
  turn.look_at_deadline();
}

std::optional<base::TimePoint> SharedPool::tick(base::TimePoint now) {
  std::optional<base::TimePoint> next;
  std::optional<int64_t> gave_way;
  {
    Turn turn(*this);
    ledger_.tick(now, turn.actions);
    // A standby may have been promoted: clients that want to write are to hear of it.
    if (std::exchange(is_asked_for_, false) && greetings_.tells_of_standby())
      ledger_.look_at_one(now, turn.actions);
    next = wanted_tick_ = ledger_.next_deadline();
    gave_way = giving_way_.look(now, ledger_.gave_way(), ledger_.limits().max_size);
  }
  if (gave_way)
    log::warning("pool=" + name_ +
                 " is full of clients with many different startup settings: " + std::to_string(*gave_way) +
                 " servers were closed within a minute to make room for ones with other settings");
  return next;
}

void SharedPool::change(std::shared_ptr<const config::PoolSettings> settings, base::TimePoint now) {
  change_places(settings->max_pinned);
  Turn turn(*this);
  const bool replace = dialed_otherwise(*settings_, *settings);
  settings_ = std::move(settings);
  names_servers_ = gives_names(*settings_);
  {
    std::lock_guard lock(statements_mutex_);
    statements_.set_most_bytes(settings_->statement_memory);
  }
  ledger_.set_limits(limits_of(*settings_), now, turn.actions);
  if (replace) {
    greetings_.forget_greetings();
    ledger_.replace_all(now, turn.actions);
  }
  turn.look_at_deadline();
}

void SharedPool::replace_all(base::TimePoint now) {
  Turn turn(*this);
  greetings_.forget_greetings();
  ledger_.replace_all(now, turn.actions);
  turn.look_at_deadline();
}

void SharedPool::remove(base::TimePoint now) {
  change_places(UINT32_MAX);  // who waits for one is told with the rest that the pool is gone
  Turn turn(*this);
  ledger_.remove(now, turn.actions);
}

void SharedPool::drain(base::TimePoint now) {
  Turn turn(*this);
  ledger_.drain(now, turn.actions);
}

bool SharedPool::is_empty() const {
  std::lock_guard lock(mutex_);
  return ledger_.is_empty();
}

std::pair<session::FlavourPtr, session::GreetingPtr> SharedPool::greeting_for(
    const session::StartupSettings& settings) {
  std::lock_guard lock(mutex_);
  auto flavour = greetings_.flavour_of(settings);
  auto greeting = greetings_.greeting_for(flavour);
  is_asked_for_ = true;
  return {std::move(flavour), std::move(greeting)};
}

session::GreetingPtr SharedPool::greeting_of(const session::FlavourPtr& flavour,
                                             const session::ParameterMap& reported) {
  std::lock_guard lock(mutex_);
  auto greeting = greetings_.greeting_for(flavour);
  return greeting ? greeting : greetings_.learn(flavour, reported);
}

void SharedPool::reported(const std::vector<Reported>& changes) {
  std::lock_guard lock(mutex_);
  for (const Reported& change : changes) greetings_.change(change.name, change.before, change.now);
}

session::TextPtr SharedPool::statement_text(std::string_view text, std::string_view types,
                                            const sql::Options& options) {
  session::TextPtr shared;
  bool is_nearly_full = false;
  {
    std::lock_guard lock(statements_mutex_);
    shared = statements_.text(text, types, options);
    is_nearly_full = statements_.take_nearly_full();
  }
  if (is_nearly_full)
    log::warning("pool=" + log::shown(name_) +
                 " its clients' prepared statements take most of statement_memory");
  return shared;
}

session::StatementPtr SharedPool::share_statement(const session::PreparedStatement& statement) {
  std::lock_guard lock(statements_mutex_);
  return statements_.share(statement);
}

bool SharedPool::pin() {
  const std::lock_guard lock(places_mutex_);
  if (pinned() >= places_) return false;
  pinned_.fetch_add(1, std::memory_order_relaxed);
  return true;
}

void SharedPool::unpin() {
  std::vector<SessionId> next;
  {
    const std::lock_guard lock(places_mutex_);
    pinned_.fetch_sub(1, std::memory_order_relaxed);
    next = give_places();
  }
  tell_places(next);
}

bool SharedPool::await_place(SessionId session) {
  const std::lock_guard lock(places_mutex_);
  if (want_a_place_.empty() && pinned() < places_) {
    pinned_.fetch_add(1, std::memory_order_relaxed);
    return true;
  }
  want_a_place_.push_back(session);
  return false;
}

// If its place is on its way already, it comes back from there.
void SharedPool::forget_place(SessionId session) {
  const std::lock_guard lock(places_mutex_);
  std::erase(want_a_place_, session);
}

void SharedPool::change_places(uint32_t places) {
  std::vector<SessionId> next;
  {
    const std::lock_guard lock(places_mutex_);
    places_ = places;
    next = give_places();
  }
  tell_places(next);
}

std::vector<SessionId> SharedPool::give_places() {
  std::vector<SessionId> sessions;
  while (!want_a_place_.empty() && pinned() < places_) {
    pinned_.fetch_add(1, std::memory_order_relaxed);
    sessions.push_back(want_a_place_.front());
    want_a_place_.pop_front();
  }
  return sessions;
}

void SharedPool::tell_places(const std::vector<SessionId>& sessions) {
  for (const SessionId& session : sessions)
    switchboard_.tell_worker(session.worker, to_worker::HasPlace{shared_from_this(), session});
}

std::optional<base::Error> SharedPool::why_down(pool::WorkerId worker, base::TimePoint now) {
  Turn turn(*this);
  auto why = ledger_.why_down();
  if (why) {
    ledger_.turned_away(worker, now, turn.actions);
    turn.look_at_deadline();
  }
  return why;
}

pool::PoolStats SharedPool::stats(base::TimePoint now) const {
  std::lock_guard lock(mutex_);
  return ledger_.stats(now);
}

std::shared_ptr<const config::PoolSettings> SharedPool::settings() const {
  std::lock_guard lock(mutex_);
  return settings_;
}

void SharedPool::tell(pool::PoolActions& actions) {
  for (pool::PoolAction& action : actions) tell(action);
  actions.clear();
}

void SharedPool::tell(pool::PoolAction& action) {
  pool::WorkerId worker = 0;
  if (const auto* dial_action = std::get_if<pool::Dial>(&action)) return dial(*dial_action);
  if (const auto* health = std::get_if<pool::Health>(&action)) {
    const std::string words = health->error.sqlstate + " " + log::shown(health->error.message);
    switch (health->event) {
      case pool::Health::Event::WentDown:
        return log::warning("pool=" + name_ + " server cannot be reached: " + words);
      case pool::Health::Event::GaveUp:
        return log::error("pool=" + name_ +
                          " server could not be reached for reconnect_timeout, slow probes go on: " + words);
      case pool::Health::Event::CameBack:
        return log::info("pool=" + name_ + " server is reached again");
    }
    return;
  }
  if (const auto* grant = std::get_if<pool::Grant>(&action))
    return switchboard_.tell_worker(grant->owner, to_worker::Granted{shared_from_this(), *grant});
  if (const auto* refuse = std::get_if<pool::Refuse>(&action)) worker = refuse->client_worker;
  if (const auto* notice = std::get_if<pool::Notice>(&action)) worker = notice->client_worker;
  if (const auto* check = std::get_if<pool::Check>(&action)) worker = check->owner;
  if (const auto* close = std::get_if<pool::Close>(&action)) worker = close->owner;
  switchboard_.tell_worker(worker, to_worker::CarryOut{shared_from_this(), std::move(action)});
}

void SharedPool::dial(const pool::Dial& dial) {
  DialOrder order;
  session::FlavourPtr flavour;
  {
    std::lock_guard lock(mutex_);
    order.conninfo = settings_->conninfo;
    order.configure = settings_->configure;
    order.configure_timeout = settings_->check_timeout;
    if (names_servers_) order.application_name = application_name_;
    flavour = greetings_.find(static_cast<uint32_t>(dial.flavour));
  }
  DialDone done = [self = shared_from_this(), dial, flavour](DialResult result, base::Duration took) {
    self->switchboard_.tell_worker(
        dial.worker, to_worker::DialFinished{self, dial.dial, flavour, std::move(result), took});
  };
  // Nobody is there any more who wants them.
  if (!flavour)
    return done(DialFailed{pool::DialFailure::SettingsRefused, {"57P01", "nobody wants it any more"}}, {});
  order.settings = flavour->settings;
  switchboard_.dialer().dial(std::move(order), std::move(done));
}

}  // namespace tidepool::daemon
