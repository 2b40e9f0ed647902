#include "lib/config/settings_table.h"

#include <algorithm>
#include <array>

#include "lib/config/conninfo_secrets.h"
#include "lib/config/setting_kinds.h"

namespace tidepool::config {
namespace {

using auth::AuthMethod;

constexpr uint32_t kMostServers = 262'143;  // PostgreSQL's own limit for max_connections
constexpr uint32_t kMostClients = 1'000'000;
constexpr uint32_t kMostDials = 256;  // each is a thread
constexpr uint32_t kMostPrepared = 100'000;
constexpr uint64_t kLeastMemory = uint64_t{64} << 10, kMostMemory = uint64_t{64} << 30;
constexpr uint32_t kMostWorkers = 1'024;
constexpr int64_t kLongestKeepalive = 32'767 * kSecond;  // Linux's

constexpr std::array<Word<PoolMode>, 3> kModes{{{name_of(PoolMode::Session), PoolMode::Session},
                                                {name_of(PoolMode::Transaction), PoolMode::Transaction},
                                                {name_of(PoolMode::Statement), PoolMode::Statement}}};
constexpr std::array<Word<ParseKind>, 2> kParse{
    {{"server", ParseKind::Server}, {"shared", ParseKind::Shared}}};
constexpr std::array<Word<OnSessionState>, 3> kOnSessionState{
    {{"pin", OnSessionState::Pin}, {"error", OnSessionState::Error}, {"allow", OnSessionState::Allow}}};
constexpr std::array<Word<Orphans>, 2> kOrphans{{{"cancel", Orphans::Cancel}, {"finish", Orphans::Finish}}};
constexpr std::array<Word<WhenDown>, 2> kWhenDown{{{"wait", WhenDown::Wait}, {"fail", WhenDown::Fail}}};
constexpr std::array<Word<LogFormat>, 2> kFormats{{{"text", LogFormat::Text}, {"json", LogFormat::Json}}};
constexpr std::array<Word<LogLevel>, 5> kLevels{{{"trace", LogLevel::Trace},
                                                 {"debug", LogLevel::Debug},
                                                 {"info", LogLevel::Info},
                                                 {"warning", LogLevel::Warning},
                                                 {"error", LogLevel::Error}}};
constexpr std::array<Word<ResetKind>, 4> kResets{{{"discard_all", ResetKind::DiscardAll},
                                                  {"rollback", ResetKind::Rollback},
                                                  {"none", ResetKind::None},
                                                  {"close", ResetKind::Close}}};

std::vector<std::string_view> auth_words() {
  std::vector<std::string_view> out;
  for (AuthMethod method : {AuthMethod::Trust, AuthMethod::Peer, AuthMethod::Password, AuthMethod::Md5,
                            AuthMethod::ScramSha256}) {
    out.push_back(auth::name_of(method));
  }
  return out;
}

// Kinds that occur once.

constexpr Kind<Settings> kWorkers{
    [](const Value& value, Settings& settings) -> Wrong {
      settings.workers_auto = value.text == "auto";
      if (settings.workers_auto) return std::nullopt;  // the loader counts
      Wrong wrong = read_number(value, 1, kMostWorkers, settings.workers);
      if (wrong) *wrong += ", or auto";
      return wrong;
    },
    [](const Settings& settings) {
      const std::string count = std::to_string(settings.workers);
      return settings.workers_auto ? "auto (" + count + ")" : count;
    },
    [] { return "auto, or a number from 1 to " + std::to_string(kMostWorkers); }};

constexpr Kind<ListenSettings> kUnixDirectory{
    [](const Value& value, ListenSettings& listen) -> Wrong {
      if (!value.text.starts_with('/')) {
        return value.shown + " is not an absolute path; write the folder of the socket, as in /run/tidepool";
      }
      listen.unix_directory = value.text;
      while (listen.unix_directory.size() > 1 && listen.unix_directory.back() == '/')
        listen.unix_directory.pop_back();
      return std::nullopt;
    },
    [](const ListenSettings& listen) { return listen.unix_directory; },
    [] { return std::string("the absolute path of a folder"); }};

constexpr Kind<ListenSettings> kTcpAddress{
    [](const Value& value, ListenSettings& listen) -> Wrong {
      if (value.text.empty()) return "is empty; write an address, a host name, or \"*\" for all addresses";
      if (value.text.find_first_of(" /,") != std::string::npos) {
        return value.shown +
               " is not one address; write an address, a host name, or \"*\" for all addresses, and its port "
               "as port:";
      }
      listen.tcp_address = value.text;
      return std::nullopt;
    },
    [](const ListenSettings& listen) { return listen.tcp_address; },
    [] { return std::string("an IPv4 or IPv6 address, a host name, or \"*\" for all"); }};

constexpr Kind<ListenSettings> kListenAuth{
    [](const Value& value, ListenSettings& listen) -> Wrong {
      const auto method = auth::auth_method_named(value.text);
      if (!method) return not_one_of(value, auth_words());
      listen.auth = *method;
      return std::nullopt;
    },
    [](const ListenSettings& listen) { return std::string(auth::name_of(listen.auth)); },
    [] { return one_of(auth_words()); }};

constexpr Kind<ListenSettings> kSocketMode{
    [](const Value& value, ListenSettings& listen) { return read_mode(value, listen.mode); },
    [](const ListenSettings& listen) { return print_mode(listen.mode); },
    [] { return std::string("octal digits, as for chmod"); }};

constexpr Kind<PoolSettings> kConninfo{
    [](const Value& value, PoolSettings& pool) -> Wrong {
      pool.conninfo = value.text;
      return std::nullopt;
    },
    [](const PoolSettings& pool) { return without_passwords(pool.conninfo); },
    [] { return std::string("libpq's \"key=value ...\", or a postgresql:// URI"); }};

constexpr Kind<PoolSettings> kCheck{
    [](const Value& value, PoolSettings& pool) -> Wrong {
      if (value.text == "never" || value.text == "always") {
        pool.check = value.text == "never" ? std::nullopt : std::optional(base::Duration(0));
        return std::nullopt;
      }
      base::Duration idle{};
      Wrong wrong =
          read_duration(value, {base::Duration(kMillisecond), base::Duration(kYear), Zero::Allowed}, idle);
      if (wrong) *wrong += " (or never, or always)";
      if (!wrong) pool.check = idle;
      return wrong;
    },
    [](const PoolSettings& pool) -> std::string {
      if (!pool.check) return "never";
      return pool.check->count() == 0 ? "always" : print_duration(*pool.check);
    },
    [] { return std::string("never, always, or a duration"); }};

constexpr Kind<PoolSettings> kReset{[](const Value& value, PoolSettings& pool) -> Wrong {
                                      for (const auto& [word, kind] : kResets) {
                                        if (word == value.text) {
                                          pool.reset = kind;
                                          return std::nullopt;
                                        }
                                      }
                                      // SQL has more than one word (or a semicolon): a single one is a
                                      // misspelt choice.
                                      if (value.text.find_first_of(" \t\n;(") == std::string::npos) {
                                        Wrong wrong = not_one_of(value, all_words<kResets>());
                                        *wrong += ", or SQL";
                                        return wrong;
                                      }
                                      pool.reset = ResetKind::Sql;
                                      pool.reset_sql = value.text;
                                      return std::nullopt;
                                    },
                                    [](const PoolSettings& pool) {
                                      for (const auto& [word, kind] : kResets) {
                                        if (pool.reset == kind) return std::string(word);
                                      }
                                      return pool.reset_sql;
                                    },
                                    [] {
                                      std::string out;
                                      for (std::string_view word : all_words<kResets>())
                                        out += std::string(word) + ", ";
                                      return out + "or SQL";
                                    }};

constexpr Kind<PoolSettings> kUserModes{
    nullptr,
    [](const PoolSettings& pool) {
      std::string out;
      for (const auto& [user, mode] : pool.user_modes) {
        out += (out.empty() ? "" : ", ") + user + ": " + name_of(mode);
      }
      return out;
    },
    [] { return std::string("a mode for each user, as in {report: session}"); }, Shape::Map,
    [](const std::string& user, const Value& value, PoolSettings& pool) -> Wrong {
      for (const auto& [word, mode] : kModes) {
        if (word != value.text) continue;
        pool.user_modes.emplace(user, mode);
        return std::nullopt;
      }
      return not_one_of(value, all_words<kModes>());
    }};

// Whether it could be "lock_it" or "app.lock_it".
bool is_function_name(std::string_view name) {
  const size_t dot = name.find('.');
  if (dot != std::string_view::npos) {
    const std::string_view function = name.substr(dot + 1);
    return is_function_name(name.substr(0, dot)) && function.find('.') == std::string_view::npos &&
           is_function_name(function);
  }
  const auto cannot_be = [](char c) {
    return static_cast<unsigned char>(c) <= 0x20 || c == 0x7f ||
           std::string_view("()[]'\"`,;").find(c) != std::string_view::npos;
  };
  return !name.empty() && std::none_of(name.begin(), name.end(), cannot_be);
}

constexpr Kind<PoolSettings> kPinFunctions{
    [](const Value& value, PoolSettings& pool) -> Wrong {
      if (value.text.empty()) return "a name is empty; write it, or remove it";
      if (!is_function_name(value.text)) {
        return value.shown +
               " is not the name of a function; write it as in lock_it or app.lock_it, without blanks, "
               "parentheses and quotes";
      }
      std::string name = value.text;
      for (char& c : name) {
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
      }
      auto& functions = pool.pin_functions;
      if (std::find(functions.begin(), functions.end(), name) != functions.end()) {
        return value.shown + " is named twice; remove one";
      }
      functions.push_back(std::move(name));
      return std::nullopt;
    },
    [](const PoolSettings& pool) { return listed(pool.pin_functions); },
    [] { return std::string("a list of functions, as in [lock_it, app.lock_it]"); }, Shape::List};

constexpr Kind<PoolSettings> kServerApplicationName{
    [](const Value& value, PoolSettings& pool) -> Wrong {
      for (size_t at = value.text.find('%'); at != std::string::npos; at = value.text.find('%', at + 2)) {
        if (at + 1 == value.text.size() ||
            std::string_view("apuc%").find(value.text[at + 1]) == std::string_view::npos) {
          return value.shown +
                 " has a % that means nothing here; write %a, %p, %u, %c, or %% for a percent sign";
        }
      }
      pool.server_application_name = value.text;
      return std::nullopt;
    },
    [](const PoolSettings& pool) { return pool.server_application_name; },
    [] { return std::string("text with %a, %p, %u, %c, %%"); }};

constexpr Kind<PoolSettings> kPoolAuth{
    [](const Value& value, PoolSettings& pool) -> Wrong {
      pool.auth = auth::auth_method_named(value.text);
      if (value.text.empty() || pool.auth) return std::nullopt;
      return not_one_of(value, auth_words());
    },
    [](const PoolSettings& pool) { return std::string(pool.auth ? auth::name_of(*pool.auth) : ""); },
    [] { return one_of(auth_words()) + "; empty: the listener's"; }};

constexpr Kind<LogSettings> kLogTo{
    [](const Value& value, LogSettings& log) -> Wrong {
      if (value.text != "stderr" && value.text != "journald" && !value.text.starts_with('/')) {
        Wrong wrong = not_one_of(value, {"stderr", "journald"});
        *wrong += ", or the absolute path of a file";
        return wrong;
      }
      log.to = value.text;
      return std::nullopt;
    },
    [](const LogSettings& log) { return log.to; },
    [] { return std::string("stderr, journald, or the absolute path of a file"); }};

// The rows.

const Setting<Settings> kTopSettings[] = {
    {"workers", kWorkers, "auto", Reload::No,
     "Threads that serve clients. auto is one for each CPU that the process may use.",
     [](const Settings&) { return std::string("auto"); }},
};

const Setting<ListenSettings> kListenSettings[] = {
    {"unix", kUnixDirectory, "", Reload::No,
     "The folder of a Unix socket; its file is .s.PGSQL.<port>, as PostgreSQL names it. An entry has either "
     "unix or tcp."},
    {"tcp", kTcpAddress, "", Reload::No,
     "The address to listen on over TCP. An entry has either unix or tcp."},
    {"port", number<&ListenSettings::port, 1, 65'535>(), "6432", Reload::No,
     "The TCP port, or the number at the end of the socket file's name."},
    {"auth", kListenAuth, "peer for unix, scram-sha-256 for tcp", Reload::No,
     "How clients of this listener prove who they are; a pool's auth replaces it. peer works on Unix sockets "
     "only.",
     [](const ListenSettings& listen) {
       return std::string(listen.unix_directory.empty() ? "scram-sha-256" : "peer");
     }},
    {"mode", kSocketMode, "0660", Reload::No,
     "Permissions of the socket file: who can write to it can connect. Unix sockets only."},
    {"owner", text<&ListenSettings::owner>(), "", Reload::No,
     "The user who is to own the socket file; empty leaves it to the user of the daemon. Unix sockets only."},
    {"group", text<&ListenSettings::group>(), "", Reload::No,
     "The group that is to own the socket file; empty leaves it to the group of the daemon. Unix sockets "
     "only."},
    {"keepalive", duration<&ListenSettings::keepalive, Zero::Allowed, kSecond, kLongestKeepalive>(), "60s",
     Reload::No,
     "How long a TCP client may be silent before the kernel probes whether it is still there; 0 turns that "
     "off. TCP only."},
};

const Setting<UserText> kUserSettings[] = {
    {"password", text<&UserText::password>(), "", Reload::Yes,
     "The user's password, plain or as PostgreSQL stores it (SCRAM-SHA-256$..., md5...). A user has either "
     "password or "
     "password_file."},
    {"password_file", text<&UserText::password_file>(), "", Reload::Yes,
     "A file whose first line is the password; a relative path starts at the folder of the settings file."},
};

const Setting<PeerNames> kPeerSettings[] = {
    {"*", names<&PeerNames::names>(), "", Reload::Yes,
     "For an operating-system user that logs in by peer: the names that it may use besides its own."},
};

const Setting<PoolSettings> kPoolSettings[] = {
    {"conninfo", kConninfo, "", Reload::Yes,
     "How to reach and log in to the server, in libpq's words. Required. A changed one replaces servers as "
     "they come back."},
    {"users", names<&PoolSettings::users>(), "the conninfo's user", Reload::Yes, "Who may use this pool.",
     [](const PoolSettings& pool) { return pool.server_user; }},
    {"mode", words<&PoolSettings::mode, kModes>(), "session", Reload::Yes,
     "How long a client holds a server: session is from its first query until it leaves; transaction until "
     "each transaction ends; statement until each statement ends, where BEGIN is refused."},
    {"user_modes", kUserModes, "", Reload::Yes, "Users of this pool who have another mode."},
    {"min_size", number<&PoolSettings::min_size, 0, kMostServers>(), "4", Reload::Yes,
     "Server connections that are kept open even if nobody needs them."},
    {"max_size", number<&PoolSettings::max_size, 1, kMostServers>(), "min_size", Reload::Yes,
     "The most server connections, exactly, over all workers. Left out: min_size, a pool of fixed size.",
     [](const PoolSettings& pool) { return std::to_string(pool.min_size); }},
    {"max_prepared_statements", number<&PoolSettings::max_prepared_statements, 0, kMostPrepared>(), "200",
     Reload::Yes,
     "How many named prepared statements a server keeps for all clients of transaction and statement mode. 0 "
     "shares none: a client that makes one keeps its server."},
    {"parse", words<&PoolSettings::parse, kParse>(), "server", Reload::Yes,
     "Who answers a client's Parse, in transaction and statement mode: server is PostgreSQL, always; shared "
     "is tidepoold, for a text that it has prepared there before: wrong after DDL and with temporary "
     "tables."},
    {"statement_memory", size<&PoolSettings::statement_memory, kLeastMemory, kMostMemory>(), "256MB",
     Reload::Yes,
     "How much the texts of all clients' prepared statements may take. What nobody uses is forgotten first; "
     "then who prepares one more gets an error."},
    {"client_statement_memory", size<&PoolSettings::client_statement_memory, kLeastMemory, kMostMemory>(),
     "16MB", Reload::Yes,
     "How much the names and texts of one client's prepared statements may take. A longer statement keeps "
     "its server; one more gets an error."},
    {"on_session_state", words<&PoolSettings::on_session_state, kOnSessionState>(), "pin", Reload::Yes,
     "What happens, in transaction and statement mode, to a statement that makes state which cannot travel "
     "(LISTEN, temporary tables, session locks): pin keeps the server with the client, error refuses it, "
     "allow loses the state."},
    {"max_pinned", number<&PoolSettings::max_pinned, 0, kMostServers>(), "max_size - 1, at least 1",
     Reload::Yes, "How many servers may be kept by clients in that way; one more is refused. 0 allows none.",
     [](const PoolSettings& pool) { return std::to_string(most_pinned_by_default(pool.max_size)); }},
    {"pin_functions", kPinFunctions, "", Reload::Yes,
     "Functions that make such state inside, where it cannot be noticed; their callers keep their server "
     "until they leave. Upper and lower case are the same."},
    {"timeout", duration<&PoolSettings::timeout, Zero::Refused>(), "30s", Reload::Yes,
     "How long a client waits for a server before it gets an error; it keeps its session."},
    {"max_waiting", number<&PoolSettings::max_waiting, 0, kMostClients>(), "0", Reload::Yes,
     "How many clients may wait for a server; one more gets an error at once. 0 is no limit."},
    {"max_lifetime", duration<&PoolSettings::max_lifetime, Zero::Allowed>(), "1h", Reload::Yes,
     "Age at which a server connection is replaced, minus a random part of up to 5 %. 0 is no limit."},
    {"max_idle", duration<&PoolSettings::max_idle, Zero::Allowed>(), "10min", Reload::Yes,
     "After each such time, connections that were not needed in all of it are closed, down to min_size. 0 "
     "never shrinks the pool."},
    {"reconnect_timeout", duration<&PoolSettings::reconnect_timeout, Zero::Allowed>(), "5min", Reload::Yes,
     "How long the server may be out of reach before the log and the statistics call it lost; probes go on."},
    {"check", kCheck, "30s", Reload::Yes,
     "When a server connection is tested before it is lent: never, always, or after resting so long."},
    {"check_query", text<&PoolSettings::check_query>(), "", Reload::Yes,
     "The SQL of that test. Empty is an empty query, which costs the server least."},
    {"check_timeout", duration<&PoolSettings::check_timeout, Zero::Refused>(), "5s", Reload::Yes,
     "How long that test may take before the connection counts as dead."},
    {"configure", text<&PoolSettings::configure>(), "", Reload::Yes,
     "SQL that is run once on each new connection. If it fails, or leaves a transaction open, the connection "
     "is not used."},
    {"reset", kReset, "discard_all", Reload::Yes,
     "What is run when a client gives a server back, beside ROLLBACK. Only discard_all and close promise "
     "that nothing leaks."},
    {"reset_timeout", duration<&PoolSettings::reset_timeout, Zero::Refused>(), "5s", Reload::Yes,
     "How long giving back may take (finishing, cancelling, rolling back, resetting) before the connection "
     "is closed."},
    {"orphans", words<&PoolSettings::orphans, kOrphans>(), "cancel", Reload::Yes,
     "What happens to the running query of a client that vanished: it is cancelled, or may finish."},
    {"when_down", words<&PoolSettings::when_down, kWhenDown>(), "wait", Reload::Yes,
     "What clients meet while the server is out of reach: they wait up to timeout, or fail at once."},
    {"notice_after", duration<&PoolSettings::notice_after, Zero::Allowed>(), "5s", Reload::Yes,
     "A client that has waited so long for a server is told so once, by a NOTICE. 0 is never."},
    {"max_dials", number<&PoolSettings::max_dials, 1, kMostDials>(), "3", Reload::Yes,
     "How many connections of this pool may be opening at the same time; psycopg_pool's num_workers."},
    {"client_idle", duration<&PoolSettings::client_idle, Zero::Allowed>(), "0", Reload::Yes,
     "How long a client may hold a server and do nothing, outside of a transaction, before it is "
     "disconnected. 0 is no limit."},
    {"idle_in_transaction", duration<&PoolSettings::idle_in_transaction, Zero::Allowed>(), "0", Reload::Yes,
     "How long a client may do nothing inside of a transaction before it is disconnected. 0 is no limit."},
    {"transaction", duration<&PoolSettings::transaction, Zero::Allowed>(), "0", Reload::Yes,
     "How long a transaction may be open, busy or not, before its client is disconnected. 0 is no limit."},
    {"query", duration<&PoolSettings::query, Zero::Allowed>(), "0", Reload::Yes,
     "How long one query may run before it is cancelled; if that does not end it, its client is "
     "disconnected. 0 is no limit."},
    {"server_application_name", kServerApplicationName, "%a", Reload::Yes,
     "The application_name that PostgreSQL sees: %a is the client's own, %p the pool, %u the user, %c the "
     "client's address "
     "or process id, %% a percent sign."},
    {"auth", kPoolAuth, "", Reload::Yes,
     "How clients of this pool prove who they are, in place of their listener's auth. Empty is the "
     "listener's."},
};

const Setting<ConsoleSettings> kConsoleSettings[] = {
    {"users", names<&ConsoleSettings::users>(), "", Reload::Yes,
     "Who may use the console (the database tidepool), having logged in as that user. Who may, may do "
     "everything there."},
    {"peers", names<&ConsoleSettings::peers>(), "", Reload::Yes,
     "Operating-system users who may use the console over a Unix socket without a password."},
};

const Setting<LimitSettings> kLimitSettings[] = {
    {"max_clients", number<&LimitSettings::max_clients, 1, kMostClients>(), "10000", Reload::Yes,
     "How many clients may be connected; one more is refused with 53300."},
    {"console_reserve", number<&LimitSettings::console_reserve, 0, 1000>(), "5", Reload::Yes,
     "How many clients of the console may come in beyond max_clients."},
    {"max_logins", number<&LimitSettings::max_logins, 1, kMostClients>(), "2000", Reload::Yes,
     "How many peers may be logging in at the same time, beside max_clients. When one more comes, the one "
     "that "
     "has been at it for longest gives way: it is refused with 53300."},
    {"login_timeout", duration<&LimitSettings::login_timeout, Zero::Refused>(), "60s", Reload::Yes,
     "How long a client may take to say who it is and to prove it."},
    {"max_dials", number<&LimitSettings::max_dials, 1, kMostDials>(), "8", Reload::Yes,
     "How many server connections may be opening at the same time, over all pools."},
    {"drain_timeout", duration<&LimitSettings::drain_timeout, Zero::Allowed>(), "20s", Reload::Yes,
     "How long sessions that hold a server, or wait for one, may go on after SIGTERM before they are ended. "
     "0 "
     "ends them at once."},
};

const Setting<LogSettings> kLogSettings[] = {
    {"level", words<&LogSettings::level, kLevels>(), "info", Reload::Yes,
     "The least serious messages that are logged."},
    {"format", words<&LogSettings::format, kFormats>(), "text", Reload::Yes,
     "Lines for people, or a JSON object per line."},
    {"to", kLogTo, "stderr", Reload::Yes, "Where the log goes."},
};

template <class Section>
void append_rows(const std::string& section, std::vector<SettingText>& out) {
  for (const Setting<Section>& row : settings_of<Section>()) {
    out.push_back({section, std::string(row.key), row.kind.allowed(), std::string(row.fallback), row.reload,
                   std::string(row.meaning)});
  }
}

}  // namespace

template <>
std::span<const Setting<Settings>> settings_of() {
  return kTopSettings;
}
template <>
std::span<const Setting<ListenSettings>> settings_of() {
  return kListenSettings;
}
template <>
std::span<const Setting<UserText>> settings_of() {
  return kUserSettings;
}
template <>
std::span<const Setting<PeerNames>> settings_of() {
  return kPeerSettings;
}
template <>
std::span<const Setting<PoolSettings>> settings_of() {
  return kPoolSettings;
}
template <>
std::span<const Setting<ConsoleSettings>> settings_of() {
  return kConsoleSettings;
}
template <>
std::span<const Setting<LimitSettings>> settings_of() {
  return kLimitSettings;
}
template <>
std::span<const Setting<LogSettings>> settings_of() {
  return kLogSettings;
}

bool is_for_unix_only(std::string_view key) {
  return key == "mode" || key == "owner" || key == "group";
}
bool is_for_tcp_only(std::string_view key) {
  return key == "keepalive";
}

std::vector<SettingText> all_settings() {
  std::vector<SettingText> out;
  append_rows<ListenSettings>("listen[]", out);
  append_rows<Settings>("", out);
  append_rows<UserText>("users.*", out);
  append_rows<PeerNames>("peer_map", out);
  append_rows<PoolSettings>("pools.*", out);
  append_rows<ConsoleSettings>("console", out);
  append_rows<LimitSettings>("limits", out);
  append_rows<LogSettings>("log", out);
  return out;
}

}  // namespace tidepool::config
