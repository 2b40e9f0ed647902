#include "lib/pool/server_table.h"

#include <cassert>

namespace tidepool::pool {

using base::TimePoint;

namespace {

// An id is serial << kPlaceBits | place: found without a map, and never used twice.
constexpr int kPlaceBits = 24;
constexpr uint64_t kPlaceMask = (uint64_t{1} << kPlaceBits) - 1;

bool is_open(ServerState state) {
  return state == ServerState::Resting || state == ServerState::Checking || state == ServerState::Lent;
}

}  // namespace

Place ServerTable::add_dialing(WorkerId worker, Lane lane, TimePoint now) {
  Place at;
  if (unused_.empty()) {
    at = static_cast<Place>(servers_.size());
    assert(at < kPlaceMask);
    servers_.emplace_back();
    unused_.reserve(servers_.capacity());
  } else {
    at = unused_.back();
    unused_.pop_back();
    --counts_[static_cast<size_t>(ServerState::Gone)];
  }
  // Here rather than in rest(): giving back allocates nothing.
  if (lanes_.size() <= lane) lanes_.resize(lane + 1u);
  OfLane& of_lane = lanes_[lane];
  if (of_lane.resting.size() <= worker) of_lane.resting.resize(worker + 1u);
  ++of_lane.size;
  ++of_lane.useful_dials;
  Server& server = servers_[at] = Server{};
  server.id = ++last_serial_ << kPlaceBits | at;
  server.worker = worker;
  server.lane = lane;
  server.state = ServerState::Dialing;
  server.state_since = now;
  ++counts_[static_cast<size_t>(ServerState::Dialing)];
  return at;
}

Place ServerTable::find(uint64_t id) const {
  const auto at = static_cast<Place>(id & kPlaceMask);
  const bool is_it = at < servers_.size() && servers_[at].id == id && servers_[at].state != ServerState::Gone;
  return is_it ? at : kNowhere;
}

Place ServerTable::find(uint64_t id, ServerState state) const {
  const Place at = find(id);
  return at != kNowhere && servers_[at].state == state ? at : kNowhere;
}

void ServerTable::leave_state(Place at) {
  Server& server = servers_[at];
  OfLane& lane = lanes_[server.lane];
  if (server.state == ServerState::Resting) lane.resting[server.worker].erase(servers_, at);
  if (server.covers) stop_covering(at);
  if (is_open(server.state)) --lane.open;
  if (server.state == ServerState::Dialing) --(server.doom ? doomed_dials_ : lane.useful_dials);
  --counts_[static_cast<size_t>(server.state)];
}

void ServerTable::enter(Place at, ServerState state, TimePoint now) {
  assert(state != ServerState::Resting && state != ServerState::Gone && state != ServerState::Dialing);
  leave_state(at);
  Server& server = servers_[at];
  server.state = state;
  server.state_since = now;
  if (is_open(state)) ++lanes_[server.lane].open;
  ++counts_[static_cast<size_t>(state)];
}

void ServerTable::rest(Place at, TimePoint now) {
  leave_state(at);
  Server& server = servers_[at];
  server.state = ServerState::Resting;
  server.state_since = now;
  ++counts_[static_cast<size_t>(ServerState::Resting)];

  OfLane& lane = lanes_[server.lane];
  ++lane.open;
  if (lane.resting.size() <= server.worker) lane.resting.resize(server.worker + 1u);
  Resting& resting = lane.resting[server.worker];
  Place successor = resting.front();
  while (successor != kNowhere && servers_[successor].rested_since > server.rested_since)
    successor = Resting::after(servers_, successor);
  resting.insert(servers_, at, successor);
}

Place ServerTable::oldest_resting() const {
  Place oldest = kNowhere;
  for (const OfLane& lane : lanes_) {
    for (const Resting& resting : lane.resting) {
      const Place at = resting.back();
      if (at == kNowhere) continue;
      if (oldest == kNowhere || servers_[at].rested_since < servers_[oldest].rested_since) oldest = at;
    }
  }
  return oldest;
}

void ServerTable::check(Place at, bool covers, TimePoint now) {
  enter(at, ServerState::Checking, now);
  if (!covers) return;
  servers_[at].covers = true;
  ++lanes_[servers_[at].lane].covering;
  covering_.push_back(servers_, at);
}

void ServerTable::stop_covering(Place at) {
  servers_[at].covers = false;
  --lanes_[servers_[at].lane].covering;
  covering_.erase(servers_, at);
}

void ServerTable::remove(Place at) {
  leave_state(at);
  --lanes_[servers_[at].lane].size;
  servers_[at].state = ServerState::Gone;
  ++counts_[static_cast<size_t>(ServerState::Gone)];
  unused_.push_back(at);
}

void ServerTable::doom_dial(Place at, CloseReason reason) {
  Server& server = servers_[at];
  if (!server.doom) {
    --lanes_[server.lane].useful_dials;
    ++doomed_dials_;
  }
  server.doom = reason;
}

}  // namespace tidepool::pool
