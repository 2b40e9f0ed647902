// What PostgreSQL makes of these bytes is the matter of the integration tests.
#include "lib/session/server_prelude.h"

#include <doctest/doctest.h>

#include "lib/wire/message_writer.h"
#include "lib/wire/trace.h"
#include "tests/unit/session/server_script.h"

namespace tidepool::session {
namespace {

using Step = ServerPrelude::Step;

Step hear(ServerPrelude& prelude, std::string_view types, size_t piece = kWhole) {
  Step step = Step::More;
  hear_in_pieces(messages(types), piece, {'E'}, [&](const wire::Message& message) {
    REQUIRE(step == Step::More);
    step = prelude.server_sent(message);
  });
  return step;
}

// Played whole, one byte at a time, cut off before each answer, and with an error or something else in its
// place.
// `may_have_row`: where a row may come that need not.
void expects(const ServerPrelude& prelude, const std::string& answers, size_t may_have_row = SIZE_MAX) {
  CAPTURE(answers);
  for (size_t piece : {kWhole, size_t{1}}) {
    ServerPrelude whole = prelude;
    REQUIRE_FALSE(whole.is_done());
    REQUIRE(hear(whole, answers, piece) == Step::Done);
    REQUIRE(whole.is_done());
    ServerPrelude with_notices = prelude;
    std::string noisy;
    for (char type : answers) noisy += std::string("NAS") + type;
    REQUIRE(hear(with_notices, noisy, piece) == Step::Done);
  }
  for (size_t i = 0; i < answers.size(); ++i) {
    CAPTURE(i);
    const std::string before = answers.substr(0, i);
    ServerPrelude cut = prelude;
    REQUIRE(hear(cut, before + "NAS") == Step::More);
    REQUIRE_FALSE(cut.is_done());
    for (char other : std::string("123DCTIGHZ")) {
      if (other == answers[i] || (other == 'D' && i == may_have_row)) continue;
      ServerPrelude surprised = cut;
      REQUIRE(hear(surprised, other == 'Z' ? "ZI" : std::string(1, other)) == Step::Failed);
      REQUIRE(surprised.error().sqlstate == "08P01");
    }
    ServerPrelude failed = cut;
    REQUIRE(hear(failed, "E") == Step::Failed);
    REQUIRE(failed.error().sqlstate == "57014");
    REQUIRE_FALSE(failed.is_done());
  }
}

const SettingChanges kTwo{{"search_path", "a, \"$user\""}, {"DateStyle", "german"}};

TEST_CASE("settings go in front of a client's message without a Sync, in a transaction of their own") {
  const ServerPrelude prelude = ServerPrelude::change(kTwo);
  CHECK(wire::trace_client(prelude.bytes()) ==
        "Parse \"\" \"BEGIN ISOLATION LEVEL READ COMMITTED\" 0\n"
        "Bind \"\" \"\" 0 0 0\n"
        "Execute \"\" 0\n"
        "Parse \"\" \"SELECT pg_catalog.set_config($1,$2,false),pg_catalog.set_config($3,$4,false)\" 0\n"
        "Bind \"\" \"\" 0 4 \"search_path\" \"a, \\\"$user\\\"\" \"DateStyle\" \"german\" 0\n"
        "Execute \"\" 0\n"
        "Parse \"\" \"COMMIT\" 0\n"
        "Bind \"\" \"\" 0 0 0\n"
        "Execute \"\" 0\n"
        "Close P \"\"\n"
        "Close S \"\"\n");
  expects(prelude, "12C12DC12C33");
}

TEST_CASE(
    "the application_name comes back under a name of ours, so that the client's unnamed statement and portal "
    "live") {
  for (const bool if_reset : {false, true}) {
    for (char status : {'I', 'T'}) {
      const ServerPrelude prelude = ServerPrelude::rename("it's \\me", status, if_reset);
      const std::string trace = wire::trace_client(prelude.bytes());
      for (const char* unnamed : {"Parse \"\"", "Bind \"\"", "Execute \"\"", "Close S \"\"", "Close P \"\""})
        CHECK(trace.find(unnamed) == std::string::npos);
      CHECK((trace.find("COMMIT") != std::string::npos) == (status == 'I'));
      CHECK((trace.find("pg_settings") != std::string::npos) == if_reset);
      CHECK((trace.find("SET application_name TO E'it''s") != std::string::npos) == !if_reset);
      const std::string one = if_reset ? "12DC33" : "12C33";
      expects(prelude, status == 'I' ? "12C33" + one + "12C33" : one);
    }
  }
}

TEST_CASE("a reset goes in front of everything") {
  const ServerPrelude alone = ServerPrelude::change({}, ServerPrelude::First::Reset);
  const std::string trace = wire::trace_client(alone.bytes());
  CHECK(trace.find("DISCARD ALL") != std::string::npos);
  CHECK(trace.find("Sync") == std::string::npos);
  expects(alone, "12C33");
  const ServerPrelude both = ServerPrelude::change(kTwo, ServerPrelude::First::Reset);
  const std::string traced = wire::trace_client(both.bytes());
  CHECK(traced.find("DISCARD ALL") < traced.find("BEGIN"));
  expects(both, "12C12C12DC12C33");
  const ServerPrelude asking = ServerPrelude::change(kTwo, ServerPrelude::First::ResetAndAsk);
  expects(asking, "12C12C12C12DC12C33", 8);
  CHECK_FALSE(asking.found_temporary());
}

TEST_CASE("a temporary schema is told from other errors, and from those of who did not ask") {
  using First = ServerPrelude::First;
  for (First first : {First::Reset, First::ResetAndAsk})
    for (std::string_view sqlstate : {"57014", "42704"}) {
      ServerPrelude prelude = ServerPrelude::change({}, first);
      std::string error;
      wire::append_error_response(error, "ERROR", {std::string(sqlstate), "words"});
      hear_in_pieces(error, kWhole, {'E'}, [&](const wire::Message& message) {
        CHECK(prelude.server_sent(message) == Step::Failed);
      });
      CHECK(prelude.found_temporary() == (first == First::ResetAndAsk && sqlstate == "57014"));
    }
}

TEST_CASE("the row that tells of a cancel may come before the cancel strikes") {
  ServerPrelude prelude = ServerPrelude::change({}, ServerPrelude::First::ResetAndAsk);
  const auto hear = [&](char type, std::string_view body) {
    return prelude.server_sent({type, 0, wire::kHeaderSize + body.size(), body});
  };
  for (char type : std::string_view("12C12C12")) CHECK(hear(type, "") == Step::More);
  CHECK(hear('D', {"\0\1\0\0\0\1t", 7}) == Step::More);
  CHECK_FALSE(prelude.found_temporary());
  CHECK(hear('E', {"SERROR\0C57014\0Mcanceling\0\0", 26}) == Step::Failed);
  CHECK(prelude.found_temporary());
  CHECK(prelude.was_refused());
}

TEST_CASE("what a client may have set unseen is undone first, and BEGIN and COMMIT follow in any case") {
  const ServerPrelude alone = ServerPrelude::undo_and_change({});
  const std::string trace = wire::trace_client(alone.bytes());
  size_t at = 0;
  for (const char* sql :
       {"SET SESSION AUTHORIZATION DEFAULT", "RESET ROLE", "RESET ALL", "BEGIN", "COMMIT"}) {
    CAPTURE(sql);
    const size_t found = trace.find(sql, at);
    REQUIRE(found != std::string::npos);
    at = found;
  }
  for (const char* never : {"Sync", "DEALLOCATE", "DISCARD"}) CHECK(trace.find(never) == std::string::npos);
  expects(alone, "12C12C12C12C12C33");
  expects(ServerPrelude::undo_and_change({{"app.x", "1"}}), "12C12C12C12C12DC12C33");
}

TEST_CASE("hundreds of settings go in several statements") {
  SettingChanges settings;
  for (int i = 0; i < 250; ++i) settings.push_back({"app.x" + std::to_string(i), "1"});
  expects(ServerPrelude::change(settings), "12C12DC12DC12DC12C33");
}

TEST_CASE("without settings nothing is sent and nothing awaited") {
  for (const ServerPrelude& prelude : {ServerPrelude(), ServerPrelude::change({})}) {
    CHECK(prelude.bytes().empty());
    CHECK(prelude.is_done());
  }
}

TEST_CASE("an answer behind the last one is not for the prelude") {
  ServerPrelude prelude = ServerPrelude::change(kTwo);
  REQUIRE(hear(prelude, "12C12DC12C33") == Step::Done);
  CHECK(hear(prelude, "C") == Step::Failed);
}

}  // namespace
}  // namespace tidepool::session
