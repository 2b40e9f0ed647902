// What happens for every unit of work allocates nothing: counted by an operator new of this program's own.
#include <doctest/doctest.h>

#include "lib/pool/pool_ledger.h"
#include "tests/unit/counted_allocations.h"

namespace tidepool::pool {

namespace {

struct Bench {
  explicit Bench(uint32_t servers) {
    PoolLimits limits;
    limits.min_size = limits.max_size = limits.max_dials = servers;
    ledger.set_limits(limits, now, out);
    ledger.tick(now, out);
    const PoolActions dials = std::exchange(out, {});
    for (const PoolAction& action : dials) {
      if (const Dial* dial = std::get_if<Dial>(&action)) ledger.dial_succeeded(dial->dial, 1ms, now, out);
    }
    out.reserve(16);
    out.clear();
  }

  ConnectionId granted() {
    REQUIRE(out.size() == 1);
    const ConnectionId connection = std::get<Grant>(out.front()).connection;
    out.clear();
    return connection;
  }

  base::TimePoint now;
  PoolLedger ledger{"orders", {}, 1, now, 4};
  PoolActions out;
};

}  // namespace

TEST_CASE("a checkout that is granted at once, and its giving back, allocate nothing") {
  Bench bench(8);
  long counted = -1;
  for (uint64_t round = 0; round < 3; ++round) {
    const long before = allocations;
    for (uint64_t i = 0; i < 10000; ++i) {
      bench.now += 10us;
      bench.ledger.checkout(Ticket{round * 10000 + i}, static_cast<WorkerId>(i % 4), kNeutral, bench.now,
                            bench.out);
      const ConnectionId connection = bench.granted();
      bench.now += 10us;
      bench.ledger.give_back(connection, true, false, bench.now, bench.out);
      static_cast<void>(bench.ledger.next_deadline());
    }
    counted = allocations - before;
  }
  CHECK(counted == 0);
}

TEST_CASE("waiting and being served allocate nothing once the queue has been as long before") {
  Bench bench(1);
  bench.ledger.checkout(Ticket{1}, 0, kNeutral, bench.now, bench.out);
  ConnectionId connection = bench.granted();
  long counted = -1;
  uint64_t ticket = 2;
  for (int round = 0; round < 3; ++round) {
    const long before = allocations;
    for (int waiters = 0; waiters < 1000; ++waiters) {
      bench.ledger.checkout(Ticket{ticket}, static_cast<WorkerId>(ticket % 4), kNeutral,
                            bench.now, bench.out);
      ++ticket;
    }
    for (int waiters = 0; waiters < 1000; ++waiters) {
      bench.now += 10us;
      bench.ledger.give_back(connection, true, false, bench.now, bench.out);
      connection = bench.granted();
    }
    counted = allocations - before;
  }
  CHECK(counted == 0);
}

}  // namespace tidepool::pool
