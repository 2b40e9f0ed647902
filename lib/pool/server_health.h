// Whether the server can be logged in to, as far as the last dials tell: when to dial again, and what clients
// are told meanwhile. Knows no pool: the ledger tells how dials ended and asks when the next may go out.
//
// "Failing" begins with a failed dial and ends with one that succeeds. While it lasts dials are probes, one
// at a time:
//   nobody waits    1 s ±10 %, twice as long after each failure, up to 30 s ±10 % (login refused: from 5 s)
//   clients wait    500 ms after the last probe went out (login refused: 5 s)
// A server that logs in and is lost before it has answered any client, soon afterwards, is as good as none. One
// may have met with an accident; from the second in a row on, each counts as a failed dial, and a dial that
// succeeds ends "failing" only when its server has answered a client, or has lived for a while.
// "Down" is what logs, statistics and when_down go by: failing, unless the server only had too many
// connections while this pool has some.
#pragma once

#include <optional>

#include "lib/base/result.h"
#include "lib/base/time.h"
#include "lib/pool/jitter.h"
#include "lib/pool/pool_actions.h"

namespace tidepool::pool {

class ServerHealth {
 public:
  explicit ServerHealth(uint64_t seed) : jitter_(seed) {}

  bool is_failing() const { return failing_; }
  bool is_down() const { return down_since_.has_value(); }
  bool refuses_login() const { return failing_ && kind_ == DialFailure::LoginRefused; }
  // Of the last failed dial. Only while failing.
  const base::Error& error() const { return error_; }

  // While failing: when the next dial may go out. max() while one is out and nobody waits.
  base::TimePoint probe_at(bool clients_wait) const;
  void dial_started(base::TimePoint now);
  // Both return what is to be told, if anything changed. `began`: when that dial went out. Dials that fail
  // together count as one failure.
  std::optional<Health::Event> dial_failed(DialFailure kind, const base::Error& error, base::TimePoint began,
                                           bool has_connections, base::TimePoint now);
  std::optional<Health::Event> dial_succeeded(base::TimePoint now);
  // A server that was logged in to at `opened` is lost by its own doing and has answered nobody.
  std::optional<Health::Event> lost_untried(const base::Error& error, base::TimePoint opened,
                                            bool has_connections, base::TimePoint now);
  // A server has answered its first client.
  std::optional<Health::Event> is_of_use();
  // A server that is logged in to while others were lost has proved itself then. Else max().
  base::TimePoint trial_ends_at() const { return trial_ends_at_; }
  // What failed was another server, or is worth a new try: the next dials are as free as the first ones were.
  // Still down until one succeeds.
  void start_over() {
    failing_ = false;
    lost_in_a_row_ = 0;
    trial_ends_at_ = base::TimePoint::max();
  }

  // When it will have been down for `patience`. max(): not down, or told already.
  base::TimePoint gives_up_at(base::Duration patience) const;
  void give_up() { gave_up_ = true; }

 private:
  std::optional<Health::Event> is_well();

  Jitter jitter_;
  bool failing_ = false;
  bool gave_up_ = false;
  std::optional<base::TimePoint> down_since_;
  DialFailure kind_ = DialFailure::Unreachable;
  base::Error error_;
  int failures_ = 0;  // one after another, those that failed together counted once
  base::TimePoint last_failed_, last_started_;
  base::TimePoint retry_at_;
  int lost_in_a_row_ = 0;       // untried
  bool fails_by_loss_ = false;  // and not by a login
  base::TimePoint last_lost_;
  base::TimePoint trial_ends_at_ = base::TimePoint::max();
};

}  // namespace tidepool::pool
