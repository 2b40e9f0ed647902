// What a client asks for at start-up, from its `options` to what is said to a server. The input: `options` up to
// a NUL, then names and values that a server reports (each up to a NUL) up to an empty one. What is checked:
// `options` are settings or an error in PostgreSQL's words; settings written as options are the same settings;
// the same settings are of one flavour, and its greeting says what was reported; what is carried travels as
// bound parameters, and nothing that is sent ends in a Sync.
#include <algorithm>
#include <cctype>
#include <cstddef>
#include <cstdint>
#include <string>

#include "lib/session/greeting_book.h"
#include "lib/session/server_prelude.h"
#include "lib/session/settings_statement.h"
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

void write_again(const StartupSettings& settings) {
  StartupSettings again, without_name = settings;
  without_name.application_name.reset();
  without_name.long_names.clear();
  EXPECT(add_options(as_options(settings), again));
  again.long_names.clear();
  EXPECT(again == without_name);
}

void check_entries(const StartupSettings& settings) {
  for (const auto& [name, value] : settings.entries) {
    std::string folded;
    for (const char c : name) folded += c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
    EXPECT(folded != "application_name");
  }
}

void check_statements(const StartupSettings& settings) {
  SettingChanges changes;
  for (const auto& [name, value] : settings.entries) changes.push_back({name, value});
  size_t parameters = 0;
  for (const SettingsStatement& statement : statements_that_change(changes)) {
    parameters += statement.parameters.size();
    EXPECT(!statement.parameters.empty() && statement.parameters.size() <= 2 * kSettingsPerStatement);
    const std::string last = "$" + std::to_string(statement.parameters.size());
    EXPECT(statement.sql.find(last) != std::string::npos);
    EXPECT(statement.sql.size() < 30'000);
  }
  EXPECT(parameters == 2 * changes.size());
  using First = ServerPrelude::First;
  for (const First first : {First::Nothing, First::Reset, First::ResetAndAsk}) {
    const auto prelude = ServerPrelude::change(changes, first);
    EXPECT(types_of(prelude.bytes()).find_first_not_of("PBEC") == std::string::npos);
  }
}

void check_greeting(const StartupSettings& settings, const ParameterMap& reported) {
  GreetingBook book(4);
  const auto flavour = book.flavour_of(settings);
  EXPECT((flavour->number == 0) == settings.entries.empty());
  EXPECT(flavour->settings.entries.size() == settings.entries.size());
  EXPECT(book.flavour_of(flavour->settings) == flavour);
  EXPECT(book.find(flavour->number) == flavour && !book.greeting_for(flavour));
  const auto learnt = book.learn(flavour, reported);
  EXPECT(book.greeting_for(flavour) == learnt);
  EXPECT(types_of(learnt->bytes).find_first_not_of('S') == std::string::npos);
  std::string differences;
  reported.append_differences(learnt->told, differences);
  EXPECT(types_of(differences).size() <= 1);  // application_name is no part of a greeting
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
  check_statements(settings);

  ParameterMap reported;
  for (std::string_view name = up_to_nul(bytes); !name.empty(); name = up_to_nul(bytes)) {
    reported.set(name, up_to_nul(bytes));
  }
  check_greeting(settings, reported);
  return 0;
}
