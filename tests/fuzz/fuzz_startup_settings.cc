// What a client asks for at start-up, from its `options` to what is said to a server. The input: `options` up to
// a NUL, then names and values that a server reports (each up to a NUL) up to an empty one, then what a server
// answers to a trial of the settings. What is checked: `options` are settings or an error in PostgreSQL's
// words; settings written as options are the same settings; every value travels as a bound parameter, and
// nothing that is sent ends in a Sync; the greeting says what was reported, and misses nothing on a server that
// reports the same.
#include <algorithm>
#include <cctype>
#include <cstddef>
#include <cstdint>
#include <set>
#include <string>

#include "lib/session/greeting_book.h"
#include "lib/session/server_prelude.h"
#include "lib/session/settings_statement.h"
#include "lib/session/settings_trial.h"
#include "lib/session/startup_settings.h"
#include "lib/wire/message_reader.h"
#include "tests/fuzz/expect.h"

using namespace tidepool;
using namespace tidepool::session;

namespace {

std::string_view up_to_nul(base::Bytes& bytes) {
  const size_t end = std::min(bytes.find('\0'), bytes.size());
  const std::string_view taken = bytes.substr(0, end);
  bytes.remove_prefix(std::min(end + 1, bytes.size()));
  return taken;
}

std::string types_of(base::Bytes bytes) {
  std::string types;
  wire::FrameCursor cursor;
  const auto walked = cursor.walk(bytes, {}, [&](const wire::Message& message) {
    types += message.type;
    return wire::Walk::Go;
  });
  EXPECT(!walked.broken && walked.consumed == bytes.size() && cursor.between_messages());
  return types;
}

void append_as_option(std::string_view name, std::string_view value, std::string& options) {
  options += "-c ";
  for (const char c : std::string(name) + "=" + std::string(value)) {
    if (c == '\\' || std::isspace(static_cast<unsigned char>(c)) != 0) options += '\\';
    options += c;
  }
  options += ' ';
}

void write_again(const StartupSettings& settings) {
  std::string options;
  for (const auto& [name, value] : settings.entries) append_as_option(name, value, options);
  if (settings.application_name) append_as_option("application_name", *settings.application_name, options);
  StartupSettings again;
  EXPECT(add_options(options, again));
  EXPECT(again == settings);
}

void check_entries(const StartupSettings& settings) {
  std::set<std::string> names;
  for (const auto& [name, value] : settings.entries) {
    std::string folded;
    for (const char c : name) folded += c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
    EXPECT(folded != "application_name");
    EXPECT(names.insert(folded).second);
  }
}

void check_statements(const SettingEntries& entries) {
  for (const auto& statements : {statements_that_set(entries), statements_that_restore(entries)}) {
    size_t parameters = 0;
    for (const SettingsStatement& statement : statements) {
      parameters += statement.parameters.size();
      EXPECT(!statement.parameters.empty() && statement.parameters.size() <= 2 * kSettingsPerStatement);
      const std::string last = "$" + std::to_string(statement.parameters.size());
      EXPECT(statement.sql.find(last) != std::string::npos);
      EXPECT(statement.sql.size() < 30'000);
    }
    EXPECT(parameters == 2 * entries.size());
  }
  for (const char status : {'I', 'T'}) {
    for (const auto& prelude : {ServerPrelude::set(entries, status), ServerPrelude::restore(entries, status)}) {
      EXPECT(types_of(prelude.bytes()).find_first_not_of("PBEC") == std::string::npos);
    }
  }
}

void check_greeting(const StartupSettings& settings, const ParameterMap& reported) {
  GreetingBook book(4);
  EXPECT(!book.find(settings));
  book.learn_base(reported);
  const auto learnt = book.learn(settings, reported, reported);
  EXPECT(book.find(settings) == learnt);
  EXPECT(types_of(learnt->bytes).find_first_not_of('S') == std::string::npos);
  std::string differences;
  reported.append_differences(learnt->told, differences);
  EXPECT(types_of(differences).size() <= 1);  // application_name is no part of a greeting
  for (const auto& [name, value] : learnt->missing_on(learnt->told)) {
    EXPECT(!learnt->told.find(name));  // nobody reports it: it has to be set each time
  }
  EXPECT(learnt->settings() == settings.entries);
}

void try_on_a_server_that_says(base::Bytes answers, const StartupSettings& settings) {
  SettingsTrial trial;
  std::string said;
  trial.start(settings, said);
  types_of(said);
  auto step = SettingsTrial::Step::More;
  wire::FrameCursor cursor;
  cursor.walk(answers, wire::TypeSet{'S', 'Z', 'E', 'C', 'N'}, [&](const wire::Message& message) {
    said.clear();
    step = trial.server_sent(message, said);
    types_of(said);
    return step == SettingsTrial::Step::More ? wire::Walk::Go : wire::Walk::StopAfter;
  });
  if (step == SettingsTrial::Step::Done && trial.error()) EXPECT(trial.error()->sqlstate.size() <= 5);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  base::Bytes bytes(reinterpret_cast<const char*>(data), size);
  StartupSettings settings;
  if (const auto status = add_options(up_to_nul(bytes), settings); !status) {
    EXPECT(status.error().sqlstate == "42601" && !status.error().message.empty());
  } else {
    write_again(settings);
  }
  check_entries(settings);
  check_statements(settings.entries);

  ParameterMap reported;
  for (std::string_view name = up_to_nul(bytes); !name.empty(); name = up_to_nul(bytes)) {
    reported.set(name, up_to_nul(bytes));
  }
  check_greeting(settings, reported);
  try_on_a_server_that_says(bytes, settings);
  return 0;
}
