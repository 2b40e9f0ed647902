// What the client sends, what the server gets, what it answers, what the client gets.
#include "lib/session/statement_relay.h"

#include <doctest/doctest.h>

#include "tests/unit/session/relay_conversation.h"

namespace tidepool::session {
namespace {

TEST_CASE("a statement that is new to its server is prepared under a name of ours") {
  RelayConversation with;
  with.begin()
      .sends(parse("x", "select $1", {23}) + sync())
      .server_gets(parse("tidepool_1", "select $1", {23}) + sync())
      .server_answers(messages("1ZI"))
      .gets(messages("1ZI"));
  with.sends(bind_to("x", {"5"}) + describe_portal() + execute() + sync())
      .server_gets(bind_to("tidepool_1", {"5"}) + describe("tidepool_1") + describe_portal() + execute() +
                   sync())
      .server_answers(messages("2tTTDCZI"))
      .gets(messages("2TDCZI"));
}

TEST_CASE("on another server it is prepared in front of the client's message, within the client's batch") {
  RelayConversation with;
  with.begin().has_prepared("x", "select $1", 1).on_server(2);
  with.sends(bind_to("x", {"5"}) + execute() + sync())
      .server_gets(parse("tidepool_1", "select $1") + bind_to("tidepool_1", {"5"}) + execute() + sync())
      .server_answers(messages("12DCZI"))
      .gets(messages("2DCZI"));
  with.runs("x", 1);
}

TEST_CASE("Describe prepares it, too") {
  RelayConversation with;
  with.begin().has_prepared("x", "select $1", 1).on_server(2);
  with.sends(describe("x") + sync())
      .server_gets(parse("tidepool_1", "select $1") + describe("tidepool_1") + sync())
      .server_answers(messages("1tTZI"))
      .gets(messages("tTZI"));
}

TEST_CASE("clients that prepare the same text share one statement, under whatever names") {
  RelayConversation with;
  with.begin().has_prepared("x", "select 1", 1);
  with.client(2).on_server(1);
  with.sends(parse("mine", "select 1") + sync()).server_gets(sync()).server_answers(messages("ZI"));
  with.gets(messages("1ZI"));
  with.runs("mine", 1);
  CHECK(with.of_server().relay.parses() == 1);
}

TEST_CASE("the same text with other parameter types, or parsed under other settings, is another statement") {
  RelayConversation with;
  with.begin().has_prepared("x", "select $1", 1);
  with.sends(parse("y", "select $1", {23}) + sync())
      .server_gets(parse("tidepool_2", "select $1", {23}) + sync())
      .server_answers(messages("1ZI"))
      .gets(messages("1ZI"));
  with.of_client().statements.settings_are(std::string("datestyle\0German\0", 17));
  with.has_prepared("z", "select $1", 3);
  with.runs("z", 3);
}

TEST_CASE("a Parse of what the server has already never gets there; its answer comes in its turn") {
  RelayConversation with;
  with.begin().has_prepared("x", "select 1", 1);
  with.sends(query("select 2")).server_gets(query("select 2"));
  with.server_answers(messages("TD"));
  with.sends(parse("y", "select 1")).server_gets("");  // waits: its turn is behind the Query
  with.gets(messages("TD"));
  with.server_answers(tag("SELECT 1") + messages("ZI")).gets(tag("SELECT 1") + messages("ZI"));
  with.sends(bind_to("y") + execute() + sync())
      .server_gets(bind_to("tidepool_1") + execute() + sync())
      .server_answers(messages("2DCZI"))
      .gets(messages("12DCZI"));
}

TEST_CASE("Close does not get there: the statement stays for whoever wants it next") {
  RelayConversation with;
  with.begin().has_prepared("x", "select 1", 1);
  with.sends(close("x") + sync()).server_gets(sync()).server_answers(messages("ZI")).gets(messages("3ZI"));
  with.as_it_is(bind_to("x") + sync()).server_answers(unknown("x") + messages("ZI"));
  with.gets(unknown("x") + messages("ZI"));
  with.sends(parse("x", "select 1") + sync()).server_gets(sync()).server_answers(messages("ZI"));
  with.gets(messages("1ZI"));
}

TEST_CASE("Close of an unknown statement, of a portal and of the unnamed statement goes there") {
  RelayConversation with;
  with.begin()
      .as_it_is(close("nothing") + close_portal("cursor") + close("") + sync())
      .server_answers(messages("333ZI"))
      .gets(messages("333ZI"));
}

TEST_CASE("what is closed and prepared anew in one batch is the new one") {
  RelayConversation with;
  with.begin().has_prepared("x", "select 1", 1);
  with.sends(close("x") + parse("x", "select 2") + bind_to("x") + execute() + sync())
      .server_gets(parse("tidepool_2", "select 2") + bind_to("tidepool_2") + execute() + sync())
      .server_answers(messages("12DCZI"))
      .gets(messages("312DCZI"));
}

TEST_CASE("answers of ours come in order: before, between and behind those of the server") {
  RelayConversation with;
  with.begin().has_prepared("x", "select 1", 1).has_prepared("y", "select 2", 2);
  with.sends(close("x") + bind_to("y") + close("y") + execute() + parse("x", "select 2") + sync())
      .server_gets(bind_to("tidepool_2") + execute() + sync())
      .gets_nothing_yet()
      .server_answers(messages("2"))
      .gets(messages("323"));  // the next one's place is reached, and nothing need come first
  with.server_answers(messages("DC"))
      .gets(messages("DC1"))
      .server_answers(messages("ZI"))
      .gets(messages("ZI"));
}

TEST_CASE("at a Flush, answers of ours that wait for nothing are told at once") {
  RelayConversation with;
  with.begin().has_prepared("x", "select 1", 1);
  with.sends(close("x") + parse("y", "select 1") + flush()).server_gets(flush()).gets(messages("31"));
  with.sends(sync()).server_gets(sync()).server_answers(messages("ZI")).gets(messages("ZI"));
}

TEST_CASE("at a Flush, answers of ours wait for the end of a message that the client is told") {
  RelayConversation with;
  const std::string row = messages("D");
  with.begin().has_prepared("x", "select 1", 1).has_prepared("y", "select 2", 2);
  with.sends(bind_to("x") + execute() + flush()).server_gets(bind_to("tidepool_1") + execute() + flush());
  with.server_answers(messages("2") + row + tag("SELECT 1")).gets(messages("2") + row + tag("SELECT 1"));
  with.sends(describe("x") + flush()).server_gets(describe("tidepool_1") + flush());
  std::string columns;
  wire::append_row_description(columns, {{"a column"}});
  with.server_answers(messages("t") + columns.substr(0, 10));
  with.sends(close("y") + flush()).server_gets(flush());
  with.server_answers(columns.substr(10)).gets(messages("t") + columns + messages("3"));
  with.sends(sync()).server_gets(sync()).server_answers(messages("ZI")).gets(messages("ZI"));
}

TEST_CASE("at a Flush, answers of ours wait for those that the server owes") {
  RelayConversation with;
  with.begin().has_prepared("x", "select 1", 1);
  with.sends(bind_to("x") + close("x") + flush())
      .server_gets(bind_to("tidepool_1") + flush())
      .gets_nothing_yet();
  with.server_answers(messages("2")).gets(messages("23"));
  with.sends(sync()).server_gets(sync()).server_answers(messages("ZI")).gets(messages("ZI"));
}

TEST_CASE("notices and parameters take no answer's place") {
  RelayConversation with;
  with.begin().has_prepared("x", "select 1", 1);
  with.sends(close("x") + bind_to("x") + sync()).server_gets(bind_to("x") + sync());
  with.server_answers(messages("NS")).server_answers(unknown("x") + messages("ZI"));
  std::string heard = std::exchange(with.of_client().heard, {});
  CHECK(heard.size() == (messages("NS3") + unknown("x") + messages("ZI")).size());
}

TEST_CASE("a Parse of a name that lives is refused by PostgreSQL, under the client's name") {
  RelayConversation with;
  with.begin().has_prepared("x", "select 1", 1);
  const std::string already = "prepared statement \"tidepool_1\" already exists";
  with.sends(parse("x", "select 2") + sync())
      .server_gets(parse("tidepool_1", "select 2") + sync())
      .server_answers(error("42P05", already) + messages("ZI"))
      .gets(error("42P05", "prepared statement \"x\" already exists") + messages("ZI"));
  with.runs("x", 1);
}

TEST_CASE("on a server that has not got it, something else stands there for it") {
  RelayConversation with;
  with.begin().has_prepared("x", "select 1", 1).on_server(2);
  with.sends(parse("x", "select 2") + sync())
      .server_gets(parse("tidepool_1", "ROLLBACK") + parse("tidepool_1", "select 2") + sync())
      .server_answers(messages("1") + error("42P05", "prepared statement \"tidepool_1\" already exists") +
                      messages("ZI"))
      .gets(error("42P05", "prepared statement \"x\" already exists") + messages("ZI"));
  // ... and is closed when something is prepared next.
  with.sends(bind_to("x") + sync())
      .server_gets(close("tidepool_1") + parse("tidepool_2", "select 1") + bind_to("tidepool_2") + sync())
      .server_answers(messages("312ZI"))
      .gets(messages("2ZI"));
}

TEST_CASE("an unknown name is refused by PostgreSQL, in its own words") {
  RelayConversation with;
  with.begin();
  for (const std::string& asked : {bind_to("nobody") + sync(), describe("nobody") + sync()})
    with.as_it_is(asked)
        .server_answers(unknown("nobody") + messages("ZI"))
        .gets(unknown("nobody") + messages("ZI"));
}

TEST_CASE("names of ours are nobody's, whether they live on the server or not") {
  RelayConversation with;
  with.begin().has_prepared("x", "select 1", 1);
  const std::string no_such = "tidepool: this statement is refused";
  for (const std::string& asked : {bind_to("tidepool_1"), describe("tidepool_1")}) {
    std::string told;
    wire::append_error_response(told, "ERROR", {"26000", "prepared statement \"tidepool_1\" does not exist"});
    with.sends(asked + sync()).server_gets(bind_to(no_such) + sync());
    with.server_answers(unknown(no_such) + messages("ZI")).gets(told + messages("ZI"));
  }
  with.sends(close("tidepool_1") + sync()).server_gets(sync()).server_answers(messages("ZI"));
  with.gets(messages("3ZI"));
  with.has_prepared("tidepool_1", "select 2", 2).runs("tidepool_1", 2).runs("x", 1);
}

TEST_CASE("errors name the client's statement, not ours") {
  RelayConversation with;
  with.begin().has_prepared("x", "select $1", 1);
  const auto words = [](const std::string& name) {
    return "bind message supplies 0 parameters, but prepared statement \"" + name + "\" requires 1";
  };
  with.sends(bind_to("x") + execute() + sync())
      .server_gets(bind_to("tidepool_1") + execute() + sync())
      .server_answers(error("08P01", words("tidepool_1")) + messages("ZI"))
      .gets(error("08P01", words("x")) + messages("ZI"));
}

TEST_CASE("the statement used longest ago is closed when its server has too many") {
  RelayConversation with;
  with.begin().of_client().max_prepared_statements = 2;
  with.has_prepared("a", "select 1", 1).has_prepared("b", "select 2", 2).runs("a", 1);
  with.sends(parse("c", "select 3") + sync())
      .server_gets(close("tidepool_2") + parse("tidepool_3", "select 3") + sync())
      .server_answers(messages("31ZI"))
      .gets(messages("1ZI"));
  // It is prepared anew when it is wanted, in place of the next.
  with.sends(run("b"))
      .server_gets(close("tidepool_1") + parse("tidepool_4", "select 2") + run("tidepool_4"))
      .server_answers(messages("312DCZI"))
      .gets(messages("2DCZI"));
  CHECK(with.of_server().relay.statements().size() == 2);
}

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
  with.as_it_is(close("x") + sync()).server_answers(messages("3ZI")).gets(messages("3ZI"));
}

TEST_CASE("that anything may have happened does not make a statement the client's own") {
  RelayConversation with;
  const std::string block = query("do $$ begin perform 1; end $$");
  with.begin().as_it_is(block).server_answers(tag("DO") + messages("ZT")).gets(tag("DO") + messages("ZT"));
  with.sends(parse("x", "select 1") + sync()).server_gets(parse("tidepool_1", "select 1") + sync());
  with.server_answers(messages("1ZT")).gets(messages("1ZT"));
  with.sends(parse("tidepool_7", "select 2") + sync()).server_gets(parse("tidepool_2", "select 2") + sync());
  with.server_answers(messages("1ZT")).gets(messages("1ZT"));
}

TEST_CASE("EXECUTE of a statement that was prepared by the protocol") {
  RelayConversation with;
  with.begin().has_prepared("x", "select 1", 1);
  const std::string row = messages("TD") + tag("SELECT 1") + messages("ZI");
  with.sends(query("execute x")).server_gets(query("execute tidepool_1")).server_answers(row).gets(row);
  with.on_server(2);
  with.sends(query("select 2; execute \"x\""))
      .server_gets(parse("tidepool_1", "select 1") + query("select 2; execute tidepool_1"))
      .server_answers(messages("1") + row)
      .gets(row);
}

TEST_CASE("if what EXECUTE needs cannot be prepared, a Sync of ours ends what PostgreSQL skips") {
  RelayConversation with;
  with.begin().has_prepared("x", "select v from t", 1).on_server(2);
  with.sends(query("execute x") + query("select 2"))
      .server_gets(parse("tidepool_1", "select v from t") + query("execute tidepool_1"));
  with.server_answers(error("42P01", "relation \"t\" does not exist")).server_gets(sync());
  with.server_answers(messages("ZI")).server_gets(query("select 2"));
  with.server_answers(messages("TDCZI"));
  with.gets(error("42P01", "relation \"t\" does not exist") + messages("ZITDCZI"));
  CHECK(with.of_server().relay.statements().size() == 0);
}

TEST_CASE("FunctionCall and COPY pass as they are") {
  RelayConversation with;
  std::string data, done;
  wire::append_copy_data(data, "1\n");
  wire::append_copy_done(done);
  with.begin().as_it_is(query("copy t from stdin")).server_answers(messages("G")).gets(messages("G"));
  with.as_it_is(data + done)
      .server_answers(tag("COPY 1") + messages("ZI"))
      .gets(tag("COPY 1") + messages("ZI"));
  std::string call;
  {
    const wire::MessageFrame frame(call, 'F');
    call.append(10, '\0');
  }
  with.as_it_is(call).server_answers(messages("VZI")).gets(messages("VZI"));
  CHECK(with.of_client().watch.asks_all_settings());
}

}  // namespace
}  // namespace tidepool::session
