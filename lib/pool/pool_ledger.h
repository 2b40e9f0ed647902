// Decides which client gets which server connection, who waits, who is refused, when the pool grows and
// shrinks. It is the book-keeping of psycopg_pool (psycopg_pool/pool.py), with the weaknesses removed that
// docs/pool.md names. Knows no sockets, threads and clock: every call says what happened and when, and
// appends to `out` what is to be done about it. A checkout that is granted at once allocates nothing. Not
// thread-safe; SharedPool guards it.
//
// A connection is:  dialing -> resting <-> lent -> closing -> gone
//                                 ^ v
//                               checking
// `max_size` limits all of them together, closing ones too: they count until PostgreSQL hung up.
//
// Servers are of flavours (pool_actions.h), and a client waits for one of its own. If the pool is full, a
// server of another flavour gives way: one that rests, at once; one that comes back, when those who wait for
// it have had their turn (gives_way()). So the flavours come to be as many as are asked for.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "lib/pool/idle_windows.h"
#include "lib/pool/jitter.h"
#include "lib/pool/lanes.h"
#include "lib/pool/pool_actions.h"
#include "lib/pool/pool_limits.h"
#include "lib/pool/pool_stats.h"
#include "lib/pool/server_health.h"
#include "lib/pool/server_table.h"
#include "lib/pool/waiting_queue.h"

namespace tidepool::pool {

class PoolLedger {
 public:
  // `name` is for the words of errors only. `seed` feeds the jitter. `workers`: how many there are, so that
  // servers dialed for nobody in particular are spread over them. min_size is dialed by the first call, at
  // the latest by the first tick(), which next_deadline() asks for at once.
  PoolLedger(std::string name, const PoolLimits& limits, uint64_t seed, base::TimePoint now,
             WorkerId workers = 1);
  PoolLedger(const PoolLedger&) = delete;
  PoolLedger& operator=(const PoolLedger&) = delete;

  // A client on `worker` wants a server, and has one of those that rest there; no Grant follows. Nothing:
  // nobody was lent anything, and checkout() decides.
  std::optional<ConnectionId> lend_at_once(WorkerId worker, Flavour flavour, base::TimePoint now);
  // A client on `worker` wants a server. Exactly one Grant or Refuse for `ticket` follows, now or from a
  // later call, unless it is withdrawn. If the first action appended is a Grant, it is this one's.
  void checkout(Ticket ticket, WorkerId worker, Flavour flavour, base::TimePoint now, PoolActions& out);
  // The same for a client whose granted server turned out dead or unclean before anything of the client's
  // ran: it goes to the head of the queue, and its time limit counts from `since`, when it first asked.
  void checkout_again(Ticket ticket, WorkerId worker, Flavour flavour, base::TimePoint since,
                      base::TimePoint now, PoolActions& out);
  // The client does not want any more. True: it was waiting and is forgotten. False: its Grant or Refuse is
  // on its way.
  bool withdraw(Ticket ticket, base::TimePoint now, PoolActions& out);

  // A lent connection is clean and idle again. It may be granted to the next waiter, rest, or be closed
  // (lifetime, size). `used` is false if no client had anything sent on it (that leaves its resting time and
  // `usage_ms` alone). `outgrown`: it was dialed otherwise than its clients want it, and bringing it to their
  // wishes has cost as much as another login by now. It is closed, and replaced as far as it is needed, if no
  // other server is on its way in or out: so the pool stays almost whole.
  void give_back(ConnectionId connection, bool used, bool outgrown, base::TimePoint now, PoolActions& out);
  // The connection is dead, or in doubt, or its check failed, and is being closed by its owner already: no
  // Close follows. If it was lent, or is Bad, it counts in returns_bad; if it rested or was being checked, in
  // connections_lost. A connection that the ledger gave up itself (it said Close) may be reported too: that
  // is ignored.
  // `fault`: it was the server's own doing; if that was soon after its login, and no client was ever answered
  // there, it is as if its login had failed.
  void lose(ConnectionId connection, CloseReason reason, base::TimePoint now, PoolActions& out,
            const base::Error* fault = nullptr);
  // It has answered a client, for the first time.
  void answered(ConnectionId connection, base::TimePoint now, PoolActions& out);
  // PostgreSQL hung up, or the descriptor is gone: the connection does not count any more.
  void closed(ConnectionId connection, base::TimePoint now, PoolActions& out);
  void check_passed(ConnectionId connection, base::TimePoint now, PoolActions& out);
  // Its owner wants to clean a resting connection. True: it is not lent meanwhile, who comes counts on it as
  // on one that is being checked, and check_passed() or lose() follows. False: it does not rest any more.
  bool begin_cleaning(ConnectionId connection, base::TimePoint now);

  // The connection is open and lives on the Dial's worker. `took`: for connections_ms. Returns the
  // connection's id, and in `out` its first Grant, or a Close (pool shrunk meanwhile).
  ConnectionId dial_succeeded(DialId dial, base::Duration took, base::TimePoint now, PoolActions& out);
  void dial_failed(DialId dial, DialFailure failure, const base::Error& error, base::TimePoint now,
                   PoolActions& out);

  // Call tick() no later than this. Nothing: no need.
  std::optional<base::TimePoint> next_deadline() const;
  // Asks the server that has rested for longest, whatever `check` says: what it is may be another by now.
  void look_at_one(base::TimePoint now, PoolActions& out);
  void tick(base::TimePoint now, PoolActions& out);

  // Reload. Sizes are kept by closing resting connections now and lent ones when they come back.
  void set_limits(const PoolLimits& limits, base::TimePoint now, PoolActions& out);
  const PoolLimits& limits() const { return limits_; }
  // RECONNECT and a changed conninfo: resting connections are closed and replaced, lent ones when they come
  // back; dials in flight are thrown away when they succeed.
  void replace_all(base::TimePoint now, PoolActions& out);
  // The pool is gone from the settings, or the daemon stops: waiters are refused (PoolRemoved, 57P01),
  // resting ones closed, lent ones when they come back; no dials any more. checkout() is refused from here
  // on.
  void remove(base::TimePoint now, PoolActions& out);
  // The daemon is to end when its clients are done: who waits or comes is served as before, but no server
  // rests any more. What nobody needs is closed, now and when it comes back.
  void drain(base::TimePoint now, PoolActions& out);
  bool is_empty() const { return servers_.size() == 0; }  // nothing dialing, resting, lent or closing

  // If when_down says fail and the server is known to be down, or refuses the login: what a login is to be
  // told.
  std::optional<base::Error> why_down() const;
  // A login was told why_down(): it asked for the server as much as a checkout does, so a probe goes out if
  // one is due.
  void turned_away(WorkerId worker, base::TimePoint now, PoolActions& out);
  PoolStats stats(base::TimePoint now) const;
  int64_t gave_way() const { return counted_.gave_way; }

 private:
  // What every event ends with: waiters get what there is, demand is dialed for, who waits in vain is told
  // so.
  void settle(base::TimePoint now, PoolActions& out);

  // pool_ledger.cc: servers come and go.
  void serve_waiters(base::TimePoint now, PoolActions& out);
  void refuse_hopeless(base::TimePoint now, PoolActions& out);
  base::Error down_error() const;
  void offer(Place at, bool just_proven, base::TimePoint now, PoolActions& out);
  void grant(Place at, Ticket ticket, WorkerId worker, base::Duration waited, base::TimePoint now,
             PoolActions& out);
  void grant(Place at, const Waiter& waiter, base::TimePoint now, PoolActions& out);
  void refuse(const Waiter& waiter, RefuseReason reason, base::Error error, base::TimePoint now,
              PoolActions& out);
  void check(Place at, bool covers, base::TimePoint now, PoolActions& out);
  void close(Place at, CloseReason reason, base::TimePoint now, PoolActions& out);
  bool count_lost(Place at, CloseReason reason, base::TimePoint now);
  void cast_doubt(base::TimePoint then, base::TimePoint now, PoolActions& out);
  void tell(std::optional<Health::Event> event, PoolActions& out);
  void settings_refused(Flavour flavour, const base::Error& error, base::TimePoint now, PoolActions& out);
  bool needs_check(const Server& server, base::TimePoint now) const;
  Place ready_for(WorkerId worker, Lane lane, base::TimePoint now) const;
  Place ready_on(WorkerId worker, Lane lane, base::TimePoint now) const;
  Place resting_for(WorkerId worker, Lane lane) const;
  template <class PlaceOn>
  Place newest(Lane lane, PlaceOn&& place_on) const;
  Lane lane_of(Flavour flavour);
  bool refuses_all() const;

  // pool_sizing.cc: how many there should be.
  void grow(bool clients_wait, base::TimePoint now, PoolActions& out);
  void dial(base::TimePoint now, PoolActions& out);
  void doom_all(CloseReason reason, base::TimePoint now, PoolActions& out);
  void set_expiry(Place at);
  void close_expired(base::TimePoint now, PoolActions& out);
  void close_surplus(base::TimePoint now, PoolActions& out);
  void close_excess(base::TimePoint now, PoolActions& out);
  void close_all_resting(base::TimePoint now, PoolActions& out);
  void give_up_if_due(base::TimePoint now, PoolActions& out);
  uint32_t dials_wanted() const;
  uint32_t useful_dials() const { return servers_.count(ServerState::Dialing) - servers_.doomed_dials(); }
  uint32_t unprovided(Lane lane) const;
  uint32_t unprovided() const;
  uint32_t missing() const;
  bool has_room() const;
  bool may_replace_one() const;
  bool wants_growth() const;
  bool wants_probe() const;
  uint32_t idle() const;

  // pool_flavours.cc: which flavours they should have.
  void make_room(base::TimePoint now, PoolActions& out);
  bool gives_way(Lane lane, base::TimePoint now);
  uint32_t places_wanted() const;
  Waiter* first_without_place(Lane unless_of);
  bool has_waited_long_enough(const Waiter& waiter, Lane lane, base::TimePoint now) const;
  bool is_more_crowded(Lane wants, Lane has) const;

  const std::string name_;
  PoolLimits limits_;
  const base::TimePoint began_;
  Jitter jitter_;
  bool removed_ = false;
  bool draining_ = false;

  ServerTable servers_;
  WaitingQueue waiting_;
  ServerHealth health_;
  IdleWindows idle_windows_;
  base::TimePoint next_expiry_ = base::TimePoint::max();  // no server expires before
  Lanes lanes_;
  Flavour wanted_ = kNeutral;  // asked for last: for servers that nobody in particular waits for
  WorkerId workers_;
  WorkerId next_worker_ = 0;  // of a server dialed for nobody in particular

  PoolStats counted_;  // the counters of it; times here:
  base::Duration usage_{0}, requests_wait_{0}, connecting_{0};
};

}  // namespace tidepool::pool
