// Asks a server what a session has left in it: one statement by the extended protocol, between two
// transactions of the client's, who sees nothing of it. Uses the unnamed statement, of which nothing is left.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "lib/session/session_watch.h"
#include "lib/session/transaction_tracker.h"
#include "lib/wire/frame_cursor.h"

namespace tidepool::session {

class StateQuestion {
 public:
  // Asks for what `watch` suspects. `custom_settings`: further names of custom settings that are known to be
  // carried. `prefix`: what the names of the pool's statements begin with; no quote is in it.
  StateQuestion(const SessionWatch& watch, const std::vector<std::string>& custom_settings,
                std::string_view prefix);

  // Appends what is to be sent; `tracker` is told.
  void ask(TransactionTracker& tracker, std::string& out) const;
  // It is the same as behind every function.
  bool is_usual() const { return is_usual_; }
  // Then it may have a name on the server, under which it is prepared now or was already. (Whether another
  // was put in its place by SQL is asked first, otherwise.)
  void ask_by_name(std::string_view name, bool is_prepared, TransactionTracker& tracker,
                   std::string& out) const;
  enum class Step { More, Answered, Failed };
  // Feed it every message from the server up to Answered or Failed (its ReadyForQuery), ParameterStatus,
  // NoticeResponse and NotificationResponse excepted. Needs whole bodies of DataRow and ErrorResponse.
  // `tracker` is fed by the caller.
  Step server_sent(const wire::Message& message);
  // Its first answer has come.
  bool is_being_answered() const { return is_being_answered_; }
  const SessionState& answer() const { return answer_; }
  const base::Error& error() const { return error_; }

 private:
  bool read_row(base::Bytes body);
  bool read_statements(std::string_view numbers);

  std::string sql_;
  std::vector<std::string> names_;  // its parameters
  SessionState answer_;
  base::Error error_;
  bool failed_ = false;
  bool is_being_answered_ = false;
  bool is_usual_ = false;
  bool is_forged_ = false;  // somebody has prepared another question under its name
};

}  // namespace tidepool::session
