// Who can be reached from any thread: the workers' inboxes, the main loop's, and the dialer. Knows none of
// them itself.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>

#include "daemon/server_dialer.h"
#include "lib/base/result.h"
#include "lib/config/loader.h"
#include "lib/pool/pool_actions.h"
#include "lib/session/greeting_book.h"
#include "lib/stats/snapshot.h"

namespace tidepool::daemon {

class SharedPool;
class ServerConnection;
struct World;
class Gathering;

// One session on one worker, even after its slot went to another: sessions are never numbered twice in a
// slot.
struct SessionId {
  pool::WorkerId worker = 0;
  uint32_t slot = 0;
  uint32_t generation = 0;
  bool operator==(const SessionId&) const = default;
};

// What a worker is told.
namespace to_worker {
struct CarryOut {  // a decision of the ledger that concerns this worker
  std::shared_ptr<SharedPool> pool;
  pool::PoolAction action;
};
struct Granted {  // the one that happens for every transaction that had to wait
  std::shared_ptr<SharedPool> pool;
  pool::Grant grant;
};
struct TakeServer {  // another worker's server comes over, for the client of the grant
  std::shared_ptr<SharedPool> pool;
  std::unique_ptr<ServerConnection> server;
  pool::Grant grant;
};
struct ServerWasDead {  // the granted server turned out dead at its owner: ask again
  std::shared_ptr<SharedPool> pool;
  pool::Ticket ticket;
};
struct HasPlace {  // among those who keep a server of the pool's; it has waited for that
  std::shared_ptr<SharedPool> pool;
  SessionId session;
};
struct DialFinished {
  std::shared_ptr<SharedPool> pool;
  pool::DialId dial;
  session::FlavourPtr flavour;
  DialResult result;
  base::Duration took;
};
struct CancelWanted {  // the canceller's connection is held until CancelFinished
  SessionId canceller;
  uint32_t process_id;
  std::string secret;
  std::string from;  // where it comes from, for those who guess
};
struct CancelFinished {
  SessionId canceller;
  bool matched;
  std::string from;
};
struct NewWorld {  // after a reload
  std::shared_ptr<const World> world;
};
struct Collect {
  std::shared_ptr<Gathering> into;
};
struct Collected {
  SessionId console;
  std::shared_ptr<const stats::Snapshot> snapshot;
};
struct EffectDone {  // what a console asked of the main thread
  SessionId console;
  base::Status status;
};
struct MakeWay {};  // too many peers log in, and this worker has the one that has been at it for longest
struct PeerNamed {  // a user of the operating system
  uint32_t uid;
  std::string name;
};
struct PasswordChecked {
  SessionId session;
  bool is_right;
};
struct Beat {  // count this up: the loop turns
  std::atomic<uint64_t>* beats;
};
struct Drain {};  // no new clients; those that hold no server and wait for none are told 57P01, now and later
struct Stop {     // no new clients; the old ones are told 57P01. Told again, the shorter time holds
  base::Duration at_most;
};
}  // namespace to_worker

using WorkerMessage =
    std::variant<to_worker::CarryOut, to_worker::Granted, to_worker::TakeServer, to_worker::ServerWasDead,
                 to_worker::HasPlace, to_worker::DialFinished, to_worker::CancelWanted,
                 to_worker::CancelFinished, to_worker::NewWorld, to_worker::Collect, to_worker::Collected,
                 to_worker::EffectDone, to_worker::MakeWay, to_worker::PeerNamed, to_worker::PasswordChecked,
                 to_worker::Beat, to_worker::Drain, to_worker::Stop>;

// What the main thread is told.
namespace to_main {
struct Reload {
  SessionId console;
};
struct SettingsRead {
  std::shared_ptr<const config::Loaded> loaded;
};
struct Reconnect {
  SessionId console;
  std::string pool;
};
struct Shutdown {
  bool drain;
};
struct PoolNeedsTick {};  // a ledger has a deadline that is nearer than the idle tick
struct WorkerDrained {};  // nobody is left there who has something to finish, and nobody will come
struct WorkerStopped {
  pool::WorkerId worker;
};
struct Gathered {  // a snapshot that lacks its averages yet
  std::optional<SessionId> console;
  std::shared_ptr<stats::Snapshot> snapshot;
};
}  // namespace to_main

using MainMessage =
    std::variant<to_main::Reload, to_main::SettingsRead, to_main::Reconnect, to_main::Shutdown,
                 to_main::PoolNeedsTick, to_main::WorkerDrained, to_main::WorkerStopped, to_main::Gathered>;

class Switchboard {
 public:
  virtual ~Switchboard() = default;
  // Any thread. A message to the thread's own worker is handled later in the same turn of its loop.
  virtual void tell_worker(pool::WorkerId worker, WorkerMessage message) = 0;
  virtual void tell_main(MainMessage message) = 0;
  virtual ServerDialer& dialer() = 0;
  virtual unsigned worker_count() const = 0;
};

}  // namespace tidepool::daemon
