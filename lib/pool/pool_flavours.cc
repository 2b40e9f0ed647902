// Which flavours the servers of a full pool have: whose place goes to whom.
#include <algorithm>

#include "lib/pool/pool_ledger.h"

namespace tidepool::pool {

using base::Duration;
using base::TimePoint;

namespace {

// Of the flavour that gives way, servers that come back serve so many others first, within so long.
constexpr uint16_t kPassedOverAtMost = WaitingQueue::kMaxOvertaken;
constexpr Duration kPassedOverFor = WaitingQueue::kOvertakenFor;
// The same for one whose flavour has servers, and as many as it should: they come back, too. Otherwise two
// flavours in a busy pool would take each other's servers without end, at a login each.
constexpr Duration kPassedOverForLonger = 100ms;

}  // namespace

// Those who wait for a dial and have no place in the pool, nor one that becomes free; as many of them as may
// be dialed for at a time.
uint32_t PoolLedger::places_wanted() const {
  if (removed_ || health_.is_failing()) return 0;
  const uint32_t room = limits_.max_size - std::min(limits_.max_size, servers_.size());
  const uint32_t coming = room + servers_.count(ServerState::Closing);
  const uint32_t waiting = unprovided();
  if (waiting <= coming) return 0;
  const uint32_t dials = servers_.count(ServerState::Dialing) + coming;
  const uint32_t most = std::max(limits_.max_dials, 1u);
  return std::min(waiting - coming, most - std::min(most, dials));
}

// The first of them. Null: one of `unless_of` is in front of it.
Waiter* PoolLedger::first_without_place(Lane unless_of) {
  uint32_t places = limits_.max_size - std::min(limits_.max_size, servers_.size()) +
                    servers_.count(ServerState::Closing);
  bool is_of_lane = false;
  Waiter* first = waiting_.find([&](const Waiter& waiter) {
    is_of_lane = waiter.lane == unless_of;
    return is_of_lane || (!waiter.has_dial && unprovided(waiter.lane) > 0 && places-- == 0);
  });
  return is_of_lane ? nullptr : first;
}

// What rests is of no use to those who wait: it would have been lent to them. The longest resting go first.
void PoolLedger::make_room(TimePoint now, PoolActions& out) {
  if (servers_.count(ServerState::Resting) == 0) return;
  for (uint32_t wanted = places_wanted(); wanted > 0; --wanted) {
    const Place longest = servers_.oldest_resting();
    if (longest == kNowhere) return;
    ++counted_.gave_way;
    close(longest, CloseReason::GaveWay, now, out);
  }
}

// A server of `lane` is free and could be lent there: should somebody who waits longer for another flavour
// have its place?
bool PoolLedger::gives_way(Lane lane, TimePoint now) {
  if (places_wanted() == 0) return false;
  Waiter* first = first_without_place(lane);
  if (first == nullptr) return false;
  if (has_waited_long_enough(*first, lane, now)) return true;
  if (first->passed_over++ == 0) first->first_passed_over = now;
  return false;
}

bool PoolLedger::has_waited_long_enough(const Waiter& waiter, Lane lane, TimePoint now) const {
  if (waiter.passed_over == 0) return false;
  const Duration passed_over_for = now - waiter.first_passed_over;
  const bool has_servers = servers_.open(waiter.lane) + servers_.useful_dials(waiter.lane) > 0;
  if (has_servers && !is_more_crowded(waiter.lane, lane)) return passed_over_for > kPassedOverForLonger;
  return waiter.passed_over >= kPassedOverAtMost || passed_over_for > kPassedOverFor;
}

// Whether `wants` would be the more crowded one still if it got a server of `has`: clear enough that it does
// not go back and forth with every client that comes and goes.
bool PoolLedger::is_more_crowded(Lane wants, Lane has) const {
  const auto servers = [this](Lane lane) -> uint64_t {
    return servers_.open(lane) + servers_.useful_dials(lane);
  };
  const auto clients = [this](Lane lane) -> uint64_t { return waiting_.size(lane) + servers_.open(lane); };
  return 4 * clients(wants) * (2 * servers(has) - 1) > 5 * clients(has) * (2 * servers(wants) + 1);
}

}  // namespace tidepool::pool
