// What the client sends, what the server gets, what it answers, what the client gets.
#include "lib/session/statement_relay.h"

#include <doctest/doctest.h>

#include "tests/unit/session/relay_conversation.h"

namespace tidepool::session {
namespace {

TEST_CASE("a statement gets a name of ours on its server, which says what it is") {
  RelayConversation with;
  const std::string description = parameters({23}) + kRows;
  with.begin()
      .sends(parse("x", "select $1", {23}) + sync())
      .server_gets(parse("tidepool_1", "select $1", {23}) + describe("tidepool_1") + sync())
      .server_answers(messages("1") + description + messages("ZI"))
      .gets(messages("1ZI"));
  with.sends(bind_to("x", {"5"}) + describe_portal() + execute() + sync())
      .server_gets(bind_to("tidepool_1", {"5"}) + describe_portal() + execute() + sync())
      .server_answers(messages("2TDCZI"))
      .gets(messages("2TDCZI"));
}

TEST_CASE("a statement without rows is one whose description says so") {
  RelayConversation with;
  with.begin().has_prepared("x", "insert into t values (1)", 1, parameters() + kNoRows).runs("x", 1);
  with.on_server(2).sends(run("x")).is_asked(1, "insert into t values (1)", {}, parameters() + kNoRows);
  with.server_gets(run("tidepool_1")).server_answers(messages("2CZI")).gets(messages("2CZI"));
}

TEST_CASE("the client's own Describe right behind its Parse is the question") {
  RelayConversation with;
  with.begin()
      .sends(parse("x", "select 1") + describe("x") + bind_to("x") + execute() + sync())
      .server_gets(parse("tidepool_1", "select 1") + describe("tidepool_1") + bind_to("tidepool_1") +
                   execute() + sync())
      .server_answers(messages("1") + kDescribed + messages("2DCZI"))
      .gets(messages("1") + kDescribed + messages("2DCZI"));
  // Known: it is asked for on another server with what it is, and others share it.
  with.client(2).on_server(1).has_prepared("y", "select 1", 2);
  with.client(1).on_server(1);
  with.sends(run("x")).server_gets(close("tidepool_1") + run("tidepool_2"));
  with.server_answers(messages("32DCZI")).gets(messages("2DCZI"));
}

TEST_CASE("whatever else comes behind a Parse, the question is in front of it") {
  const std::string kAsked = parse("tidepool_3", "select 1") + describe("tidepool_3");
  const std::string kTold = messages("1") + kDescribed;
  struct Row {
    std::string sent, passed_on, answers, told;
  };
  for (const auto& [sent, passed_on, answers, told] : std::initializer_list<Row>{
           {bind_to("x") + sync(), bind_to("tidepool_3") + sync(), messages("2ZI"), messages("2ZI")},
           {bind_to("y") + sync(), bind_to("tidepool_1") + sync(), messages("2ZI"), messages("2ZI")},
           {describe("y") + sync(), describe("tidepool_1") + sync(), kDescribed + messages("ZI"),
            kDescribed + messages("ZI")},
           {describe_portal() + sync(), describe_portal() + sync(), messages("nZI"), messages("nZI")},
           {describe("") + sync(), describe("") + sync(), messages("EZI"), messages("EZI")},
           {close("y") + sync(), sync(), messages("ZI"), messages("3ZI")},
           {close_portal() + sync(), close_portal() + sync(), messages("3ZI"), messages("3ZI")},
           {execute() + sync(), execute() + sync(), messages("DCZI"), messages("DCZI")},
           {flush() + sync(), flush() + sync(), messages("ZI"), messages("ZI")},
           {parse("z", "select 2") + describe("x") + sync(),
            parse("tidepool_4", "select 2") + describe("tidepool_4") + describe("tidepool_3") + sync(),
            kTold + kDescribed + messages("ZI"), messages("1") + kDescribed + messages("ZI")},
           {query("select 2"), query("select 2"), messages("TDCZI"), messages("TDCZI")},
       }) {
    RelayConversation with(RelayConversation::Pieces::Whole);
    with.begin().has_prepared("y", "select 'y'", 1).has_prepared("w", "select 'w'", 2);
    with.sends(parse("x", "select 1") + sent).server_gets(kAsked + passed_on);
    with.server_answers(kTold + answers).gets(messages("1") + told);
  }
}

TEST_CASE(
    "on another server it is prepared first, with the types that PostgreSQL gave it, and asked what it is") {
  RelayConversation with;
  with.begin().has_prepared("x", "select $1", 1, parameters({23}) + kRows).on_server(2);
  with.sends(bind_to("x", {"5"}) + execute() + sync())
      .server_gets(asked(1, "select $1", {23}))
      .gets_nothing_yet();
  CHECK(with.of_server().relay.asks());
  CHECK_FALSE(with.of_server().may_go());
  with.server_answers(messages("1") + parameters({23}) + kRows)
      .gets_nothing_yet()
      .server_gets(bind_to("tidepool_1", {"5"}) + execute() + sync())
      .server_answers(messages("2DCZI"))
      .gets(messages("2DCZI"));
  with.runs("x", 1).on_server(1).runs("x", 1).on_server(2).runs("x", 1);
}

TEST_CASE("Describe prepares it, too") {
  RelayConversation with;
  with.begin().has_prepared("x", "select 1", 1).on_server(2);
  with.sends(describe("x") + sync()).is_asked(1, "select 1").server_gets(describe("tidepool_1") + sync());
  with.server_answers(kDescribed + messages("ZI")).gets(kDescribed + messages("ZI"));
}

TEST_CASE(
    "whoever prepares a text has it parsed; those to whom PostgreSQL gave the same share the latest copy") {
  RelayConversation with;
  with.begin().has_prepared("x", "select 1", 1);
  with.client(2).on_server(1).has_prepared("mine", "select 1", 2);
  CHECK(with.of_server().relay.parses() == 2);
  CHECK(with.of_server().relay.statements().size() == 1);
  with.client(1).on_server(1).sends(run("x")).server_gets(close("tidepool_1") + run("tidepool_2"));
  with.server_answers(messages("32DCZI")).gets(messages("2DCZI"));
  with.runs("x", 2).client(2).on_server(1).runs("mine", 2);
}

TEST_CASE("an older copy is closed in front of a batch, or to make room, but not within one") {
  RelayConversation with;
  with.begin().has_prepared("x", "select 1", 1);
  with.client(2).on_server(1).has_prepared("mine", "select 1", 2);
  SUBCASE("a Query, or a batch that begins with anything else, does not close it") {
    with.as_it_is(query("select 2")).server_answers(messages("TDCZI")).gets(messages("TDCZI"));
    with.as_it_is(close_portal()).sends(bind_to("mine") + execute() + sync());
    with.server_gets(bind_to("tidepool_2") + execute() + sync()).server_answers(messages("32DCZI"));
    with.gets(messages("32DCZI"));
  }
  SUBCASE("the first Parse of a batch does") {
    with.sends(parse("y", "select 2") + sync())
        .server_gets(close("tidepool_1") + parse("tidepool_3", "select 2") + describe("tidepool_3") + sync());
    with.server_answers(messages("31") + kDescribed + messages("ZI")).gets(messages("1ZI"));
  }
  SUBCASE("an unnamed one, too") {
    with.sends(parse("", "select 2") + bind_to("") + execute() + sync())
        .server_gets(close("tidepool_1") + parse("", "select 2") + bind_to("") + execute() + sync());
    with.server_answers(messages("312DCZI")).gets(messages("12DCZI"));
  }
  SUBCASE("a Parse within one") {
    with.sends(close_portal() + parse("y", "select 2") + sync())
        .server_gets(close_portal() + close("tidepool_1") + parse("tidepool_3", "select 2") +
                     describe("tidepool_3") + sync());
    with.server_answers(messages("331") + kDescribed + messages("ZI")).gets(messages("31ZI"));
  }
}

TEST_CASE("if a Close of an older copy is skipped behind an error, it is closed later") {
  RelayConversation with;
  with.begin().has_prepared("x", "select 1", 1);
  with.client(2).on_server(1).has_prepared("mine", "select 1", 2);
  with.sends(close_portal() + bind_to("nobody") + parse("y", "select 2") + sync());
  with.server_gets(close_portal() + bind_to("nobody") + close("tidepool_1") +
                   parse("tidepool_3", "select 2") + describe("tidepool_3") + sync());
  with.server_answers(messages("3") + unknown("nobody") + messages("ZI"));
  with.gets(messages("3") + unknown("nobody") + messages("ZI"));
  with.sends(run("mine")).server_gets(close("tidepool_1") + run("tidepool_2"));
  with.server_answers(messages("32DCZI")).gets(messages("2DCZI"));
}

TEST_CASE("to whom PostgreSQL gave something else has another statement") {
  for (const std::string& other :
       {parameters() + kOtherRows, parameters() + kNoRows, parameters({20}) + kRows}) {
    RelayConversation with(RelayConversation::Pieces::Whole);
    with.begin().has_prepared("x", "select * from t", 1);
    with.client(2).on_server(1).has_prepared("mine", "select * from t", 2, other);
    CHECK(with.of_server().relay.statements().size() == 2);
    with.runs("mine", 2).client(1).on_server(1).runs("x", 1);
  }
}

TEST_CASE("what is parsed twice by one client in one batch is known each for itself") {
  RelayConversation with;
  with.begin()
      .sends(parse("x", "select 1") + parse("y", "select 1") + sync())
      .server_gets(parse("tidepool_1", "select 1") + describe("tidepool_1") +
                   parse("tidepool_2", "select 1") + describe("tidepool_2") + sync())
      .server_answers(messages("1") + kDescribed + messages("1") + kDescribed + messages("ZI"))
      .gets(messages("11ZI"));
  with.sends(run("x")).server_gets(close("tidepool_1") + run("tidepool_2"));
  with.server_answers(messages("32DCZI")).gets(messages("2DCZI")).runs("y", 2);
}

TEST_CASE("the same text with other parameter types, or parsed under other settings, is another statement") {
  RelayConversation with;
  with.begin().has_prepared("x", "select $1", 1);
  with.sends(parse("y", "select $1", {23}) + sync())
      .server_gets(parse("tidepool_2", "select $1", {23}) + describe("tidepool_2") + sync())
      .server_answers(messages("1") + kDescribed + messages("ZI"))
      .gets(messages("1ZI"));
  with.of_client().statements.settings_are(parse_settings_of(std::string("datestyle\0German\0", 17)));
  with.has_prepared("z", "select $1", 3);
  with.runs("z", 3);
  CHECK(with.of_server().relay.statements().size() == 3);
}

// -- Commands, which PostgreSQL does not analyse

TEST_CASE("a command need not be described, and clients share it at once, under whatever names") {
  RelayConversation with;
  with.begin().has_prepared_command("x", "begin", 1);
  with.client(2).on_server(1);
  with.sends(parse("mine", "begin") + sync()).server_gets(sync()).server_answers(messages("ZI"));
  with.gets(messages("1ZI")).runs("mine", 1);
  CHECK(with.of_server().relay.parses() == 1);
  // On another server it is prepared in front, within the client's batch, and nothing waits.
  with.on_server(2).sends(run("mine")).server_gets(parse("tidepool_1", "begin") + run("tidepool_1"));
  with.server_answers(messages("12CZI")).gets(messages("2CZI")).runs("mine", 1);
}

TEST_CASE("a Parse of a command that is there never gets to the server; its answer comes in its turn") {
  RelayConversation with;
  with.begin().has_prepared_command("x", "show all", 1);
  with.sends(query("select 2")).server_gets(query("select 2"));
  with.server_answers(messages("TD"));
  with.sends(parse("y", "show all")).server_gets("");  // waits: its turn is behind the Query
  with.gets(messages("TD"));
  with.server_answers(tag("SELECT 1") + messages("ZI")).gets(tag("SELECT 1") + messages("ZI"));
  with.sends(bind_to("y") + execute() + sync())
      .server_gets(bind_to("tidepool_1") + execute() + sync())
      .server_answers(messages("2DCZI"))
      .gets(messages("12DCZI"));
}

TEST_CASE("a Describe of a command is the server's to answer") {
  RelayConversation with;
  with.begin().has_prepared_command("x", "show all", 1).on_server(2);
  with.sends(describe("x") + sync())
      .server_gets(parse("tidepool_1", "show all") + describe("tidepool_1") + sync())
      .server_answers(messages("1") + kDescribed + messages("ZI"))
      .gets(kDescribed + messages("ZI"));
}

// -- Where Parses are shared (parse: shared)

TEST_CASE("where Parses are shared, one of what is known there is answered from here") {
  RelayConversation with;
  with.begin().has_prepared("x", "select 1", 1);
  with.client(2).of_client().shares_parses = true;
  with.on_server(1).sends(parse("mine", "select 1") + sync()).server_gets(sync());
  with.server_answers(messages("ZI")).gets(messages("1ZI")).runs("mine", 1);
  CHECK(with.of_server().relay.parses() == 1);
  SUBCASE("other types are others") {
    with.sends(parse("y", "select 1", {23}) + sync())
        .server_gets(parse("tidepool_2", "select 1", {23}) + describe("tidepool_2") + sync());
    with.server_answers(messages("1") + kDescribed + messages("ZI")).gets(messages("1ZI"));
  }
  SUBCASE("another text is another") {
    with.has_prepared("y", "select 2", 2);
  }
  SUBCASE("other settings, too") {
    with.of_client().statements.settings_are(parse_settings_of(std::string("datestyle\0German\0", 17)));
    with.has_prepared("y", "select 1", 2);
  }
  SUBCASE("in a transaction that has changed what there is, it is parsed") {
    with.runs_query("begin", "BEGIN", 'T').runs_query("alter table t add b int", "ALTER TABLE", 'T');
    with.sends(parse("y", "select 1") + sync())
        .server_gets(parse("tidepool_2", "select 1") + describe("tidepool_2") + sync());
    with.server_answers(messages("1") + kDescribed + messages("ZT")).gets(messages("1ZT"));
    with.runs_query("commit", "COMMIT");
  }
}

TEST_CASE("who does not share Parses has its own parsed, whoever else shares") {
  RelayConversation with;
  with.begin().of_client().shares_parses = true;
  with.has_prepared("x", "select 1", 1).client(2).on_server(1).has_prepared("y", "select 1", 2);
}

// -- Batches that only prepare

TEST_CASE("a batch that has only prepared can be ended: the client does not hear of it") {
  RelayConversation with;
  with.begin().sends(parse("x", "select 1") + describe("x") + flush());
  with.server_gets(parse("tidepool_1", "select 1") + describe("tidepool_1") + flush());
  CHECK_FALSE(with.of_server().relay.has_only_prepared());
  with.server_answers(messages("1") + kDescribed).gets(messages("1") + kDescribed);
  REQUIRE(with.of_server().end_prepared_batch());
  with.server_gets(sync()).server_answers(messages("ZI")).gets_nothing_yet();
  CHECK(with.of_server().may_go());
  // The client's own Sync, later and elsewhere, is a batch that is empty.
  with.on_server(2).as_it_is(sync()).server_answers(messages("ZI")).gets(messages("ZI"));
  with.runs_anew("x", 1, "select 1");
}

TEST_CASE("its question goes in front of a Flush") {
  RelayConversation with;
  with.begin().sends(parse("x", "select 1") + flush());
  with.server_gets(parse("tidepool_1", "select 1") + describe("tidepool_1") + flush());
  with.server_answers(messages("1") + kDescribed.substr(0, kDescribed.size() - 3)).gets(messages("1"));
  with.server_answers(kDescribed.substr(kDescribed.size() - 3)).gets_nothing_yet();
  CHECK(with.of_server().relay.has_only_prepared());
  with.sends(sync()).server_gets(sync()).server_answers(messages("ZI")).gets(messages("ZI"));
  CHECK_FALSE(with.of_server().relay.has_only_prepared());
}

TEST_CASE("an unnamed statement in a batch that is ended by us is described there") {
  RelayConversation with;
  with.begin().as_it_is(parse("", "select 1") + flush()).server_answers(messages("1")).gets(messages("1"));
  REQUIRE(with.of_server().end_prepared_batch());
  with.server_gets(describe("") + sync()).server_answers(kDescribed + messages("ZI")).gets_nothing_yet();
  // Something of ours uses the unnamed statement; the client's own Sync asks nothing more.
  with.of_server().relay.unnamed_is_gone();
  with.as_it_is(sync()).server_answers(messages("ZI")).gets(messages("ZI"));
  with.on_server(2).sends(run("")).is_asked(1, "select 1", {}, parameters() + kOtherRows);
  with.server_gets(run(kNobody)).server_answers(unknown(kNobody) + messages("ZI"));
  with.gets(kRefusedRows + messages("ZI"));
}

TEST_CASE("a batch that has done anything else keeps its server") {
  struct Row {
    std::string sent, passed_on, answers, told;
  };
  for (const auto& [sent, passed_on, answers, told] : std::initializer_list<Row>{
           {bind_to("x") + flush(), bind_to("tidepool_1") + flush(), messages("2"), messages("2")},
           {describe_portal() + flush(), describe_portal() + flush(), messages("n"), messages("n")},
           {close_portal() + flush(), close_portal() + flush(), messages("3"), messages("3")},
           {execute("c") + flush(), execute("c") + flush(), messages("C"), messages("C")},
           {bind_to("nobody") + flush(), bind_to("nobody") + flush(), unknown("nobody"), unknown("nobody")},
       }) {
    RelayConversation with(RelayConversation::Pieces::Whole);
    with.begin().has_prepared("x", "select 1", 1).sends(sent).server_gets(passed_on);
    with.server_answers(answers).gets(told);
    CHECK_FALSE(with.of_server().relay.has_only_prepared());
    with.as_it_is(sync()).server_answers(messages("ZI")).gets(messages("ZI"));
  }
  SUBCASE("in a transaction, too") {
    RelayConversation with(RelayConversation::Pieces::Whole);
    with.begin().runs_query("begin", "BEGIN", 'T').sends(parse("x", "select 1") + flush());
    with.server_gets(parse("tidepool_1", "select 1") + describe("tidepool_1") + flush());
    with.server_answers(messages("1") + kDescribed).gets(messages("1"));
    CHECK_FALSE(with.of_server().relay.has_only_prepared());
    with.as_it_is(sync()).server_answers(messages("ZT")).gets(messages("ZT")).runs_query("commit", "COMMIT");
  }
}

// -- Close

TEST_CASE("Close does not get there: the statement stays for whoever wants it next") {
  RelayConversation with;
  with.begin().has_prepared("x", "select 1", 1);
  with.sends(close("x") + sync()).server_gets(sync()).server_answers(messages("ZI")).gets(messages("3ZI"));
  with.is_unknown("x");
  with.client(2).on_server(1).has_prepared("x", "select 1", 2);
  with.client(1).on_server(1).is_unknown_behind("x", close("tidepool_1"), messages("3"));
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
      .server_gets(parse("tidepool_2", "select 2") + describe("tidepool_2") + bind_to("tidepool_2") +
                   execute() + sync())
      .server_answers(messages("1") + kDescribed + messages("2DCZI"))
      .gets(messages("312DCZI"));
}

TEST_CASE("answers of ours come in order: before, between and behind those of the server") {
  RelayConversation with;
  with.begin().has_prepared_command("x", "show all", 1).has_prepared("y", "select 2", 2);
  with.sends(close("x") + bind_to("y") + close("y") + execute() + parse("x", "show all") + sync())
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
  with.begin().has_prepared_command("x", "show all", 1);
  with.sends(close("x") + parse("y", "show all") + flush()).server_gets(flush()).gets(messages("31"));
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
  // ... and is closed in front of the next batch.
  with.sends(bind_to("x") + sync())
      .server_gets(close("tidepool_1") + asked(2, "select 1"))
      .server_answers(messages("31") + kDescribed)
      .gets_nothing_yet()
      .server_gets(bind_to("tidepool_2") + sync())
      .server_answers(messages("2ZI"))
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
  for (const std::string& asked : {bind_to("tidepool_1"), describe("tidepool_1")}) {
    std::string told;
    wire::append_error_response(told, "ERROR", {"26000", "prepared statement \"tidepool_1\" does not exist"});
    with.sends(asked + sync()).server_gets(bind_to(kNobody) + sync());
    with.server_answers(unknown(kNobody) + messages("ZI")).gets(told + messages("ZI"));
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
      .server_gets(close("tidepool_2") + parse("tidepool_3", "select 3") + describe("tidepool_3") + sync())
      .server_answers(messages("31") + kDescribed + messages("ZI"))
      .gets(messages("1ZI"));
  // It is prepared anew when it is wanted, in place of the next.
  with.sends(run("b"))
      .server_gets(close("tidepool_1") + asked(4, "select 2"))
      .server_answers(messages("31") + kDescribed)
      .server_gets(run("tidepool_4"))
      .server_answers(messages("2DCZI"))
      .gets(messages("2DCZI"));
  CHECK(with.of_server().relay.statements().size() == 2);
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
