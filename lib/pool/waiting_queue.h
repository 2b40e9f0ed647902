// The clients that wait for a server, in the order in which they are to be served: those who ask again first
// (oldest wish first), then the others as they came. Joining allocates nothing once the queue has been this
// long before.
//
// Fairness between workers: handing a server to another worker costs a wake-up, so when one is freed on a
// worker, the first waiter of that worker may overtake the waiters of others in front of it. Each waiter is
// overtaken at most kMaxOvertaken times, and only within kOvertakenFor of the first time.
//
// Who waits for servers of one kind (dialed with the same startup settings) is in one lane, and a free server
// serves its own lane only. Whether a lane may overtake another is the ledger's to decide.
#pragma once

#include <cstddef>
#include <memory_resource>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "lib/base/time.h"
#include "lib/pool/chain.h"
#include "lib/pool/lanes.h"
#include "lib/pool/pool_actions.h"

namespace tidepool::pool {

struct Waiter {
  Ticket ticket{};
  WorkerId worker = 0;
  Lane lane = 0;
  bool again = false;
  bool noticed = false;
  bool has_dial = false;  // a dial in flight was caused by this one
  uint16_t overtaken = 0;
  base::TimePoint first_overtaken;
  uint16_t passed_over = 0;  // servers of other lanes that went to those behind it
  base::TimePoint first_passed_over;
  base::TimePoint since;   // first asked: time limits count from here
  base::TimePoint queued;  // joined the queue: the wait counts from here
  Link in_line, in_lane, in_worker_line;
};

class WaitingQueue {
 public:
  static constexpr uint16_t kMaxOvertaken = 16;
  static constexpr base::Duration kOvertakenFor{5000};

  size_t size() const { return index_.size(); }
  bool empty() const { return index_.empty(); }
  uint32_t size(Lane lane) const { return lane < lanes_.size() ? lanes_[lane].size() : 0; }

  void join(Ticket ticket, WorkerId worker, Lane lane, base::TimePoint now);
  // Ahead of everyone who did not ask again. `noticed`: do not name it in to_notice() any more.
  void join_again(Ticket ticket, WorkerId worker, Lane lane, base::TimePoint since, bool noticed,
                  base::TimePoint now);

  // Not empty. Of the first, of the last of the lane in the order of service.
  const Waiter& first(Lane lane) const { return waiters_[first_place(lane)]; }
  const Waiter& last(Lane lane) const { return waiters_[last_place(lane)]; }

  // Lane not empty. Takes out the one whom a server of that lane, freed on `worker`, serves.
  Waiter take_for(WorkerId worker, Lane lane, base::TimePoint now);
  Waiter take_first() { return take(first_place()); }
  Waiter take_first(Lane lane) { return take(first_place(lane)); }
  Waiter take_last(Lane lane) { return take(last_place(lane)); }
  std::optional<Waiter> take(Ticket ticket);

  // Goes along the line, from the first on, until visit(waiter) says true. Null: it never did.
  template <class Visitor>
  Waiter* find(Visitor&& visit) {
    if (empty()) return nullptr;
    for (Place at = first_place(); at != kNowhere; at = after(at))
      if (visit(std::as_const(waiters_[at]))) return &waiters_[at];
    return nullptr;
  }

  // When the longest wish began. Nothing: nobody waits.
  std::optional<base::TimePoint> oldest() const;
  // Takes out one that asked at `then` or before, if there is one.
  std::optional<Waiter> take_older_than(base::TimePoint then);

  // The same for those not noticed yet.
  std::optional<base::TimePoint> oldest_unnoticed() const;
  const Waiter* notice_older_than(base::TimePoint then);  // valid until the next call

  void dial_ended(Ticket ticket);

 private:
  using Line = Chain<Waiter, &Waiter::in_line>;
  using LaneLine = Chain<Waiter, &Waiter::in_lane>;
  using WorkerLine = Chain<Waiter, &Waiter::in_worker_line>;
  // Both kinds are sorted by `since`; those who asked again go first.
  struct Lines {
    Line line;
    Place unnoticed = kNowhere;  // the first one that was not noticed
  };
  enum Kind : uint8_t { Again, Fresh };
  static constexpr size_t kKinds = 2;
  struct OfLane {
    LaneLine line[kKinds];
    std::vector<WorkerLine> of_workers[kKinds];
    uint32_t size() const { return line[Again].size() + line[Fresh].size(); }
  };

  static Kind kind_of(const Waiter& waiter) { return waiter.again ? Again : Fresh; }
  void join(Waiter waiter);
  template <class Chain>
  void insert_sorted(Chain& line, Place at);
  Waiter take(Place at);
  Place first_place() const;
  Place first_place(Lane lane) const;
  Place last_place(Lane lane) const;
  Place first_place_of(WorkerId worker, Lane lane) const;
  Place after(Place at) const;
  Place after_in_lane(Place at) const;

  std::vector<Waiter> waiters_;
  std::vector<Place> unused_;
  Lines lines_[kKinds];
  std::vector<OfLane> lanes_;
  std::pmr::unsynchronized_pool_resource memory_;  // keeps the index's nodes for those who come next
  std::pmr::unordered_map<Ticket, Place> index_{&memory_};
};

}  // namespace tidepool::pool
