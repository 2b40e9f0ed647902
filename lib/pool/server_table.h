// The servers of one pool, from dial to gone: which state each is in, how many of each, and who rested last.
// Decides nothing.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <vector>

#include "lib/base/time.h"
#include "lib/pool/chain.h"
#include "lib/pool/lanes.h"
#include "lib/pool/pool_actions.h"

namespace tidepool::pool {

enum class ServerState : uint8_t { Gone, Dialing, Resting, Checking, Lent, Closing };

struct Server {
  uint64_t id = 0;  // its DialId, and its ConnectionId later
  ServerState state = ServerState::Gone;
  WorkerId worker = 0;
  Lane lane = 0;                    // of its flavour
  bool covers = false;              // Checking: a waiter counts on it
  bool has_answered = false;        // a client
  std::optional<CloseReason> doom;  // to be closed, for this reason, as soon as nobody has it
  std::optional<Ticket> ticket;     // Dialing: whose wish it is
  double lifetime_share = 1;        // of max_lifetime, so that not all end together
  base::TimePoint state_since;
  base::TimePoint opened;
  base::TimePoint expires;
  base::TimePoint proven;        // last seen alive: given back after use, or checked, or logged in
  base::TimePoint rested_since;  // last given back after use
  Link in_resting, in_covering;
};

class ServerTable {
 public:
  Place add_dialing(WorkerId worker, Lane lane, base::TimePoint now);
  // kNowhere: no such server, or it is gone, or in another state.
  Place find(uint64_t id, ServerState state) const;
  Place find(uint64_t id) const;
  Server& operator[](Place at) { return servers_[at]; }
  const Server& operator[](Place at) const { return servers_[at]; }

  // For every state but Resting and Gone.
  void enter(Place at, ServerState state, base::TimePoint now);
  // At its place by `rested_since`, which in the usual case is in front of all others.
  void rest(Place at, base::TimePoint now);
  void check(Place at, bool covers, base::TimePoint now);
  void stop_covering(Place at);
  void remove(Place at);
  // Dialing: it serves nobody when it is open.
  void doom_dial(Place at, CloseReason reason);

  uint32_t count(ServerState state) const { return counts_[static_cast<size_t>(state)]; }
  // All that max_size limits.
  uint32_t size() const { return static_cast<uint32_t>(servers_.size()) - count(ServerState::Gone); }
  // Those that are open and not being closed.
  uint32_t open() const {
    return count(ServerState::Resting) + count(ServerState::Checking) + count(ServerState::Lent);
  }
  uint32_t covering() const { return covering_.size(); }
  uint32_t doomed_dials() const { return doomed_dials_; }
  // Of one lane: all, those that are open and not being closed, dials that are not doomed, those that a
  // waiter counts on.
  uint32_t size(Lane lane) const { return lane < lanes_.size() ? lanes_[lane].size : 0; }
  uint32_t open(Lane lane) const { return lane < lanes_.size() ? lanes_[lane].open : 0; }
  uint32_t useful_dials(Lane lane) const { return lane < lanes_.size() ? lanes_[lane].useful_dials : 0; }
  uint32_t covering(Lane lane) const { return lane < lanes_.size() ? lanes_[lane].covering : 0; }

  // kNowhere: none. Of one lane and worker, from the newest to the oldest.
  Place newest_resting(Lane lane, WorkerId worker) const {
    if (lane >= lanes_.size()) return kNowhere;
    const auto& resting = lanes_[lane].resting;
    return worker < resting.size() ? resting[worker].front() : kNowhere;
  }
  Place older_resting(Place at) const { return Resting::after(servers_, at); }
  // Of all: the one that rests longest.
  Place oldest_resting() const;
  // The workers that ever had a server of the lane: 0 .. workers().
  WorkerId workers(Lane lane) const {
    return lane < lanes_.size() ? static_cast<WorkerId>(lanes_[lane].resting.size()) : WorkerId{0};
  }
  Place oldest_covering() const { return covering_.front(); }

  // Every place, also of those gone: 0 .. places().
  Place places() const { return static_cast<Place>(servers_.size()); }

 private:
  using Resting = Chain<Server, &Server::in_resting>;
  using Covering = Chain<Server, &Server::in_covering>;

  struct OfLane {
    std::vector<Resting> resting;  // by worker; newest first
    uint32_t size = 0, open = 0, useful_dials = 0, covering = 0;
  };

  void leave_state(Place at);

  std::vector<Server> servers_;
  std::vector<Place> unused_;
  std::vector<OfLane> lanes_;
  Covering covering_;  // as they began
  std::array<uint32_t, 6> counts_{};
  uint32_t doomed_dials_ = 0;
  uint64_t last_serial_ = 0;
};

}  // namespace tidepool::pool
