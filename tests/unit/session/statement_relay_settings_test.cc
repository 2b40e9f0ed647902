// What a text means depends on the settings under which PostgreSQL reads it, which it may do again at any
// time: nobody may meet what it made of it for another client.
#include <doctest/doctest.h>

#include "tests/unit/session/relay_conversation.h"

namespace tidepool::session {
namespace {

const std::string kGerman("datestyle\0German\0", 17);

// What the relay sets for a Parse, in front of it and behind it.
std::string set(std::string_view text) {
  const std::string name = "tidepool sets what a text means";
  return parse(name, text) + bind_to(name, {}, name) + execute(name) + close_portal(name) + close(name);
}

TEST_CASE("who runs a statement under other settings than those of its Parse has a copy for those") {
  RelayConversation with;
  with.begin().has_prepared("x", "select 1", 1);
  with.of_client().statements.settings_are(kGerman);
  with.sends(run("x"))
      .server_gets(set("SET datestyle TO DEFAULT") + parse("tidepool_2", "select 1") +
                   set("SET datestyle TO E'German'") + run("tidepool_2"))
      .server_answers(messages("12C33112C332DCZI"))
      .gets(messages("2DCZI"));
  with.runs("x", 2);

  with.client(2).on_server(1);  // under the settings of that Parse
  with.sends(parse("x", "select 1") + run("x"))
      .server_gets(run("tidepool_1"))
      .server_answers(messages("2DCZI"));
  with.gets(messages("12DCZI"));

  with.client(1).on_server(1);
  with.of_client().statements.settings_are("");
  with.runs("x", 1);
}

TEST_CASE("settings that are not of texts need no copy") {
  RelayConversation with;
  with.begin().has_prepared("x", "select 1", 1);
  with.of_client().statements.settings_are(std::string("work_mem\0001MB\0", 13));
  with.runs("x", 1);
}

// Client 1 has run "select 1" behind `how`, in a transaction on server 1, twice. Then client 2 has it.
void runs_behind(std::string_view how, RelayConversation& with) {
  with.begin().has_prepared("x", "select 1", 1).has_prepared("y", "select 2", 2);
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

void finds_prepared(std::string_view text, uint32_t number, RelayConversation& with) {
  with.sends(parse("z", text) + run("z")).server_gets(run(ServerStatements::name_of(number)));
  with.server_answers(messages("2DCZI"));
  with.gets(messages("12DCZI"));
}

TEST_CASE("what was used while literals were set for a transaction is prepared anew behind it") {
  for (std::string_view how : {"set local datestyle to german", "select set_config('timezone', 'x', true)"}) {
    CAPTURE(how);
    RelayConversation with(RelayConversation::Pieces::Whole);
    runs_behind(how, with);
    with.sends(parse("x", "select 1") + run("x"))
        .server_gets(close("tidepool_1") + parse("tidepool_3", "select 1") + run("tidepool_3"))
        .server_answers(messages("312DCZI"))
        .gets(messages("12DCZI"));
    finds_prepared("select 2", 2, with);
  }
}

TEST_CASE("other settings of the transaction cost nothing") {
  for (std::string_view how : {"set local app.user_id to 7", "set local search_path to a",
                               "select set_config('statement_timeout', '7', true)", "set local role a"}) {
    CAPTURE(how);
    RelayConversation with(RelayConversation::Pieces::Whole);
    runs_behind(how, with);
    finds_prepared("select 1", 1, with);
  }
}

TEST_CASE("DISCARD PLANS: all copies are prepared anew, since PostgreSQL would read them by other settings") {
  RelayConversation with;
  with.begin().has_prepared("x", "select 1", 1);
  with.of_client().statements.settings_are(kGerman);
  with.as_it_is(query("discard plans")).server_answers(tag("DISCARD PLANS") + messages("ZI"));
  with.gets(tag("DISCARD PLANS") + messages("ZI"));
  with.sends(run("x"))
      .server_gets(close("tidepool_1") + set("SET datestyle TO DEFAULT") + parse("tidepool_2", "select 1") +
                   set("SET datestyle TO E'German'") + run("tidepool_2"))
      .server_answers(messages("312C33112C332DCZI"))
      .gets(messages("2DCZI"));

  with.client(2).on_server(1);
  with.has_prepared("x", "select 1", 3);
}

TEST_CASE("a batch behind a SET of the same write waits until it is known what was set") {
  RelayConversation with;
  with.begin().has_prepared("x", "select 1", 1);
  with.as_it_is(query("set datestyle to german"));
  with.sends(parse("", "select 2") + run("x")).server_gets("");
  with.server_answers(messages("C")).gets(messages("C"));
  CHECK(with.of_server().waits());
  with.of_client().watch.answered({});  // asked when the SET is over
  with.of_client().statements.settings_are(kGerman);
  with.server_answers(messages("ZI")).gets(messages("ZI"));
  with.server_gets(parse("", "select 2") + set("SET datestyle TO DEFAULT") + parse("tidepool_2", "select 1") +
                   set("SET datestyle TO E'German'") + run("tidepool_2"));
  with.server_answers(messages("112C33112C332DCZI")).gets(messages("12DCZI"));
}

}  // namespace
}  // namespace tidepool::session
