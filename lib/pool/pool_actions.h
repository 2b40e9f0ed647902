// What the ledger decides, as values. The shell carries them out, one short overload each.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "lib/base/result.h"
#include "lib/base/time.h"

namespace tidepool::pool {

using WorkerId = uint16_t;

// One wish of one client for a server. Chosen by the caller, never used twice.
enum class Ticket : uint64_t {};
// One server connection of this pool, from the success of its dial to its closing. Never used twice.
enum class ConnectionId : uint64_t {};
// One attempt to open a connection. Never used twice.
enum class DialId : uint64_t {};
// With which startup settings a server is dialed. A client is lent only a server of its own flavour: what the
// startup packet has set is what RESET goes back to, and nothing else can set that.
enum class Flavour : uint32_t {};
constexpr Flavour kNeutral{0};  // with none

// `connection` rests on `owner`. If `client_worker` is another one, `owner` hands the connection over to it
// first. From here on the connection is lent: exactly one give_back() or lose() follows. If the ticket's
// client is gone when this arrives, the connection is given back at once.
struct Grant {
  Ticket ticket;
  ConnectionId connection;
  WorkerId owner;
  WorkerId client_worker;
  base::Duration waited;
};

enum class RefuseReason : uint8_t {
  TimedOut,
  QueueFull,
  ServerDown,
  LoginRefused,
  SettingsRefused,
  PoolRemoved
};

// The ticket is over. `error` is what the client is to be told: 53300 with pool limit and wait in its words
// for TimedOut and QueueFull, the server's own words for LoginRefused, SettingsRefused and ServerDown.
struct Refuse {
  Ticket ticket;
  WorkerId client_worker;
  RefuseReason reason;
  base::Error error;
};

// The ticket waits and has waited for notice_after: say so, once.
struct Notice {
  Ticket ticket;
  WorkerId client_worker;
  base::Duration waited;
};

// Open a connection; it is to live on `worker`. Exactly one dial_succeeded() or dial_failed() follows.
// `ticket`: the client whose wish caused it, if one did (its application_name is a good one to log in with).
struct Dial {
  DialId dial;
  WorkerId worker;
  std::optional<Ticket> ticket;
  Flavour flavour;
};

// Ask the resting connection on `owner` whether it lives. Exactly one check_passed() or lose() follows.
struct Check {
  ConnectionId connection;
  WorkerId owner;
};

enum class CloseReason : uint8_t {
  MaxLifetime,
  MaxIdle,
  CheckFailed,
  Lost,
  Shrunk,
  Replaced,
  Outgrown,
  GaveWay,
  OtherRole,
  PoolRemoved,
  Draining,
  Bad
};

// Close the connection on `owner`; closed() follows when PostgreSQL hung up (or the time for that is over).
struct Close {
  ConnectionId connection;
  WorkerId owner;
  CloseReason reason;
};

// Why a dial failed, as far as it changes what the pool does next.
enum class DialFailure : uint8_t {
  Unreachable,  // refused, timed out, no route, name not found, 57P03 starting up: backoff, probes, when_down
  LoginRefused,     // 28xxx, 3D000: told to waiting clients at once; no fast probes
  TooMany,          // 53300: wait and back off, without calling the server down if the pool has connections
  SettingsRefused,  // the server is well, and does not take these startup settings: told to those who want
                    // them, and nobody else's affair
};

// The server could not be reached for reconnect_timeout (gave_up), or is reached again.
struct Health {
  enum class Event : uint8_t { WentDown, GaveUp, CameBack } event;
  base::Error error;
};

using PoolAction = std::variant<Grant, Refuse, Notice, Dial, Check, Close, Health>;
using PoolActions = std::vector<PoolAction>;

const char* name_of(RefuseReason reason);  // for logs: "timed out", ...
const char* name_of(CloseReason reason);

}  // namespace tidepool::pool
