// What travels in front of a client's message: the DISCARD ALL that its server lacks, its startup settings,
// and those again after a RESET of the client's own. As long as that is unanswered, nothing of the client's
// has run, and its request may move to another server, unseen.
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

bool ClientSession::see_prelude_reply(const wire::Message& message) {
  if (message.type == 'N') return false;
  if (message.type == 'A') return true;
  switch (extras_->prelude.server_sent(message)) {
    case session::ServerPrelude::Step::More:
      break;
    case session::ServerPrelude::Step::Done:
      extras_->prelude_runs = false;
      server_->cleaned_in_front();
      break;
    case session::ServerPrelude::Step::Failed:
      extras_->prelude_failed = true;
      break;
  }
  return false;
}

void ClientSession::prelude_went_wrong() {
  const base::Error error = extras_->prelude.error();
  extras_->prelude_failed = false;
  if (pooled_) server_->relay.take_back(pooled_->statements);
  if (std::exchange(extras_->cancelled, false) && may_move_) {
    extras_->prelude_runs = false;
    server_.part()->leave_client(session::ServerCleanup::Leave::Vanished, true);
    return refuse_request({"57014", "canceling statement due to user request"});
  }
  log::warning(shown() + " what goes in front of its request failed on server_pid=" +
               std::to_string(server_->open().process_id) + ": " + error.sqlstate + " " +
               log::shown(error.message));
  server_->blame(error);
  // Settings passed their trial, and a reset fails by what the last client left: what is wrong is this
  // server. In mid-session there is no other.
  if (may_move_ && ++moves_ <= kMostMoves) return try_another_server();
  extras_->prelude_runs = false;
  server_.part()->leave_client(session::ServerCleanup::Leave::Vanished, true);
  end(error);
}

// Black holes and stopped servers: what is ours has a time limit. True: it still runs, or runs elsewhere now.
bool ClientSession::prelude_timed_out() {
  log::warning(shown() + " what goes in front of its request got no answer from server_pid=" +
               std::to_string(server_->open().process_id) + " within reset_timeout");
  server_->blame({"08006", "the server did not answer what goes in front of a request within reset_timeout"});
  if (may_move_ && !vanished_ && ++moves_ <= kMostMoves) {
    try_another_server();
    return true;
  }
  end({"08006", "the server did not answer within reset_timeout"});
  return false;
}

// Tags after which a startup setting may stand at the server's value instead of the client's.
void ClientSession::see_command_tag(base::Bytes body) {
  const std::string_view tag = body.substr(0, body.find('\0'));
  const bool to_default = pooled_ && tag == "SET" && server_->relay.resets();
  if (tag == "RESET" || tag == "DISCARD ALL" || to_default) {
    if (pooled_) pooled_->watch.reset_has_run();
    extras().restore = Extras::Restore::Now;
    extras_->withhold = true;
  } else if (tag == "SET" && extras().restore == Extras::Restore::No) {
    // SET x TO DEFAULT, if the text is not known. Inside a transaction it waits for the end: a query in front
    // of SET TRANSACTION would break that.
    extras_->restore = Extras::Restore::OutsideTransaction;
  }
}

// What has to be set again after a RESET, to the client's own startup values.
session::ServerPrelude ClientSession::restoring_prelude() {
  // Between transactions it is known what there is; within one the server is asked.
  if (pooled_ && server_->tracker.status() == 'I')
    return session::ServerPrelude::change(changes_on(*server_, wanted_application_name()));
  auto settings = greeting_->settings();
  settings.emplace_back("application_name", wanted_application_name());
  if (pooled_) {
    // What the client has SET meanwhile, to the server's own value even, is left alone.
    std::erase_if(settings, [&](const auto& entry) { return !pooled_->watch.saw_reset(entry.first); });
    const bool by_set = !pooled_->watch.saw_reset_of_all() &&
                        std::all_of(settings.begin(), settings.end(), [](const auto& entry) {
                          return session::ServerPrelude::can_be_restored_by_set(entry.first);
                        });
    if (by_set) return session::ServerPrelude::restore_by_set(settings);
  }
  return session::ServerPrelude::restore(settings, server_->tracker.status());
}

bool ClientSession::may_restore() const {
  if (extras_->restore == Extras::Restore::No || !server_->tracker.is_quiet() ||
      !from_client_.between_messages())
    return false;
  const char status = server_->tracker.status();
  return status == 'I' || (status == 'T' && extras_->restore == Extras::Restore::Now);
}

}  // namespace tidepool::daemon
