// Which flavours of servers are in use just now, numbered from 0: a lane is where the servers of one flavour
// rest and where those wait who want one. A lane that is empty may become another flavour's. As a rule there
// are a few, and one in most pools.
#pragma once

#include <vector>

#include "lib/pool/pool_actions.h"

namespace tidepool::pool {

using Lane = uint32_t;
constexpr Lane kNoLane = UINT32_MAX;

class Lanes {
 public:
  Lane count() const { return static_cast<Lane>(flavours_.size()); }
  Flavour operator[](Lane lane) const { return flavours_[lane]; }

  // kNoLane: nobody has, or waits for, a server of it.
  Lane find(Flavour flavour) const {
    if (last_ < count() && flavours_[last_] == flavour) return last_;
    for (Lane lane = 0; lane < count(); ++lane)
      if (flavours_[lane] == flavour) return last_ = lane;
    return kNoLane;
  }

  // is_empty(lane): it has no server and nobody waits in it.
  template <class IsEmpty>
  Lane get(Flavour flavour, IsEmpty&& is_empty) {
    if (const Lane found = find(flavour); found != kNoLane) return found;
    while (!flavours_.empty() && is_empty(count() - 1)) flavours_.pop_back();
    for (Lane lane = 0; lane < count(); ++lane) {
      if (!is_empty(lane)) continue;
      flavours_[lane] = flavour;
      return lane;
    }
    flavours_.push_back(flavour);
    return count() - 1;
  }

 private:
  std::vector<Flavour> flavours_;
  mutable Lane last_ = 0;
};

}  // namespace tidepool::pool
