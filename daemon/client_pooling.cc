// A client in transaction mode: its server goes back when nothing of the client's is left there that the next
// one must not meet. The client's settings are brought to each server it gets, its prepared statements have
// names of ours there, and what cannot travel keeps the server with the client. lib/session knows how; here
// it is carried out.
#include <utility>

#include "daemon/client_pooled.h"
#include "daemon/client_session.h"
#include "daemon/clock.h"
#include "daemon/log.h"
#include "daemon/server_connection.h"
#include "daemon/worker.h"
#include "lib/base/ascii.h"
#include "lib/wire/message_writer.h"

namespace tidepool::daemon {

namespace {

constexpr std::string_view kApplicationName = "application_name";

session::SessionWatch::OnState on_state_of(config::OnSessionState setting) {
  switch (setting) {
    case config::OnSessionState::Pin:
      return session::SessionWatch::OnState::Pin;
    case config::OnSessionState::Error:
      return session::SessionWatch::OnState::Error;
    case config::OnSessionState::Allow:
      return session::SessionWatch::OnState::Allow;
  }
  return session::SessionWatch::OnState::Pin;
}

}  // namespace

// By the pool's mode for its user, which a reload may have changed. A session that has begun to keep its
// server goes on so.
void ClientSession::become_pooled() {
  const auto mode = config::mode_for(*pool_->settings, user_);
  if (pooled_) {
    pooled_->mode = mode;
  } else if (mode != config::PoolMode::Session) {
    pooled_ = std::make_unique<Pooled>(*pool_, worker_.new_session_number(), mode);
    if (greeting_) greeted_pooled();
  }
}

void ClientSession::greeted_pooled() {
  pooled_->statements.settings_are(greeting_->parse_settings);
  pooled_->options = greeting_->options;
  pooled_->read_with = nullptr;
}

// -- A server for one transaction -----------------------------------------------------------------

std::optional<session::ServerPrelude> ClientSession::link_pooled(ServerConnection& server,
                                                                 const std::string& application_name) {
  watch_name_ = server.own_name() != application_name;
  const bool resets = server.is_unclean();
  if (resets) server.discarded();

  const session::ParameterMap& base = server.parameters_when_clean();
  const bool undoes = server.is_in_doubt_for(pooled_->number);
  if (undoes) server.begin_undoing();
  const bool suits = !resets && !undoes && server.suits(greeting_, application_name, pooled_->carried);
  const bool was_told = extras_ && extras_->told;
  const auto knows_all = [&] {
    return pooled_->told_all.base == base.digest() &&
           pooled_->told_all.told_version == extras_->told->version();
  };
  if (was_told ? !knows_all() : !suits) {
    tell_differences(base);
    // Its own settings may be in force there already: then PostgreSQL has nothing to report.
    pooled_->compares_at_ready = was_told;
  }
  if (extras_ && extras_->told) pooled_->told_all = {base.digest(), extras_->told->version()};
  if (suits) return std::nullopt;

  const auto changes = changes_on(server, application_name);
  if (undoes) return session::ServerPrelude::undo_and_change(changes);
  if (resets || !changes.empty()) return session::ServerPrelude::change(changes, server.first_of_prelude());
  server.note_suits(greeting_, application_name, pooled_->carried);
  return std::nullopt;
}

// The server counts as having them from now on: if they fail, it is closed.
session::SettingChanges ClientSession::changes_on(ServerConnection& server,
                                                  const std::string& application_name) {
  const session::WantedSettings wanted{*greeting_, application_name, pooled_->carried.get()};
  return wanted.changes_on(server.applied, server.parameters_when_clean());
}

session::StatementRelay::Client ClientSession::relay_client() {
  return {pooled_->number,
          pooled_->statements,
          pooled_->watch,
          *pooled_,
          pooled_->policy,
          pooled_->options,
          pool_->settings->max_prepared_statements,
          pool_->settings->client_statement_memory,
          pool_->settings->parse == config::ParseKind::Shared};
}

ClientSession::Passed ClientSession::pass_on_pooled(base::Bytes bytes, std::string& out, bool& is_changed) {
  const config::PoolSettings& settings = *pool_->settings;
  if (pooled_->read_with != pool_->settings) {
    pooled_->read_with = pool_->settings;
    pooled_->options.pin_functions = settings.pin_functions;
    pooled_->statements.unnamed_is_read = false;
  }
  auto client = relay_client();
  pooled_->policy = {on_state_of(settings.on_session_state), pooled_->mode == config::PoolMode::Statement,
                     pooled_->has_place || pool_->shared->pinned() < settings.max_pinned, database_};
  pooled_->may_ask = true;
  if (server_->relay.wants_client_rest())
    server_->relay.client_sent_rest(bytes.substr(0, from_client_.body_left()), client);
  Stop stop = Stop::No;
  std::string& piece = worker_.bytes_of_message();
  size_t kept_from = 0;
  const auto walked =
      from_client_.walk_if(bytes, session::StatementRelay::is_enough, [&](const wire::Message& message) {
        stop = stop_at(message);
        if (stop != Stop::No) return wire::Walk::StopBefore;
        piece.clear();
        const auto pass = server_->relay.client_sent(message, client, piece);
        const bool waits = pass == session::StatementRelay::Pass::Wait;
        if (waits) {
          stop = Stop::Waits;
          pooled_->waits = true;
        }
        const bool is_left_out = pass == session::StatementRelay::Pass::Changed;
        if (is_left_out || !piece.empty()) {
          out.append(bytes.substr(kept_from, message.at - kept_from)).append(piece);
          kept_from = is_left_out ? std::min(message.end(), bytes.size()) : message.at;
          is_changed = true;
        }
        return waits || pass == session::StatementRelay::Pass::NeedsMore ? wire::Walk::StopBefore
                                                                         : wire::Walk::Go;
      });
  if (pooled_->watch.take_wish_to_pin() && !pooled_->is_pinned && !pooled_->has_place)
    pooled_->has_place = pool_->shared->pin();
  if (const auto refusal = pooled_->watch.take_refusal())
    log::info(shown() + " refused: " + refusal->sqlstate + " " + log::shown(refusal->message));
  if (is_changed) out.append(bytes.substr(kept_from, walked.consumed - kept_from));
  if (server_->from_server.between_messages() && server_->tail.empty()) {
    std::string due;
    server_->relay.take_flushed(due);
    if (!due.empty()) socket_.write(due);
  }
  return {walked.consumed, stop, walked.broken};
}

// The client's settings hold on this server, or were brought there in front of its message. PostgreSQL
// reports a parameter only if it is not what it reported last, which may be another client's: at
// ReadyForQuery, what holds is compared with what this client was told.
void ClientSession::tell_parameters_at_ready(std::string& out) {
  pooled_->compares_at_ready = false;
  std::vector<session::ParameterMap::Entry> news;
  server_->parameters.each_difference(
      told(), [&](const std::string& name, const std::string& value) { news.emplace_back(name, value); });
  for (const auto& [name, value] : news) {
    if (extras_->name_is_lost && name == kApplicationName) continue;
    note_parameter(name, value);
    told().report(name, value);
    wire::append_parameter_status(out, name, value);
  }
}

bool ClientSession::pooled_waits() const {
  return pooled_->waits || pooled_->question != nullptr;
}

// A parameter has another value than the client was told last. If that is still so at the end of the
// transaction, the session has set it.
void ClientSession::note_parameter(std::string_view name, std::string_view value) {
  if (session::read_option(name, value, pooled_->options)) pooled_->statements.unnamed_is_read = false;
  server_->relay.parameter_changed(name);
  if (pooled_->reported_before.find(name) != nullptr) return;
  const std::string* before = told().find(name);
  pooled_->reported_before.set(name, before != nullptr ? std::string_view(*before) : std::string_view());
}

// -- When it is over ------------------------------------------------------------------------------

// A read of the server's has been passed on.
void ClientSession::after_server_spoke() {
  if (pooled_->question && pooled_->question_step != session::StateQuestion::Step::More)
    return question_answered(pooled_->question_step == session::StateQuestion::Step::Answered);
  const auto& tracker = server_->tracker;
  std::string missing;
  if (server_->relay.take_missing_sync(missing)) server_->send(missing);
  // asyncpg's prepare() says Flush and nothing more: see tick_linked().
  if (server_->relay.has_only_prepared()) worker_.need_tick();
  const bool goes_on = pooled_->waits && tracker.ready_owed() == 0 && !server_->relay.asks();
  if (goes_on) pooled_->waits = false;
  if (pooled_->mode == config::PoolMode::Statement && tracker.is_quiet() && tracker.status() != 'I')
    return end(
        {"0A000", "a transaction block was begun in pool \"" + database_ + "\", which is in statement mode"});
  const bool between_transactions = tracker.is_quiet() && tracker.status() == 'I' && !prelude_runs() &&
                                    !pooled_waits() && from_client_.between_messages() &&
                                    pooled_->mode != config::PoolMode::Session;
  // What it owes is in doubt (a COPY failed in which a Sync was sent): that is answered by the answers to a
  // question, too.
  if (between_transactions && tracker.in_doubt() && std::exchange(pooled_->may_ask, false)) {
    pooled_->watch.note_everything("what its server owes was in doubt");
    return ask_for_state();
  }
  const bool may_go =
      between_transactions && tracker.server_is_free() && !vanished_ && !pooled_->compares_at_ready;
  if (may_go && !keep_server()) return;
  if (goes_on && !retired_ && state_ == State::Linked) replay(pending_.take());
}

// The server says so, unasked: a function has done it, perhaps.
void ClientSession::note_reported(std::string_view name) {
  constexpr std::string_view kWhy = "(reported by the server)";
  // Whoever is a superuser or not has become somebody else.
  if (name == "is_superuser" || name == "session_authorization") return pooled_->watch.note_identity(kWhy);
  pooled_->watch.note_setting(base::lower(name), kWhy);
}

// Between two transactions. False: the server is on its way back, or is asked whether it may go; what the
// client has sent meanwhile comes after that.
bool ClientSession::keep_server() {
  for (const auto& [name, before] : pooled_->reported_before.entries()) {
    const std::string* now = told().find(name);
    if (now == nullptr || *now != before) note_reported(name);
  }
  pooled_->reported_before.clear();
  if (pooled_->watch.is_suspicious() && !pooled_->watch.stays()) {
    if (std::exchange(pooled_->may_ask, false)) {
      ask_for_state();
      return false;
    }
    update_pin();
    return true;
  }
  if (pooled_->watch.pins() != 0) {
    update_pin();
    return true;
  }
  release_server();
  return false;
}

void ClientSession::ask_for_state() {
  std::vector<std::string> custom;
  const auto add = [&custom](std::string_view name) {
    if (name.find('.') != std::string_view::npos) custom.push_back(base::lower(name));
  };
  for (const auto& [name, value] : flavour_->settings.entries) add(name);
  if (pooled_->carried)
    for (const auto& [name, value] : pooled_->carried->entries()) add(name);
  if (pooled_->watch.asks_all_settings())
    for (const std::string& name : pooled_->watch.custom_settings()) add(name);
  pooled_->question =
      std::make_unique<session::StateQuestion>(pooled_->watch, custom, server_->relay.statements().names());
  pooled_->question_step = session::StateQuestion::Step::More;
  pooled_->asked_at = worker_.now();
  using Question = session::ServerStatements::Question;
  const auto& statements = server_->relay.statements();
  pooled_->asks_by_name = pooled_->question->is_usual() && statements.question != Question::Unwanted;
  std::string out;
  if (pooled_->asks_by_name)
    pooled_->question->ask_by_name(statements.name_of_question(), statements.question == Question::Prepared,
                                   server_->tracker, out);
  else
    pooled_->question->ask(server_->tracker, out);
  server_->relay.unnamed_is_gone();
  worker_.need_tick();
  server_->send(out);  // if it is refused, reading tells
}

bool ClientSession::question_runs() const {
  return pooled_ && pooled_->question;
}

// True: it is the client's.
bool ClientSession::see_question_reply(const wire::Message& message) {
  if (message.type == 'A') return true;
  if (message.type == 'N') return false;
  if (message.type == 'Z' && server_->tracker.in_doubt() && !pooled_->question->is_being_answered())
    return true;  // it was owed
  server_->tracker.server_sent(message.type, message.type == 'Z' ? message.body : base::Bytes{});
  pooled_->question_step = pooled_->question->server_sent(message);
  return false;
}

void ClientSession::question_answered(bool is_answered) {
  session::SessionWatch& watch = pooled_->watch;
  using Question = session::ServerStatements::Question;
  if (pooled_->asks_by_name)
    server_->relay.note_question(is_answered ? Question::Prepared : Question::Unwanted);
  if (!is_answered && std::exchange(pooled_->asks_by_name, false)) return ask_for_state();
  if (is_answered) {
    if (server_->tracker.in_doubt()) server_->tracker.settle_doubt();
    const session::SessionState& state = pooled_->question->answer();
    if (watch.asks_settings()) {
      pooled_->carried = session::carried_after(pooled_->carried, *flavour_, watch, state,
                                                server_->parameters_of_its_own(), server_->applied);
      const session::WantedSettings wanted{*greeting_, "", pooled_->carried.get()};
      pooled_->statements.settings_are(wanted.parse_settings());
      pooled_->told_all = {};  // what the client was told of something that it has RESET is not so any more
    }
    see_statements(state);
    server_->relay.statements_are_known();
    watch.answered(state);
    if ((watch.pins() & session::bit(session::Pin::Prepared)) == 0) pooled_->statements.forget_own();
  } else {
    const base::Error& error = pooled_->question->error();
    log::warning(shown() +
                 " what the session has left on server_pid=" + std::to_string(server_->open().process_id) +
                 " could not be asked for, so that it stays there: " + error.sqlstate + " " +
                 log::shown(error.message));
    watch.question_failed();
  }
  pooled_->question.reset();
  update_pin();
  if (retired_ || state_ != State::Linked) return;
  if (watch.pins() == 0 && !watch.is_suspicious()) return release_server();
  if (!pending_.empty() || !socket_.is_reading()) replay(pending_.take());
}

// What clients believe to be prepared there under names of the pool's must be there, and nothing else.
void ClientSession::see_statements(const session::SessionState& state) {
  if (!state.statements) return;
  const auto believed = server_->relay.statements().census();
  const auto& [ours, forged] = *state.statements;
  if (ours == believed && forged == 0) return;
  pooled_->spoils_statements = true;
  log::info(shown() + " has changed the pool's prepared statements on server_pid=" +
            std::to_string(server_->open().process_id) +
            ", which is to be reset: " + log::shown(pooled_->watch.suspect()));
  if (ours.count < believed.count) server_->relay.lose_all_but(ours, pooled_->statements);
  server_->relay.discarded();
}

void ClientSession::update_pin() {
  const session::Pins pins = pooled_->watch.pins();
  if (pins == 0) return end_pin();
  if (pooled_->is_pinned) return;
  if (!std::exchange(pooled_->has_place, false) && !pool_->shared->pin())
    return end({"53400", "the session would keep a server of pool \"" + database_ + "\" because of " +
                             session::words_of(pins) + ", and max_pinned of them are kept already"});
  pooled_->is_pinned = true;
  pooled_->pinned_since_us = now_wall_us();
  log::info(shown() + " keeps server_pid=" + std::to_string(server_->open().process_id) + " because of " +
            session::words_of(pins) + ": " + log::shown(pooled_->watch.suspect()));
}

// The first message of a request that would keep a server, while others keep as many as may be: its turn
// comes like a server's. (Within a transaction it would hold what others may wait for.)
bool ClientSession::waits_for_place(const wire::Message& first, base::Bytes bytes) {
  const config::PoolSettings& settings = *pool_->settings;
  if (pooled_->has_place) return false;
  base::Bytes body = bytes.substr(wire::kHeaderSize, first.size - wire::kHeaderSize);
  sql::StatementTraits read;
  const sql::StatementTraits* traits = &read;
  if (first.type == 'Q' || first.type == 'P') {
    if (first.type == 'P') body.remove_prefix(std::min(body.find('\0') + 1, body.size()));
    pooled_->options.pin_functions = settings.pin_functions;
    read = sql::classify(base::until_nul(body), pooled_->options);
  } else if (first.type == 'B') {
    body.remove_prefix(std::min(body.find('\0') + 1, body.size()));
    const std::string_view name = base::until_nul(body);
    if (const auto* entry = pooled_->statements.find(name))
      traits = &entry->statement->traits();
    else if (name.empty())
      traits = &pooled_->statements.unnamed_traits;
  }
  if (!pooled_->watch.would_pin(*traits, on_state_of(settings.on_session_state))) return false;
  pooled_->has_place = pool_->shared->await_place(id_);
  if (pooled_->has_place) return false;
  pooled_->wants_place = true;
  set_state(State::Waiting);
  worker_.need_tick();
  return true;
}

bool ClientSession::on_place() {
  if (!pooled_ || !std::exchange(pooled_->wants_place, false)) return false;
  pool_->shared->forget_place(id_);  // if this was meant for an earlier wait
  pooled_->has_place = true;
  set_state(State::Idle);
  replay(pending_.take());
  return true;
}

void ClientSession::forget_place() {
  if (std::exchange(pooled_->wants_place, false)) pool_->shared->forget_place(id_);
  if (std::exchange(pooled_->has_place, false)) pool_->shared->unpin();
}

void ClientSession::refuse_place(base::TimePoint now) {
  forget_place();
  const auto error =
      session::waited_for_pin(database_, std::to_string((now - asked_since_).count() / 1'000'000) + " s");
  log::info(shown() + " refused: " + error.sqlstate + " " + log::shown(error.message));
  refuse_request(error);
}

void ClientSession::end_pin() {
  if (!std::exchange(pooled_->is_pinned, false)) return;
  pool_->shared->unpin();
  log::info(shown() + " does not keep its server any more");
}

void ClientSession::release_server() {
  ServerConnection* server = server_.part();
  server->relay.leave();
  if (pooled_->carried_before) see_request_end();
  forget_place();  // nothing was left there after all
  if (pooled_->watch.take_doubt()) server->doubt(pooled_->number);
  const bool spoils_statements = std::exchange(pooled_->spoils_statements, false);
  if (extras_) extras_->rename = Extras::Rename::No;
  moves_ = 0;
  request_runs_ = false;
  set_state(State::Idle);
  if (pool_->settings->client_idle.count() > 0) worker_.need_tick();
  if (spoils_statements)
    server->leave_client(session::ServerCleanup::Leave::Terminated, false, ServerConnection::Left::Unknown);
  else
    server->release();
  if (!pending_.empty() || !socket_.is_reading()) replay(pending_.take());
}

}  // namespace tidepool::daemon
