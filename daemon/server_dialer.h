// Opens connections to PostgreSQL with libpq, on threads of its own, as many as dials may be in flight (a
// login costs milliseconds of CPU and may block in name resolution, Kerberos or a service file). The one file
// that calls libpq, with server_login.cc and conninfo.cc. A dial is: PQconnectStart/PQconnectPoll,
// connect_timeout kept here for each host, the cancel key and every ParameterStatus heard by a LoginTap; one
// Sync by hand, whose ReadyForQuery proves that the stream starts at a message; `configure`, which must leave
// it idle; non-blocking from then on.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>

#include "lib/base/result.h"
#include "lib/base/time.h"
#include "lib/pool/pool_ledger.h"
#include "lib/session/parameter_map.h"
#include "lib/session/startup_settings.h"

struct pg_conn;
struct ssl_st;

namespace tidepool::daemon {

struct DialOrder {
  std::string conninfo;
  // To log in with, also if it is empty. Nothing: the conninfo's own, or none.
  std::optional<std::string> application_name = {};
  session::StartupSettings settings = {};  // of clients, for the startup packet
  std::string configure = {};              // SQL, or empty
  base::Duration configure_timeout{5000000};
};

// A server that is logged in, idle, non-blocking, with nothing unread. Closes the connection (PQfinish,
// without blocking) when destroyed; whoever watches the descriptor stops watching first.
class OpenServer {
 public:
  explicit OpenServer(pg_conn* connection);
  ~OpenServer();
  OpenServer(const OpenServer&) = delete;
  OpenServer& operator=(const OpenServer&) = delete;

  int fd() const { return fd_; }
  ssl_st* tls() const { return tls_; }  // null: plain; takes partial writes
  int process_id = 0;
  std::string cancel_key;            // the secret part of BackendKeyData as it came, 4 bytes or more
  session::ParameterMap parameters;  // as reported at login (after `configure`)
  // Where a cancel goes: the peer's own address, as getpeername() gives it (for a Unix socket: the path that
  // was connected to).
  std::string peer_address;        // the bytes of a sockaddr
  std::string session_attributes;  // what it was to be: target_session_attrs
  std::string dialed_name;         // the application_name asked for; PostgreSQL may report another
  // For SHOW SERVERS.
  std::string host, user, database;
  std::string tls_version;  // "TLSv1.3/TLS_AES_256_GCM_SHA384"; empty: plain
  int port = 0;
  int server_version = 0;  // 150004

 private:
  pg_conn* connection_;
  int fd_;
  ssl_st* tls_;
};

struct DialFailed {
  pool::DialFailure kind;
  base::Error error;  // the server's own words where it said some
};
using DialResult = std::variant<std::unique_ptr<OpenServer>, DialFailed>;
// Called on the dialer's thread.
using DialDone = std::function<void(DialResult result, base::Duration took)>;

class ServerDialer {
 public:
  explicit ServerDialer(unsigned threads);
  // Dials in flight are given up within a fraction of a second; DialDone is not called any more.
  ~ServerDialer();
  ServerDialer(const ServerDialer&) = delete;
  ServerDialer& operator=(const ServerDialer&) = delete;

  // Any thread. Orders are served in order; one that waits for a free thread is not in flight yet.
  void dial(DialOrder order, DialDone done);
  // Reload changed limits.max_dials.
  void set_threads(unsigned threads);

 private:
  struct Shop;
  std::shared_ptr<Shop> shop_;
};

// Removes from the environment what libpq would read as settings (PGHOST, PGOPTIONS, ...): nothing of the
// daemon's own environment leaks into a server's login. The places of files stay (PGSERVICEFILE,
// PGSYSCONFDIR). Call before any thread starts.
void forget_libpq_environment();

// What libpq makes of a conninfo or URI without connecting. Errors in libpq's words.
struct ConninfoSummary {
  std::string user, host, database;
  std::string port;
  std::string application_name;  // empty: none given
  bool shuffles_hosts = false;   // load_balance_hosts=random
};
base::Result<ConninfoSummary> summarize_conninfo(const std::string& conninfo);

}  // namespace tidepool::daemon
