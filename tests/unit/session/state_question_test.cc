// What PostgreSQL makes of the question is the matter of the integration tests.
#include "lib/session/state_question.h"

#include <doctest/doctest.h>

#include "lib/wire/trace.h"
#include "tests/unit/session/client_script.h"
#include "tests/unit/session/server_script.h"

namespace tidepool::session {
namespace {

using Step = StateQuestion::Step;

SessionWatch watch_of(std::string_view sql) {
  SessionWatch watch;
  REQUIRE_FALSE(watch.note(sql::classify(sql, {}), sql, {}));
  return watch;
}

std::string row(wire::Value what, wire::Value name, wire::Value value) {
  std::string bytes;
  wire::append_data_row(bytes, {what, name, value});
  return bytes;
}

Step hear(StateQuestion& question, const std::string& bytes, size_t piece = kWhole) {
  Step step = Step::More;
  hear_in_pieces(bytes, piece, {'D', 'E', 'Z'}, [&](const wire::Message& message) {
    REQUIRE(step == Step::More);
    step = question.server_sent(message);
  });
  return step;
}

std::string asked(const SessionWatch& watch, const std::vector<std::string>& custom = {}) {
  TransactionTracker tracker;
  std::string bytes;
  StateQuestion(watch, custom, "tidepool_").ask(tracker, bytes);
  CHECK(tracker.ready_owed() == 1);
  CHECK(tracker.is_answering());
  const std::string text = wire::trace_client(bytes);
  CHECK(text.find("(broken)") == std::string::npos);
  CHECK(text.starts_with("Parse \"\""));
  CHECK(text.ends_with("Execute \"\" 0\nClose S \"\"\nSync\n"));
  return text;
}
bool has(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

TEST_CASE("a question asks for what is suspected, and nothing else") {
  const struct {
    const char* sql;
    const char* table;
  } kRows[] = {
      {"listen news", "pg_listening_channels"},
      {"create temp table t (a int)", "pg_my_temp_schema"},
      {"select pg_advisory_lock(1)", "pg_locks"},
      {"declare c cursor with hold for select 1", "pg_cursors"},
      {"prepare p as select 1", "pg_prepared_statement()"},
      {"set work_mem to '1MB'", "pg_settings"},
  };
  for (const auto& row : kRows) {
    const std::string text = asked(watch_of(row.sql));
    for (const auto& other : kRows) {
      CAPTURE(row.sql);
      CAPTURE(other.table);
      CHECK(has(text, other.table) == (&row == &other));
    }
  }
}

TEST_CASE("custom settings are asked for by their names, each once, whichever is known to be carried too") {
  SessionWatch watch = watch_of("set app.user to '5'");
  const std::string text = asked(watch, {"app.tenant", "app.user"});
  CHECK(has(text, "Bind \"\" \"\" 0 2 \"app.user\" \"app.tenant\""));
  CHECK(has(text, "$2::pg_catalog.text"));
  CHECK_FALSE(has(text, "$3"));
  // Others are found by themselves.
  CHECK(has(asked(watch_of("set work_mem to '1MB'"), {}), "Bind \"\" \"\" 0 0"));
}

TEST_CASE("names beyond a thousand are not asked for") {
  std::vector<std::string> names;
  for (int i = 0; i < 1500; ++i) names.push_back("app.x" + std::to_string(i));
  const std::string text = asked(watch_of("set app.user to '5'"), names);
  CHECK(has(text, "$1000::pg_catalog.text"));
  CHECK_FALSE(has(text, "$1001"));
}

TEST_CASE("the answer, whole and byte by byte") {
  const std::string answer =
      messages("12") + row("s", "work_mem", "346d42") + row("s", "DateStyle", "49534f") +
      row("c", "role", "6e6f6e65") + row("c", "app.user", std::nullopt) + row("c", "app.empty", "") +
      row("l", "", "") + row("h", "", "") + row("s", "transaction_isolation", "61") + messages("C3ZI");
  for (size_t piece : {kWhole, size_t{1}}) {
    StateQuestion question(watch_of("set work_mem to '4mB'"), {}, "tidepool_");
    CHECK_FALSE(question.is_being_answered());
    CHECK(hear(question, answer, piece) == Step::Answered);
    CHECK(question.is_being_answered());
    const SessionState& state = question.answer();
    REQUIRE(state.settings.size() == 2);  // a transaction's own are not among them
    CHECK(state.settings[0].name == "work_mem");
    CHECK(state.settings[0].value == "4mB");
    CHECK(state.settings[1].name == "datestyle");
    CHECK(state.settings[1].value == "ISO");
    REQUIRE(state.asked.size() == 3);
    CHECK(state.asked[0].value == "none");
    CHECK_FALSE(state.asked[1].value);
    CHECK(state.asked[2].value == "");
    CHECK(state.pins == (Pin::Listen | Pin::HoldCursor));
  }
}

TEST_CASE("a long value comes in pieces") {
  StateQuestion question(watch_of("set app.long to 'x'"), {}, "tidepool_");
  const std::string answer = messages("12") + row("s", "search_path", "61") +
                             row("S", "search_path", "6263") + row("S", "search_path", "64") +
                             row("c", "app.long", "ffc3") + row("C", "app.long", "a4") + messages("C3ZI");
  CHECK(hear(question, answer) == Step::Answered);
  CHECK(question.answer().settings.at(0).value == "abcd");
  CHECK(question.answer().asked.at(0).value == "\xff\xc3\xa4");
}

TEST_CASE("behind a doubt all is asked for, behind a function all but the settings that PostgreSQL lists") {
  for (const char* sql : {"select app.f()", "do $$begin null; end$$", "select U&\"f\"()", "execute p"}) {
    CAPTURE(sql);
    const std::string text = asked(watch_of(sql));
    for (const char* part : {"pg_listening_channels", "pg_my_temp_schema", "pg_locks", "pg_cursors",
                             "pg_prepared_statement()", "('role'), ('session_authorization')"})
      CHECK(has(text, part));
    CHECK(has(text, "pg_settings") ==
          (sql == std::string("select U&\"f\"()") || sql == std::string("execute p")));
  }
}

TEST_CASE("the usual question has a name, but for what a forger of that name would answer") {
  TransactionTracker tracker;
  std::string first, second;
  const StateQuestion question(watch_of("select app.f()"), {}, "tidepool_");
  REQUIRE(question.is_usual());
  question.ask_by_name("tidepool_0", false, tracker, first);
  question.ask_by_name("tidepool_0", true, tracker, second);
  CHECK(tracker.ready_owed() == 2);
  const std::string text = wire::trace_client(second);
  CHECK(text.starts_with("Parse \"\""));
  CHECK(has(text, "p.from_sql AND p.name OPERATOR(pg_catalog.=) 'tidepool_0'"));
  CHECK_FALSE(has(text, "pg_locks"));
  CHECK(text.ends_with("Close S \"\"\nBind \"\" \"tidepool_0\" 0 0 0\nExecute \"\" 0\nSync\n"));
  CHECK(has(wire::trace_client(first), "Parse \"tidepool_0\""));
  for (const char* sql : {"set work_mem to '1MB'", "listen a", "set app.x to 1", "select U&\"f\"()"})
    CHECK_FALSE(StateQuestion(watch_of(sql), {}, "tidepool_").is_usual());
}

TEST_CASE("what a forged question answers is not believed to leave nothing") {
  StateQuestion question(watch_of("select app.f()"), {}, "tidepool_");
  CHECK(hear(question, messages("12") + row("f", "", "") + messages("C32CZI")) == Step::Answered);
  CHECK(question.answer().statements->forged == 1);
  CHECK(question.answer().pins == bit(Pin::Prepared));
}

TEST_CASE("the pool's statements are counted, and those of others pin") {
  StateQuestion question(watch_of("select app.f()"), {}, "tidepool_");
  CHECK(hear(question, messages("12") + row("p", "3 17 0 0", "") + messages("C3ZI")) == Step::Answered);
  REQUIRE(question.answer().statements);
  CHECK(question.answer().statements->ours == ServerStatements::Census{3, 17});
  CHECK(question.answer().statements->forged == 0);
  CHECK(question.answer().pins == 0);

  StateQuestion other(watch_of("select app.f()"), {}, "tidepool_");
  CHECK(hear(other, messages("12") + row("p", "0 0 1 2", "") + messages("C3ZI")) == Step::Answered);
  CHECK(other.answer().statements->forged == 1);
  CHECK(other.answer().pins == bit(Pin::Prepared));

  for (const char* numbers : {"", "1 2 3", "1 2 3 x", "-1 2 3 4"}) {
    StateQuestion broken(watch_of("select app.f()"), {}, "tidepool_");
    CHECK(hear(broken, messages("12") + row("p", numbers, "") + messages("C3ZI")) == Step::Failed);
  }
}

TEST_CASE("an answer that cannot be is none") {
  std::string two_columns, no_row;
  wire::append_data_row(two_columns, {"s", "work_mem"});
  {
    const wire::MessageFrame frame(no_row, 'D');
    no_row += "x";
  }
  for (const std::string& broken :
       {two_columns, no_row, row(std::nullopt, "a", "61"), row("s", std::nullopt, "61"), row("ss", "a", "61"),
        row("s", "a", "6"), row("s", "a", "610061"), row("s", std::string("a\0b", 3), "61"),
        row("s", "a", "6g"), row("S", "a", "61"), row("s", "b", "61") + row("S", "a", "61"),
        row("c", "a", std::nullopt) + row("C", "a", "61")}) {
    CAPTURE(wire::trace_server(broken));
    StateQuestion question(watch_of("set work_mem to '4MB'"), {}, "tidepool_");
    CHECK(hear(question, messages("12") + broken + messages("C3ZI")) == Step::Failed);
  }
}

TEST_CASE("an error, anywhere, and a status that is not I") {
  for (std::string_view types : {"EZI", "1EZI", "12EZI", "12DEZI", "12C3ZT", "12C3ZE"}) {
    CAPTURE(types);
    StateQuestion question(watch_of("listen news"), {}, "tidepool_");
    CHECK(hear(question, messages(types)) == Step::Failed);
    if (types.ends_with("EZI")) CHECK(question.error().sqlstate == "57014");
  }
}

}  // namespace
}  // namespace tidepool::session
