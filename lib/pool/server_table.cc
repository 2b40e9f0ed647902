#include "lib/pool/server_table.h"

#include <cassert>

namespace tidepool::pool {

using base::TimePoint;

namespace {

// An id is serial << kPlaceBits | place: found without a map, and never used twice.
constexpr int kPlaceBits = 24;
constexpr uint64_t kPlaceMask = (uint64_t{1} << kPlaceBits) - 1;

}  // namespace

Place ServerTable::add_dialing(WorkerId worker, TimePoint now) {
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
  if (worker_resting_.size() <= worker) worker_resting_.resize(worker + 1u);
  Server& server = servers_[at] = Server{};
  server.id = ++last_serial_ << kPlaceBits | at;
  server.worker = worker;
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
  if (server.state == ServerState::Resting) {
    resting_.erase(servers_, at);
    worker_resting_[server.worker].erase(servers_, at);
  }
  if (server.covers) stop_covering(at);
  --counts_[static_cast<size_t>(server.state)];
}

void ServerTable::enter(Place at, ServerState state, TimePoint now) {
  assert(state != ServerState::Resting && state != ServerState::Gone);
  leave_state(at);
  servers_[at].state = state;
  servers_[at].state_since = now;
  ++counts_[static_cast<size_t>(state)];
}

void ServerTable::rest(Place at, TimePoint now) {
  leave_state(at);
  Server& server = servers_[at];
  server.state = ServerState::Resting;
  server.state_since = now;
  ++counts_[static_cast<size_t>(ServerState::Resting)];

  if (worker_resting_.size() <= server.worker) worker_resting_.resize(server.worker + 1u);
  Place successor = resting_.front();
  while (successor != kNowhere && servers_[successor].rested_since > server.rested_since) {
    successor = Resting::after(servers_, successor);
  }
  resting_.insert(servers_, at, successor);

  WorkerResting& of_worker = worker_resting_[server.worker];
  successor = of_worker.front();
  while (successor != kNowhere && servers_[successor].rested_since > server.rested_since) {
    successor = WorkerResting::after(servers_, successor);
  }
  of_worker.insert(servers_, at, successor);
}

void ServerTable::check(Place at, bool covers, TimePoint now) {
  enter(at, ServerState::Checking, now);
  if (!covers) return;
  servers_[at].covers = true;
  covering_.push_back(servers_, at);
}

void ServerTable::stop_covering(Place at) {
  servers_[at].covers = false;
  covering_.erase(servers_, at);
}

void ServerTable::remove(Place at) {
  leave_state(at);
  servers_[at].state = ServerState::Gone;
  ++counts_[static_cast<size_t>(ServerState::Gone)];
  unused_.push_back(at);
}

}  // namespace tidepool::pool
