// The administration console: psql to the database "tidepool" (alias "pgbouncer"). Bytes of the simple and the extended protocol go in;
// replies and at most one effect at a time come out. SHOW tables have PgBouncer's column names, order and types.
// docs/console.md. Knows no sockets; whoever logs in to it may do everything.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <variant>

#include "lib/base/bytes.h"
#include "lib/base/result.h"
#include "lib/stats/snapshot.h"

namespace tidepool::admin {

// What the shell is to do before the console goes on; its answer is given to one of the resume functions.
struct NeedMore {};                               // bytes from the client
struct NeedSnapshot {};                           // -> resume(snapshot)
struct DoReload {};                               // -> resume(status)
struct DoReconnect { std::string pool; };         // empty: all of them -> resume(status)
struct DoShutdown { bool drain; };                // -> resume(status); the daemon ends after the reply is sent
struct CloseConsole {};                           // Terminate, or a broken protocol (the reply says why)
using ConsoleStep = std::variant<NeedMore, NeedSnapshot, DoReload, DoReconnect, DoShutdown, CloseConsole>;

class Console {
 public:
  Console();
  ~Console();
  Console(const Console&) = delete;
  Console& operator=(const Console&) = delete;

  // What follows AuthenticationOk: ParameterStatus messages as psql and drivers expect them, then (the shell adds BackendKeyData)
  // ReadyForQuery is the shell's too.
  static void append_parameters(std::string& out, const std::string& version, const std::string& application_name);

  // Bytes from the client are kept (bounded; a longer message is refused) until they are answered, in order.
  ConsoleStep receive(base::Bytes bytes, std::string& out);
  ConsoleStep resume(const stats::Snapshot& snapshot, std::string& out);
  ConsoleStep resume(const base::Status& done, std::string& out);

 private:
  struct Machine;
  std::unique_ptr<Machine> machine_;
};

}  // namespace tidepool::admin
