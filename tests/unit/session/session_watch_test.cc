// What a session runs, what its server is asked for then, and what the answer makes of it.
#include "lib/session/session_watch.h"

#include <doctest/doctest.h>

namespace tidepool::session {
namespace {

using OnState = SessionWatch::OnState;

struct Session {
  // The SQLSTATE of a refusal, or nothing.
  std::string runs(std::string_view sql) {
    const auto refusal = watch.note(sql::classify(sql, options), sql, policy);
    return refusal ? refusal->sqlstate : "";
  }
  void is_answered(Pins pins) {
    SessionState state;
    state.pins = pins;
    watch.answered(state);
  }

  SessionWatch watch;
  SessionWatch::Policy policy{OnState::Pin, false, true, "shop"};
  sql::Options options;
};

TEST_CASE("what leaves nothing raises no suspicion") {
  Session session;
  for (std::string_view sql :
       {"select 1", "begin", "commit", "set local work_mem to '1MB'", "insert into t values (1)",
        "update t set a = 1", "select pg_advisory_xact_lock(1)", "", "select nextval('s')"})
    CHECK(session.runs(sql) == "");
  CHECK_FALSE(session.watch.is_suspicious());
  CHECK(session.watch.pins() == 0);
}

TEST_CASE("what cannot travel is suspected, asked for, and pins if it is there") {
  const struct {
    const char* sql;
    Pin pin;
  } kRows[] = {
      {"listen news", Pin::Listen},
      {"create temp table t (a int)", Pin::Temporary},
      {"select pg_advisory_lock(1)", Pin::AdvisoryLock},
      {"declare c cursor with hold for select 1", Pin::HoldCursor},
      {"prepare p as select 1", Pin::Prepared},
  };
  for (const auto& [sql, pin] : kRows) {
    CAPTURE(sql);
    for (const bool is_there : {true, false}) {
      Session session;
      CHECK(session.runs(sql) == "");
      CHECK(session.watch.is_suspicious());
      CHECK((session.watch.asked_pins() & bit(pin)) != 0);
      CHECK(session.watch.pins() == 0);
      session.is_answered(is_there ? bit(pin) : Pins{0});
      CHECK(session.watch.pins() == (is_there ? bit(pin) : Pins{0}));
      CHECK_FALSE(session.watch.is_suspicious());
      CHECK(session.watch.suspect() == (is_there ? tidepool::sql::normalised_text(sql) : ""));
    }
  }
}

TEST_CASE("the answer counts only for what was asked") {
  Session session;
  session.runs("listen news");
  session.is_answered(bit(Pin::Listen) | bit(Pin::AdvisoryLock));
  CHECK(session.watch.pins() == bit(Pin::Listen));
}

TEST_CASE("who is pinned stays, unasked, until it runs what may have ended that") {
  Session session;
  session.runs("listen news");
  session.is_answered(bit(Pin::Listen));
  CHECK(session.watch.stays());
  session.runs("select 1");
  CHECK(session.watch.stays());
  session.runs("listen more");
  CHECK(session.watch.stays());
  session.runs("unlisten *");
  CHECK_FALSE(session.watch.stays());
  CHECK(session.watch.asked_pins() == bit(Pin::Listen));
  session.is_answered(0);
  CHECK(session.watch.pins() == 0);
  CHECK(session.watch.suspect() == "");
}

TEST_CASE("what nobody can be asked about pins at once, until the client leaves") {
  Session session;
  std::vector<std::string> functions{"app.lock_it"};
  session.options.pin_functions = functions;
  SUBCASE("LOAD") {
    session.runs("load 'auto_explain'");
  }
  SUBCASE("a function named in the settings") {
    session.runs("select app.lock_it(1)");
  }
  SUBCASE("a setting whose name is computed") {
    session.runs("select set_config('app.' || 'x', '1', false)");
  }
  CHECK(session.watch.pins() != 0);
  CHECK(session.watch.stays());
  session.runs("discard all");
  CHECK(session.watch.stays());
  session.is_answered(0);
  CHECK(session.watch.pins() != 0);
}

TEST_CASE("nextval pins only who has named currval or lastval before") {
  Session session;
  session.runs("select nextval('s')");
  session.runs("select currval('s')");
  CHECK(session.watch.pins() == 0);
  session.runs("insert into t default values");
  CHECK(session.watch.pins() == bit(Pin::Sequence));
  CHECK(session.watch.suspect() == "insert into t default values");
  CHECK(session.watch.stays());
}

TEST_CASE("on_session_state: error refuses what cannot travel, and suspects nothing") {
  Session session;
  session.policy.on_state = OnState::Error;
  for (std::string_view sql :
       {"listen news", "create temp table t (a int)", "select pg_advisory_lock(1)",
        "declare c cursor with hold for select 1", "prepare p as select 1", "load 'x'"})
    CHECK(session.runs(sql) == "0A000");
  CHECK_FALSE(session.watch.is_suspicious());
  CHECK(session.watch.pins() == 0);
  CHECK(session.runs("set work_mem to '1MB'") == "");
  const auto refusal = session.watch.note(sql::classify("listen a", {}), "listen a", session.policy);
  CHECK(refusal->message.find("LISTEN") != std::string::npos);
  CHECK(refusal->message.find("shop") != std::string::npos);
  CHECK_FALSE(refusal->hint.empty());
}

TEST_CASE("on_session_state: allow lets it be") {
  Session session;
  session.policy.on_state = OnState::Allow;
  for (std::string_view sql : {"listen news", "create temp table t (a int)", "load 'x'",
                               "select currval('s')", "select nextval('s')", "create table t (a int)"})
    CHECK(session.runs(sql) == "");
  CHECK(session.watch.asked_pins() == 0);
  CHECK(session.watch.pins() == 0);
  // Settings follow it all the same.
  session.runs("set work_mem to '1MB'");
  CHECK(session.watch.asks_settings());
}

TEST_CASE("max_pinned refuses who is not pinned yet") {
  Session session;
  session.policy.may_pin = false;
  CHECK(session.runs("listen news") == "53400");
  CHECK(session.watch.asked_pins() == 0);
  session.policy.may_pin = true;
  session.runs("listen news");
  session.is_answered(bit(Pin::Listen));
  session.policy.may_pin = false;
  CHECK(session.runs("select pg_advisory_lock(1)") == "");
}

TEST_CASE("statement mode refuses transaction blocks") {
  Session session;
  session.policy.one_statement_only = true;
  for (std::string_view sql : {"begin", "START TRANSACTION", "select 1; begin", "commit and chain"})
    CHECK(session.runs(sql) == "0A000");
  for (std::string_view sql : {"commit", "rollback", "select 1", "savepoint a"})
    CHECK(session.runs(sql) == "");
}

TEST_CASE("settings: which, and any behind a RESET") {
  Session session;
  session.runs("set work_mem to '1MB'");
  session.runs("set Work_Mem to '2MB'");
  session.runs("select set_config('app.user', '5', false)");
  CHECK(session.watch.asks_settings());
  CHECK_FALSE(session.watch.asks_all_settings());
  CHECK(session.watch.settings().size() == 2);
  session.runs("reset work_mem");
  CHECK(session.watch.asks_all_settings());
  session.runs("reset all");
  session.is_answered(0);
  CHECK_FALSE(session.watch.asks_settings());
  CHECK(session.watch.settings().empty());
}

TEST_CASE("more settings than are kept by name are asked for all together") {
  Session session;
  for (int i = 0; i < 1500; ++i) session.watch.note_setting("app.x" + std::to_string(i), "select 1");
  CHECK(session.watch.settings().size() == 1000);
  CHECK(session.watch.asks_all_settings());
}

TEST_CASE("a text that may have done anything") {
  for (std::string_view sql :
       {"do $$ begin execute 'listen x'; end $$", "execute p", "select 'half of a te"}) {
    CAPTURE(sql);
    Session session;
    CHECK(session.runs(sql) == "");
    CHECK(session.watch.asks_all_settings());
    CHECK(session.watch.asked_pins() == kAskablePins);
    // ... but nobody would prepare a statement of his own there.
    CHECK_FALSE(session.watch.has_own_statements());
    session.policy.on_state = OnState::Allow;
    session.runs(sql);
    CHECK(session.watch.asked_pins() == 0);
  }
}

TEST_CASE("statements of the client's own: until they are known to be gone") {
  Session session;
  CHECK_FALSE(session.watch.has_own_statements());
  session.watch.note_own_statement("select 1");
  CHECK(session.watch.has_own_statements());
  session.is_answered(bit(Pin::Prepared));
  CHECK(session.watch.has_own_statements());
  CHECK(session.watch.stays());
  session.watch.note_own_statement_closed();
  CHECK_FALSE(session.watch.stays());
  session.is_answered(0);
  CHECK_FALSE(session.watch.has_own_statements());
  session.watch.note_own_statement_closed();
  CHECK_FALSE(session.watch.is_suspicious());
  session.runs("prepare p as select 1");
  CHECK(session.watch.has_own_statements());
}

TEST_CASE("a question that fails pins until the next one, which asks the same again") {
  Session session;
  session.runs("listen news");
  session.watch.question_failed();
  CHECK(session.watch.pins() == bit(Pin::Unknown));
  CHECK_FALSE(session.watch.stays());
  CHECK(session.watch.asked_pins() == bit(Pin::Listen));
  session.is_answered(0);
  CHECK(session.watch.pins() == 0);
}

TEST_CASE("the statement that raised the suspicion is the first one, clipped") {
  Session session;
  session.runs("listen " + std::string(500, 'x'));
  session.runs("select pg_advisory_lock(1)");
  CHECK(session.watch.suspect() == "listen " + std::string(193, 'x'));
}

TEST_CASE("pins in words") {
  CHECK(words_of(0) == "");
  CHECK(words_of(Pin::Listen | Pin::Sequence) == "LISTEN, currval or lastval");
  for (Pin pin : {Pin::Listen, Pin::Temporary, Pin::AdvisoryLock, Pin::HoldCursor, Pin::Prepared, Pin::Load,
                  Pin::Function, Pin::Sequence, Pin::Unknown, Pin::Setting})
    CHECK_FALSE(words_of(bit(pin)).empty());
}

TEST_CASE("what cannot be read with certainty leaves a doubt that no answer takes away") {
  for (std::string_view sql :
       {"select app.f()", "call p()", "do $$begin null; end$$", "do $$begin execute 'x'; end$$", "execute p",
        "select U&\"f\"()", "select query_to_xml('select 1', true, true, '')", "select 'x"}) {
    CAPTURE(sql);
    Session session;
    CHECK(session.runs(sql) == "");
    CHECK(session.watch.is_suspicious());
    CHECK(session.watch.asks_statements());
    CHECK(session.watch.asks_settings());
    session.is_answered(0);
    CHECK_FALSE(session.watch.is_suspicious());
    CHECK(session.watch.take_doubt());
    CHECK_FALSE(session.watch.take_doubt());
  }
  Session session;
  for (std::string_view sql :
       {"set app.x to 1", "listen a", "create temp table t (a int)", "select lower('a')"})
    CHECK(session.runs(sql) == "");
  CHECK_FALSE(session.watch.has_doubt());
}

TEST_CASE("a setting whose name is computed is in doubt where it does not keep its server") {
  Session session;
  session.policy.on_state = OnState::Allow;
  CHECK(session.runs("select set_config('app.' || 'x', 'v', false)") == "");
  CHECK(session.watch.pins() == 0);
  CHECK(session.watch.take_doubt());
}

TEST_CASE(
    "a role that the server reports is asked for, and what a function did to statements of texts is not "
    "feared") {
  Session session;
  session.watch.note_identity("(reported by the server)");
  CHECK(session.watch.asks_settings());
  CHECK(session.watch.asks_identity());
  CHECK_FALSE(session.watch.asks_listed_settings());
  CHECK(session.runs("select app.f()") == "");
  CHECK_FALSE(session.watch.asks_settings_of_texts());
}

TEST_CASE("custom settings that were named once are asked for again behind a doubt") {
  Session session;
  CHECK(session.runs("prepare p as select set_config('app.x', 'v', false)") == "");
  session.is_answered(bit(Pin::Prepared));
  CHECK(session.watch.settings().empty());
  CHECK(session.watch.custom_settings() == std::vector<std::string>{"app.x"});
}

}  // namespace
}  // namespace tidepool::session
