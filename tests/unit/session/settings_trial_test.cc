#include "lib/session/settings_trial.h"

#include <doctest/doctest.h>

#include "lib/wire/trace.h"
#include "tests/unit/session/server_script.h"

namespace tidepool::session {
namespace {

using Step = SettingsTrial::Step;

StartupSettings settings_of(std::vector<StartupSettings::Entry> entries) {
  StartupSettings settings;
  settings.entries = std::move(entries);
  return settings;
}

class Conversation {
 public:
  explicit Conversation(size_t piece, const StartupSettings& settings = settings_of({{"timezone", "utc"}}))
      : piece_(piece) {
    trial.start(settings, out);
  }
  Step hears(const std::string& bytes) {
    out.clear();
    Step step = Step::More;
    const wire::TypeSet wanted{'E', 'S', 'Z', 'C', 'D', '1', '2', '3', 'T', 'N', 'A', 'I', 'G', 'H', 'K'};
    hear_in_pieces(bytes, piece_, wanted, [&](const wire::Message& message) {
      REQUIRE(step == Step::More);
      step = trial.server_sent(message, out);
    });
    return step;
  }

  SettingsTrial trial;
  std::string out;

 private:
  size_t piece_;
};

std::string failing(std::string_view severity, const base::Error& error) {
  std::string bytes = messages("12C");
  wire::append_error_response(bytes, severity, error);
  return bytes;
}

TEST_CASE("a trial is one batch, so that without its BEGIN nothing is set") {
  Conversation with(kWhole);
  CHECK(wire::trace_client(with.out) ==
        "Parse \"\" \"BEGIN ISOLATION LEVEL READ COMMITTED\" 0\n"
        "Bind \"\" \"\" 0 0 0\n"
        "Execute \"\" 0\n"
        "Parse \"\" \"SELECT pg_catalog.set_config($1,$2,false)\" 0\n"
        "Bind \"\" \"\" 0 2 \"timezone\" \"utc\" 0\n"
        "Execute \"\" 0\n"
        "Close P \"\"\n"
        "Close S \"\"\n"
        "Sync\n");
}

TEST_CASE(
    "good settings: what the server reports before the rollback is told, what the rollback reverts is not") {
  for (size_t piece : {kWhole, size_t{1}}) {
    Conversation with(piece);
    std::string reverted;
    wire::append_parameter_status(reverted, "TimeZone", "Etc/UTC");
    REQUIRE(with.hears(messages("12C12DNC33SZT")) == Step::More);
    REQUIRE(wire::trace_client(with.out) == "Query \"ROLLBACK\"\n");
    REQUIRE(with.hears(messages("C") + reverted + messages("ZI")) == Step::Done);
    CHECK(with.out.empty());
    CHECK_FALSE(with.trial.error());
    REQUIRE(with.trial.reported().entries().size() == 1);
    CHECK(*with.trial.reported().find("TimeZone") == "UTC");
  }
}

TEST_CASE("a bad setting: the error is PostgreSQL's own, and the server is kept") {
  for (size_t piece : {kWhole, size_t{1}}) {
    for (const char* sqlstate : {"22023", "42704", "42501", "55P02", "22021", "25001"}) {
      Conversation with(piece);
      const base::Error error{sqlstate, "what is wrong", "in detail", "and a hint"};
      REQUIRE(with.hears(failing("ERROR", error) + messages("ZE")) == Step::More);
      REQUIRE(wire::trace_client(with.out) == "Query \"ROLLBACK\"\n");
      REQUIRE(with.hears(messages("CZI")) == Step::Done);
      REQUIRE(with.trial.error());
      CHECK(*with.trial.error() == error);
    }
  }
}

TEST_CASE("an error that is not the settings' closes the server") {
  for (const char* sqlstate : {"57014", "57P01", "53200", "58030", "XX000", "08006", ""})
    CHECK(Conversation(kWhole).hears(failing("ERROR", {sqlstate, "words"})) == Step::CloseServer);
  CHECK(Conversation(kWhole).hears(failing("FATAL", {"22023", "words"})) == Step::CloseServer);
  CHECK(Conversation(kWhole).hears(messages("E")) == Step::CloseServer);  // of BEGIN
  CHECK(Conversation(kWhole).hears(messages("12E")) == Step::CloseServer);
}

TEST_CASE("anything unexpected at any step closes the server") {
  const std::string answers = "12C12DC33ZTCZI";
  for (size_t i = 0; i < answers.size(); ++i) {
    if (i > 0 && answers[i - 1] == 'Z') continue;  // a status
    const std::string before = messages(answers.substr(0, i));
    for (std::string other : {"1", "2", "3", "C", "D", "T", "I", "G", "H", "K", "F", "ZI", "ZT", "ZE"}) {
      if (answers.substr(i, other.size()) == other) continue;
      CAPTURE(answers.substr(0, i));
      CAPTURE(other);
      Conversation with(kWhole);
      REQUIRE(with.hears(before) == Step::More);
      REQUIRE(with.hears(messages(other)) == Step::CloseServer);
    }
  }
  Conversation with(kWhole);
  std::string malformed;
  { const wire::MessageFrame frame(malformed, 'S'); }
  CHECK(with.hears(malformed) == Step::CloseServer);
}

TEST_CASE("a server that says something after the trial is closed") {
  Conversation with(kWhole);
  REQUIRE(with.hears(messages("12C12DC33ZTCZI")) == Step::Done);
  CHECK(with.hears(messages("ZI")) == Step::CloseServer);
}

TEST_CASE("a trial without settings succeeds") {
  Conversation with(kWhole, StartupSettings());
  REQUIRE(with.hears(messages("12CZT")) == Step::More);
  REQUIRE(with.hears(messages("CZI")) == Step::Done);
  CHECK_FALSE(with.trial.error());
  CHECK(with.trial.reported().entries().empty());
}

}  // namespace
}  // namespace tidepool::session
