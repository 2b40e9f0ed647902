// Whether the server can be logged in to, as far as the last dials tell: when to dial again, and what clients
// are told meanwhile. Knows no pool: the ledger tells how dials ended and asks when the next may go out.
//
// "Failing" begins with a failed dial and ends with one that succeeds. While it lasts dials are probes, one
// at a time:
//   nobody waits    1 s ±10 %, twice as long after each failure, up to 30 s ±10 % (login refused: from 5 s)
//   clients wait    500 ms after the last probe went out (login refused: 5 s)
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
  std::optional<Health::Event> dial_succeeded();
  // What failed was another server, or is worth a new try: the next dials are as free as the first ones were.
  // Still down until one succeeds.
  void start_over() { failing_ = false; }

  // When it will have been down for `patience`. max(): not down, or told already.
  base::TimePoint gives_up_at(base::Duration patience) const;
  void give_up() { gave_up_ = true; }

 private:
  Jitter jitter_;
  bool failing_ = false;
  bool gave_up_ = false;
  std::optional<base::TimePoint> down_since_;
  DialFailure kind_ = DialFailure::Unreachable;
  base::Error error_;
  int failures_ = 0;  // one after another, those that failed together counted once
  base::TimePoint last_failed_, last_started_;
  base::TimePoint retry_at_;
};

}  // namespace tidepool::pool
