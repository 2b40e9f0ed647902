// What a client in transaction or statement mode has beyond one in session mode. Part of ClientSession.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "daemon/client_session.h"
#include "daemon/worker.h"
#include "lib/config/settings.h"
#include "lib/session/client_statements.h"
#include "lib/session/session_settings.h"
#include "lib/session/session_watch.h"
#include "lib/session/state_question.h"

namespace tidepool::daemon {

struct ClientSession::Pooled final : session::StatementSource {
  Pooled(PoolHere& pool_here, uint64_t session_number, config::PoolMode pool_mode)
      : pool(pool_here), number(session_number), mode(pool_mode) {}

  session::TextPtr text(std::string_view text, std::string_view types, bool is_unsure) override {
    sql::Options now = options;
    now.is_unsure = is_unsure;
    return pool.shared->statement_text(text, types, now);
  }
  session::StatementPtr share(const session::PreparedStatement& statement) override {
    return pool.shared->share_statement(statement);
  }
  void show(stats::ClientRow& row) const {
    row.prepared_statements = static_cast<uint32_t>(statements.size());
    if (!is_pinned) return;
    row.pinned_since_us = pinned_since_us;
    row.pinned_why = session::words_of(watch.pins());
    row.pinned_by = watch.suspect();
  }

  PoolHere& pool;
  const uint64_t number;  // of no other session
  config::PoolMode mode;
  bool waits = false;    // a message of the client's depends on what is not answered yet
  bool may_ask = false;  // the client has run something since the last question
  bool compares_at_ready = false;
  bool is_pinned = false;          // counted in max_pinned
  bool has_place = false;          // the same, for what its next transaction is about to leave
  bool wants_place = false;        // waits for one, without a server
  bool spoils_statements = false;  // those of the pool on its server are not what they were
  session::ClientStatements statements;
  session::SessionWatch watch;
  session::CarriedSettings carried;
  // A server has refused them. A request that takes such a setting back runs without it: if it fails, all is
  // as it was, `carried_before`.
  bool settings_are_refused = false;
  session::CarriedSettings carried_before;
  bool request_failed = false;
  session::SessionWatch::Policy policy;
  sql::Options options;
  std::shared_ptr<const config::PoolSettings> read_with;  // whose pin_functions they have
  // Parameters that the server has reported anew since it was taken, as they were before.
  session::ParameterMap reported_before;
  // What the client was last told all about: what a server has by itself, and the version of what the client
  // knew then. Nothing, once it was not told something.
  struct {
    uint64_t base = 0, told_version = UINT64_MAX;
  } told_all;
  std::unique_ptr<session::StateQuestion> question;  // while it runs
  session::StateQuestion::Step question_step = session::StateQuestion::Step::More;
  bool asks_by_name = false;
  base::TimePoint asked_at{};
  int64_t pinned_since_us = 0;
};

}  // namespace tidepool::daemon
