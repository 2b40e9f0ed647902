// The process ids that clients are told (BackendKeyData), and which of a worker's slots a new session gets. An
// id names worker and slot, so that a cancel request finds its session, and which of the slot's sessions it
// is: programs tell sessions apart by it, and must not meet the one of a session that has just ended.
//
//   id - 1 = (generation * slots + slot) * workers + worker       1 .. 2^31 - 1
#pragma once

#include <cstdint>
#include <vector>

namespace tidepool::session {

class ProcessIds {
 public:
  static constexpr uint32_t kMostSlots = 1u << 20;  // of one worker
  static constexpr uint32_t kMostWorkers = 511;

  struct Place {
    uint32_t worker = 0;
    uint32_t slot = 0;
    uint32_t generation = 0;
    bool operator==(const Place&) const = default;
  };

  explicit ProcessIds(uint32_t workers)
      : workers_(workers), generations_(0x7fffffffu / (kMostSlots * workers)) {}

  uint32_t of(const Place& place) const {
    return (place.generation % generations_ * kMostSlots + place.slot) * workers_ + place.worker + 1;
  }
  // Of no session for an id that was never given.
  Place place_of(uint32_t id) const {
    const uint32_t number = id - 1;
    return {number % workers_, number / workers_ % kMostSlots, number / workers_ / kMostSlots};
  }
  // As many sessions of a slot have ids of their own.
  uint32_t generations() const { return generations_; }

 private:
  uint32_t workers_;
  uint32_t generations_;
};

// The slot that has been free longest comes first, and none before many others have been free: an id comes
// back only after generations() times as many sessions.
class FreeSlots {
 public:
  static constexpr uint32_t kRested = 1024;

  // kNone: all slots are taken.
  static constexpr uint32_t kNone = UINT32_MAX;
  uint32_t take() {
    const bool is_whole = next_of_.size() >= ProcessIds::kMostSlots;
    if (free_ == 0 || (free_ < kRested && !is_whole)) {
      if (is_whole) return kNone;
      next_of_.push_back(kNone);
      return static_cast<uint32_t>(next_of_.size() - 1);
    }
    const uint32_t slot = oldest_;
    oldest_ = next_of_[slot];
    --free_;
    return slot;
  }
  void give_back(uint32_t slot) {
    next_of_[slot] = kNone;
    if (free_++ == 0)
      oldest_ = slot;
    else
      next_of_[newest_] = slot;
    newest_ = slot;
  }

 private:
  std::vector<uint32_t> next_of_;  // of a free slot: the one that became free after it
  uint32_t oldest_ = kNone, newest_ = kNone;
  uint32_t free_ = 0;
};

}  // namespace tidepool::session
