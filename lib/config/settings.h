// Every setting, its type, unit and default: the YAML file as a value. Immutable once loaded; swapped whole
// on reload. docs/settings.md says what each means; lib/config/settings_table.cc is the list that reads,
// checks and documents them.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/auth/auth_method.h"
#include "lib/auth/secret.h"
#include "lib/base/time.h"

namespace tidepool::config {

using namespace std::chrono_literals;

struct ListenSettings {
  // Exactly one of the two is not empty.
  std::string unix_directory;  // the socket is <directory>/.s.PGSQL.<port>
  std::string tcp_address;     // a numeric address or a name, "*" for all
  uint16_t port = 6432;
  auth::AuthMethod auth = auth::AuthMethod::ScramSha256;  // default: peer for unix, scram-sha-256 for tcp
  uint32_t mode = 0660;                                   // unix only, these three
  std::string owner;                                      // empty = leave it
  std::string group;
  base::Duration keepalive = 60s;  // tcp only: idle time before the first probe; 0 = off

  bool operator==(const ListenSettings&) const = default;
};

// How long a client holds a server.
enum class PoolMode : uint8_t { Session, Transaction, Statement };
constexpr const char* name_of(PoolMode mode) {
  switch (mode) {
    case PoolMode::Session:
      return "session";
    case PoolMode::Transaction:
      return "transaction";
    case PoolMode::Statement:
      return "statement";
  }
  return "";
}
// What happens in the other modes than Session if a client makes state that cannot travel to another server.
enum class OnSessionState : uint8_t { Pin, Error, Allow };
// Who answers the Parse of a text that its server has prepared already, in the other modes than Session.
enum class ParseKind : uint8_t { Server, Shared };
enum class ResetKind : uint8_t { DiscardAll, Rollback, None, Close, Sql };
enum class Orphans : uint8_t { Cancel, Finish };
enum class WhenDown : uint8_t { Wait, Fail };

struct PoolSettings {
  std::string name;
  std::string conninfo;
  std::string server_user;         // the user that the conninfo logs in as, as libpq resolves it
  std::vector<std::string> users;  // who may use it; never empty after loading (default: server_user)
  PoolMode mode = PoolMode::Session;
  std::map<std::string, PoolMode, std::less<>> user_modes;  // of users who have another one; ask mode_for
  uint32_t min_size = 4;
  uint32_t max_size = 4;                   // default: min_size
  uint32_t max_prepared_statements = 200;  // on each server; 0 = named ones are not shared
  ParseKind parse = ParseKind::Server;
  uint64_t statement_memory = uint64_t{256} << 20;        // bytes: of all clients' statements
  uint64_t client_statement_memory = uint64_t{16} << 20;  // bytes: of one client's
  OnSessionState on_session_state = OnSessionState::Pin;
  uint32_t max_pinned = 3;                 // default: max_size - 1, at least 1; 0 = nobody may be
  std::vector<std::string> pin_functions;  // in lower case, "lock_it" or "app.lock_it"
  base::Duration timeout = 30s;
  uint32_t max_waiting = 0;
  base::Duration max_lifetime = 1h;
  base::Duration max_idle = 10min;
  base::Duration reconnect_timeout = 5min;
  std::optional<base::Duration> check = base::Duration(30s);  // nothing = never, 0 = always
  std::string check_query;                                    // empty = an empty query
  base::Duration check_timeout = 5s;
  std::string configure;
  ResetKind reset = ResetKind::DiscardAll;
  std::string reset_sql;  // for ResetKind::Sql
  base::Duration reset_timeout = 5s;
  Orphans orphans = Orphans::Cancel;
  WhenDown when_down = WhenDown::Wait;
  base::Duration notice_after = 5s;
  uint32_t max_dials = 3;
  base::Duration client_idle{0};  // 0 = off, these four
  base::Duration idle_in_transaction{0};
  base::Duration transaction{0};
  base::Duration query{0};
  std::string server_application_name = "%a";
  std::optional<auth::AuthMethod> auth;  // replaces the listener's

  bool operator==(const PoolSettings&) const = default;
};

// max_pinned if it is left out: one server stays for everybody else.
constexpr uint32_t most_pinned_by_default(uint32_t max_size) {
  return max_size > 2 ? max_size - 1 : 1;
}

inline PoolMode mode_for(const PoolSettings& pool, std::string_view user) {
  const auto found = pool.user_modes.find(user);
  return found == pool.user_modes.end() ? pool.mode : found->second;
}

struct UserSettings {
  std::string name;
  auth::Secret secret;
  bool operator==(const UserSettings&) const = default;
};

struct ConsoleSettings {
  std::vector<std::string> users;  // may log in to the console by a password
  std::vector<std::string> peers;  // operating-system users who may, over a Unix socket, without one

  bool operator==(const ConsoleSettings&) const = default;
};

struct LimitSettings {
  uint32_t max_clients = 10000;
  uint32_t console_reserve = 5;  // clients that the console may have beyond max_clients
  uint32_t max_logins = 2000;    // peers that have not proved who they are, beside those
  base::Duration login_timeout = 60s;
  uint32_t max_dials = 8;
  base::Duration drain_timeout = 20s;

  bool operator==(const LimitSettings&) const = default;
};

enum class LogLevel : uint8_t { Trace, Debug, Info, Warning, Error };
enum class LogFormat : uint8_t { Text, Json };
struct LogSettings {
  LogLevel level = LogLevel::Info;
  LogFormat format = LogFormat::Text;
  std::string to = "stderr";  // stderr, journald, or the path of a file
  bool operator==(const LogSettings&) const = default;
};

struct Settings {
  std::string file;  // where it came from
  std::vector<ListenSettings> listen;
  uint32_t workers = 1;  // "auto" is resolved by the loader: the CPUs that this process may use
  bool workers_auto = true;
  std::map<std::string, UserSettings, std::less<>> users;
  std::map<std::string, std::vector<std::string>, std::less<>> peer_map;
  std::map<std::string, PoolSettings, std::less<>> pools;
  ConsoleSettings console;
  LimitSettings limits;
  LogSettings log;
  bool holds_secrets = false;  // a password stands in the file itself
};

// A row of the settings as text, for SHOW CONFIG: "pools.orders.max_size", "20", "4", changeable.
struct SettingRow {
  std::string key, value, fallback;
  bool changeable;
};
// Secrets are shown as "<hidden>".
std::vector<SettingRow> rows_of(const Settings& settings);

}  // namespace tidepool::config
