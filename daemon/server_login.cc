#include "daemon/server_login.h"

#include <libpq-fe.h>
#include <netdb.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <random>
#include <utility>
#include <vector>

#include "daemon/conninfo.h"
#include "daemon/login_error.h"
#include "daemon/login_tap.h"
#include "daemon/server_stream.h"
#include "lib/base/ascii.h"
#include "lib/session/startup_settings.h"
#include "lib/wire/message_writer.h"

namespace tidepool::daemon {
namespace {

using base::Error;
using pool::DialFailure;
using std::chrono::steady_clock;

struct FinishConnection {
  void operator()(PGconn* connection) const { PQfinish(connection); }
};
using Connection = std::unique_ptr<PGconn, FinishConnection>;

constexpr const char* kNoConnection = "08001";
constexpr std::chrono::seconds kCancelTime(2);
// PostgreSQL reads 10,000 bytes of a startup packet; the rest is for the conninfo's.
constexpr size_t kLongestSettings = 9000;

// Why one address gave no server, and what that means for those that are left.
struct Refusal {
  Error error;        // its own words, or libpq's
  std::string words;  // libpq's, which name the address
  DialFailure kind = DialFailure::Unreachable;
  bool is_final = false;  // the server's word counts for all hosts
  bool was_in = false;    // logged in, but not what target_session_attrs asks for
};
using Attempt = std::variant<std::unique_ptr<OpenServer>, Refusal>;

class Login {
 public:
  Login(const DialOrder& order, const DialPlan& plan, bool sets_idle_timeout, int stop_fd)
      : order_(order), plan_(plan), sets_idle_timeout_(sets_idle_timeout), stop_fd_(stop_fd) {}

  DialResult run();
  // A server has said itself why it let nobody in.
  bool was_told_why() const { return !refusals_.empty() && refusals_.back().is_final; }

 private:
  struct Host {
    DialTarget target;
    bool was_in = false;
  };

  std::unique_ptr<OpenServer> try_hosts(std::vector<Host>& hosts, const std::string& session_attrs);
  std::unique_ptr<OpenServer> try_host(Host& host, const std::string& session_attrs);
  std::vector<std::string> addresses_of(const DialTarget& target);
  Attempt try_address(const DialTarget& target, const std::string& session_attrs);
  const std::string& application_name() const {
    return order_.application_name ? *order_.application_name : plan_.summary.application_name;
  }
  bool is_of_settings(const Refusal& refusal) const;
  Connection start(const DialTarget& target, const std::string& session_attrs) const;
  std::optional<Refusal> poll_connection(PGconn* connection, LoginTap& tap, Deadline deadline);
  base::Result<Wait> wait(PGconn* connection, PostgresPollingStatusType wanted, LoginTap& tap,
                          Deadline deadline) const;
  std::optional<Refusal> prove_idle(OpenServer& server, base::Bytes unread, Deadline deadline);
  std::optional<Refusal> configure(OpenServer& server);
  DialFailed failure() const;
  // PostgreSQL applies what stands in the packet itself after `options`.
  bool has_own_encoding() const {
    const auto& entries = order_.settings.entries;
    return std::any_of(entries.begin(), entries.end(),
                       [](const auto& entry) { return base::same_letters(entry.first, "client_encoding"); });
  }
  bool is_over() const { return stopped_ || (!refusals_.empty() && refusals_.back().is_final); }

  const DialOrder& order_;
  const DialPlan& plan_;
  const bool sets_idle_timeout_;
  const int stop_fd_;
  bool stopped_ = false;
  std::vector<Refusal> refusals_;
};

template <class T>
void shuffle(std::vector<T>& list) {
  std::shuffle(list.begin(), list.end(), std::minstd_rand(std::random_device()()));
}

DialResult Login::run() {
  // PostgreSQL would hang up, and look like a server that is gone.
  if (session::as_options(order_.settings).size() > kLongestSettings)
    return DialFailed{DialFailure::SettingsRefused,
                      {"54000", "startup settings are too long to be passed on to PostgreSQL"}};
  std::vector<Host> hosts;
  for (const auto& target : plan_.targets) hosts.push_back({target});
  if (plan_.summary.shuffles_hosts) shuffle(hosts);

  const bool prefers_standby = plan_.target_session_attrs == "prefer-standby";
  if (auto server = try_hosts(hosts, prefers_standby ? "standby" : plan_.target_session_attrs)) return server;
  if (prefers_standby && !is_over()) {
    std::erase_if(hosts, [](const Host& host) { return !host.was_in; });
    if (auto server = try_hosts(hosts, "any")) return server;
  }
  return failure();
}

std::unique_ptr<OpenServer> Login::try_hosts(std::vector<Host>& hosts, const std::string& session_attrs) {
  for (auto& host : hosts) {
    if (auto server = try_host(host, session_attrs)) return server;
    if (is_over()) break;
  }
  return nullptr;
}

std::unique_ptr<OpenServer> Login::try_host(Host& host, const std::string& session_attrs) {
  for (const auto& address : addresses_of(host.target)) {
    auto attempt = try_address({host.target.host, address, host.target.port}, session_attrs);
    if (auto* server = std::get_if<std::unique_ptr<OpenServer>>(&attempt)) return std::move(*server);
    refusals_.push_back(std::move(std::get<Refusal>(attempt)));
    host.was_in = refusals_.back().was_in;
    if (is_over() || host.was_in) break;
  }
  return nullptr;
}

// libpq would do the same, but then one address that does not answer would use up the time of all. Empty:
// libpq knows where.
std::vector<std::string> Login::addresses_of(const DialTarget& target) {
  const bool is_socket = target.host.empty() || target.host.front() == '/' || target.host.front() == '@';
  if (!target.hostaddr.empty() || is_socket) return {target.hostaddr};

  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int result = getaddrinfo(target.host.c_str(), nullptr, &hints, &found);
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> list(result == 0 ? found : nullptr, &freeaddrinfo);
  std::vector<std::string> addresses;
  for (const addrinfo* entry = list.get(); entry; entry = entry->ai_next) {
    std::array<char, NI_MAXHOST> text;
    if (getnameinfo(entry->ai_addr, entry->ai_addrlen, text.data(), text.size(), nullptr, 0,
                    NI_NUMERICHOST) == 0) {
      addresses.emplace_back(text.data());
    }
  }
  if (addresses.empty()) {
    const std::string words = "could not translate host name \"" + target.host +
                              "\" to address: " + gai_strerror(result == 0 ? EAI_NONAME : result);
    refusals_.push_back({.error = {kNoConnection, words}, .words = words});
  }
  if (plan_.summary.shuffles_hosts) shuffle(addresses);
  return addresses;
}

// libpq's words without the places in PostgreSQL's source, which PQERRORS_VERBOSE brings along.
std::string text_of(const PGconn* connection) {
  std::string words = PQerrorMessage(connection);
  for (size_t at; (at = words.find("\nLOCATION:  ")) != std::string::npos;) {
    words.erase(at, std::min(words.find('\n', at + 1), words.size()) - at);
  }
  while (words.ends_with('\n')) words.pop_back();
  return words;
}

// What libpq (or the server, through it) says about a login that failed.
Refusal refusal_by(const PGconn* connection, bool was_in) {
  Refusal refusal{
      .error = read_login_error(PQerrorMessage(connection)), .words = text_of(connection), .was_in = was_in};
  auto& sqlstate = refusal.error.sqlstate;
  // The server asks for a password, and we have none.
  if (sqlstate.empty() && PQconnectionNeedsPassword(connection)) sqlstate = "28P01";
  refusal.kind = classify_login_error(sqlstate);
  // As in libpq: a server that cannot take anybody now (57P03) leaves the word to the next.
  refusal.is_final = !sqlstate.empty() && !sqlstate.starts_with("57P");
  if (sqlstate.empty()) sqlstate = kNoConnection;
  return refusal;
}

Refusal refusal_by_error(const Error& error) {
  return {.error = error, .words = error.message};
}

// libpq's, as soon as it talks TLS.
ssl_st* tls_of(PGconn* connection) {
  return PQsslInUse(connection) != 0 ? static_cast<ssl_st*>(PQsslStruct(connection, "OpenSSL")) : nullptr;
}

// libpq has asked for TLS, or to be let in: the answers come next. Before that it looks at who its peer is
// (requirepeer), which must be the server.
bool hears_next(const PGconn* connection) {
  const auto status = PQstatus(connection);
  return status == CONNECTION_SSL_STARTUP || status == CONNECTION_AWAITING_RESPONSE;
}

Attempt Login::try_address(const DialTarget& target, const std::string& session_attrs) {
  const auto deadline = steady_clock::now() + plan_.time_limit;
  LoginTap tap(stop_fd_);  // outlives the connection: passes its goodbye on
  Connection connection = start(target, session_attrs);
  if (!connection) return refusal_by_error({"53200", "out of memory"});
  PQsetNoticeReceiver(
      connection.get(), [](void*, const PGresult*) {}, nullptr);  // else they go to stderr
  PQsetErrorVerbosity(connection.get(), PQERRORS_VERBOSE);        // shows the SQLSTATE

  if (auto refusal = poll_connection(connection.get(), tap, deadline)) {
    if (is_of_settings(*refusal)) refusal->kind = DialFailure::SettingsRefused;
    refusal->was_in = tap.stream().was_in();
    return std::move(*refusal);
  }
  if (auto away = tap.take_away(tls_of(connection.get())); !away) return refusal_by_error(away.error());
  const session::LoginStream& login = tap.stream();
  if (!login.last_error().message.empty()) return refusal_by_error(login.last_error());

  auto server = std::make_unique<OpenServer>(connection.get());
  static_cast<void>(connection.release());
  server->dialed_name = application_name();
  server->session_attributes = session_attrs;
  server->parameters = login.parameters();
  if (login.key()) {
    server->process_id = login.key()->process_id;
    server->cancel_key = login.key()->secret;
  }

  if (auto refusal = prove_idle(*server, login.unfinished(), deadline)) return std::move(*refusal);
  if (auto refusal = configure(*server)) return std::move(*refusal);
  return server;
}

// The server's word, and not about the server, the login or the moment: then about the client's settings.
bool Login::is_of_settings(const Refusal& refusal) const {
  if (order_.settings.entries.empty() || !refusal.is_final) return false;
  const std::string_view sqlstate = refusal.error.sqlstate;
  if (sqlstate == "08P01") return true;  // of a server that takes no `options`, or not so many
  for (std::string_view of_others : {"08", "28", "3D", "53", "55000", "57", "58", "XX"})
    if (sqlstate.starts_with(of_others)) return false;
  return true;
}

Connection Login::start(const DialTarget& target, const std::string& session_attrs) const {
  std::vector<const char*> keys, values;
  const auto give = [&](const char* key, const std::string& value) {  // which outlives the call
    keys.push_back(key);
    values.push_back(value.c_str());
  };
  for (const auto& [key, value] : plan_.options)
    if (key != "client_encoding" || !has_own_encoding()) give(key.c_str(), value);
  give("host", target.host);
  give("hostaddr", target.hostaddr);
  give("port", target.port);
  give("target_session_attrs", session_attrs);
  give("application_name", application_name());
  std::string server_options = plan_.server_options;
  // In front: the conninfo's own word is the last.
  if (sets_idle_timeout_) server_options.insert(0, "-c idle_session_timeout=0 ");
  // Behind: a client's own settings win over both.
  server_options.append(server_options.empty() ? "" : " ").append(session::as_options(order_.settings));
  give("options", server_options);
  keys.push_back(nullptr);
  values.push_back(nullptr);
  return Connection(PQconnectStartParams(keys.data(), values.data(), 0));
}

std::optional<Refusal> Login::poll_connection(PGconn* connection, LoginTap& tap, Deadline deadline) {
  auto wanted = PQstatus(connection) == CONNECTION_BAD ? PGRES_POLLING_FAILED : PGRES_POLLING_WRITING;
  const auto refused = [connection](const Error& error) {  // by libpq's address
    return refusal_by_error({error.sqlstate, text_of(connection) + error.message});
  };
  while (wanted != PGRES_POLLING_OK) {
    if (wanted == PGRES_POLLING_FAILED) return refusal_by(connection, false);
    const auto waited = wait(connection, wanted, tap, deadline);
    if (!waited) return refused(waited.error());
    switch (*waited) {
      case Wait::Ready:
        break;
      case Wait::Stopped:
        stopped_ = true;
        return refusal_by_error({"57P01", "the dialer stops"});
      case Wait::TimedOut:
        return refused({kNoConnection, "timeout expired"});
    }
    wanted = PQconnectPoll(connection);
    if (tap.is_in_place()) {
      tap.pass_on();
    } else if (hears_next(connection)) {
      if (auto put = tap.put_under(PQsocket(connection)); !put) return refused(put.error());
    }
  }
  return {};
}

// Until libpq may go on: it can write, or what the server says next was read and handed to it.
base::Result<Wait> Login::wait(PGconn* connection, PostgresPollingStatusType wanted, LoginTap& tap,
                               Deadline deadline) const {
  // Or it waits for somebody else (OAuth).
  if (!tap.is_in_place() || PQsocket(connection) != tap.libpq_fd()) {
    const short events = wanted == PGRES_POLLING_READING ? POLLIN : POLLOUT;
    return wait_for(PQsocket(connection), events, deadline, stop_fd_);
  }
  ssl_st* tls = tls_of(connection);
  if (wanted != PGRES_POLLING_READING || tap.has_more_for_libpq(tls))
    return steady_clock::now() < deadline ? Wait::Ready : Wait::TimedOut;
  auto expects = LoginTap::Expects::Messages;
  if (tls != nullptr)
    expects = LoginTap::Expects::Records;
  else if (PQstatus(connection) == CONNECTION_SSL_STARTUP)
    expects = LoginTap::Expects::OneByte;
  return tap.feed(expects, tls, deadline);
}

// A Sync by hand: an answer of well-framed messages that ends in "idle". `unread`: the beginning of a message
// that came right behind the login.
std::optional<Refusal> Login::prove_idle(OpenServer& server, base::Bytes unread, Deadline deadline) {
  std::string sync;
  wire::append_sync(sync);
  auto answer =
      ServerStream(server.fd(), server.tls(), stop_fd_).ask(sync, deadline, server.parameters, unread);
  if (!answer) return refusal_by_error(answer.error());
  if (!answer->error.message.empty()) return refusal_by_error(answer->error);
  if (!answer->only_ready || answer->status != 'I')
    return refusal_by_error({"08P01", "the server is not idle after its login"});
  return {};
}

// An error of the SQL itself stays until somebody changes it: clients are told, as of a refused login. The
// server's own troubles pass.
std::optional<Refusal> Login::configure(OpenServer& server) {
  if (order_.configure.empty()) return {};
  std::string query;
  wire::append_query(query, order_.configure);
  const auto deadline = steady_clock::now() + order_.configure_timeout;
  auto answer = ServerStream(server.fd(), server.tls(), stop_fd_).ask(query, deadline, server.parameters);

  Refusal refusal;
  if (!answer) {
    refusal.error = answer.error();
    // What hangs would run on behind a closed connection, and PostgreSQL would have more of them than
    // max_size with each new try.
    std::string request;
    wire::append_cancel_request(request, static_cast<uint32_t>(server.process_id), server.cancel_key);
    ServerStream::cancel(server.peer_address, request, steady_clock::now() + kCancelTime, stop_fd_);
  } else if (!answer->error.message.empty()) {
    refusal.error = answer->error;
  } else if (answer->status != 'I') {
    refusal.error = {"25001", "it left a transaction open"};
  } else {
    return {};
  }
  const std::string& sqlstate = refusal.error.sqlstate;
  const bool will_pass = sqlstate.starts_with("08") || sqlstate.starts_with("40") ||
                         sqlstate.starts_with("53") || sqlstate.starts_with("57P");
  // A client's search_path or time limit may be what it does not bear.
  const auto lasting =
      order_.settings.entries.empty() ? DialFailure::LoginRefused : DialFailure::SettingsRefused;
  refusal.kind = will_pass ? DialFailure::Unreachable : lasting;
  refusal.is_final = true;
  refusal.error.message.insert(0, "configure: ");
  refusal.words = refusal.error.message;
  return refusal;
}

// One refusal speaks for itself; of several, the last decides what the pool does, and all are told.
DialFailed Login::failure() const {
  const Refusal& last = refusals_.back();
  if (refusals_.size() == 1 || last.is_final) return {last.kind, last.error};
  Error all{last.error.sqlstate, ""};
  for (const auto& refusal : refusals_) {
    if (!all.message.empty()) all.message += '\n';
    all.message += refusal.words;
    if (refusal.error.sqlstate.starts_with("57P")) all.sqlstate = refusal.error.sqlstate;
  }
  return {last.kind, std::move(all)};
}

// What PostgreSQL before 14 says about idle_session_timeout, and what poolers say about `options`.
bool refuses_idle_timeout(const DialFailed& failed) {
  const auto& [sqlstate, message, detail, hint] = failed.error;
  if (sqlstate == "42704") return message.find("idle_session_timeout") != std::string::npos;
  return sqlstate == "08P01" || sqlstate == "0A000" || sqlstate == "42601";
}

}  // namespace

bool IdleTimeoutRefusals::has(const std::string& conninfo) {
  const std::lock_guard lock(mutex_);
  const auto found = since_.find(conninfo);
  if (found == since_.end()) return false;
  if (steady_clock::now() - found->second < std::chrono::hours(1)) return true;
  since_.erase(found);
  return false;
}

void IdleTimeoutRefusals::add(const std::string& conninfo) {
  const std::lock_guard lock(mutex_);
  since_[conninfo] = steady_clock::now();
}

DialResult log_in(const DialOrder& order, IdleTimeoutRefusals& refusals, int stop_fd) {
  const auto plan = plan_dial(order.conninfo);
  if (!plan) return DialFailed{DialFailure::Unreachable, plan.error()};

  const bool sets_idle_timeout = !refusals.has(order.conninfo);
  Login login(order, *plan, sets_idle_timeout, stop_fd);
  auto result = login.run();
  const auto* failed = std::get_if<DialFailed>(&result);
  if (!failed || !sets_idle_timeout || !login.was_told_why() || !refuses_idle_timeout(*failed)) return result;
  result = Login(order, *plan, false, stop_fd).run();
  if (std::holds_alternative<std::unique_ptr<OpenServer>>(result)) refusals.add(order.conninfo);
  return result;
}

}  // namespace tidepool::daemon
