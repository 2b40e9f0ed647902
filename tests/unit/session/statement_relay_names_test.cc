// What names clients' statements in SQL, and what stands under the client's own names on its server.
#include <doctest/doctest.h>

#include "tests/unit/session/relay_conversation.h"

namespace tidepool::session {
namespace {

// -- Under the client's own names

TEST_CASE("with max_prepared_statements 0 statements are the client's own, and keep its server") {
  RelayConversation with;
  with.begin().of_client().max_prepared_statements = 0;
  with.as_it_is(parse("x", "select 1") + run("x"))
      .server_answers(messages("12DCZI"))
      .gets(messages("12DCZI"));
  CHECK(with.of_client().watch.asked_pins() == bit(Pin::Prepared));
}

TEST_CASE("once a client has statements of SQL's PREPARE, it prepares under its own names, which are one") {
  RelayConversation with;
  with.begin().as_it_is(query("prepare p as select 1")).server_answers(tag("PREPARE") + messages("ZI"));
  with.gets(tag("PREPARE") + messages("ZI"));
  with.as_it_is(parse("x", "select 1") + sync()).server_answers(messages("1ZI")).gets(messages("1ZI"));
  with.as_it_is(run("x")).server_answers(messages("2DCZI")).gets(messages("2DCZI"));
  with.as_it_is(close("x") + sync()).server_answers(messages("3ZI")).gets(messages("3ZI"));
}

TEST_CASE("a statement under the client's own name stays one, and those under names of ours stay theirs") {
  RelayConversation with;
  with.begin().has_prepared("x", "select 1", 1).runs_query("prepare p as select 2", "PREPARE");
  with.as_it_is(parse("y", "select 3") + sync()).server_answers(messages("1ZI")).gets(messages("1ZI"));
  with.of_client().watch.answered({});  // p is gone
  with.as_it_is(run("y")).server_answers(messages("2DCZI")).gets(messages("2DCZI"));
  with.as_it_is(describe("y") + sync()).server_answers(kDescribed + messages("ZI"));
  with.gets(kDescribed + messages("ZI"));
  const std::string already = error("42P05", "prepared statement \"y\" already exists");
  with.as_it_is(parse("y", "select 4") + sync()).server_answers(already + messages("ZI"));
  with.gets(already + messages("ZI"));
  with.runs("x", 1);
  with.as_it_is(close("y") + sync()).server_answers(messages("3ZI")).gets(messages("3ZI"));
  // It has had statements of its own on this server: it goes on so.
  with.as_it_is(parse("y", "select 3") + sync()).server_answers(messages("1ZI")).gets(messages("1ZI"));
}

TEST_CASE("a Close of a statement under the client's own name that is skipped has not closed it") {
  RelayConversation with;
  with.begin().runs_query("prepare p as select 2", "PREPARE");
  with.as_it_is(parse("y", "select 3") + sync()).server_answers(messages("1ZI")).gets(messages("1ZI"));
  with.of_client().watch.answered({});
  with.as_it_is(bind_to("nobody") + close("y") + sync()).server_answers(unknown("nobody") + messages("ZI"));
  with.gets(unknown("nobody") + messages("ZI"));
  with.as_it_is(run("y")).server_answers(messages("2DCZI")).gets(messages("2DCZI"));
}

TEST_CASE("a Parse under the client's own name that fails has made none") {
  RelayConversation with;
  with.begin().runs_query("prepare p as select 2", "PREPARE");
  with.as_it_is(parse("y", "nonsense") + sync()).server_answers(messages("EZI")).gets(messages("EZI"));
  with.of_client().watch.answered({});
  with.has_prepared("y", "select 3", 1);
}

TEST_CASE("that anything may have happened does not make a statement the client's own") {
  RelayConversation with;
  const std::string block = query("do $$ begin perform 1; end $$");
  with.begin().as_it_is(block).server_answers(tag("DO") + messages("ZT")).gets(tag("DO") + messages("ZT"));
  for (const std::string name : {"x", "tidepool_7"}) {
    const uint32_t number = name == "x" ? 1 : 2;
    with.sends(parse(name, "select 1") + sync())
        .server_gets(parse(ours(number), "select 1") + describe(ours(number)) + sync());
    with.server_answers(messages("1") + kDescribed + messages("ZT")).gets(messages("1ZT"));
  }
}

// -- EXECUTE of statements that were prepared by the protocol

const std::string kRow = messages("TD") + tag("SELECT 1") + messages("ZI");

TEST_CASE("EXECUTE of a statement that was prepared by the protocol") {
  RelayConversation with;
  with.begin().has_prepared("x", "select 1", 1);
  with.sends(query("execute x")).server_gets(query("execute tidepool_1")).server_answers(kRow).gets(kRow);
  with.on_server(2);
  with.sends(query("select 2; execute \"x\""))
      .is_asked(1, "select 1")
      .server_gets(query("select 2; execute tidepool_1"))
      .server_answers(kRow)
      .gets(kRow);
  with.of_client().watch.answered({});
}

TEST_CASE("EXECUTE of two, which its server has not got: each is what it is") {
  RelayConversation with;
  with.begin().has_prepared("x", "select 1", 1).has_prepared("y", "select 2", 2, parameters() + kOtherRows);
  with.on_server(2).sends(query("execute x; execute y; execute x"));
  with.is_asked(1, "select 1").is_asked(2, "select 2", {}, parameters() + kOtherRows);
  with.server_gets(query("execute tidepool_1; execute tidepool_2; execute tidepool_1"));
  with.server_answers(kRow).gets(kRow).of_client().watch.answered({});
}

TEST_CASE("EXECUTE of two of the same kind, which its server has not got: each is what it is") {
  RelayConversation with;
  with.begin().has_prepared("x", "select 1", 1).has_prepared("y", "select 2", 2);
  with.on_server(2).sends(query("execute x; execute y"));
  with.is_asked(1, "select 2").is_asked(2, "select 1");
  with.server_gets(query("execute tidepool_2; execute tidepool_1"));
  with.server_answers(kRow).gets(kRow).of_client().watch.answered({});
}

TEST_CASE("an EXECUTE by the extended protocol, of a statement that its server has not got") {
  RelayConversation with;
  with.begin().has_prepared("x", "select 1", 1);
  SUBCASE("named") {
    with.has_prepared_command("e", "execute x", 2).on_server(2).sends(run("e"));
    with.is_asked(1, "select 1").server_gets(parse("tidepool_2", "execute tidepool_1") + run("tidepool_2"));
    with.server_answers(messages("12DCZI")).gets(messages("2DCZI"));
  }
  SUBCASE("unnamed") {
    with.on_server(2).sends(parse("", "execute x") + run(""));
    with.server_gets(parse("", "execute x") + asked(1, "select 1"));
    with.server_answers(messages("11") + kDescribed).gets(messages("1"));
    with.server_gets(parse("tidepool_2", "execute tidepool_1") + run("tidepool_2"));
    with.server_answers(messages("12DCZI")).gets(messages("2DCZI"));
  }
}

TEST_CASE("an EXECUTE by the extended protocol of rows that are others there is refused") {
  RelayConversation with;
  with.begin().has_prepared("x", "select 1", 1).on_server(2).sends(parse("", "execute x") + run(""));
  with.server_gets(parse("", "execute x") + asked(1, "select 1"));
  with.server_answers(messages("11") + parameters() + kOtherRows).gets(messages("1"));
  with.server_gets(run(kNobody)).server_answers(unknown(kNobody) + messages("ZI"));
  with.gets(kRefusedRows + messages("ZI"));
}

TEST_CASE("an EXECUTE by the extended protocol names what the client has under that name at the moment") {
  RelayConversation with;
  with.begin().has_prepared("x", "select 1", 1).has_prepared_command("e", "execute x", 2);
  with.sends(run("e")).server_gets(parse("tidepool_3", "execute tidepool_1") + run("tidepool_3"));
  with.server_answers(messages("12DCZI")).gets(messages("2DCZI")).of_client().watch.answered({});
  with.sends(close("x") + parse("x", "select 2") + sync());
  with.server_gets(parse("tidepool_4", "select 2") + describe("tidepool_4") + sync());
  with.server_answers(messages("1") + kDescribed + messages("ZI")).gets(messages("31ZI"));
  with.sends(run("e")).server_gets(parse("tidepool_5", "execute tidepool_4") + run("tidepool_5"));
  with.server_answers(messages("12DCZI")).gets(messages("2DCZI"));
}

TEST_CASE("an EXECUTE of what the client does not have is PostgreSQL's to refuse") {
  RelayConversation with;
  with.begin().has_prepared_command("e", "execute x", 1);
  const std::string answer = messages("2") + unknown("x") + messages("ZI");
  // It may deallocate all, which a statement that is left there would tell.
  with.sends(run("e")).server_gets(parse("tidepool_2", "ROLLBACK") + run("tidepool_1"));
  with.server_answers(messages("1") + answer).gets(answer);
  with.as_it_is(query("execute x"))
      .server_answers(unknown("x") + messages("ZI"))
      .gets(unknown("x") + messages("ZI"));
}

TEST_CASE("if what EXECUTE needs cannot be prepared, a Sync of ours ends what PostgreSQL skips") {
  const std::string kNoTable = error("42P01", "relation \"t\" does not exist");
  RelayConversation with;
  with.begin().has_prepared("x", "select v from t", 1).on_server(2);
  with.sends(query("execute x") + query("select 2")).server_gets(asked(1, "select v from t"));
  with.server_answers(kNoTable).server_gets(sync());
  with.server_answers(messages("ZI")).server_gets(query("select 2"));
  with.server_answers(messages("TDCZI"));
  with.gets(kNoTable + messages("ZITDCZI"));
  CHECK(with.of_server().relay.statements().size() == 0);
}

TEST_CASE("errors of an EXECUTE name the client's statement, not ours") {
  const auto wrong = [](const std::string& name) {
    return error("42601", "wrong number of parameters for prepared statement \"" + name + "\"");
  };
  RelayConversation with;
  with.begin().has_prepared("x", "select $1", 1, parameters({25}) + kRows);
  SUBCASE("by Query") {
    with.sends(query("execute x")).server_gets(query("execute tidepool_1"));
    with.server_answers(wrong("tidepool_1") + messages("ZI")).gets(wrong("x") + messages("ZI"));
  }
  SUBCASE("by the extended protocol") {
    with.sends(parse("", "execute x") + run(""));
    with.server_gets(parse("", "execute x") + parse("tidepool_2", "execute tidepool_1") + run("tidepool_2"));
    with.server_answers(messages("112") + wrong("tidepool_1") + messages("ZI"));
    with.gets(messages("12") + wrong("x") + messages("ZI"));
  }
}

TEST_CASE(
    "EXECUTE in a failed transaction, of what its server has not got: a Sync of ours ends what is skipped") {
  const std::string aborted = error("25P02", "current transaction is aborted");
  RelayConversation with;
  with.begin().has_prepared_command("x", "show all", 1).on_server(2);
  with.as_it_is(query("begin; fail")).server_answers(tag("BEGIN") + messages("EZE"));
  with.gets(tag("BEGIN") + messages("EZE"));
  with.sends(query("execute x")).server_gets(parse("tidepool_1", "show all") + query("execute tidepool_1"));
  with.server_answers(aborted)
      .server_gets(sync())
      .server_answers(messages("ZE"))
      .gets(aborted + messages("ZE"));
  with.runs_query("rollback", "ROLLBACK");
}

TEST_CASE("an EXECUTE that could not be prepared ends the unnamed statement like any Query") {
  RelayConversation with;
  with.begin().has_prepared("x", "select v from t", 1).on_server(2);
  with.as_it_is(parse("", "select 1") + run("")).server_answers(messages("12DCZI")).gets(messages("12DCZI"));
  with.sends(query("execute x")).server_gets(asked(1, "select v from t"));
  with.server_answers(messages("E")).server_gets(sync()).server_answers(messages("ZI")).gets(messages("EZI"));
  const std::string gone = error("26000", "unnamed prepared statement does not exist") + messages("ZI");
  with.sends(run("")).server_gets(close("") + run("")).server_answers(messages("3") + gone).gets(gone);
}

TEST_CASE("EXECUTE of a statement whose rows are others there is refused, and the session goes on") {
  RelayConversation with;
  with.begin().has_prepared("x", "select * from t", 1).on_server(2);
  with.sends(query("execute x")).is_asked(1, "select * from t", {}, parameters() + kOtherRows);
  with.server_gets(query("tidepool refuses this statement"));
  with.server_answers(error("42601", "syntax error") + messages("ZI"));
  std::string told;
  wire::append_error_response(told, "ERROR", {"0A000", "cached plan must not change result type"});
  with.gets(told + messages("ZI"));
  // An error of a batch behind it is the client's: it sends its own Sync.
  with.as_it_is(bind_to("nobody") + flush()).server_answers(unknown("nobody")).gets(unknown("nobody"));
  with.as_it_is(sync()).server_answers(messages("ZI")).gets(messages("ZI"));
  with.as_it_is(query("select 2")).server_answers(messages("TDCZI")).gets(messages("TDCZI"));
}

}  // namespace
}  // namespace tidepool::session
