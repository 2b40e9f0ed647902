#include "lib/pool/pool_ledger.h"

#include <cassert>
#include <chrono>
#include <utility>

#include "lib/pool/refusals.h"

namespace tidepool::pool {

using base::Duration;
using base::Error;
using base::TimePoint;

namespace {

// So long a waiter counts on a check. A live server answers within a round trip; who waits longer gets a
// dial.
constexpr Duration kCheckCoversFor = 500ms;

uint64_t number(ConnectionId connection) {
  return static_cast<uint64_t>(connection);
}
uint64_t number(DialId dial) {
  return static_cast<uint64_t>(dial);
}

// Connection, resources, system, internal: no setting of a client's brings such an error about.
bool is_whatever_is_set(std::string_view sqlstate) {
  for (std::string_view error_class : {"08", "53", "58", "XX"})
    if (sqlstate.starts_with(error_class)) return true;
  return false;
}

int64_t milliseconds(Duration duration) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
}

}  // namespace

PoolLedger::PoolLedger(std::string name, const PoolLimits& limits, uint64_t seed, TimePoint now,
                       WorkerId workers)
    : name_(std::move(name)),
      limits_(limits),
      began_(now),
      jitter_(seed),
      health_(~seed),
      idle_windows_(now),
      workers_(std::max<WorkerId>(workers, 1)) {}

// -- Clients --------------------------------------------------------------------------------------

std::optional<ConnectionId> PoolLedger::lend_at_once(WorkerId worker, Flavour flavour, TimePoint now) {
  if (removed_ || now >= next_expiry_) return std::nullopt;
  const Lane lane = lanes_.find(flavour);
  if (lane == kNoLane || waiting_.size(lane) != 0) return std::nullopt;
  const Place at = ready_on(worker, lane, now);
  if (at == kNowhere) return std::nullopt;
  ++counted_.requests_num;
  wanted_ = flavour;
  servers_.enter(at, ServerState::Lent, now);
  idle_windows_.note(idle());
  return ConnectionId{servers_[at].id};
}

void PoolLedger::checkout(Ticket ticket, WorkerId worker, Flavour flavour, TimePoint now, PoolActions& out) {
  ++counted_.requests_num;
  if (removed_) {
    out.emplace_back(Refuse{ticket, worker, RefuseReason::PoolRemoved, pool_removed(name_)});
    return;
  }
  workers_ = std::max<WorkerId>(workers_, static_cast<WorkerId>(worker + 1));
  wanted_ = flavour;
  if (now >= next_expiry_) {
    close_expired(now, out);
    settle(now, out);
  }
  if (const Lane lane = lanes_.find(flavour); lane != kNoLane && waiting_.size(lane) == 0) {
    const Place at = ready_for(worker, lane, now);
    if (at != kNowhere) {
      grant(at, ticket, worker, Duration(0), now, out);
      idle_windows_.note(idle());
      return;
    }
  }
  if (limits_.max_waiting != 0 && waiting_.size() >= limits_.max_waiting) {
    ++counted_.requests_errors;
    const Duration longest_wait = now - *waiting_.oldest();
    out.emplace_back(Refuse{ticket, worker, RefuseReason::QueueFull,
                            queue_full(name_, limits_, waiting_.size(), longest_wait)});
    return;
  }
  ++counted_.requests_queued;
  waiting_.join(ticket, worker, lane_of(flavour), now);
  settle(now, out);
}

void PoolLedger::checkout_again(Ticket ticket, WorkerId worker, Flavour flavour, TimePoint since,
                                TimePoint now, PoolActions& out) {
  if (removed_) {
    out.emplace_back(Refuse{ticket, worker, RefuseReason::PoolRemoved, pool_removed(name_)});
    return;
  }
  if (now >= next_expiry_) close_expired(now, out);
  const Lane lane = lane_of(flavour);
  if (waiting_.size(lane) == 0) {
    const Place at = ready_for(worker, lane, now);
    if (at != kNowhere) {
      grant(at, ticket, worker, Duration(0), now, out);
      settle(now, out);
      return;
    }
  }
  ++counted_.requests_queued;
  // Who has asked for as long as this was noticed the first time.
  const bool noticed = now - since >= limits_.notice_after;
  waiting_.join_again(ticket, worker, lane, since, noticed, now);
  settle(now, out);
}

bool PoolLedger::withdraw(Ticket ticket, TimePoint now, PoolActions& out) {
  const std::optional<Waiter> waiter = waiting_.take(ticket);
  if (!waiter) return false;
  requests_wait_ += now - waiter->queued;
  settle(now, out);
  return true;
}

void PoolLedger::give_back(ConnectionId connection, bool used, bool outgrown, TimePoint now,
                           PoolActions& out) {
  const Place at = servers_.find(number(connection), ServerState::Lent);
  assert(at != kNowhere);
  if (at == kNowhere) return;
  if (used) {
    Server& server = servers_[at];
    usage_ += now - server.state_since;
    server.proven = server.rested_since = now;
  }
  if (outgrown && !servers_[at].doom && may_replace_one()) servers_[at].doom = CloseReason::Outgrown;
  offer(at, false, now, out);
  // Nobody waits, and there is one idle server more: nothing else has changed.
  if (!waiting_.empty() || servers_[at].state != ServerState::Resting || draining_) settle(now, out);
}

// -- Servers --------------------------------------------------------------------------------------

ConnectionId PoolLedger::dial_succeeded(DialId dial, Duration took, TimePoint now, PoolActions& out) {
  const Place at = servers_.find(number(dial), ServerState::Dialing);
  assert(at != kNowhere);
  Server& server = servers_[at];
  connecting_ += took;
  if (server.ticket) waiting_.dial_ended(*std::exchange(server.ticket, std::nullopt));
  server.opened = server.proven = server.rested_since = now;
  server.lifetime_share = jitter_.between(0.95, 1.0);
  set_expiry(at);
  // Of a doomed one it says nothing about the server that is dialed now.
  if (!server.doom) tell(health_.dial_succeeded(now), out);
  offer(at, true, now, out);
  settle(now, out);
  return ConnectionId{number(dial)};
}

void PoolLedger::dial_failed(DialId dial, DialFailure failure, const Error& error, TimePoint now,
                             PoolActions& out) {
  const Place at = servers_.find(number(dial), ServerState::Dialing);
  assert(at != kNowhere);
  ++counted_.connections_errors;
  const Server server = servers_[at];
  const Flavour flavour = lanes_[server.lane];
  servers_.remove(at);
  if (server.ticket) waiting_.dial_ended(*server.ticket);
  if (failure == DialFailure::SettingsRefused) {
    if (!server.doom) settings_refused(flavour, error, now, out);
  } else if (!server.doom) {
    tell(health_.dial_failed(failure, error, server.state_since, servers_.open() > 0, now), out);
    give_up_if_due(now, out);
  }
  settle(now, out);
}

// It could be asked: the server is well, and knows its own mind about these settings. Who waits for another
// dial would hear the same.
void PoolLedger::settings_refused(Flavour flavour, const Error& error, TimePoint now, PoolActions& out) {
  tell(health_.dial_succeeded(now), out);
  if (wanted_ == flavour) wanted_ = kNeutral;
  const Lane lane = lanes_.find(flavour);
  while (lane != kNoLane && waiting_.size(lane) > 0) {
    refuse(waiting_.take_first(lane), RefuseReason::SettingsRefused, error, now, out);
  }
}

void PoolLedger::answered(ConnectionId connection, TimePoint now, PoolActions& out) {
  const Place at = servers_.find(number(connection), ServerState::Lent);
  if (at == kNowhere || servers_[at].doom) return;
  servers_[at].has_answered = true;
  tell(health_.is_of_use(), out);
  settle(now, out);
}

void PoolLedger::lose(ConnectionId connection, CloseReason reason, TimePoint now, PoolActions& out,
                      const Error* fault) {
  const Place at = servers_.find(number(connection));
  if (at == kNowhere) return;
  // One that is Bad answered, but not as it should: that says nothing about the others.
  const bool was_checked = servers_[at].state == ServerState::Checking && reason != CloseReason::Bad;
  const TimePoint check_began = servers_[at].state_since;
  if (!count_lost(at, reason, now)) return;
  servers_.enter(at, ServerState::Closing, now);
  const Server& server = servers_[at];
  if (fault != nullptr && !server.has_answered && !server.doom) {
    // What startup settings can bring about (a statement_timeout of 1 ms) is not the server's fault.
    const Flavour flavour = lanes_[server.lane];
    if (flavour == kNeutral || is_whatever_is_set(fault->sqlstate))
      tell(health_.lost_untried(*fault, server.opened, servers_.open() > 0, now), out);
    else if (wanted_ == flavour)
      wanted_ = kNeutral;
  }
  if (was_checked) cast_doubt(check_began, now, out);
  settle(now, out);
}

void PoolLedger::closed(ConnectionId connection, TimePoint now, PoolActions& out) {
  const Place at = servers_.find(number(connection));
  if (at == kNowhere || servers_[at].state == ServerState::Dialing) return;
  count_lost(at, CloseReason::Lost, now);  // if it went without a word
  servers_.remove(at);
  settle(now, out);
}

void PoolLedger::check_passed(ConnectionId connection, TimePoint now, PoolActions& out) {
  const Place at = servers_.find(number(connection), ServerState::Checking);
  if (at == kNowhere) return;
  servers_[at].proven = now;
  offer(at, true, now, out);
  settle(now, out);
}

bool PoolLedger::begin_cleaning(ConnectionId connection, TimePoint now) {
  const Place at = servers_.find(number(connection), ServerState::Resting);
  if (at == kNowhere) return false;
  servers_.check(at, true, now);
  return true;
}

// -- Time -----------------------------------------------------------------------------------------

std::optional<TimePoint> PoolLedger::next_deadline() const {
  TimePoint next = servers_.open() > 0 ? next_expiry_ : TimePoint::max();
  const auto no_later_than = [&next](TimePoint then) { next = std::min(next, then); };

  if (!waiting_.empty()) {
    no_later_than(*waiting_.oldest() + limits_.timeout);
    const auto unnoticed = waiting_.oldest_unnoticed();
    if (unnoticed && limits_.notice_after != Duration(0)) no_later_than(*unnoticed + limits_.notice_after);
  }
  if (servers_.covering() > 0) {
    no_later_than(servers_[servers_.oldest_covering()].state_since + kCheckCoversFor);
  }
  if (!removed_) {
    if (wants_growth()) no_later_than(began_);
    if (wants_probe()) no_later_than(health_.probe_at(!waiting_.empty()));
    no_later_than(health_.gives_up_at(limits_.reconnect_timeout));
    no_later_than(health_.trial_ends_at());
    const bool may_shrink = servers_.open() > limits_.min_size && servers_.count(ServerState::Resting) > 0;
    if (may_shrink && limits_.max_idle != Duration(0)) no_later_than(idle_windows_.end(limits_.max_idle));
  }
  if (next == TimePoint::max()) return std::nullopt;
  return next;
}

void PoolLedger::tick(TimePoint now, PoolActions& out) {
  while (const auto waiter = waiting_.take_older_than(now - limits_.timeout)) {
    const Error* dial_error = health_.is_failing() ? &health_.error() : nullptr;
    refuse(*waiter, RefuseReason::TimedOut, timed_out(name_, limits_, now - waiter->since, dial_error), now,
           out);
  }
  if (limits_.notice_after != Duration(0)) {
    while (const Waiter* waiter = waiting_.notice_older_than(now - limits_.notice_after)) {
      out.emplace_back(Notice{waiter->ticket, waiter->worker, now - waiter->since});
    }
  }
  while (servers_.covering() > 0) {
    const Place at = servers_.oldest_covering();
    const TimePoint check_began = servers_[at].state_since;
    if (now < check_began + kCheckCoversFor) break;
    servers_.stop_covering(at);
    cast_doubt(check_began, now, out);
  }
  if (now >= next_expiry_) close_expired(now, out);
  close_surplus(now, out);
  if (!removed_ && now >= health_.trial_ends_at()) tell(health_.is_of_use(), out);
  give_up_if_due(now, out);
  settle(now, out);
}

void PoolLedger::look_at_one(TimePoint now, PoolActions& out) {
  const Place at = servers_.oldest_resting();
  if (at != kNowhere && !removed_) check(at, false, now, out);
}

// -- Who gets what --------------------------------------------------------------------------------

void PoolLedger::settle(TimePoint now, PoolActions& out) {
  serve_waiters(now, out);
  grow(!waiting_.empty(), now, out);
  if (!waiting_.empty()) make_room(now, out);
  if (!waiting_.empty()) refuse_hopeless(now, out);
  if (draining_ && waiting_.empty()) close_all_resting(now, out);
  idle_windows_.note(idle());
}

// Servers that come free go to waiters in offer(). Here waiters meet servers that rest already: those to be
// checked first.
void PoolLedger::serve_waiters(TimePoint now, PoolActions& out) {
  if (waiting_.empty() || servers_.count(ServerState::Resting) == 0) return;
  for (Lane lane = 0; lane < lanes_.count(); ++lane) {
    while (waiting_.size(lane) > 0) {
      const Place ready = ready_for(waiting_.first(lane).worker, lane, now);
      if (ready != kNowhere) {
        grant(ready, waiting_.take_first(lane), now, out);
        continue;
      }
      if (servers_.covering(lane) >= waiting_.size(lane)) break;
      const Place doubtful = resting_for(waiting_.last(lane).worker, lane);
      if (doubtful == kNowhere) break;
      check(doubtful, true, now, out);
    }
  }
}

void PoolLedger::refuse_hopeless(TimePoint now, PoolActions& out) {
  if (refuses_all()) {
    while (!waiting_.empty()) {
      refuse(waiting_.take_first(), RefuseReason::ServerDown, down_error(), now, out);
    }
  } else if (health_.refuses_login()) {
    for (Lane lane = 0; lane < lanes_.count(); ++lane) {
      if (servers_.open(lane) > 0) continue;  // those work, and come free
      while (waiting_.size(lane) > servers_.covering(lane)) {
        refuse(waiting_.take_last(lane), RefuseReason::LoginRefused, down_error(), now, out);
      }
    }
  }
}

Error PoolLedger::down_error() const {
  return health_.refuses_login() ? login_refused(name_, health_.error()) : server_down(health_.error());
}

// A server that nobody has: kept for a waiter or at rest, or given up.
void PoolLedger::offer(Place at, bool just_proven, TimePoint now, PoolActions& out) {
  Server& server = servers_[at];
  if (server.doom) return close(at, *server.doom, now, out);
  if (now >= server.expires) return close(at, CloseReason::MaxLifetime, now, out);
  if (servers_.open() + useful_dials() > limits_.max_size) return close(at, CloseReason::Shrunk, now, out);
  const Lane lane = server.lane;
  if (waiting_.size(lane) == 0) return servers_.rest(at, now);
  // One that was dialed for them just now serves them at least once.
  const bool may_give_way = waiting_.size() > waiting_.size(lane) && server.state != ServerState::Dialing;
  if (may_give_way && gives_way(lane, now)) {
    ++counted_.gave_way;
    return close(at, CloseReason::GaveWay, now, out);
  }
  if (!just_proven && needs_check(server, now)) return check(at, true, now, out);
  grant(at, waiting_.take_for(server.worker, lane, now), now, out);
}

void PoolLedger::grant(Place at, const Waiter& waiter, TimePoint now, PoolActions& out) {
  const Duration waited = now - waiter.queued;
  requests_wait_ += waited;
  grant(at, waiter.ticket, waiter.worker, waited, now, out);
}

void PoolLedger::grant(Place at, Ticket ticket, WorkerId worker, Duration waited, TimePoint now,
                       PoolActions& out) {
  servers_.enter(at, ServerState::Lent, now);
  Server& server = servers_[at];
  const WorkerId owner = std::exchange(server.worker, worker);
  out.emplace_back(Grant{ticket, ConnectionId{server.id}, owner, worker, waited});
}

void PoolLedger::refuse(const Waiter& waiter, RefuseReason reason, Error error, TimePoint now,
                        PoolActions& out) {
  ++counted_.requests_errors;
  requests_wait_ += now - waiter.queued;
  out.emplace_back(Refuse{waiter.ticket, waiter.worker, reason, std::move(error)});
}

void PoolLedger::check(Place at, bool covers, TimePoint now, PoolActions& out) {
  servers_.check(at, covers, now);
  out.emplace_back(Check{ConnectionId{servers_[at].id}, servers_[at].worker});
}

void PoolLedger::close(Place at, CloseReason reason, TimePoint now, PoolActions& out) {
  servers_.enter(at, ServerState::Closing, now);
  out.emplace_back(Close{ConnectionId{servers_[at].id}, servers_[at].worker, reason});
}

// False: the ledger had given it up itself.
bool PoolLedger::count_lost(Place at, CloseReason reason, TimePoint now) {
  const Server& server = servers_[at];
  switch (server.state) {
    case ServerState::Lent:
      ++counted_.returns_bad;
      usage_ += now - server.state_since;
      return true;
    case ServerState::Resting:
    case ServerState::Checking:
      ++(reason == CloseReason::Bad ? counted_.returns_bad : counted_.connections_lost);
      return true;
    case ServerState::Gone:
    case ServerState::Dialing:
    case ServerState::Closing:
      break;
  }
  return false;
}

// A check that began at `then` failed, or is not answered: whatever took that server may have taken all that
// rested by then. They are asked all at once, so that no waiter finds them dead one after another; nobody
// counts on them meanwhile.
void PoolLedger::cast_doubt(TimePoint then, TimePoint now, PoolActions& out) {
  if (!limits_.check || removed_) return;
  for (Place at = 0; at < servers_.places(); ++at) {
    if (servers_[at].state == ServerState::Resting && servers_[at].proven <= then) check(at, false, now, out);
  }
}

void PoolLedger::tell(std::optional<Health::Event> event, PoolActions& out) {
  if (event) out.emplace_back(Health{*event, health_.error()});
}

bool PoolLedger::needs_check(const Server& server, TimePoint now) const {
  return limits_.check && now - server.proven >= *limits_.check;
}

// One that rests on this worker, or else anywhere, and may be lent as it is: the newest of those.
Place PoolLedger::ready_for(WorkerId worker, Lane lane, TimePoint now) const {
  if (servers_.count(ServerState::Resting) == 0) return kNowhere;  // the usual case of a pool that is full
  if (const Place local = ready_on(worker, lane, now); local != kNowhere) return local;
  return newest(lane, [&](WorkerId other) { return ready_on(other, lane, now); });
}

// In the usual case the first looked at; if the newest is stale, one that rested longer may have passed a
// check since.
Place PoolLedger::ready_on(WorkerId worker, Lane lane, TimePoint now) const {
  if (limits_.check == Duration(0)) return kNowhere;
  Place at = servers_.newest_resting(lane, worker);
  while (at != kNowhere && needs_check(servers_[at], now)) at = servers_.older_resting(at);
  return at;
}

Place PoolLedger::resting_for(WorkerId worker, Lane lane) const {
  const Place local = servers_.newest_resting(lane, worker);
  if (local != kNowhere) return local;
  return newest(lane, [&](WorkerId other) { return servers_.newest_resting(lane, other); });
}

// Of what place_on(worker) finds on the lane's workers, what rests since last.
template <class PlaceOn>
Place PoolLedger::newest(Lane lane, PlaceOn&& place_on) const {
  Place newest = kNowhere;
  for (WorkerId worker = 0; worker < servers_.workers(lane); ++worker) {
    const Place at = place_on(worker);
    if (at == kNowhere) continue;
    if (newest == kNowhere || servers_[at].rested_since > servers_[newest].rested_since) newest = at;
  }
  return newest;
}

Lane PoolLedger::lane_of(Flavour flavour) {
  return lanes_.get(flavour,
                    [this](Lane lane) { return servers_.size(lane) == 0 && waiting_.size(lane) == 0; });
}

// when_down says fail, and there is nothing to wait for.
bool PoolLedger::refuses_all() const {
  return limits_.when_down == WhenDown::Fail && health_.is_down() && health_.is_failing() &&
         servers_.open() == 0;
}

// -- Questions ------------------------------------------------------------------------------------

std::optional<Error> PoolLedger::why_down() const {
  if (refuses_all() || (health_.refuses_login() && servers_.open() == 0)) return down_error();
  return std::nullopt;
}

PoolStats PoolLedger::stats(TimePoint now) const {
  PoolStats stats = counted_;
  stats.pool_min = limits_.min_size;
  stats.pool_max = limits_.max_size;
  stats.pool_size = servers_.size();
  stats.pool_available = servers_.count(ServerState::Resting);
  stats.requests_waiting = static_cast<int64_t>(waiting_.size());
  stats.usage_ms = milliseconds(usage_);
  stats.requests_wait_ms = milliseconds(requests_wait_);
  stats.connections_ms = milliseconds(connecting_);
  stats.lent = servers_.count(ServerState::Lent);
  stats.checking = servers_.count(ServerState::Checking);
  stats.dialing = servers_.count(ServerState::Dialing);
  stats.closing = servers_.count(ServerState::Closing);
  if (const auto oldest = waiting_.oldest()) stats.longest_wait = now - *oldest;
  stats.down = health_.is_down();
  return stats;
}

}  // namespace tidepool::pool
