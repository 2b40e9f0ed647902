// The process ids of sessions, and which slot a new one gets.
#include "lib/session/process_ids.h"

#include <doctest/doctest.h>

#include <set>

namespace tidepool::session {
namespace {

TEST_CASE("a process id is positive and names worker, slot and generation") {
  for (const uint32_t workers : {1u, 2u, 3u, 8u, 64u, ProcessIds::kMostWorkers}) {
    const ProcessIds ids(workers);
    CHECK(ids.generations() >= 4);
    for (const uint32_t worker : {0u, workers - 1})
      for (const uint32_t slot : {0u, 1u, 4711u, ProcessIds::kMostSlots - 1})
        for (const uint32_t generation : {0u, 1u, ids.generations() - 1}) {
          const ProcessIds::Place place{worker, slot, generation};
          const uint32_t id = ids.of(place);
          CHECK(id >= 1);
          CHECK(id <= 0x7fffffffu);
          CHECK(ids.place_of(id) == place);
        }
    // Numbers that were never given are somewhere, and are nobody's.
    for (const uint32_t id : {0u, 0x80000000u, 0xffffffffu}) {
      const auto place = ids.place_of(id);
      CHECK(place.worker < workers);
      CHECK(place.slot < ProcessIds::kMostSlots);
      CHECK(ids.of(place) != id);
    }
  }
}

TEST_CASE("the id of a session that has ended does not come back for a million sessions") {
  const ProcessIds ids(2);
  FreeSlots slots;
  std::vector<uint32_t> generations;
  std::set<uint32_t> seen;
  const auto begin_one = [&] {
    const uint32_t slot = slots.take();
    if (slot == generations.size()) generations.push_back(0);
    REQUIRE(slot < generations.size());
    REQUIRE(seen.insert(ids.of({1, slot, ++generations[slot]})).second);
    return slot;
  };
  const uint32_t stays = begin_one();
  for (int session = 0; session < 1'000'000; ++session) {
    const uint32_t slot = begin_one();
    REQUIRE(slot != stays);
    slots.give_back(slot);
  }
  CHECK(generations.size() <= FreeSlots::kRested + 2);
}

TEST_CASE("slots come back in the order in which they became free, and run out") {
  FreeSlots slots;
  for (uint32_t slot = 0; slot < ProcessIds::kMostSlots; ++slot) REQUIRE(slots.take() == slot);
  CHECK(slots.take() == FreeSlots::kNone);
  for (const uint32_t slot : {7u, 3u, 5u}) slots.give_back(slot);
  for (const uint32_t slot : {7u, 3u, 5u}) CHECK(slots.take() == slot);
  CHECK(slots.take() == FreeSlots::kNone);
  slots.give_back(9);
  CHECK(slots.take() == 9);
}

}  // namespace
}  // namespace tidepool::session
