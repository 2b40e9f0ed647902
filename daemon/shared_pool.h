// One pool, shared by all workers: one short mutex around the pure PoolLedger and what is known about the
// server. Decisions that concern other sessions are told to their workers after the mutex is let go; nothing
// else happens under it. Any thread.
#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "daemon/switchboard.h"
#include "lib/config/settings.h"
#include "lib/pool/giving_way.h"
#include "lib/pool/pool_ledger.h"
#include "lib/session/greeting_book.h"
#include "lib/session/statement_book.h"

namespace tidepool::daemon {

class SharedPool : public std::enable_shared_from_this<SharedPool> {
 public:
  // `switchboard` outlives this.
  SharedPool(std::shared_ptr<const config::PoolSettings> settings, Switchboard& switchboard,
             base::TimePoint now);

  // What a client of `worker` wants. A server of its own worker may be granted at once; else the answer comes
  // as CarryOut, TakeServer or ServerWasDead. `application_name`: what its server should be logged in with,
  // if one has to be dialed.
  std::optional<pool::ConnectionId> checkout(pool::Ticket ticket, pool::WorkerId worker,
                                             const session::StartupFlavour& flavour,
                                             const std::string& application_name, base::TimePoint now);
  void checkout_again(pool::Ticket ticket, pool::WorkerId worker, const session::StartupFlavour& flavour,
                      base::TimePoint since, base::TimePoint now);
  bool withdraw(pool::Ticket ticket, base::TimePoint now);
  void give_back(pool::ConnectionId connection, bool used, bool outgrown, base::TimePoint now);
  void lose(pool::ConnectionId connection, pool::CloseReason reason, base::TimePoint now,
            const base::Error* fault = nullptr);
  void answered(pool::ConnectionId connection, base::TimePoint now);
  void closed(pool::ConnectionId connection, base::TimePoint now);
  void check_passed(pool::ConnectionId connection, base::TimePoint now);
  bool begin_cleaning(pool::ConnectionId connection, base::TimePoint now);
  pool::ConnectionId dial_succeeded(pool::DialId dial, const session::FlavourPtr& flavour,
                                    const session::ParameterMap& parameters, base::Duration took,
                                    base::TimePoint now);
  void dial_failed(pool::DialId dial, const session::FlavourPtr& flavour, const DialFailed& failure,
                   base::TimePoint now);

  // Housekeeping, by the main thread. Returns when it wants to be called next, at the latest.
  std::optional<base::TimePoint> tick(base::TimePoint now);

  // Reload: servers are replaced if they would be dialed otherwise now.
  void change(std::shared_ptr<const config::PoolSettings> settings, base::TimePoint now);
  void replace_all(base::TimePoint now);
  void remove(base::TimePoint now);
  void drain(base::TimePoint now);
  bool is_empty() const;

  // With which settings a client's servers are dialed, and what it is greeted with; null if no server with
  // them has been dialed yet.
  std::pair<session::FlavourPtr, session::GreetingPtr> greeting_for(const session::StartupSettings& settings);
  // The same for a client that has such a server, which reports this by itself.
  session::GreetingPtr greeting_of(const session::FlavourPtr& flavour, const session::ParameterMap& reported);
  // Of a server that rests: its parameters changed by themselves.
  struct Reported {
    std::string name, before, now;
  };
  void reported(const std::vector<Reported>& changes);
  // What all sessions share of prepared statements. Null: they take too much memory.
  session::TextPtr statement_text(std::string_view text, std::string_view types, const sql::Options& options);
  session::StatementPtr share_statement(const session::PreparedStatement& statement);
  // Sessions that keep a server beyond their transactions: each has a place, of which there are max_pinned.
  // pin() says whether there was one.
  bool pin();
  void unpin();
  // The same for one that waits until there is: to_worker::HasPlace follows, in order of arrival, unless
  // forget_place() comes first. True: it has one already.
  bool await_place(SessionId session);
  void forget_place(SessionId session);
  uint32_t pinned() const { return pinned_.load(std::memory_order_relaxed); }
  // What a login of `worker` is to be told instead of a greeting, if anything. Its asking sends a probe if
  // one is due.
  std::optional<base::Error> why_down(pool::WorkerId worker, base::TimePoint now);
  pool::PoolStats stats(base::TimePoint now) const;
  std::shared_ptr<const config::PoolSettings> settings() const;
  const std::string& name() const { return name_; }

 private:
  class Turn;  // lock, decide, unlock, tell
  void tell(pool::PoolActions& actions);
  void tell(pool::PoolAction& action);
  void dial(const pool::Dial& dial);
  void change_places(uint32_t places);
  // Takes from the queue who has a place now. Under places_mutex_.
  std::vector<SessionId> give_places();
  void tell_places(const std::vector<SessionId>& sessions);

  const std::string name_;
  Switchboard& switchboard_;
  mutable std::mutex mutex_;
  // Guarded by mutex_.
  std::shared_ptr<const config::PoolSettings> settings_;
  bool names_servers_;  // logs them in with the application_name that was asked for last
  pool::PoolLedger ledger_;
  pool::GivingWay giving_way_;
  session::GreetingBook greetings_;
  bool is_asked_for_ = false;                    // a client was greeted since the last tick
  std::optional<std::string> application_name_;  // the one asked for last
  std::optional<base::TimePoint> wanted_tick_;
  std::mutex places_mutex_;
  std::atomic<uint32_t> pinned_ = 0;  // written under places_mutex_
  uint32_t places_;                   // guarded by it, as what follows
  std::deque<SessionId> want_a_place_;
  std::mutex statements_mutex_;
  session::StatementBook statements_;  // guarded by statements_mutex_
};

// The ledger's part of the settings.
pool::PoolLimits limits_of(const config::PoolSettings& settings);

}  // namespace tidepool::daemon
