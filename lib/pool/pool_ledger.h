// Decides which client gets which server connection, who waits, who is refused, when the pool grows and shrinks.
// It is the book-keeping of psycopg_pool (psycopg_pool/pool.py), with the weaknesses removed that docs/pool.md names.
// Knows no sockets, threads and clock: every call says what happened and when, and appends to `out` what is to be done
// about it. A checkout that is granted at once allocates nothing. Not thread-safe; SharedPool guards it.
//
// A connection is:  dialing -> resting <-> lent -> closing -> gone
//                                 ^ v
//                               checking
// `max_size` limits all of them together, closing ones too: they count until PostgreSQL hung up.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "lib/pool/pool_actions.h"
#include "lib/pool/pool_limits.h"
#include "lib/pool/pool_stats.h"

namespace tidepool::pool {

// Why a dial failed, as far as it changes what the pool does next.
enum class DialFailure : uint8_t {
  Unreachable,    // refused, timed out, no route, name not found, 57P03 starting up: backoff, probes, when_down
  LoginRefused,   // 28xxx, 3D000: told to waiting clients at once; no fast probes
  TooMany,        // 53300: wait and back off, without calling the server down if the pool has connections
};

class PoolLedger {
 public:
  // `name` is for the words of errors only. `seed` feeds the jitter.
  PoolLedger(std::string name, PoolLimits limits, uint64_t seed, base::TimePoint now);
  ~PoolLedger();
  PoolLedger(const PoolLedger&) = delete;
  PoolLedger& operator=(const PoolLedger&) = delete;

  // A client on `worker` wants a server. Exactly one Grant or Refuse for `ticket` follows, now or from a later call,
  // unless it is withdrawn. If the first action appended is a Grant, it is this one's.
  void checkout(Ticket ticket, WorkerId worker, base::TimePoint now, PoolActions& out);
  // The same for a client whose granted server turned out dead or unclean before anything of the client's ran: it goes to
  // the head of the queue, and its time limit counts from `since`, when it first asked.
  void checkout_again(Ticket ticket, WorkerId worker, base::TimePoint since, base::TimePoint now, PoolActions& out);
  // The client does not want any more. True: it was waiting and is forgotten. False: its Grant or Refuse is on its way.
  bool withdraw(Ticket ticket, base::TimePoint now, PoolActions& out);

  // A lent connection is clean and idle again. It may be granted to the next waiter, rest, or be closed (lifetime, size).
  // `used` is false if no client had anything sent on it (that leaves its resting time and `usage_ms` alone).
  void give_back(ConnectionId connection, bool used, base::TimePoint now, PoolActions& out);
  // The connection is dead, or in doubt, or its check failed, and is being closed by its owner already: no Close follows.
  // `in_use`: a client had it (returns_bad), else it was lost at rest or in its check (connections_lost).
  // A connection that the ledger gave up itself (it said Close) may be reported too: that is ignored.
  void lose(ConnectionId connection, CloseReason reason, base::TimePoint now, PoolActions& out);
  // PostgreSQL hung up, or the descriptor is gone: the connection does not count any more.
  void closed(ConnectionId connection, base::TimePoint now, PoolActions& out);
  void check_passed(ConnectionId connection, base::TimePoint now, PoolActions& out);

  // The connection is open and lives on the Dial's worker. `took`: for connections_ms. Returns the connection's id, and
  // in `out` its first Grant, or a Close (pool shrunk meanwhile).
  ConnectionId dial_succeeded(DialId dial, base::Duration took, base::TimePoint now, PoolActions& out);
  void dial_failed(DialId dial, DialFailure failure, const base::Error& error, base::TimePoint now, PoolActions& out);

  // Call tick() no later than this. Nothing: no need.
  std::optional<base::TimePoint> next_deadline() const;
  void tick(base::TimePoint now, PoolActions& out);

  // Reload. Sizes are kept by closing resting connections now and lent ones when they come back.
  void set_limits(const PoolLimits& limits, base::TimePoint now, PoolActions& out);
  const PoolLimits& limits() const;
  // RECONNECT and a changed conninfo: resting connections are closed and replaced, lent ones when they come back; dials in
  // flight are thrown away when they succeed.
  void replace_all(base::TimePoint now, PoolActions& out);
  // The pool is gone from the settings, or the daemon stops: waiters are refused (PoolRemoved, 57P01), resting ones closed,
  // lent ones when they come back; no dials any more. checkout() is refused from here on.
  void remove(base::TimePoint now, PoolActions& out);
  bool is_empty() const;  // nothing dialing, resting, lent or closing

  // If when_down says fail and the server is known to be down, or refuses the login: what a login is to be told.
  std::optional<base::Error> why_down() const;
  PoolStats stats(base::TimePoint now) const;

 private:
  struct Book;
  std::unique_ptr<Book> book_;
};

}  // namespace tidepool::pool
