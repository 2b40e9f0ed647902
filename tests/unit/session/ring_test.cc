#include "lib/session/ring.h"

#include <doctest/doctest.h>

#include <deque>
#include <memory>
#include <random>

namespace tidepool::session {
namespace {

struct Thing {
  std::unique_ptr<int> value;
  void reset() { value.reset(); }
};

TEST_CASE("a ring is a queue, however it has grown") {
  std::mt19937 random(7);
  Ring<Thing> ring;
  std::deque<int> same;
  CHECK(ring.is_empty());
  int next = 0;
  for (int step = 0; step < 20000; ++step) {
    // Longer and longer, then shorter.
    const bool pushes = random() % 10 < (step < 10000 ? 6u : 4u);
    if (pushes) {
      Thing& fresh = ring.push();
      REQUIRE(fresh.value == nullptr);  // whatever stood there is reset
      fresh.value = std::make_unique<int>(next);
      same.push_back(next++);
    } else if (!ring.is_empty()) {
      REQUIRE(*ring.front().value == same.front());
      ring.pop();
      same.pop_front();
    }
    REQUIRE(ring.size() == same.size());
    if (!same.empty()) {
      const size_t at = random() % same.size();
      REQUIRE(*ring[at].value == same[at]);
    }
  }
}

}  // namespace
}  // namespace tidepool::session
