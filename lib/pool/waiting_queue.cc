#include "lib/pool/waiting_queue.h"

#include <algorithm>
#include <cassert>

namespace tidepool::pool {

using base::TimePoint;

namespace {

// One that is further back than this does not overtake: the look along the queue stays short.
constexpr int kOvertakeAtMost = 32;

}  // namespace

void WaitingQueue::join(Ticket ticket, WorkerId worker, Lane lane, TimePoint now) {
  Waiter waiter;
  waiter.ticket = ticket;
  waiter.worker = worker;
  waiter.lane = lane;
  waiter.since = waiter.queued = now;
  join(waiter);
}

void WaitingQueue::join_again(Ticket ticket, WorkerId worker, Lane lane, TimePoint since, bool noticed,
                              TimePoint now) {
  Waiter waiter;
  waiter.ticket = ticket;
  waiter.worker = worker;
  waiter.lane = lane;
  waiter.again = true;
  waiter.noticed = noticed;
  waiter.since = since;
  waiter.queued = now;
  join(waiter);
}

void WaitingQueue::join(Waiter waiter) {
  Place at;
  if (unused_.empty()) {
    at = static_cast<Place>(waiters_.size());
    waiters_.push_back(waiter);
    unused_.reserve(waiters_.capacity());
  } else {
    at = unused_.back();
    unused_.pop_back();
    waiters_[at] = waiter;
  }
  const bool is_new = index_.emplace(waiter.ticket, at).second;
  assert(is_new);
  static_cast<void>(is_new);

  const Kind kind = kind_of(waiter);
  Lines& lines = lines_[kind];
  if (lanes_.size() <= waiter.lane) lanes_.resize(waiter.lane + 1u);
  OfLane& lane = lanes_[waiter.lane];
  auto& of_workers = lane.of_workers[kind];
  if (of_workers.size() <= waiter.worker) of_workers.resize(waiter.worker + 1u);

  // Sorted from the back: in the usual case the newest is the last.
  bool passed_unnoticed = lines.unnoticed == kNowhere;
  Place successor = kNowhere;
  for (Place other = lines.line.back(); other != kNowhere && waiters_[other].since > waiter.since;
       other = Line::before(waiters_, other)) {
    successor = other;
    if (other == lines.unnoticed) passed_unnoticed = true;
  }
  lines.line.insert(waiters_, at, successor);
  if (!waiter.noticed && passed_unnoticed) lines.unnoticed = at;

  insert_sorted(lane.line[kind], at);
  insert_sorted(of_workers[waiter.worker], at);
}

template <class Chain>
void WaitingQueue::insert_sorted(Chain& line, Place at) {
  Place successor = kNowhere;
  for (Place other = line.back(); other != kNowhere && waiters_[other].since > waiters_[at].since;
       other = Chain::before(waiters_, other)) {
    successor = other;
  }
  line.insert(waiters_, at, successor);
}

Waiter WaitingQueue::take(Place at) {
  const Waiter taken = waiters_[at];
  const Kind kind = kind_of(taken);
  Lines& lines = lines_[kind];
  if (lines.unnoticed == at) {
    do {
      lines.unnoticed = Line::after(waiters_, lines.unnoticed);
    } while (lines.unnoticed != kNowhere && waiters_[lines.unnoticed].noticed);
  }
  lines.line.erase(waiters_, at);
  OfLane& lane = lanes_[taken.lane];
  lane.line[kind].erase(waiters_, at);
  lane.of_workers[kind][taken.worker].erase(waiters_, at);
  index_.erase(taken.ticket);
  unused_.push_back(at);
  return taken;
}

Place WaitingQueue::first_place() const {
  const Line& again = lines_[Again].line;
  return again.empty() ? lines_[Fresh].line.front() : again.front();
}

Place WaitingQueue::first_place(Lane lane) const {
  const auto& line = lanes_[lane].line;
  return line[Again].empty() ? line[Fresh].front() : line[Again].front();
}

Place WaitingQueue::last_place(Lane lane) const {
  const auto& line = lanes_[lane].line;
  return line[Fresh].empty() ? line[Again].back() : line[Fresh].back();
}

Place WaitingQueue::first_place_of(WorkerId worker, Lane lane) const {
  for (const auto& of_workers : lanes_[lane].of_workers) {
    if (worker < of_workers.size() && !of_workers[worker].empty()) return of_workers[worker].front();
  }
  return kNowhere;
}

Place WaitingQueue::after(Place at) const {
  const Place next = Line::after(waiters_, at);
  return next == kNowhere && waiters_[at].again ? lines_[Fresh].line.front() : next;
}

Place WaitingQueue::after_in_lane(Place at) const {
  const Place next = LaneLine::after(waiters_, at);
  return next == kNowhere && waiters_[at].again ? lanes_[waiters_[at].lane].line[Fresh].front() : next;
}

Waiter WaitingQueue::take_for(WorkerId worker, Lane lane, TimePoint now) {
  assert(size(lane) > 0);
  const Place first = first_place(lane);
  const Place local = first_place_of(worker, lane);
  if (local == kNowhere || local == first) return take(first);

  int ahead = 0;
  for (Place at = first; at != local; at = after_in_lane(at)) {
    const Waiter& waiter = waiters_[at];
    const bool has_had_enough = waiter.overtaken > 0 && (waiter.overtaken >= kMaxOvertaken ||
                                                         now > waiter.first_overtaken + kOvertakenFor);
    if (has_had_enough || ++ahead > kOvertakeAtMost) return take(first);
  }
  for (Place at = first; at != local; at = after_in_lane(at)) {
    Waiter& waiter = waiters_[at];
    if (waiter.overtaken++ == 0) waiter.first_overtaken = now;
  }
  return take(local);
}

std::optional<Waiter> WaitingQueue::take(Ticket ticket) {
  const auto found = index_.find(ticket);
  if (found == index_.end()) return std::nullopt;
  return take(found->second);
}

std::optional<TimePoint> WaitingQueue::oldest() const {
  std::optional<TimePoint> oldest;
  for (const Lines& lines : lines_) {
    if (lines.line.empty()) continue;
    const TimePoint since = waiters_[lines.line.front()].since;
    if (!oldest || since < *oldest) oldest = since;
  }
  return oldest;
}

std::optional<Waiter> WaitingQueue::take_older_than(TimePoint then) {
  for (const Lines& lines : lines_) {
    if (!lines.line.empty() && waiters_[lines.line.front()].since <= then) return take(lines.line.front());
  }
  return std::nullopt;
}

std::optional<TimePoint> WaitingQueue::oldest_unnoticed() const {
  std::optional<TimePoint> oldest;
  for (const Lines& lines : lines_) {
    if (lines.unnoticed == kNowhere) continue;
    const TimePoint since = waiters_[lines.unnoticed].since;
    if (!oldest || since < *oldest) oldest = since;
  }
  return oldest;
}

const Waiter* WaitingQueue::notice_older_than(TimePoint then) {
  for (Lines& lines : lines_) {
    if (lines.unnoticed == kNowhere || waiters_[lines.unnoticed].since > then) continue;
    Waiter& waiter = waiters_[lines.unnoticed];
    waiter.noticed = true;
    do {
      lines.unnoticed = Line::after(waiters_, lines.unnoticed);
    } while (lines.unnoticed != kNowhere && waiters_[lines.unnoticed].noticed);
    return &waiter;
  }
  return nullptr;
}

void WaitingQueue::dial_ended(Ticket ticket) {
  const auto found = index_.find(ticket);
  if (found != index_.end()) waiters_[found->second].has_dial = false;
}

}  // namespace tidepool::pool
