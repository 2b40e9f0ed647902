// The ledger's random test: many small histories of events, each from a seed of its own, every promise
// checked after every event. TIDEPOOL_SEED=n replays one history and prints it; TIDEPOOL_HISTORIES=n runs so
// many.
#include <doctest/doctest.h>

#include <cstdlib>

#include "tests/unit/pool/simulated_shell.h"

namespace tidepool::pool {

TEST_CASE("whatever happens, the ledger keeps its promises") {
  const char* seed = std::getenv("TIDEPOOL_SEED");
  const char* histories = std::getenv("TIDEPOOL_HISTORIES");
  const uint64_t first = seed != nullptr ? std::strtoull(seed, nullptr, 10) : 1;
  const uint64_t count = seed != nullptr        ? 1
                         : histories != nullptr ? std::strtoull(histories, nullptr, 10)
                                                : 60;
  for (uint64_t history = first; history < first + count; ++history) {
    SimulatedShell shell(history, seed != nullptr);
    for (int event = 0; event < 1500; ++event) shell.step();
    if (history % 2 == 0) shell.recover();
    shell.end();
  }
}

}  // namespace tidepool::pool
