// How many servers a pool has: growth, shrinking, lifetimes, reload.
#include <algorithm>

#include "lib/pool/pool_ledger.h"
#include "lib/pool/refusals.h"

namespace tidepool::pool {

using base::Duration;
using base::TimePoint;

// -- Growth ---------------------------------------------------------------------------------------

void PoolLedger::grow(bool clients_wait, TimePoint now, PoolActions& out) {
  while (wants_growth()) dial(now, out);
  if (wants_probe() && now >= health_.probe_at(clients_wait)) dial(now, out);
}

// What min_size lacks.
uint32_t PoolLedger::missing() const {
  const uint32_t least = draining_ ? 0 : limits_.min_size;
  return least - std::min(least, servers_.open());
}

// Those who wait in the lane and have neither a check nor a dial under way. A dial is not somebody's own: the
// first who waits in its lane is served by it.
uint32_t PoolLedger::unprovided(Lane lane) const {
  const uint32_t waiting = waiting_.size(lane);
  return waiting - std::min(waiting, servers_.covering(lane) + servers_.useful_dials(lane));
}

uint32_t PoolLedger::unprovided() const {
  if (waiting_.empty()) return 0;
  uint32_t sum = 0;
  for (Lane lane = 0; lane < lanes_.count(); ++lane) sum += unprovided(lane);
  return sum;
}

// One dial for each waiter that no check is on its way to, or what min_size lacks. Not both added up: a
// server dialed for either serves the first who waits.
uint32_t PoolLedger::dials_wanted() const {
  uint32_t unchecked = 0;
  for (Lane lane = 0; lane < lanes_.count(); ++lane) {
    const uint32_t waiting = waiting_.size(lane);
    unchecked += waiting - std::min(waiting, servers_.covering(lane));
  }
  return std::max(unchecked, missing());
}

bool PoolLedger::has_room() const {
  return !removed_ && servers_.size() < limits_.max_size &&
         servers_.count(ServerState::Dialing) < std::max(limits_.max_dials, 1u);
}

bool PoolLedger::may_replace_one() const {
  return !draining_ && !health_.is_failing() &&
         servers_.count(ServerState::Dialing) + servers_.count(ServerState::Closing) == 0;
}

bool PoolLedger::wants_growth() const {
  return !health_.is_failing() && has_room() && (unprovided() > 0 || useful_dials() < missing());
}

// A server that is down is probed even if nobody needs it just now, so that it is known when it is back.
bool PoolLedger::wants_probe() const {
  return health_.is_failing() && has_room() && ((health_.is_down() && !draining_) || dials_wanted() > 0);
}

void PoolLedger::dial(TimePoint now, PoolActions& out) {
  Waiter* waiter = waiting_.find(
      [this](const Waiter& other) { return !other.has_dial && unprovided(other.lane) > 0; });
  if (waiter == nullptr) waiter = waiting_.find([](const Waiter& other) { return !other.has_dial; });
  const WorkerId worker = waiter != nullptr ? waiter->worker : next_worker_;
  if (waiter == nullptr) next_worker_ = static_cast<WorkerId>((next_worker_ + 1) % workers_);
  const Lane lane = waiter != nullptr ? waiter->lane : lane_of(wanted_);
  Server& server = servers_[servers_.add_dialing(worker, lane, now)];
  if (waiter != nullptr) {
    waiter->has_dial = true;
    server.ticket = waiter->ticket;
  }
  ++counted_.connections_num;
  health_.dial_started(now);
  out.emplace_back(Dial{DialId{server.id}, worker, server.ticket, lanes_[lane]});
}

void PoolLedger::turned_away(WorkerId worker, TimePoint now, PoolActions& out) {
  workers_ = std::max<WorkerId>(workers_, static_cast<WorkerId>(worker + 1));
  next_worker_ = worker;
  grow(true, now, out);
}

void PoolLedger::give_up_if_due(TimePoint now, PoolActions& out) {
  if (removed_ || now < health_.gives_up_at(limits_.reconnect_timeout)) return;
  health_.give_up();
  ++counted_.gave_up;
  tell(Health::Event::GaveUp, out);
}

// -- Shrinking ------------------------------------------------------------------------------------

// Nobody works on these. One that is being checked for a client is idle until it is lent.
uint32_t PoolLedger::idle() const {
  return servers_.count(ServerState::Resting) + servers_.count(ServerState::Checking);
}

void PoolLedger::close_surplus(TimePoint now, PoolActions& out) {
  if (limits_.max_idle == Duration(0) || now < idle_windows_.end(limits_.max_idle)) return;
  const uint32_t above_minimum = servers_.open() - std::min(servers_.open(), limits_.min_size);
  for (uint32_t left = std::min(idle_windows_.unneeded(), above_minimum); left > 0; --left) {
    const Place longest = servers_.oldest_resting();
    if (longest == kNowhere) break;
    close(longest, CloseReason::MaxIdle, now, out);
  }
  idle_windows_.begin(idle(), now);
}

void PoolLedger::set_expiry(Place at) {
  Server& server = servers_[at];
  server.expires = limits_.max_lifetime == Duration(0)
                       ? TimePoint::max()
                       : server.opened + scaled(limits_.max_lifetime, server.lifetime_share);
  next_expiry_ = std::min(next_expiry_, server.expires);
}

// Lent ones and those being checked end when they come back.
void PoolLedger::close_expired(TimePoint now, PoolActions& out) {
  next_expiry_ = TimePoint::max();
  for (Place at = 0; at < servers_.places(); ++at) {
    const Server& server = servers_[at];
    if (server.state == ServerState::Gone || server.state == ServerState::Dialing) continue;
    if (now < server.expires) {
      next_expiry_ = std::min(next_expiry_, server.expires);
    } else if (server.state == ServerState::Resting) {
      close(at, CloseReason::MaxLifetime, now, out);
    }
  }
}

// After max_size was lowered. Closing ones are on their way out and not counted here.
void PoolLedger::close_excess(TimePoint now, PoolActions& out) {
  while (servers_.open() + useful_dials() > limits_.max_size) {
    const Place longest = servers_.oldest_resting();
    if (longest == kNowhere) return;
    close(longest, CloseReason::Shrunk, now, out);
  }
}

// -- Reload ---------------------------------------------------------------------------------------

void PoolLedger::set_limits(const PoolLimits& limits, TimePoint now, PoolActions& out) {
  limits_ = limits;
  for (Place at = 0; at < servers_.places(); ++at) {
    const ServerState state = servers_[at].state;
    if (state != ServerState::Gone && state != ServerState::Dialing) set_expiry(at);
  }
  close_expired(now, out);
  close_excess(now, out);
  settle(now, out);
}

void PoolLedger::replace_all(TimePoint now, PoolActions& out) {
  health_.start_over();
  doom_all(CloseReason::Replaced, now, out);
  settle(now, out);
}

void PoolLedger::remove(TimePoint now, PoolActions& out) {
  removed_ = true;
  while (!waiting_.empty()) {
    refuse(waiting_.take_first(), RefuseReason::PoolRemoved, pool_removed(name_), now, out);
  }
  doom_all(CloseReason::PoolRemoved, now, out);
}

void PoolLedger::drain(TimePoint now, PoolActions& out) {
  draining_ = true;
  settle(now, out);
}

void PoolLedger::close_all_resting(TimePoint now, PoolActions& out) {
  for (Place at = servers_.oldest_resting(); at != kNowhere; at = servers_.oldest_resting())
    close(at, CloseReason::Draining, now, out);
}

void PoolLedger::doom_all(CloseReason reason, TimePoint now, PoolActions& out) {
  for (Place at = 0; at < servers_.places(); ++at) {
    Server& server = servers_[at];
    switch (server.state) {
      case ServerState::Resting:
        close(at, reason, now, out);
        break;
      case ServerState::Dialing:
        if (server.ticket) waiting_.dial_ended(*server.ticket);
        server.ticket.reset();
        servers_.doom_dial(at, reason);
        break;
      case ServerState::Lent:
      case ServerState::Checking:
        if (server.covers) servers_.stop_covering(at);
        server.doom = reason;
        break;
      case ServerState::Gone:
      case ServerState::Closing:
        break;
    }
  }
}

}  // namespace tidepool::pool
