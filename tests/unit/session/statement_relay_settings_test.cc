// What a text means depends on the settings under which PostgreSQL reads it, which it may do again at any
// time: nobody may meet what it made of it for another client.
#include <doctest/doctest.h>

#include "tests/unit/session/relay_conversation.h"

namespace tidepool::session {
namespace {

const std::string kGerman("datestyle\0German\0", 17);

// Their literals are read when they are parsed.
constexpr std::string_view kOne = "select '1/2/2020'::date";

TEST_CASE("who runs a statement under other settings than those of its Parse has a copy for those") {
  RelayConversation with;
  with.begin().has_prepared("x", kOne, 1);
  with.of_client().statements.settings_are(parse_settings_of(kGerman));
  with.sends(run("x"))
      .server_gets(set("SET datestyle TO DEFAULT") + parse("tidepool_2", kOne) +
                   set("SET datestyle TO E'German'") + describe("tidepool_2") + flush())
      .server_answers(is_set() + messages("1") + is_set() + kDescribed)
      .gets_nothing_yet()
      .server_gets(run("tidepool_2"))
      .server_answers(messages("2DCZI"))
      .gets(messages("2DCZI"));
  with.runs("x", 2);

  with.client(2).on_server(1);  // under the settings of that Parse
  with.has_prepared("x", kOne, 3);
  with.client(1).on_server(1);
  with.sends(run("x")).server_gets(close("tidepool_1") + run("tidepool_2"));
  with.server_answers(messages("32DCZI")).gets(messages("2DCZI"));
  with.of_client().statements.settings_are(parse_settings_of(""));
  with.runs("x", 3);
}

TEST_CASE("a text without literals is parsed again as it is, under whatever settings") {
  for (std::string_view text : {"select v + 1 from t where id = $1", "select $1", "show all"}) {
    RelayConversation with(RelayConversation::Pieces::Whole);
    const bool is_command = text == "show all";
    if (is_command)
      with.begin().has_prepared_command("x", text, 1);
    else
      with.begin().has_prepared("x", text, 1);
    with.of_client().statements.settings_are(parse_settings_of(kGerman));
    if (!is_command) {
      with.runs_anew("x", 2, text);
      continue;
    }
    with.sends(run("x")).server_gets(parse("tidepool_2", text) + run("tidepool_2"));
    with.server_answers(messages("12DCZI")).gets(messages("2DCZI"));
  }
}

TEST_CASE("what decides letters is set for a text with odd ones, and not for others") {
  const std::string kLatin("client_encoding\0LATIN1\0", 23);
  for (std::string_view text : {"select 'plain'", "select 'm\xc3\xa4rz'", "select \"m\xc3\xa4rz\" from t"}) {
    CAPTURE(text);
    RelayConversation with(RelayConversation::Pieces::Whole);
    with.begin().of_client().statements.settings_are(parse_settings_of(kLatin));
    with.has_prepared("x", text, 1).of_client().statements.settings_are(parse_settings_of(""));
    with.on_server(2).sends(run("x"));
    const bool is_odd = text != "select 'plain'";
    const std::string got = std::exchange(with.of_server().to_server, {});
    CHECK((got.find("client_encoding") != std::string::npos) == is_odd);
    if (!is_odd) CHECK(got == asked(1, text));
    with.of_server().relay.take_back(with.of_client().statements);
    with.of_client().pending.clear();
    static_cast<void>(with.of_server().leave());
  }
}

TEST_CASE("behind something of its batch, or in a transaction, what is set is within that") {
  const std::string kSets = set("SET datestyle TO DEFAULT") + parse("tidepool_2", kOne) +
                            set("SET datestyle TO E'German'") + describe("tidepool_2") + flush();
  const std::string kIsSet = is_set() + messages("1") + is_set() + kDescribed;
  RelayConversation with;
  with.begin().has_prepared("x", kOne, 1);
  SUBCASE("behind an Execute") {
    with.of_client().statements.settings_are(parse_settings_of(kGerman));
    with.sends(parse("", "select 2") + bind_to("") + execute() + run("x"));
    with.server_gets(parse("", "select 2") + bind_to("") + execute() + kSets);
    with.server_answers(messages("12DC") + kIsSet).gets(messages("12DC"));
    with.server_gets(run("tidepool_2")).server_answers(messages("2DCZI")).gets(messages("2DCZI"));
  }
  SUBCASE("in a transaction") {
    with.of_client().statements.settings_are(parse_settings_of(kGerman));
    with.runs_query("begin", "BEGIN", 'T').sends(run("x")).server_gets(kSets).server_answers(kIsSet);
    with.server_gets(run("tidepool_2")).server_answers(messages("2DCZT")).gets(messages("2DCZT"));
    with.runs_query("commit", "COMMIT");
  }
}

TEST_CASE("a use that needs a SET waits until the batches in front of it are answered") {
  RelayConversation with;
  with.begin().has_prepared("x", kOne, 1).of_client().statements.settings_are(parse_settings_of(kGerman));
  with.sends(query("begin") + run("x")).server_gets(query("begin"));
  with.server_answers(tag("BEGIN") + messages("ZT")).gets(tag("BEGIN") + messages("ZT"));
  with.server_gets(set("SET datestyle TO DEFAULT") + parse("tidepool_2", kOne) +
                   set("SET datestyle TO E'German'") + describe("tidepool_2") + flush());
  with.server_answers(is_set() + messages("1") + is_set() + kDescribed);
  with.server_gets(run("tidepool_2")).server_answers(messages("2DCZT")).gets(messages("2DCZT"));
  with.runs_query("rollback", "ROLLBACK");
}

TEST_CASE("settings that are not of texts need no copy") {
  RelayConversation with;
  with.begin().has_prepared("x", "select 1", 1);
  with.of_client().statements.settings_are(parse_settings_of(std::string("work_mem\0001MB\0", 13)));
  with.runs("x", 1);
}

// With a parameter PostgreSQL keeps no plan of the first uses.
constexpr std::string_view kOneOf = "select $1, '1/2/2020'::date", kTwoOf = "select $1, '3/4/2020'::date";
const std::string kDescribedOf = parameters({25}) + kRows;

// Client 1 has run kOneOf behind `how`, in a transaction on server 1, twice. Then client 2 has it.
void runs_behind(std::string_view how, RelayConversation& with) {
  with.begin().has_prepared("x", kOneOf, 1, kDescribedOf).has_prepared("y", kTwoOf, 2, kDescribedOf);
  for (std::string_view text : {std::string_view("begin"), how})
    with.as_it_is(query(text)).server_answers(messages("CZT")).gets(messages("CZT"));
  for (int i = 0; i < 2; ++i)
    with.sends(run("x"))
        .server_gets(run("tidepool_1"))
        .server_answers(messages("2DCZT"))
        .gets(messages("2DCZT"));
  with.as_it_is(query("commit")).server_answers(messages("CZI")).gets(messages("CZI"));
  with.client(2).on_server(1);
}

// Client 2 uses a statement of its own that is equal to one that client 1 has used.
void finds_prepared(std::string_view text, uint32_t number, RelayConversation& with) {
  with.of_client().shares_parses = true;
  with.sends(parse("z", text) + run("z")).server_gets(run(ours(number)));
  with.server_answers(messages("2DCZI"));
  with.gets(messages("12DCZI"));
}

TEST_CASE("what was used while literals were set for a transaction is prepared anew behind it") {
  for (std::string_view how : {"set local datestyle to german", "select set_config('timezone', 'x', true)"}) {
    CAPTURE(how);
    RelayConversation with(RelayConversation::Pieces::Whole);
    runs_behind(how, with);
    with.of_client().shares_parses = true;
    with.sends(parse("x", kOneOf) + run("x"))
        .server_gets(close("tidepool_1") + parse("tidepool_3", kOneOf) + describe("tidepool_3") +
                     run("tidepool_3"))
        .server_answers(messages("31") + kDescribed + messages("2DCZI"))
        .gets(messages("12DCZI"));
    finds_prepared(kTwoOf, 2, with);
  }
}

TEST_CASE("other settings of the transaction cost nothing") {
  for (std::string_view how : {"set local app.user_id to 7", "set local search_path to a",
                               "select set_config('statement_timeout', '7', true)", "set local role a"}) {
    CAPTURE(how);
    RelayConversation with(RelayConversation::Pieces::Whole);
    runs_behind(how, with);
    finds_prepared(kOneOf, 1, with);
  }
}

TEST_CASE("DISCARD PLANS: all copies are prepared anew, since PostgreSQL would read them by other settings") {
  RelayConversation with;
  with.begin().has_prepared("x", kOne, 1);
  with.of_client().statements.settings_are(parse_settings_of(kGerman));
  with.runs_query("discard plans", "DISCARD PLANS");
  with.sends(run("x"))
      .server_gets(close("tidepool_1") + set("SET datestyle TO DEFAULT") + parse("tidepool_2", kOne) +
                   set("SET datestyle TO E'German'") + describe("tidepool_2") + flush())
      .server_answers(messages("3") + is_set() + messages("1") + is_set() + kDescribed)
      .server_gets(run("tidepool_2"))
      .server_answers(messages("2DCZI"))
      .gets(messages("2DCZI"));

  with.client(2).on_server(1).has_prepared("x", kOne, 3);
}

TEST_CASE("a batch behind a SET of the same write waits until it is known what was set") {
  RelayConversation with;
  with.begin().has_prepared("x", kOne, 1);
  with.as_it_is(query("set datestyle to german"));
  with.sends(parse("", "select 2") + run("x")).server_gets("");
  with.server_answers(messages("C")).gets(messages("C"));
  CHECK(with.of_server().waits());
  with.of_client().watch.answered({});  // asked when the SET is over
  with.of_client().statements.settings_are(parse_settings_of(kGerman));
  with.server_answers(messages("ZI")).gets(messages("ZI"));
  with.server_gets(parse("", "select 2") + set("SET datestyle TO DEFAULT") + parse("tidepool_2", kOne) +
                   set("SET datestyle TO E'German'") + describe("tidepool_2") + flush());
  with.server_answers(messages("1") + is_set() + messages("1") + is_set() + kDescribed);
  // The unnamed one was not bound in its batch.
  with.server_gets(bind_to("tidepool_2") + execute() + describe("") + sync());
  with.server_answers(messages("2DC") + kDescribed + messages("ZI")).gets(messages("12DCZI"));
}

// -- What is a transaction's, or a session's alone

TEST_CASE("what is parsed in a transaction that has changed what there is is not shared") {
  for (std::string_view how : {"create table t (a int)", "alter table t add b int", "drop table t"}) {
    CAPTURE(how);
    RelayConversation with(RelayConversation::Pieces::Whole);
    with.begin().runs_query("begin", "BEGIN", 'T').runs_query(how, "CREATE TABLE", 'T');
    with.sends(parse("x", "select * from t") + sync())
        .server_gets(parse("tidepool_1", "select * from t") + describe("tidepool_1") + sync());
    with.server_answers(messages("1") + kDescribed + messages("ZT")).gets(messages("1ZT"));
    with.runs_query("commit", "COMMIT");
    with.client(2).on_server(1).has_prepared("y", "select * from t", 2);
    CHECK(with.of_server().relay.statements().size() == 2);
    with.client(1).on_server(1).runs("x", 1);
  }
}

TEST_CASE("a command that changes what there is counts by its tag, whatever its text was") {
  RelayConversation with;
  with.begin().runs_query("begin", "BEGIN", 'T').runs_query("select do_something()", "CREATE TABLE", 'T');
  with.sends(parse("x", "select * from t") + sync())
      .server_gets(parse("tidepool_1", "select * from t") + describe("tidepool_1") + sync());
  with.server_answers(messages("1") + kDescribed + messages("ZT")).gets(messages("1ZT"));
  with.runs_query("commit", "COMMIT").client(2).on_server(1).has_prepared("y", "select * from t", 2);
  CHECK(with.of_server().relay.statements().size() == 2);
}

TEST_CASE("where a session has temporary objects its statements are its own, and read anew") {
  for (const std::string& description : {kDescribed, parameters() + kOtherRows}) {
    RelayConversation with(RelayConversation::Pieces::Whole);
    with.begin().has_prepared("x", "select * from t", 1);
    with.client(2).on_server(1).has_prepared("y", "select * from t", 2);
    with.runs_query("create temporary table t (b int)", "CREATE TABLE");
    // On a direct connection PostgreSQL would parse it again.
    with.sends(run("y")).server_gets(close("tidepool_1") + asked(3, "select * from t"));
    with.server_answers(messages("31") + description).gets_nothing_yet();
    if (description == kDescribed) {
      with.server_gets(run("tidepool_3")).server_answers(messages("2DCZI")).gets(messages("2DCZI"));
    } else {
      with.server_gets(run(kNobody)).server_answers(unknown(kNobody) + messages("ZI"));
      with.gets(kRefusedRows + messages("ZI"));
    }
    with.sends(parse("z", "select * from t") + sync())
        .server_gets(parse("tidepool_4", "select * from t") + describe("tidepool_4") + sync());
    with.server_answers(messages("1") + description + messages("ZI")).gets(messages("1ZI"));
    with.sends(run("z")).server_gets(close("tidepool_3") + run("tidepool_4"));
    with.server_answers(messages("32DCZI")).gets(messages("2DCZI"));
    with.of_client().watch.answered({});
    with.client(1).on_server(1).runs("x", 2);
  }
}

// -- Plans, which may hold what custom settings were

const std::string kReady = messages("2DCZT");

TEST_CASE("where a custom setting is the transaction's, no plan of others is used, and none is left") {
  RelayConversation with;
  with.begin().has_prepared("x", "select f()", 1).runs_query("begin", "BEGIN", 'T');
  with.runs_query("set local app.user_id to 7", "SET", 'T');
  // Without parameters it has a plan from its first use.
  with.sends(run("x")).server_gets(close("tidepool_1") + asked(2, "select f()"));
  with.server_answers(messages("31") + kDescribed);
  with.server_gets(parse("tidepool_3", "ROLLBACK") + run("tidepool_2"));  // a function may deallocate all
  with.server_answers(messages("1") + kReady).gets(kReady);
  with.sends(run("x")).server_gets(run("tidepool_2")).server_answers(kReady).gets(kReady);
  with.runs_query("commit", "COMMIT").of_client().watch.answered({});
  with.of_server().relay.statements_are_known();
  with.sends(run("x")).server_gets(close("tidepool_2") + asked(4, "select f()"));
  with.server_answers(messages("31") + kDescribed).server_gets(run("tidepool_4"));
  with.server_answers(messages("2DCZI")).gets(messages("2DCZI"));
}

TEST_CASE("a statement with parameters has no plan that is kept for its first five uses") {
  RelayConversation with(RelayConversation::Pieces::Whole);
  with.begin().has_prepared("x", "select f($1)", 1, kDescribedOf);
  with.sends(run("x")).server_gets(parse("tidepool_2", "ROLLBACK") + run("tidepool_1"));
  with.server_answers(messages("12DCZI")).gets(messages("2DCZI"));
  for (int i = 1; i < 3; ++i) with.runs("x", 1);
  with.runs_query("begin", "BEGIN", 'T').runs_query("set local app.user_id to 7", "SET", 'T');
  for (int i = 3; i < 5; ++i)
    with.sends(run("x")).server_gets(run("tidepool_1")).server_answers(kReady).gets(kReady);
  with.sends(run("x")).server_gets(describe("tidepool_2") + close("tidepool_1") +
                                   asked(3, "select f($1)", {25}));
  with.server_answers(kDescribed + messages("31") + kDescribedOf);
  with.server_gets(run("tidepool_3")).server_answers(kReady).gets(kReady);
  with.runs_query("rollback", "ROLLBACK");
}

}  // namespace
}  // namespace tidepool::session
