// What travels in front of a client's message: the DISCARD ALL that its server lacks, its settings in
// transaction mode, its application_name, and that again after a RESET of the client's own. As long as that
// is unanswered, nothing of the client's has run, and its request may move to another server, unseen.
#include <algorithm>
#include <utility>

#include "daemon/client_pooled.h"
#include "daemon/client_session.h"
#include "daemon/log.h"
#include "daemon/server_connection.h"
#include "daemon/worker.h"
#include "lib/wire/message_limits.h"
#include "lib/wire/message_writer.h"

namespace tidepool::daemon {

namespace {

constexpr std::string_view kApplicationName = "application_name";

// Where the first request in `bytes` ends: behind the first Query, FunctionCall or Sync. 0: it is not all
// there.
size_t end_of_first_request(base::Bytes bytes) {
  wire::FrameCursor cursor;
  size_t end = 0;
  cursor.walk(bytes, {}, [&](const wire::Message& message) {
    if (message.end() > bytes.size() || message.type == 'X') return wire::Walk::StopBefore;
    if (message.type != 'Q' && message.type != 'F' && message.type != 'S') return wire::Walk::Go;
    end = message.end();
    return wire::Walk::StopAfter;
  });
  return end;
}

}  // namespace

// The request that begins pending_ travels behind the prelude, if it is whole: one Query, or one batch
// through its first Sync. More must not, since after an error in the prelude only so much is sure to be
// skipped. What travels is kept until the prelude's answer is known.
void ClientSession::send_with_prelude(session::ServerPrelude prelude) {
  extras().prelude = std::move(prelude);
  extras_->prelude_runs = true;
  extras_->checks_name = watch_name_;
  extras_->prelude_since = worker_.now();
  extras_->cancelled = false;
  worker_.need_tick();
  from_client_ = {};
  server_->relay.unnamed_is_gone();
  if (pooled_) pooled_->compares_at_ready = true;
  travelled_ = end_of_first_request(pending_);
  std::string out = extras_->prelude.bytes();
  // Its answer must not wait for the request's: as long as it is unanswered, nothing of the client's has run.
  wire::append_flush(out);
  if (travelled_ > 0) {
    const base::Bytes request = base::Bytes(pending_).substr(0, travelled_);
    std::string& changed = worker_.bytes_to_server();
    bool is_changed = false;
    const Passed passed = pass_on(request, changed, is_changed);
    const bool waits = passed.stop == Stop::Waits;
    if ((passed.stop != Stop::No && !waits) || passed.broken) return protocol_violation();
    travelled_ = passed.consumed;
    out.append(is_changed ? base::Bytes(changed) : request.substr(0, travelled_));
    requested_at_ = transaction_since_ = worker_.now();
    request_runs_ = true;
  }
  if (server_->send(out) || !may_move_) return;
  server_->blame({"08006", "the server closed the connection before it had answered anything"});
  try_another_server();
}

// Nothing of the client's has run: the server is given up, and the request goes to another one, unseen.
void ClientSession::try_another_server() {
  if (vanished_) return leave(session::ServerCleanup::Leave::Vanished);
  if (ServerConnection* server = server_.part()) {
    if (pooled_) server->relay.take_back(pooled_->statements);
    server->leave_client(session::ServerCleanup::Leave::Vanished, true);
  }
  if (extras_) extras_->prelude_runs = false;
  if (pooled_) pooled_->waits = false;
  from_client_ = {};
  travelled_ = 0;
  request_runs_ = false;
  set_state(State::Waiting);
  ask_pool_again();
}

bool ClientSession::see_prelude_reply(const wire::Message& message, std::string& ours) {
  if (message.type == 'N') return false;
  if (message.type == 'A') return true;
  switch (extras_->prelude.server_sent(message)) {
    case session::ServerPrelude::Step::More:
      break;
    case session::ServerPrelude::Step::Done:
      extras_->prelude_runs = false;
      server_->cleaned_in_front();
      if (std::exchange(extras_->holds_ready, false)) tell_ready(ours);
      break;
    case session::ServerPrelude::Step::Failed:
      extras_->prelude_failed = true;
      break;
  }
  return false;
}

void ClientSession::prelude_went_wrong(base::Bytes rest) {
  const base::Error error = extras_->prelude.error();
  extras_->prelude_failed = false;
  if (pooled_) server_->relay.take_back(pooled_->statements);
  if (std::exchange(extras_->cancelled, false) && may_move_) {
    extras_->prelude_runs = false;
    server_.part()->leave_client(session::ServerCleanup::Leave::Vanished, true);
    return refuse_request({"57014", "canceling statement due to user request"});
  }
  if (may_move_ && extras_->prelude.found_temporary()) return try_another_server();
  if (may_move_ && !vanished_ && extras_->prelude.failed_by_settings())
    return refuse_for_settings(error, rest);
  log::warning(shown() + " what goes in front of its request failed on server_pid=" +
               std::to_string(server_->open().process_id) + ": " + error.sqlstate + " " +
               log::shown(error.message));
  server_->blame(error);
  // A reset fails by what the last client left, and the settings were in force elsewhere: what is wrong is
  // this server. In mid-session there is no other.
  const bool may_run = travelled_ > 0 && !extras_->prelude.was_refused();
  if (may_move_ && !may_run && ++moves_ <= kMostMoves) return try_another_server();
  extras_->prelude_runs = false;
  server_.part()->leave_client(session::ServerCleanup::Leave::Vanished, true);
  end(error);
}

// A setting of the client's cannot be set any more: its role was dropped, say. That is its error, for this
// request and the next ones, until it takes the setting back; the server is well, and another would say the
// same.
void ClientSession::refuse_for_settings(const base::Error& error, base::Bytes rest) {
  log::info(shown() + " refused: a setting of the session's cannot be set: " + error.sqlstate + " " +
            log::shown(error.message));
  char last = '\0';
  wire::FrameCursor cursor;
  cursor.walk(base::Bytes(pending_).substr(0, travelled_), {}, [&last](const wire::Message& message) {
    last = message.type;
    return wire::Walk::Go;
  });
  extras_->prelude_runs = false;
  if (pooled_) {
    pooled_->compares_at_ready = false;
    pooled_->told_all = {};
    pooled_->settings_are_refused = true;
    if (auto before = std::exchange(pooled_->carried_before, nullptr)) pooled_->carried = std::move(before);
  }
  server_.part()->leave_refused(last != 'S', std::string(rest));
  moves_ = 0;
  refuse_request(error);
}

// The next request of a session whose settings a server has refused: what it takes back needs not be set.
void ClientSession::leave_out_what_is_reset(base::Bytes request) {
  pooled_->settings_are_refused = false;
  if (end_of_first_request(request) == 0) return;
  const auto length = base::read_u32(request.data() + 1);
  base::Bytes text = request.substr(wire::kHeaderSize, length - sizeof length);
  if (request.front() == 'P') text.remove_prefix(std::min(text.find('\0') + 1, text.size()));
  if (request.front() != 'P' && request.front() != 'Q') return;
  auto left = session::without_what_is_reset(pooled_->carried, base::until_nul(text), pooled_->options);
  if (left == pooled_->carried) return;
  pooled_->carried_before = std::exchange(pooled_->carried, std::move(left));
  pooled_->request_failed = false;
}

// The server goes back, and the request was to take settings back. If what would have taken a setting back
// has failed, the session has it still.
void ClientSession::see_request_end() {
  auto before = std::exchange(pooled_->carried_before, nullptr);
  if (!std::exchange(pooled_->request_failed, false)) return;
  pooled_->carried = std::move(before);
  pooled_->settings_are_refused = true;
  const session::WantedSettings wanted{*greeting_, "", pooled_->carried.get()};
  pooled_->statements.settings_are(wanted.parse_settings());
}

// Black holes and stopped servers: what is ours has a time limit. A request that has travelled along runs
// when the server reads it, and is not said to another. True: it still runs, or runs elsewhere now.
bool ClientSession::prelude_timed_out() {
  log::warning(shown() + " what goes in front of its request got no answer from server_pid=" +
               std::to_string(server_->open().process_id) + " within reset_timeout");
  server_->blame({"08006", "the server did not answer what goes in front of a request within reset_timeout"});
  if (may_move_ && travelled_ == 0 && !vanished_ && ++moves_ <= kMostMoves) {
    try_another_server();
    return true;
  }
  end({"08006", "the server did not answer within reset_timeout",
       travelled_ > 0 ? "Whether the request has run there is not known." : ""});
  return false;
}

// Whether it was the client that gave itself the name that its server was dialed with.
void ClientSession::see_command_tag(base::Bytes body) {
  const std::string_view tag = body.substr(0, body.find('\0'));
  using Tag = Extras::Tag;
  const bool sets = tag == "SET";
  // The relay speaks of what was passed on last.
  const bool is_last = server_->tracker.ready_owed() == 1;
  const bool resets =
      tag == "RESET" || tag == "DISCARD ALL" || (pooled_ && sets && is_last && server_->relay.resets());
  if (sets || resets || extras_) extras().tag = resets ? Tag::Reset : sets ? Tag::Set : Tag::Other;
  if (resets) extras_->checks_name = extras_->was_reset = true;
}

// Nothing was reported: PostgreSQL set the name and reset it again in one request. A server that reports no
// changes (a pooler behind this one) is given the name once more, and believed to have it from then on.
bool ClientSession::name_may_be_lost(bool was_reset) {
  using NameReports = ServerConnection::NameReports;
  if (was_reset) return true;
  if (server_->name_reports == NameReports::Missing) return false;
  if (server_->name_reports == NameReports::Expected) server_->name_reports = NameReports::Missing;
  return true;
}

// A RESET leads to the name that the server was dialed with. If that is what it reported last, and the client
// was not told so, the name is lost: also where it was set in front of the same request, and there is nothing
// to be reported.
void ClientSession::check_name_at_ready() {
  extras_->last_tag = std::exchange(extras_->tag, Extras::Tag::Other);
  const bool was_reset = std::exchange(extras_->was_reset, false);
  if (was_reset && extras_->last_tag == Extras::Tag::Other) extras_->last_tag = Extras::Tag::Reset;
  if (!std::exchange(extras_->checks_name, false)) return;
  const std::string* reported = server_->parameters.find(kApplicationName);
  const std::string* before = told().find(kApplicationName);
  const bool has_own = reported != nullptr && *reported == server_->own_name() && name_may_be_lost(was_reset);
  using NameChange = session::StatementRelay::NameChange;
  const bool is_last = pooled_ && server_->tracker.ready_owed() == 0;
  const NameChange change = is_last ? server_->relay.name_change() : NameChange::None;
  if (change == NameChange::Set) extras_->last_tag = Extras::Tag::Set;
  // What its client had SET may be the very name that the server has; then PostgreSQL has nothing to report.
  const bool is_reset = change == NameChange::Reset && extras_->last_tag == Extras::Tag::Reset;
  extras_->name_is_lost = has_own && (is_reset || before == nullptr || *before != server_->own_name());
  // The client had given itself that very name, and something was reset: the server knows whether it was
  // that.
  if (has_own && !extras_->name_is_lost && !pooled_) {
    extras_->rename = Extras::Rename::IfReset;
    extras_->name_is_unclear = true;
  }
}

// The client is told its own name where PostgreSQL would tell it, and has it again before anything else of
// the client's runs; unless it has SET that of the server itself.
void ClientSession::tell_name_at_ready(std::string& out) {
  using Tag = Extras::Tag;
  extras_->name_is_lost = false;
  const bool is_set = extras_->last_tag == Tag::Set && !extras_->saw_default;
  if (!pooled_ || !is_set) {
    // A function may have set it, or reset it: then the server is asked, in session mode. (In transaction
    // mode it is asked for all settings.)
    const bool is_known = extras_->last_tag == Tag::Reset || (pooled_ && extras_->last_tag == Tag::Other);
    extras_->rename = is_known ? Extras::Rename::Now : Extras::Rename::IfReset;
    extras_->name_is_unclear = !is_known && !pooled_;
    if (pooled_ && server_->tracker.status() == 'I') server_->applied.erase(kApplicationName);
  }
  extras_->saw_default = false;
  // What cannot be asked now is told as it most likely is, and corrected when the server can be asked.
  if (!extras_->name_is_unclear || (is_set && !may_rename()))
    tell_name(is_set ? server_->own_name() : wanted_application_name(), out);
}

void ClientSession::tell_name(const std::string& name, std::string& out) {
  const std::string* before = told().find(kApplicationName);
  if (before != nullptr && *before == name) return;
  if (pooled_) note_parameter(kApplicationName, name);
  told().set(kApplicationName, name);
  wire::append_parameter_status(out, kApplicationName, name);
}

// A ReadyForQuery is held back: its client may have given itself the name that the server was dialed with, or
// something took its own name back. Only the server knows which.
void ClientSession::ask_for_name() {
  extras_->rename = Extras::Rename::No;
  holds_ = false;
  send_with_prelude(
      session::ServerPrelude::rename_if_reset(wanted_application_name(), server_->tracker.status()));
}

void ClientSession::tell_ready(std::string& out) {
  const bool has_own = extras_->prelude.left_the_name();
  tell_name(has_own ? server_->own_name() : wanted_application_name(), out);
  wire::append_ready_for_query(out, server_->tracker.status());
}

session::ServerPrelude ClientSession::renaming_prelude() {
  const bool if_reset = std::exchange(extras_->rename, Extras::Rename::No) == Extras::Rename::IfReset;
  if (pooled_) server_->applied.set(kApplicationName, wanted_application_name());
  return session::ServerPrelude::rename(wanted_application_name(), server_->tracker.status(), if_reset);
}

bool ClientSession::may_rename() const {
  if (extras_->rename == Extras::Rename::No || !server_->tracker.is_quiet() ||
      !from_client_.between_messages())
    return false;
  return server_->tracker.status() == 'I' || server_->tracker.status() == 'T';
}

}  // namespace tidepool::daemon
