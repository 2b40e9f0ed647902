// A client's requests, in every mode: getting a server, what travels in front of the first message,
// relaying both ways, errors of ours that keep the session. A read is walked header by header and leaves as
// one write wherever nothing had to be changed.
#include <algorithm>
#include <cstring>
#include <utility>

#include "daemon/client_pooled.h"
#include "daemon/client_session.h"
#include "daemon/log.h"
#include "daemon/server_connection.h"
#include "daemon/worker.h"
#include "lib/base/ascii.h"
#include "lib/session/application_name.h"
#include "lib/session/server_role.h"
#include "lib/wire/message_limits.h"
#include "lib/wire/message_reader.h"
#include "lib/wire/message_writer.h"

namespace tidepool::daemon {

namespace {

const base::Error kHungUp{"08006", "the server closed the connection before it had answered anything"};
constexpr std::string_view kApplicationName = "application_name";

// Of what was asked, or a row: not an error, a tag, ReadyForQuery or what comes unasked.
constexpr bool is_mere_answer(char type) {
  return type == 'D' || type == 'T' || type == '1' || type == '2' || type == 'n' || type == 't' ||
         type == '3';
}

// Its header is there.
wire::Message first_of(base::Bytes bytes) {
  return {bytes.front(), 0, size_t{1} + base::read_u32(bytes.data() + 1), {}};
}

}  // namespace

// --- getting a server

void ClientSession::on_request(base::Bytes bytes) {
  // It does not take its answers: no more are fetched before it does.
  if (pooled_ && socket_.is_congested()) {
    if (keep(bytes)) socket_.pause_reading();
    return;
  }
  bytes = worker_.read_buffer().join(pending_.tail(), bytes);
  if (bytes.size() < wire::kHeaderSize) {
    pending_.assign(bytes);
    return;
  }
  if (bytes.front() == 'X') return leave(session::ServerCleanup::Leave::Terminated);
  const wire::Message first = first_of(bytes);
  if (first.size < wire::kHeaderSize || !wire::is_acceptable(first)) return protocol_violation();
  become_pooled();
  if (pooled_ && !session::StatementRelay::is_enough(first.type, bytes.substr(wire::kHeaderSize),
                                                     first.size - wire::kHeaderSize)) {
    pending_.assign(bytes);
    return;
  }
  asked_since_ = worker_.now();
  if (pooled_ && places_are_taken() && waits_for_place(first, bytes)) return static_cast<void>(keep(bytes));
  if (pooled_ && pooled_->settings_are_refused) leave_out_what_is_reset(bytes);
  ticket_ = worker_.new_ticket(*this);
  set_state(State::Waiting);
  const std::string& application_name = wanted_application_name();
  const auto granted =
      pool_->shared->checkout(ticket_, worker_.id(), *flavour_, application_name, asked_since_);
  if (!granted) return static_cast<void>(keep(bytes));
  ServerConnection* server = worker_.find_server(*pool_, *granted);
  if (server == nullptr || !server->may_be_lent()) {
    if (keep(bytes)) ask_pool_again();
    return;
  }
  auto prelude = link(*server, application_name);
  if (!prelude) return relay_from_client(bytes);
  pending_.assign(bytes);
  send_with_prelude(std::move(*prelude));
}

// As many clients keep a server as may.
inline bool ClientSession::places_are_taken() const {
  const uint32_t places = pool_->settings->max_pinned;
  return places != 0 && pool_->shared->pinned() >= places;
}

bool ClientSession::keep(base::Bytes bytes) {
  pending_.append(bytes);
  if (pending_.is_broken()) {
    protocol_violation();
    return false;
  }
  if (pending_.size() < event::ReadBuffer::kSize) return true;
  socket_.pause_reading();
  worker_.need_tick();  // only its leaving is watched now
  return true;
}

void ClientSession::replay(std::string kept) {
  event::ReadBuffer& buffer = worker_.read_buffer();
  for (size_t at = 0; at < kept.size() && !retired_;) {
    const size_t size = std::min(kept.size() - at, event::ReadBuffer::kSize);
    std::memcpy(buffer.data(), kept.data() + at, size);
    at += size;
    on_client_bytes({buffer.data(), size});
  }
  if (!retired_ && state_ != State::Ending && pending_.size() < event::ReadBuffer::kSize &&
      (server_ == nullptr || !server_->is_congested()))
    socket_.resume_reading();
}

// Made anew after a reload only.
const std::string& ClientSession::wanted_application_name() {
  if (named_by_ == pool_->settings) return application_name_;
  named_by_ = pool_->settings;
  return application_name_ = made_application_name();
}

std::string ClientSession::made_application_name() const {
  const std::string& form = pool_->settings->server_application_name;
  const std::string& own = settings_.application_name ? *settings_.application_name : pool_->application_name;
  if (form == "%a") return name_on_server(own);
  std::string name;
  for (size_t at = 0; at < form.size(); ++at) {
    if (form[at] != '%' || at + 1 == form.size()) {
      name.push_back(form[at]);
      continue;
    }
    switch (form[++at]) {
      case 'a':
        name.append(own);
        break;
      case 'p':
        name.append(database_);
        break;
      case 'u':
        name.append(user_);
        break;
      case 'c':
        name.append(from_.kind == ListenerHere::Kind::Unix ? std::to_string(peer_of(socket_.fd()).pid)
                                                           : peer_address());
        break;
      default:
        name.push_back(form[at]);
    }
  }
  return name_on_server(std::move(name));
}

// A longer one in the startup packet of a login of ours could make that longer than PostgreSQL reads, and
// look like a server that is gone.
std::string ClientSession::name_on_server(std::string name) const {
  if (session::is_plain_name(name)) return name;
  std::string clipped = session::clipped_name(name, server_encoding());
  const bool is_known = greeting_ && !greeting_->server_version.empty();
  return is_known ? session::shown_application_name(std::move(clipped), greeting_->server_version) : clipped;
}

std::string_view ClientSession::server_encoding() const {
  return greeting_ ? std::string_view(greeting_->server_encoding) : "UTF8";
}

void ClientSession::on_server_granted(ServerConnection& server) {
  ticket_ = {};
  if (state_ == State::AskingServer) {
    server.lend_to(server_);
    greeting_ = pool_->shared->greeting_of(flavour_, server.parameters_when_clean());
    server_.part()->give_back_unused();
    return greet();
  }
  // Others have taken the last place while it waited for a server.
  if (pooled_ && places_are_taken() && waits_for_place(first_of(pending_), pending_))
    return pool_->shared->give_back(server.id(), false, false, worker_.now());
  auto prelude = link(server, wanted_application_name());
  if (!prelude) return replay(pending_.take());
  send_with_prelude(std::move(*prelude));
}

void ClientSession::on_granted_server_dead() {
  ask_pool_again();
}

void ClientSession::ask_pool_again() {
  ticket_ = worker_.new_ticket(*this);
  pool_->shared->checkout_again(ticket_, worker_.id(), *flavour_, asked_since_, worker_.now());
}

void ClientSession::on_refused(const pool::Refuse& refuse) {
  ticket_ = {};
  if (state_ == State::AskingServer) return refuse_login(refuse.error);
  log::info(shown() + " refused: " + pool::name_of(refuse.reason) + ": " + log::shown(refuse.error.message));
  // There will never be one: an ERROR would let its driver take the connection for a good one.
  if (refuse.reason == pool::RefuseReason::PoolRemoved) return end(refuse.error);
  refuse_request(refuse.error);
}

void ClientSession::on_notice(base::Duration waited) {
  if (state_ != State::Waiting) return;
  std::string out;
  wire::append_notice_response(out, "NOTICE",
                               {"00000", "waiting for a server of pool \"" + database_ + "\" for " +
                                             std::to_string(waited.count() / 1'000'000) + " s"});
  socket_.write(out);
}

// The server is this client's from here on. Returns what must travel in front of the request, if anything.
std::optional<session::ServerPrelude> ClientSession::link(ServerConnection& server,
                                                          const std::string& application_name) {
  ticket_ = {};
  const base::TimePoint now = worker_.now();
  server.lend_to(server_);
  set_state(State::Linked);
  quiet_since_ = now;
  error_was_last_ = false;
  may_move_ = true;
  ++pool_->traffic.server_assignments;
  pool_->traffic.wait_us += static_cast<uint64_t>((now - asked_since_).count());
  if (keeps_time()) worker_.need_tick();

  // What its client was told of the last server is kept.
  if (extras_ && extras_->told)
    extras_->forget_all_but_told();
  else
    extras_.reset();
  if (pooled_) return link_pooled(server, application_name);
  batch_may_reset_ = holds_ = false;
  watch_name_ = server.own_name() != application_name;
  if (watch_name_)
    server.note_renaming(application_name);
  else
    server.note_own_name();
  if (server.is_shared()) server.discard_in_front();
  if (extras_ || !server.suits(greeting_, application_name, nullptr)) {
    tell_differences(server.parameters_when_clean());
    if (!extras_) server.note_suits(greeting_, application_name, nullptr);
  }
  session::SettingChanges changes;
  if (watch_name_) changes.push_back({std::string(kApplicationName), application_name});
  const auto first = server.first_of_prelude();
  if (server.is_unclean()) server.discarded();
  if (!server.is_unclean() && changes.empty()) return std::nullopt;
  return session::ServerPrelude::change(changes, first);
}

// What the server has by itself and the client was not told. What it is about to be set to is what the client
// was told, or is compared at ReadyForQuery.
void ClientSession::tell_differences(const session::ParameterMap& parameters) {
  const session::ParameterMap* carried = pooled_ ? pooled_->carried.get() : nullptr;
  std::string news;
  std::vector<session::ParameterMap::Entry> differences;
  const session::ParameterMap& known = extras_ && extras_->told ? *extras_->told : greeting_->told;
  parameters.each_difference(known, [&](const std::string& name, const std::string& value) {
    if (name == kApplicationName) return;
    if (carried != nullptr && (carried->find(base::lower(name)) != nullptr || name == "is_superuser")) return;
    differences.emplace_back(name, value);
  });
  for (const auto& [name, value] : differences) {
    wire::append_parameter_status(news, name, value);
    told().report(name, value);
  }
  socket_.write(news);
}

// --- relaying

void ClientSession::relay_from_client(base::Bytes bytes) {
  if (extras_ && extras_->prelude_runs) return static_cast<void>(keep(bytes));
  if (pooled_ && pooled_waits()) return static_cast<void>(keep(bytes));
  if (holds_) return static_cast<void>(keep(bytes));
  if (extras_ && may_rename() && !(pending_.empty() && bytes.front() == 'X')) {
    auto prelude = renaming_prelude();
    pending_.append(bytes);
    return send_with_prelude(std::move(prelude));
  }
  bytes = worker_.read_buffer().join(pending_.tail(), bytes);
  std::string& changed = worker_.bytes_to_server();
  bool is_changed = false;
  auto& tracker = server_->tracker;
  const Passed walked = pass_on(bytes, changed, is_changed);
  if (walked.consumed > 0 || is_changed) {
    if (!request_runs_ && !tracker.is_quiet()) {
      requested_at_ = worker_.now();
      request_runs_ = true;
      if (tracker.status() == 'I') transaction_since_ = requested_at_;
    }
    pool_->traffic.received += walked.consumed;
    if (!server_->send(is_changed ? base::Bytes(changed) : bytes.substr(0, walked.consumed))) {
      if (may_move_) {
        server_->blame(kHungUp);
        pending_.assign(bytes);
        return try_another_server();
      }
      return;  // its end is about to be read, after what it said last
    }
    may_move_ = false;
  }
  if (walked.stop == Stop::Terminated) return leave(session::ServerCleanup::Leave::Terminated);
  if (walked.stop == Stop::Violation || walked.broken) return protocol_violation();
  pending_.assign(bytes.substr(walked.consumed));
  if (server_->is_congested()) {
    socket_.pause_reading();
    worker_.need_tick();
  }
}

ClientSession::Stop ClientSession::stop_at(const wire::Message& message) {
  if (message.type == 'X') return Stop::Terminated;
  return wire::is_acceptable(message) ? Stop::No : Stop::Violation;
}

// What of `bytes` may go to the server. `out` gets what is to be sent instead of it, if that is not the same.
ClientSession::Passed ClientSession::pass_on(base::Bytes bytes, std::string& out, bool& is_changed) {
  if (pooled_) return pass_on_pooled(bytes, out, is_changed);
  Stop stop = Stop::No;
  const auto walked = from_client_.walk(bytes, {}, [&](const wire::Message& message) {
    stop = stop_at(message);
    if (stop != Stop::No) return wire::Walk::StopBefore;
    server_->tracker.client_sent(message);
    server_->trace.client_sent(message.type, message.body);
    if (!watch_name_ || !may_reset_name(message)) return wire::Walk::Go;
    holds_ = true;
    return wire::Walk::StopAfter;
  });
  return {walked.consumed, stop, walked.broken};
}

// What may take the client's application_name back, or give it the server's: the request behind it is to find
// its own again, and ReadyForQuery is to tell of it. A text that is not all there is not read; and what COPY
// reads must not wait.
bool ClientSession::may_reset_name(const wire::Message& message) {
  const bool is_text = message.type == 'Q' || message.type == 'P';
  if (is_text && message.body.size() + wire::kHeaderSize == message.size) {
    const bool has_default = base::contains_letters(message.body, "default");
    const bool may_reset = has_default || base::contains_letters(message.body, "reset") ||
                           base::contains_letters(message.body, "discard") ||
                           base::contains_letters(message.body, kApplicationName) ||
                           base::contains_letters(message.body, "set_config");
    if (has_default) extras().saw_default = true;
    batch_may_reset_ |= may_reset && !base::contains_letters(message.body, "copy");
  }
  return (message.type == 'Q' || message.type == 'S') && std::exchange(batch_may_reset_, false);
}

void ClientSession::on_server_drained() {
  if (state_ == State::Linked && pending_.size() < event::ReadBuffer::kSize) socket_.resume_reading();
}

void ClientSession::on_server_bytes(base::Bytes bytes) {
  // ParameterStatus, ReadyForQuery, command tags, notices and notifications are read; errors only where
  // something depends on them.
  static const wire::TypeSet kUsual{'S', 'Z', 'C', 'A', 'N'};
  static const wire::TypeSet kWatching{'S', 'Z', 'C', 'A', 'N', 'E'};
  // What is left out is seen whole: its rest, which the next read brings, would pass for the client's.
  static const wire::TypeSet kLeavingOut{'S', 'Z', 'C', 'A', 'E', 'D', 'N'};
  ServerConnection& server = *server_;
  bytes = worker_.read_buffer().join(server.tail, bytes);
  std::string& changed =
      worker_.bytes_to_client();  // what goes to the client instead of `bytes`, once something is left out
  size_t kept_from = 0;           // bytes before are in `changed`, or left out
  size_t at = 0;
  bool something_left_out = false;
  bool prelude_ended = false;
  bool is_broken = false;
  if (pooled_ && server.relay.wants_rest()) {
    const base::Bytes rest = bytes.substr(0, server.from_server.body_left());
    auto client = relay_client();
    something_left_out =
        server.relay.server_sent_rest(rest, client) == session::StatementRelay::Reply::LeaveOut;
    if (something_left_out) kept_from = rest.size();
  }
  for (;;) {
    const bool prelude_ran = prelude_runs();
    const bool watches_errors = watch_name_ || (pooled_ && server.relay.has_marks());
    const auto& whole = prelude_ran || question_runs() ? kLeavingOut : watches_errors ? kWatching : kUsual;
    // What only says that something is done, and rows, concern nobody but the tracker.
    const bool is_plain = !prelude_ran && !question_runs();
    auto walked = server.from_server.walk(bytes.substr(at), whole, [&](wire::Message message) {
      if (is_plain && is_mere_answer(message.type) && !server.relay.has_marks()) {
        server.tracker.server_sent(message.type, {});
        error_was_last_ = false;
        return wire::Walk::Go;
      }
      message.at += at;
      std::string ours;  // what is told in front of it, or in its place
      const bool is_passed = see_server_message(message, ours);
      if (!is_passed || !ours.empty()) {
        changed.append(bytes.substr(kept_from, message.at - kept_from)).append(ours);
        kept_from = is_passed ? message.at : std::min(message.end(), bytes.size());
        something_left_out = true;
      }
      return prelude_ran && extras_->prelude_failed ? wire::Walk::StopAfter : wire::Walk::Go;
    });
    at += walked.consumed;
    if (prelude_ran && !extras_->prelude_runs) prelude_ended = true;
    if ((is_broken = walked.broken)) break;  // what came before it is the client's
    if (prelude_ran && extras_->prelude_failed) return prelude_went_wrong(bytes.substr(at));
    if (walked.needed > event::ReadBuffer::kHeadroom) {
      if (bytes[at] == 'S') server.parameters_unknown = true;
      walked = server.from_server.walk(bytes.substr(at), {}, [&](const wire::Message& message) {
        see_long_message(message);
        return wire::Walk::StopAfter;
      });
      at += walked.consumed;
      continue;
    }
    break;
  }
  server.tail.assign(is_broken ? base::Bytes() : bytes.substr(at));
  if (pooled_ && !is_broken && server.relay.has_marks() && server.from_server.between_messages() &&
      server.tail.empty()) {
    std::string due;
    server.relay.server_paused(due);
    if (!due.empty()) {
      changed.append(bytes.substr(kept_from, at - kept_from)).append(due);
      kept_from = at;
      something_left_out = true;
    }
  }
  if (something_left_out) {
    changed.append(bytes.substr(kept_from, at - kept_from));
    socket_.write(changed);
    pool_->traffic.sent += changed.size();
  } else {
    socket_.write(bytes.substr(0, at));
    pool_->traffic.sent += at;
  }
  if (is_broken) return server_failed({"08P01", "the server sent a message of impossible length"});
  if (prelude_ended) {
    pending_.drop(std::exchange(travelled_, 0));
    may_move_ = false;
    // If the request is over already, what it has set is asked for before the next one.
    if (pooled_ && !vanished_ && server.tracker.is_quiet())
      pooled_->waits = true;
    else if (!pending_.empty() || !socket_.is_reading())
      replay(pending_.take());
    if (vanished_ && !retired_ && state_ == State::Linked && !prelude_runs())
      leave(session::ServerCleanup::Leave::Vanished);
  }
  if (extras_ && extras_->holds_ready && server_ == &server && !prelude_runs()) ask_for_name();
  if (holds_ && server_ == &server && server.tracker.is_quiet()) {
    holds_ = false;
    if (!pending_.empty() || !socket_.is_reading()) replay(pending_.take());
  }
  if (pooled_ && state_ == State::Linked && !retired_) after_server_spoke();
  // Not one that has gone back meanwhile: the next client would wait for its answers.
  if (server_ == &server && socket_.is_congested()) server.pause_reading();
}

// Of a message too long to be read whole, nothing but its type is looked at.
void ClientSession::see_long_message(const wire::Message& message) {
  if (!pooled_ || question_runs()) return server_->tracker.server_sent(message.type, {});
  auto client = relay_client();
  std::string ignored;
  server_->relay.server_sent(message, client, ignored, ignored);
}

// True: it is the client's. False: it is left out. `ours` comes in front of it, or in its place.
bool ClientSession::see_server_message(const wire::Message& message, std::string& ours) {
  if (message.type == 'S') return see_parameter_status(message);
  if (message.type == 'A') {
    see_notification(message, ours);
    return ours.empty();
  }
  if (prelude_runs()) return see_prelude_reply(message, ours);
  if (question_runs()) return see_question_reply(message);
  if (message.type == 'N' && pooled_) {
    error_was_last_ = false;
    return server_->relay.notice_sent(message.body, pooled_->statements, ours) ==
           session::StatementRelay::Reply::Pass;
  }
  if (message.type == 'C' && watch_name_) see_command_tag(message.body);
  if (message.type == 'C') server_->trace.command_completed(message.body);
  auto& tracker = server_->tracker;
  bool is_passed = true;
  if (pooled_) {
    auto client = relay_client();
    is_passed =
        server_->relay.server_sent(message, client, ours, ours) == session::StatementRelay::Reply::Pass;
  } else {
    tracker.server_sent(message.type, message.type == 'Z' ? message.body : base::Bytes{});
  }
  const bool failed = std::exchange(error_was_last_, message.type == 'E');
  if (pooled_ && error_was_last_) pooled_->request_failed = true;
  if (message.type != 'Z' || !is_passed) return is_passed;
  if (!failed) server_->note_answer();
  if (extras_ && watch_name_) check_name_at_ready();
  if (pooled_ && pooled_->compares_at_ready) tell_parameters_at_ready(ours);
  if (extras_ && extras_->name_is_lost) tell_name_at_ready(ours);
  const bool holds_ready = extras_ && extras_->name_is_unclear && may_rename();
  if (holds_ready) {
    extras_->holds_ready = true;
    extras_->name_is_unclear = false;
  }
  auto& traffic = pool_->traffic;
  ++traffic.queries;
  if (tracker.status() == 'I') {
    ++traffic.transactions;
    if (request_runs_)
      traffic.transaction_us += static_cast<uint64_t>((worker_.now() - transaction_since_).count());
  }
  if (!tracker.is_quiet()) return true;
  quiet_since_ = worker_.now();
  if (std::exchange(request_runs_, false))
    traffic.query_us += static_cast<uint64_t>((quiet_since_ - requested_at_).count());
  cancel_sent_ = false;
  return !holds_ready;
}

// Who sent it is told by the process id that its sender was told at login, so that programs know their own.
void ClientSession::see_notification(const wire::Message& message, std::string& ours) {
  error_was_last_ = false;
  if (message.body.size() < sizeof(uint32_t)) return;
  const OpenServer& open = server_->open();
  const auto sender = static_cast<int>(base::read_u32(message.body.data()));
  const uint32_t client =
      sender == open.process_id ? process_id_ : worker_.holders().client_of(sender, open.peer_address);
  if (client == 0) return;
  wire::MessageFrame frame(ours, 'A');
  base::append_u32(ours, client);
  ours.append(message.body.substr(sizeof client));
}

session::ParameterMap& ClientSession::told() {
  if (!extras().told) {
    extras_->told = greeting_->told;
    extras_->told->set(kApplicationName, wanted_application_name());
  }
  return *extras_->told;
}

bool ClientSession::see_parameter_status(const wire::Message& message) {
  const auto status = wire::read_parameter_status(message.body);
  if (!status || !server_->parameters.report(status->name, status->value)) {
    server_->parameters_unknown = true;
    return !prelude_runs();
  }
  if (status->name == kApplicationName) server_->name_reports = ServerConnection::NameReports::Seen;
  if (status->name == session::kInHotStandby) server_->learn_whether_standby();
  if (prelude_runs()) return false;
  session::ParameterMap& known = told();
  const std::string* before = known.find(status->name);
  if (watch_name_ && status->name == kApplicationName && status->value == server_->own_name()) {
    extras_->checks_name = true;
    return false;
  }
  if (before != nullptr && *before == status->value) return false;  // what the prelude has set, reported late
  server_->trace.parameter_changed();
  if (pooled_) note_parameter(status->name, status->value);
  known.report(status->name, status->value);
  return true;
}

// --- when things end

// It has let go of this session already.
void ClientSession::on_server_lost(ServerConnection& server) {
  if (state_ == State::AskingServer) return ask_pool_again();
  if (state_ != State::Linked) return;
  // What was written to a network that has failed may have been read, and have run.
  const bool may_have_run = travelled_ > 0 && !server.hung_up_itself();
  if (may_move_ && prelude_runs() && !may_have_run && ++moves_ <= kMostMoves) {
    if (pooled_) server.relay.take_back(pooled_->statements);
    return try_another_server();
  }
  if (extras_) extras_->prelude_runs = false;
  if (pooled_) end_pin();
  log::info(shown() + " disconnected: its server_pid=" + std::to_string(server.open().process_id) +
            " is lost");
  std::string last_words;
  if (server.from_server.between_messages() && !error_was_last_)
    wire::append_error_response(last_words, "FATAL",
                                {"08006", "the server closed the connection unexpectedly"});
  end_with(last_words);
}

void ClientSession::server_failed(const base::Error& error) {
  // Nothing of the client's has run there: it is as if the server had hung up.
  if (may_move_ && prelude_runs()) return server_->break_off(ServerConnection::kImpossibleLength);
  server_.part()->break_off(ServerConnection::kImpossibleLength);
  end(error);
}

void ClientSession::protocol_violation() {
  end({"08P01", "invalid frontend message: its type is unknown or its length is impossible"});
}

bool ClientSession::terminate_is_kept() const {
  if (state_ != State::Waiting && !(state_ == State::Linked && (prelude_runs() || holds_))) return false;
  bool found = false;
  wire::FrameCursor cursor;
  cursor.walk(pending_, {}, [&](const wire::Message& message) {
    found = message.type == 'X';
    return found ? wire::Walk::StopBefore : wire::Walk::Go;
  });
  return found;
}

}  // namespace tidepool::daemon
