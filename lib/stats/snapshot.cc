#include "lib/stats/snapshot.h"

namespace tidepool::stats {

// Whoever adds a field adds it to kTrafficFields.
static_assert(sizeof(Traffic) == kTrafficFields.size() * sizeof(uint64_t));

Traffic& Traffic::operator+=(const Traffic& other) {
  for (auto field : kTrafficFields) this->*field += other.*field;
  return *this;
}

}  // namespace tidepool::stats
