// A client's way in and out: login, greeting, the first server, cancel requests, the console, the last words.
// Its requests are in client_relay.cc.
#include "daemon/client_session.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <tuple>
#include <utility>

#include "daemon/client_pooled.h"
#include "daemon/gathering.h"
#include "daemon/log.h"
#include "daemon/server_connection.h"
#include "daemon/worker.h"
#include "lib/session/application_name.h"
#include "lib/wire/message_writer.h"

namespace tidepool::daemon {

namespace {

// Last words get so long to leave.
constexpr base::Duration kEndingTime{5'000'000};
// Cancel requests in flight to one server.
constexpr uint32_t kMostCancels = 2;

}  // namespace

struct ClientSession::LoginState {
  LoginState(Worker& worker, const ListenerHere& from, int fd)
      : rules(worker, worker.shared_world(), from, fd), login(rules) {}

  SessionRules rules;
  session::ClientLogin login;
  std::string out;  // what is to be sent so far: the whole greeting leaves in one write
  int protocol_minor = 0;
};

ClientSession::ClientSession(Worker& worker, SessionId id, const ListenerHere& from, int fd)
    : worker_(worker),
      id_(id),
      process_id_(worker.process_ids().of({id.worker, id.slot, id.generation})),
      socket_(fd, worker.loop(), worker.read_buffer(), *this),
      state_since_(worker.now()),
      from_(from),
      connected_at_us_(now_wall_us()) {
  worker_.need_tick();  // login_timeout
}

ClientSession::~ClientSession() = default;

void ClientSession::set_state(State state) {
  if (state != State::LoggingIn) end_login();
  state_ = state;
  state_since_ = worker_.now();
}

bool ClientSession::begin_login() {
  ClientCount& count = worker_.client_count();
  is_logging_in_ = true;
  return count.begin_login(std::min(worker_.world().settings->limits.max_logins,
                                    count.most_logins_that_fit.load(std::memory_order_relaxed)));
}

void ClientSession::end_login() {
  if (std::exchange(is_logging_in_, false)) worker_.client_count().end_login();
}

bool ClientSession::makes_way(const base::Error& error) {
  if (state_ != State::LoggingIn || retired_) return false;
  std::string out;
  rejected(login().gave_way(error, out));
  end_with(out);
  return true;
}

void ClientSession::on_client_bytes(base::Bytes bytes) {
  switch (state_) {
    case State::LoggingIn:
      return log_in(bytes);
    case State::Idle:
      return on_request(bytes);
    case State::Linked:
      return relay_from_client(bytes);
    case State::AskingServer:
    case State::Waiting:
      return static_cast<void>(keep(bytes));
    case State::Refusing:
      return skip_request(bytes);
    case State::Console: {
      std::string out;
      return console_step(console_->receive(bytes, out), out);
    }
    case State::Cancelling:  // there is nothing to be said behind a cancel request
      return retire();
    case State::Ending:
      return;  // nothing more is listened to
  }
}

void ClientSession::on_client_end(int) {
  if (state_ == State::LoggingIn && login_) rejected(login_->login.hung_up());
  // Requests in front of a Terminate are finished, also if they had to wait: PostgreSQL itself would.
  if ((gone_ = terminate_is_kept())) return;
  // What goes in front of its request is ours: the answer is awaited, so that the server need not be closed.
  if ((vanished_ = state_ == State::Linked && prelude_runs())) return;
  leave(session::ServerCleanup::Leave::Vanished);
}

void ClientSession::on_client_drained() {
  if (state_ == State::Ending) return retire();
  if (server_ != nullptr) server_->resume_reading();
  // What it has asked for meanwhile: see on_request().
  if (state_ == State::Idle && (!pending_.empty() || !socket_.is_reading())) replay(pending_.take());
}

// --- login

// Who says nothing needs none.
session::ClientLogin& ClientSession::login() {
  if (!login_) login_ = std::make_unique<LoginState>(worker_, from_, socket_.fd());
  return login_->login;
}

void ClientSession::log_in(base::Bytes bytes) {
  session::ClientLogin& machine = login();
  size_t consumed = 0;
  session::LoginStep step = machine.receive(bytes, consumed, login_->out);
  take_login_step(std::move(step), bytes.substr(consumed));
}

// `rest`: what the client has said beyond it.
void ClientSession::take_login_step(session::LoginStep step, base::Bytes rest) {
  counted_ = login_->rules.was_admitted();
  if (const auto* refused = std::get_if<session::Rejected>(&step)) {
    rejected(*refused);
    return end_with(login_->out);
  }
  if (const auto* asked = std::get_if<session::CancelAsked>(&step)) {
    ask_for_cancel(*asked);
    if (!rest.empty()) retire();  // there is nothing to be said behind it
    return;
  }
  if (auto* accepted = std::get_if<session::Accepted>(&step)) {
    pending_.assign(rest);
    if (pending_.is_broken()) return protocol_violation();
    return on_accepted(std::move(*accepted));
  }
  socket_.write(std::exchange(login_->out, {}));
  if (std::holds_alternative<session::MoreNeeded>(step)) return;
  // Nothing more is read meanwhile.
  socket_.pause_reading();
  if (auto* check = std::get_if<session::PasswordToCheck>(&step))
    worker_.check_password(std::move(*check), login_->rules.shared_world(), place_of_origin(), id_);
  else
    worker_.look_up_peer(peer_of(socket_.fd()).uid, id_);
}

void ClientSession::on_peer_named(const std::string& name) {
  if (state_ != State::LoggingIn || retired_) return;
  socket_.resume_reading();
  login_->rules.peer_is(name);
  std::string rest;
  session::LoginStep step = login_->login.peer_is_known(rest, login_->out);
  take_login_step(std::move(step), rest);
}

void ClientSession::on_password_checked(bool is_right) {
  if (state_ != State::LoggingIn || retired_) return;
  socket_.resume_reading();
  std::string rest;
  session::LoginStep step = login_->login.password_checked(is_right, rest, login_->out);
  take_login_step(std::move(step), rest);
}

void ClientSession::rejected(const session::Rejected& rejected) {
  const auto level = rejected.is_probe ? config::LogLevel::Debug : config::LogLevel::Info;
  if (!log::is_on(level)) return;
  log::write(level, "client=" + origin() + " user=" + log::shown(login_->login.user()) + " pool=" +
                        log::shown(login_->login.database()) + " login refused: " + rejected.error.sqlstate +
                        " " + log::shown(rejected.error.message));
}

void ClientSession::on_accepted(session::Accepted accepted) {
  user_ = std::move(accepted.user);
  database_ = std::move(accepted.database);
  settings_ = std::move(accepted.settings);
  login_->protocol_minor = accepted.protocol_minor;
  secret_ = login_->rules.random_bytes(accepted.protocol_minor >= 2 ? 32 : 4);
  if (is_console(database_)) return greet();
  pool_ = worker_.pool_named(database_);
  if (pool_ == nullptr)  // a reload took it away meanwhile
    return refuse_login({"3D000", "there is no pool named \"" + database_ + "\""});
  ++pool_->sessions;
  become_pooled();
  greet_or_ask_server();
}

// No server is needed for a greeting once the pool has dialed one with these settings.
void ClientSession::greet_or_ask_server() {
  if (auto why = pool_->shared->why_down(worker_.id(), worker_.now())) return refuse_login(*why);
  if (const base::Status names = session::check_names(settings_); !names) return refuse_login(names.error());
  std::tie(flavour_, greeting_) = pool_->shared->greeting_for(settings_);
  if (greeting_) return greet();
  set_state(State::AskingServer);
  asked_since_ = worker_.now();
  ticket_ = worker_.new_ticket(*this);
  const auto granted =
      pool_->shared->checkout(ticket_, worker_.id(), *flavour_, wanted_application_name(), asked_since_);
  if (!granted) return;
  auto* server = worker_.find_server(*pool_, *granted);
  if (server != nullptr && server->may_be_lent()) return on_server_granted(*server);
  on_granted_server_dead();
}

void ClientSession::refuse_login(const base::Error& error) {
  log::info("client=" + origin() + " user=" + log::shown(user_) + " pool=" + log::shown(database_) +
            " login refused: " + error.sqlstate + " " + log::shown(error.message));
  std::string last_words = std::move(login_->out);
  for (std::string_view name : session::long_names_before(error, settings_))
    session::append_clipping_notice(name, server_encoding(), last_words);
  wire::append_error_response(last_words, "FATAL", error);
  end_with(last_words);
}

void ClientSession::greet() {
  std::string out = std::move(login_->out);
  if (pool_ == nullptr) {
    console_ = std::make_unique<admin::Console>();
    admin::Console::append_parameters(out, TIDEPOOL_VERSION, settings_.application_name.value_or(""));
  } else {
    if (pooled_) greeted_pooled();
    named_by_ = nullptr;  // what the server makes of it is known now
    for (const auto& [name, behind] : settings_.long_names)
      session::append_clipping_notice(name, server_encoding(), out);
    out.append(greeting_->bytes);
    wire::append_parameter_status(out, "application_name", wanted_application_name());
    ++pool_->traffic.logins;
  }
  wire::append_backend_key_data(out, process_id_, secret_);
  wire::append_ready_for_query(out, 'I');
  login_ = nullptr;
  set_state(pool_ == nullptr ? State::Console : State::Idle);
  if (log::is_on(config::LogLevel::Debug)) log::debug(shown() + " logged in");
  socket_.write(out);
  if (pending_.empty() || retired_) return;
  replay(pending_.take());  // what the client sent behind its login without waiting
}

// --- cancel requests

void ClientSession::ask_for_cancel(const session::CancelAsked& asked) {
  const std::string from = place_of_origin();
  const auto worker = static_cast<pool::WorkerId>(worker_.process_ids().place_of(asked.process_id).worker);
  if (worker >= worker_.switchboard().worker_count() ||
      worker_.cancel_desk().has_failed_too_often(from, worker_.now()))
    return retire();
  set_state(State::Cancelling);
  login_ = nullptr;
  worker_.switchboard().tell_worker(worker,
                                    to_worker::CancelWanted{id_, asked.process_id, asked.secret, from});
}

void ClientSession::on_cancel_finished(bool matched) {
  if (state_ != State::Cancelling) return;
  if (!matched) log::debug("client=" + origin() + " a cancel request matched no session");
  retire();
}

bool ClientSession::cancel(std::string_view secret, std::function<void()> done) {
  if (secret_.empty() || !secrets_match(secret, secret_)) return false;
  if (state_ == State::Waiting && pooled_ && pooled_->wants_place) {
    forget_place();
    refuse_request({"57014", "canceling statement due to user request", "",
                    "It was waiting until fewer sessions keep servers of the pool."});
  } else if (state_ == State::Waiting) {
    if (pool_->shared->withdraw(ticket_, worker_.now())) {
      ticket_ = {};
      refuse_request({"57014", "canceling statement due to user request", "",
                      "It was waiting for a server of the pool."});
    }
  } else if (state_ == State::Linked && !question_runs() &&
             ((prelude_runs() && !extras_->holds_ready) || !server_->tracker.is_quiet())) {
    // One that is on its way already will do; further ones would only be more packets.
    if (server_->cancels_in_flight() >= kMostCancels) {
      done();
      return true;
    }
    // If it hits what travels in front of the request, that server is closed and the request answered by us.
    if (prelude_runs()) extras_->cancelled = true;
    worker_.send_cancel(*server_, std::move(done));
    return true;
  }
  done();
  return true;
}

// --- the console

void ClientSession::console_step(admin::ConsoleStep step, std::string& out) {
  socket_.write(out);
  auto& switchboard = worker_.switchboard();
  if (std::holds_alternative<admin::NeedSnapshot>(step)) {
    Gathering::start(switchboard, id_, worker_.shared_world());
  } else if (std::holds_alternative<admin::DoReload>(step)) {
    switchboard.tell_main(to_main::Reload{id_});
  } else if (const auto* reconnect = std::get_if<admin::DoReconnect>(&step)) {
    switchboard.tell_main(to_main::Reconnect{id_, reconnect->pool});
  } else if (const auto* shutdown = std::get_if<admin::DoShutdown>(&step)) {
    out.clear();
    console_->resume(base::Status(base::Done{}), out);
    socket_.write(out);
    switchboard.tell_main(to_main::Shutdown{shutdown->drain});
  } else if (std::holds_alternative<admin::CloseConsole>(step)) {
    end_with({});
  }
}

void ClientSession::on_snapshot(const stats::Snapshot& snapshot) {
  if (state_ != State::Console) return;
  std::string out;
  console_step(console_->resume(snapshot, out), out);
}

void ClientSession::on_effect_done(const base::Status& status) {
  if (state_ != State::Console) return;
  std::string out;
  console_step(console_->resume(status, out), out);
}

// --- leaving

void ClientSession::leave(session::ServerCleanup::Leave how) {
  if (state_ == State::Ending) return retire();
  if (log::is_on(config::LogLevel::Debug))
    log::debug(shown() + (how == session::ServerCleanup::Leave::Terminated ? " left" : " vanished"));
  let_server_go(how);
  retire();
}

void ClientSession::let_server_go(session::ServerCleanup::Leave how) {
  if (pooled_) forget_place();
  if (ticket_ != pool::Ticket{}) {
    // A grant that is on its way finds no session and goes back.
    pool_->shared->withdraw(ticket_, worker_.now());
    ticket_ = {};
  }
  ServerConnection* server = server_.part();
  if (server == nullptr) return;
  // A request that travels behind a prelude whose answer is not known yet: what has run is in doubt.
  const bool half_sent = prelude_runs() || !from_client_.between_messages();
  if (!pooled_) return server->leave_client(how, half_sent);
  const session::Pins pins = pooled_->watch.pins();
  // PostgreSQL has not said yet what the settings in front of a request have changed, and owes nothing behind
  // which it would.
  const bool is_unheard = pooled_->compares_at_ready && server->tracker.is_quiet();
  const bool is_known = server->relay.leave() && !question_runs() && !pooled_->watch.is_suspicious() &&
                        pins == 0 && !is_unheard && !pooled_->spoils_statements;
  if (pooled_->watch.take_doubt()) server->doubt(pooled_->number);
  // What a library or a function has left there, DISCARD ALL does not take away.
  const bool lasts = (pins & (session::Pin::Load | session::Pin::Function)) != 0;
  end_pin();
  using Left = ServerConnection::Left;
  server->leave_client(how, half_sent, lasts ? Left::Lasting : is_known ? Left::Known : Left::Unknown);
}

void ClientSession::end(const base::Error& error) {
  if (state_ == State::Ending || retired_) return;
  // When all are told to go, one line for the daemon says it.
  if (error.sqlstate != "57P01")
    log::info(shown() + " disconnected: " + error.sqlstate + " " + log::shown(error.message));
  std::string last_words;
  if (state_ != State::Cancelling) wire::append_error_response(last_words, "FATAL", error);
  let_server_go(session::ServerCleanup::Leave::Vanished);
  end_with(last_words);
}

void ClientSession::end_with(base::Bytes last_words) {
  if (retired_) return;
  let_server_go(session::ServerCleanup::Leave::Vanished);
  set_state(State::Ending);
  socket_.pause_reading();
  socket_.write(last_words);
  if (!socket_.is_congested()) return retire();
  worker_.need_tick();
}

// The worker is at its end, and nothing is cleaned any more.
void ClientSession::give_up() {
  server_.part();
  retire();
}

void ClientSession::retire() {
  if (retired_) return;
  retired_ = true;
  let_server_go(session::ServerCleanup::Leave::Vanished);
  end_login();
  state_ = State::Ending;
  socket_.pause_reading();
  if (std::exchange(counted_, false)) worker_.client_count().leave();
  if (pooled_) {
    forget_place();
    end_pin();
  }
  if (pool_ != nullptr) --pool_->sessions;
  worker_.retire(*this);
}

bool ClientSession::tick(base::TimePoint now) {
  switch (state_) {
    case State::LoggingIn:
      if (now - state_since_ >= worker_.world().settings->limits.login_timeout) {
        std::string out;
        rejected(login().timed_out(out));
        end_with(out);
      }
      return true;
    case State::Ending:
      if (now - state_since_ >= kEndingTime) retire();
      return true;
    case State::Waiting:
      // Its bytes are not read any more: all that it can do is leave.
      if (!gone_ && !socket_.is_reading() && socket_.peer_has_left())
        leave(session::ServerCleanup::Leave::Vanished);
      else if (pooled_ && pooled_->wants_place && now - asked_since_ >= pool_->settings->timeout)
        refuse_place(now);
      return true;
    case State::Linked:
      return tick_linked(now);
    case State::Idle:
      return tick_idle(now);
    default:
      return false;
  }
}

// Whose guesses, wrong cancels and the like count together.
std::string ClientSession::place_of_origin() const {
  return from_.kind == ListenerHere::Kind::Unix ? "uid " + std::to_string(peer_of(socket_.fd()).uid)
                                                : peer_address();
}

std::string ClientSession::peer_address() const {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  char text[INET6_ADDRSTRLEN] = "";
  if (getpeername(socket_.fd(), reinterpret_cast<sockaddr*>(&address), &size) != 0) return "?";
  if (address.ss_family == AF_INET)
    inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in*>(&address)->sin_addr, text, sizeof text);
  else if (address.ss_family == AF_INET6)
    inet_ntop(AF_INET6, &reinterpret_cast<const sockaddr_in6*>(&address)->sin6_addr, text, sizeof text);
  return text;
}

std::string ClientSession::origin() const {
  return from_.kind == ListenerHere::Kind::Unix ? from_.address : peer_address();
}

std::string ClientSession::shown() const {
  return "client=" + std::to_string(process_id_) + " user=" + log::shown(user_) +
         " pool=" + log::shown(database_);
}

stats::ClientRow ClientSession::row(base::TimePoint now) const {
  stats::ClientRow row{};
  switch (state_) {
    case State::LoggingIn:
    case State::AskingServer:
      row.state = stats::ClientState::Login;
      break;
    case State::Waiting:
      row.state = stats::ClientState::Waiting;
      row.wait_us = (now - asked_since_).count();
      break;
    case State::Cancelling:
      row.state = stats::ClientState::Cancelling;
      break;
    case State::Linked:
    case State::Console:
      row.state = stats::ClientState::Active;
      break;
    default:
      row.state = stats::ClientState::Idle;
  }
  row.user = user_;
  row.database = database_;
  if (from_.kind == ListenerHere::Kind::Unix) {
    row.address = "unix";
    row.port = from_.port;
    row.remote_pid = peer_of(socket_.fd()).pid;
  } else {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    row.address = peer_address();
    if (getpeername(socket_.fd(), reinterpret_cast<sockaddr*>(&address), &size) == 0)
      row.port =
          ntohs(address.ss_family == AF_INET ? reinterpret_cast<const sockaddr_in*>(&address)->sin_port
                                             : reinterpret_cast<const sockaddr_in6*>(&address)->sin6_port);
  }
  row.local_address = from_.address;
  row.local_port = from_.port;
  row.connect_time_us = connected_at_us_;
  row.request_time_us = requested_at_us_;
  row.id = uint64_t{process_id_};
  row.link = server_ != nullptr ? server_->number() : 0;
  row.application_name = settings_.application_name.value_or("");
  if (pooled_) pooled_->show(row);
  return row;
}

}  // namespace tidepool::daemon
