#include "lib/session/settings_trial.h"

#include "lib/wire/message_reader.h"
#include "lib/wire/message_writer.h"

namespace tidepool::session {

namespace {

constexpr std::string_view kBeginAnswers = "12C";

// Errors that say something about the server at this moment, not about the settings: connection, resources,
// operator's intervention (a cancel too), system, internal.
bool is_about_the_server(std::string_view sqlstate) {
  const std::string_view error_class = sqlstate.substr(0, 2);
  for (std::string_view of_the_server : {"", "08", "53", "57", "58", "XX"})
    if (error_class == of_the_server) return true;
  return false;
}

}  // namespace

// BEGIN goes in the same batch: were it to fail, the settings would not be tried.
void SettingsTrial::start(const StartupSettings& settings, std::string& out) {
  *this = SettingsTrial();
  phase_ = Phase::Beginning;
  settings_ = ServerPrelude::set(settings.entries, 'T');
  wire::append_parse(out, "", "BEGIN ISOLATION LEVEL READ COMMITTED");
  wire::append_bind(out, "", "");
  wire::append_execute(out, "");
  out += settings_.bytes();
  wire::append_sync(out);
}

SettingsTrial::Step SettingsTrial::server_sent(const wire::Message& message, std::string& out) {
  const char type = message.type;
  const bool reverts = phase_ >= Phase::RollingBack;
  if (type == 'S') return reverts || reported_.apply_status(message.body) ? Step::More : Step::CloseServer;
  if (type == 'N' || type == 'A') return Step::More;

  switch (phase_) {
    case Phase::Beginning:
      if (type != kBeginAnswers[begin_answers_]) return Step::CloseServer;
      if (++begin_answers_ == kBeginAnswers.size())
        phase_ = settings_.is_done() ? Phase::Set : Phase::Setting;
      return Step::More;

    case Phase::Setting:
      if (type == 'E') return setting_failed(message.body);
      switch (settings_.server_sent(message)) {
        case ServerPrelude::Step::Failed:
          return Step::CloseServer;
        case ServerPrelude::Step::Done:
          phase_ = Phase::Set;
          return Step::More;
        case ServerPrelude::Step::More:
          return Step::More;
      }
      return Step::CloseServer;

    case Phase::Set:
      if (type != 'Z' || message.body != (error_ ? "E" : "T")) return Step::CloseServer;
      phase_ = Phase::RollingBack;
      wire::append_query(out, "ROLLBACK");
      return Step::More;

    case Phase::RollingBack:
      if (type != 'C') return Step::CloseServer;
      phase_ = Phase::RolledBack;
      return Step::More;

    case Phase::RolledBack:
      if (type != 'Z' || message.body != "I") return Step::CloseServer;
      phase_ = Phase::Finished;
      return Step::Done;

    case Phase::Finished:
      break;
  }
  return Step::CloseServer;
}

SettingsTrial::Step SettingsTrial::setting_failed(base::Bytes body) {
  error_ = wire::read_error(body);
  const std::string_view severity = wire::read_severity(body);
  if (severity == "FATAL" || severity == "PANIC" || is_about_the_server(error_->sqlstate))
    return Step::CloseServer;
  phase_ = Phase::Set;
  return Step::More;
}

}  // namespace tidepool::session
