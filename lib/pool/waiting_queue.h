// The clients that wait for a server, in the order in which they are to be served: those who ask again first
// (oldest wish first), then the others as they came. Joining allocates nothing once the queue has been this
// long before.
//
// Fairness between workers: handing a server to another worker costs a wake-up, so when one is freed on a
// worker, the first waiter of that worker may overtake the waiters of others in front of it. Each waiter is
// overtaken at most kMaxOvertaken times, and only within kOvertakenFor of the first time.
#pragma once

#include <cstddef>
#include <memory_resource>
#include <optional>
#include <unordered_map>
#include <vector>

#include "lib/base/time.h"
#include "lib/pool/chain.h"
#include "lib/pool/pool_actions.h"

namespace tidepool::pool {

struct Waiter {
  Ticket ticket{};
  WorkerId worker = 0;
  bool again = false;
  bool noticed = false;
  bool has_dial = false;  // a dial in flight was caused by this one
  uint16_t overtaken = 0;
  base::TimePoint first_overtaken;
  base::TimePoint since;   // first asked: time limits count from here
  base::TimePoint queued;  // joined the queue: the wait counts from here
  Link in_line, in_worker_line;
};

class WaitingQueue {
 public:
  static constexpr uint16_t kMaxOvertaken = 16;
  static constexpr base::Duration kOvertakenFor{5000};

  size_t size() const { return index_.size(); }
  bool empty() const { return index_.empty(); }

  void join(Ticket ticket, WorkerId worker, base::TimePoint now);
  // Ahead of everyone who did not ask again. `noticed`: do not name it in to_notice() any more.
  void join_again(Ticket ticket, WorkerId worker, base::TimePoint since, bool noticed, base::TimePoint now);

  // Not empty. Of the first, of the last in the order of service.
  const Waiter& first() const { return waiters_[first_place()]; }
  const Waiter& last() const;

  // Not empty. Takes out the one whom a server freed on `worker` serves.
  Waiter take_for(WorkerId worker, base::TimePoint now);
  Waiter take_first() { return take(first_place()); }
  Waiter take_last();
  std::optional<Waiter> take(Ticket ticket);

  // When the longest wish began. Nothing: nobody waits.
  std::optional<base::TimePoint> oldest() const;
  // Takes out one that asked at `then` or before, if there is one.
  std::optional<Waiter> take_older_than(base::TimePoint then);

  // The same for those not noticed yet.
  std::optional<base::TimePoint> oldest_unnoticed() const;
  const Waiter* notice_older_than(base::TimePoint then);  // valid until the next call

  // The first without a dial of its own gets one; null: all have one.
  const Waiter* give_dial();
  void dial_ended(Ticket ticket);

 private:
  using Line = Chain<Waiter, &Waiter::in_line>;
  using WorkerLine = Chain<Waiter, &Waiter::in_worker_line>;
  // Both kinds are sorted by `since`; those who asked again go first.
  struct Lines {
    Line line;
    Place unnoticed = kNowhere;  // the first one that was not noticed
  };
  enum Kind : uint8_t { Again, Fresh };
  static constexpr size_t kKinds = 2;

  static Kind kind_of(const Waiter& waiter) { return waiter.again ? Again : Fresh; }
  void join(Waiter waiter);
  Waiter take(Place at);
  Place first_place() const;
  Place first_place_of(WorkerId worker) const;
  Place after(Place at) const;

  std::vector<Waiter> waiters_;
  std::vector<Place> unused_;
  Lines lines_[kKinds];
  std::vector<WorkerLine> worker_lines_[kKinds];
  std::pmr::unsynchronized_pool_resource memory_;  // keeps the index's nodes for those who come next
  std::pmr::unordered_map<Ticket, Place> index_{&memory_};
};

}  // namespace tidepool::pool
