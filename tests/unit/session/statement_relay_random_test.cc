// Thousands of random conversations of several clients with fewer servers through StatementRelay, each beside
// a server that the client has for itself: it is told the same, to the byte.
#include <doctest/doctest.h>

#include <random>

#include "tests/unit/session/pool_of_models.h"

namespace tidepool::session {
namespace {

struct Seeded {
  size_t below(size_t limit) { return std::uniform_int_distribution<size_t>(0, limit - 1)(random); }
  std::mt19937 random;
};

void run(uint32_t first_seed, int conversations, size_t clients, size_t servers) {
  for (uint32_t seed = first_seed; seed < first_seed + static_cast<uint32_t>(conversations); ++seed) {
    Seeded chooser{std::mt19937(seed)};
    PoolOfModels<Seeded> pool(chooser, clients, servers);
    const std::string error = pool.run(150);
    CAPTURE(seed);
    CAPTURE(pool.transcript);
    REQUIRE(error == "");
  }
}

TEST_CASE("a client that moves between servers is told what it would be told on one of its own") {
  run(1, 3000, 1, 3);
}
TEST_CASE("clients that share servers are told what each would be told on one of its own") {
  run(1, 4000, 3, 2);
}

}  // namespace
}  // namespace tidepool::session
