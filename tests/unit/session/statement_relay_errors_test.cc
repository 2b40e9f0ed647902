// Errors, refusals, DEALLOCATE and what else changes names behind the client's back or on its behalf.
#include <doctest/doctest.h>

#include <vector>

#include "tests/unit/session/relay_conversation.h"

namespace tidepool::session {
namespace {

const std::string kNoTable = error("42P01", "relation \"t\" does not exist");
const std::string kRefusedStatement = bind_to(kNobody);
const std::string kRefused = unknown(kNobody);
const std::string kRefusedQuery = query("tidepool refuses this statement");
const std::string kSyntax = error("42601", "syntax error at or near \"tidepool\"");

// -- An error takes back what was assumed behind it

TEST_CASE("a Parse that fails has prepared nothing") {
  RelayConversation with;
  with.begin()
      .sends(parse("x", "select v from t") + sync())
      .server_gets(parse("tidepool_1", "select v from t") + describe("tidepool_1") + sync())
      .server_answers(kNoTable + messages("ZI"))
      .gets(kNoTable + messages("ZI"));
  with.is_unknown("x").has_prepared("x", "select 1", 2);
}

TEST_CASE("a Parse that fails in front of the client's own Describe has prepared nothing") {
  RelayConversation with;
  with.begin()
      .sends(parse("x", "select v from t") + describe("x") + sync())
      .server_gets(parse("tidepool_1", "select v from t") + describe("tidepool_1") + sync())
      .server_answers(kNoTable + messages("ZI"))
      .gets(kNoTable + messages("ZI"));
  with.is_unknown("x");
  CHECK(with.of_server().relay.statements().is_empty());
}

TEST_CASE("a Parse whose error arrives in front of what comes behind it is not asked about") {
  RelayConversation with;
  with.begin().sends(parse("x", "select v from t") + flush());
  with.server_gets(parse("tidepool_1", "select v from t") + describe("tidepool_1") + flush());
  with.server_answers(kNoTable).gets(kNoTable);
  with.as_it_is(bind_to("x") + describe("x") + sync()).server_answers(messages("ZI")).gets(messages("ZI"));
  with.is_unknown("x").has_prepared("y", "select 1", 2);
}

TEST_CASE("behind an error names are what they were, whatever was done to them since") {
  RelayConversation with;
  with.begin().has_prepared("x", "select 1", 1).has_prepared("y", "select 2", 2);
  with.sends(bind_to("nobody") + close("x") + parse("x", "select 3") + close("x") + parse("x", "select 2") +
             close("y") + parse("z", "select 4") + sync());
  std::string passed_on = bind_to("nobody");
  for (const auto& [number, text] : {std::pair{3, "select 3"}, {4, "select 2"}, {5, "select 4"}})
    passed_on += parse(ours(number), text) + describe(ours(number));
  with.server_gets(passed_on + sync())
      .server_answers(unknown("nobody") + messages("ZI"))
      .gets(unknown("nobody") + messages("ZI"));
  with.runs("x", 1).runs("y", 2).is_unknown("z");
  CHECK(with.of_server().relay.statements().size() == 2);
}

TEST_CASE("a failed Parse is gone, and so is what came behind it, under the same name") {
  RelayConversation with;
  with.begin();
  with.sends(parse("x", "select v from t") + close("x") + parse("x", "select 1") + run("x"));
  with.server_gets(parse("tidepool_1", "select v from t") + describe("tidepool_1") +
                   parse("tidepool_2", "select 1") + describe("tidepool_2") + run("tidepool_2"));
  with.server_answers(kNoTable + messages("ZI")).gets(kNoTable + messages("ZI"));
  with.is_unknown("x");
  CHECK(with.of_server().relay.statements().is_empty());
}

TEST_CASE("a question that fails is the client's error, and its statement may be another copy's") {
  RelayConversation with;
  with.begin().sends(parse("x", "select 1") + sync());
  with.server_gets(parse("tidepool_1", "select 1") + describe("tidepool_1") + sync());
  with.server_answers(messages("1EZI")).gets(messages("1EZI"));
  // Its Parse was done, and nobody knows more of it: what is shared is told when it is used.
  with.runs("x", 1);
  with.client(2).on_server(1).sends(parse("y", "select 1") + sync());
  with.server_gets(close("tidepool_1") + parse("tidepool_2", "select 1") + describe("tidepool_2") + sync());
  with.server_answers(messages("31") + kDescribed + messages("ZI")).gets(messages("1ZI"));
  with.client(1).on_server(1).runs_anew("x", 3, "select 1");
}

TEST_CASE("what is sent behind an error that has arrived is skipped as it is, up to the Sync") {
  RelayConversation with;
  with.begin()
      .as_it_is(bind_to("nobody") + flush())
      .server_answers(unknown("nobody"))
      .gets(unknown("nobody"));
  with.as_it_is(parse("x", "select 1") + describe("x") + close("x") + query("select 2")).as_it_is(sync());
  with.server_answers(messages("ZI")).gets(messages("ZI"));
  CHECK(with.of_client().statements.size() == 0);
}

TEST_CASE("in a failed transaction a Parse goes to the server, which says that it fails") {
  const std::string aborted = error("25P02", "current transaction is aborted");
  RelayConversation with;
  with.begin().has_prepared("x", "select 1", 1);
  with.as_it_is(query("begin; fail")).server_answers(tag("BEGIN") + kNoTable + messages("ZE"));
  with.gets(tag("BEGIN") + kNoTable + messages("ZE"));
  with.sends(parse("y", "select 1") + sync());
  with.server_gets(parse("tidepool_2", "select 1") + describe("tidepool_2") + sync());
  with.server_answers(aborted + messages("ZE")).gets(aborted + messages("ZE"));
  with.as_it_is(query("rollback")).server_answers(tag("ROLLBACK") + messages("ZI"));
  with.gets(tag("ROLLBACK") + messages("ZI"));
  with.is_unknown("y");
}

TEST_CASE("in a failed transaction a command that is there is not prepared from here either") {
  const std::string aborted = error("25P02", "current transaction is aborted");
  RelayConversation with;
  with.begin().has_prepared_command("x", "show all", 1);
  with.as_it_is(query("begin; fail")).server_answers(tag("BEGIN") + kNoTable + messages("ZE"));
  with.gets(tag("BEGIN") + kNoTable + messages("ZE"));
  with.sends(parse("y", "show all") + sync()).server_gets(parse("tidepool_2", "show all") + sync());
  with.server_answers(aborted + messages("ZE")).gets(aborted + messages("ZE"));
  // The Parse would have taken the place of the other copy, which is closed.
  with.runs_query("rollback", "ROLLBACK").is_unknown_behind("y", close("tidepool_1"), messages("3"));
}

TEST_CASE("in a failed transaction what a server has not got is prepared without a question: it fails") {
  const std::string aborted = error("25P02", "current transaction is aborted");
  RelayConversation with;
  with.begin().has_prepared("x", "select 1", 1).on_server(2);
  with.as_it_is(query("begin; fail")).server_answers(tag("BEGIN") + kNoTable + messages("ZE"));
  with.gets(tag("BEGIN") + kNoTable + messages("ZE"));
  with.sends(run("x")).server_gets(parse("tidepool_1", "select 1") + run("tidepool_1"));
  with.server_answers(aborted + messages("ZE")).gets(aborted + messages("ZE"));
  with.runs_query("rollback", "ROLLBACK").runs_anew("x", 2, "select 1");
}

TEST_CASE("an error that cannot be of a statement's name passes as it is") {
  RelayConversation with;
  with.begin().has_prepared("x", "select 1", 1);
  with.sends(run("x")).server_gets(run("tidepool_1")).server_answers(messages("2E"));
  with.gets(messages("2E")).server_answers(messages("ZI")).gets(messages("ZI"));
  with.sends(run("x")).server_gets(run("tidepool_1")).server_answers(messages("F")).gets(messages("F"));
  with.of_server().leave();
}

TEST_CASE("a statement that vanished unseen: all of the client's have, as far as anybody knows") {
  RelayConversation with;
  with.begin().has_prepared("x", "select 1", 1).has_prepared("y", "select 2", 2);
  with.sends(run("x")).server_gets(run("tidepool_1")).server_answers(unknown("tidepool_1") + messages("ZI"));
  with.gets(unknown("x") + messages("ZI"));
  CHECK(with.of_client().watch.asks_all_settings());
  CHECK(with.of_client().statements.size() == 0);
  CHECK(with.of_server().relay.statements().is_empty());
  with.is_unknown("y").has_prepared("x", "select 1", 3);
}

TEST_CASE("that PostgreSQL would read other rows now is always the client's to hear") {
  const std::string changed = kChanged + messages("ZI");
  RelayConversation with;
  with.begin().has_prepared("x", "select * from t", 1);
  for (int i = 0; i < 2; ++i)
    with.sends(run("x")).server_gets(run("tidepool_1")).server_answers(changed).gets(changed);
  // It prepares anew, and works on.
  with.sends(close("x") + parse("x", "select * from t") + run("x"));
  with.server_gets(parse("tidepool_2", "select * from t") + describe("tidepool_2") + run("tidepool_2"));
  with.server_answers(messages("1") + parameters() + kOtherRows + messages("2DCZI"))
      .gets(messages("312DCZI"));
}

// -- Several batches at once

TEST_CASE("a batch that needs a name waits for the one that may have changed it") {
  RelayConversation with;
  with.begin().sends(parse("x", "select 1") + sync() + run("x") + query("select 2"));
  with.server_gets(parse("tidepool_1", "select 1") + describe("tidepool_1") + sync()).gets_nothing_yet();
  CHECK(with.of_server().waits());
  with.server_answers(messages("1") + kDescribed + messages("ZI"));
  with.server_gets(run("tidepool_1") + query("select 2"));
  with.server_answers(messages("2DCZITDCZI")).gets(messages("1ZI2DCZITDCZI"));
}

TEST_CASE("and what it finds then is what the first one has left") {
  RelayConversation with;
  with.begin().sends(parse("x", "select v from t") + sync() + parse("x", "select 1") + sync() + run("x"));
  with.server_gets(parse("tidepool_1", "select v from t") + describe("tidepool_1") + sync());
  with.server_answers(kNoTable + messages("ZI"));
  with.server_gets(parse("tidepool_2", "select 1") + describe("tidepool_2") + sync());
  with.server_answers(messages("1") + kDescribed + messages("ZI"));
  with.server_gets(run("tidepool_2")).server_answers(messages("2DCZI"));
  with.gets(kNoTable + messages("ZI1ZI2DCZI"));
}

TEST_CASE("batches that change no names do not wait") {
  RelayConversation with;
  with.begin().has_prepared("x", "select 1", 1);
  with.sends(run("x") + run("x") + query("select 2") + run("x"));
  with.server_gets(run("tidepool_1") + run("tidepool_1") + query("select 2") + run("tidepool_1"));
  with.server_answers(messages("2DCZI2DCZITDCZI2DCZI")).gets(messages("2DCZI2DCZITDCZI2DCZI"));
}

TEST_CASE("close, prepare and prepare again, each in a batch of its own, in one write: 42P05 for the last") {
  const std::string already = "\" already exists";
  RelayConversation with;
  with.begin().has_prepared("n", "select 1", 1).has_prepared("m", "select 2", 2);
  with.sends(close("n") + parse("n", "select 2") + sync() + parse("n", "select 1") + sync() + run("n"));
  with.server_gets(parse("tidepool_3", "select 2") + describe("tidepool_3") + sync());
  with.server_answers(messages("1") + kDescribed + messages("ZI"));
  with.server_gets(close("tidepool_2") + parse("tidepool_3", "select 1") + sync());
  with.server_answers(messages("3") + error("42P05", "prepared statement \"tidepool_3" + already) +
                      messages("ZI"));
  with.server_gets(run("tidepool_3")).server_answers(messages("2DCZI"));
  with.gets(messages("31ZI") + error("42P05", "prepared statement \"n" + already) + messages("ZI2DCZI"));
}

// -- DEALLOCATE and DISCARD

const std::string kAborted = error("25P02", "current transaction is aborted");
// What stands on the server to be deallocated.
std::string nothing(uint32_t number) {
  return parse(ours(number), "ROLLBACK");
}

TEST_CASE("DEALLOCATE of one, by Query: its server need not have it") {
  RelayConversation with;
  with.begin().has_prepared("x", "select 1", 1);
  with.sends(query("DEALLOCATE x"))
      .server_gets(nothing(2) + query("DEALLOCATE tidepool_2"))
      .server_answers(messages("1") + tag("DEALLOCATE") + messages("ZI"))
      .gets(tag("DEALLOCATE") + messages("ZI"));
  with.is_unknown("x");
  // An unknown one is refused by PostgreSQL.
  with.as_it_is(query("deallocate x")).server_answers(unknown("x") + messages("ZI"));
  with.gets(unknown("x") + messages("ZI"));
  // The copy is there still, for others.
  CHECK(with.of_server().relay.statements().numbers() == std::vector<uint32_t>{1});
}

TEST_CASE("a DEALLOCATE among other statements of a Query") {
  RelayConversation with;
  with.begin().has_prepared("x", "select 1", 1);
  with.sends(query("select 2; deallocate prepare \"x\"; select 3"))
      .server_gets(nothing(2) + query("select 2; deallocate prepare tidepool_2; select 3"))
      .server_answers(messages("1TDC") + tag("DEALLOCATE") + messages("TDCZI"))
      .gets(messages("TDC") + tag("DEALLOCATE") + messages("TDCZI"));
  with.is_unknown("x");
}

TEST_CASE("a DEALLOCATE that fails has taken nothing away") {
  RelayConversation with;
  with.begin().has_prepared("x", "select 1", 1).runs_query("begin", "BEGIN", 'T');
  with.as_it_is(query("fail")).server_answers(kNoTable + messages("ZE")).gets(kNoTable + messages("ZE"));
  SUBCASE("by Query") {
    // A Parse of ROLLBACK is let through by PostgreSQL; DEALLOCATE is not.
    with.sends(query("deallocate x")).server_gets(nothing(2) + query("deallocate tidepool_2"));
    with.server_answers(messages("1") + kAborted + messages("ZE")).gets(kAborted + messages("ZE"));
    with.runs_query("rollback", "ROLLBACK");
    with.sends(run("x")).server_gets(close("tidepool_2") + run("tidepool_1"));
    with.server_answers(messages("32DCZI")).gets(messages("2DCZI"));
  }
  SUBCASE("unnamed") {
    with.sends(parse("", "deallocate x") + run(""));
    with.server_gets(parse("", "deallocate x") + nothing(2) + parse("tidepool_3", "deallocate tidepool_2") +
                     run("tidepool_3"));
    with.server_answers(kAborted + messages("ZE")).gets(kAborted + messages("ZE"));
    with.runs_query("rollback", "ROLLBACK").runs("x", 1);
  }
}

TEST_CASE("DEALLOCATE ALL and DISCARD ALL, by Query, take all away on the server and from the client") {
  for (const std::string text : {"deallocate all", "DISCARD ALL", "deallocate prepare all"}) {
    CAPTURE(text);
    RelayConversation with(RelayConversation::Pieces::Whole);
    const std::string done = text == "DISCARD ALL" ? "DISCARD ALL" : "DEALLOCATE ALL";
    with.begin()
        .has_prepared("x", "select 1", 1)
        .as_it_is(query(text))
        .server_answers(tag(done) + messages("ZI"));
    with.gets(tag(done) + messages("ZI"));
    CHECK(with.of_client().statements.size() == 0);
    CHECK(with.of_server().relay.statements().is_empty());
    with.is_unknown("x").has_prepared("x", "select 1", 2);
  }
}

TEST_CASE("DEALLOCATE ALL by the extended protocol counts when it is executed, in its place") {
  RelayConversation with;
  with.begin().has_prepared("x", "select 1", 1).has_prepared_command("all", "deallocate all", 2);
  with.sends(bind_to("all") + execute() + parse("x", "select 1") + sync())
      .server_gets(bind_to("tidepool_2") + execute() + parse("tidepool_3", "select 1") +
                   describe("tidepool_3") + sync())
      .server_answers(messages("2") + tag("DEALLOCATE ALL") + messages("1") + kDescribed + messages("ZI"))
      .gets(messages("2") + tag("DEALLOCATE ALL") + messages("1ZI"));
  CHECK(with.of_client().statements.size() == 1);
  CHECK(with.of_server().relay.statements().size() == 1);
  with.runs("x", 3);
}

TEST_CASE("a DISCARD ALL that fails has taken nothing away") {
  const std::string inside = error("25001", "DISCARD ALL cannot run inside a transaction block");
  RelayConversation with;
  with.begin()
      .has_prepared("x", "select 1", 1)
      .as_it_is(query("begin"))
      .server_answers(tag("BEGIN") + messages("ZT"));
  with.gets(tag("BEGIN") + messages("ZT"));
  with.as_it_is(query("discard all")).server_answers(inside + messages("ZE")).gets(inside + messages("ZE"));
  with.as_it_is(query("rollback")).server_answers(tag("ROLLBACK") + messages("ZI"));
  with.gets(tag("ROLLBACK") + messages("ZI")).runs("x", 1);
}

TEST_CASE("a DEALLOCATE ALL that is skipped behind an error has taken nothing away") {
  RelayConversation with;
  with.begin().has_prepared("x", "select 1", 1).has_prepared_command("all", "deallocate all", 2);
  with.sends(bind_to("nobody") + bind_to("all") + execute() + parse("x", "select 2") + sync())
      .server_gets(bind_to("nobody") + bind_to("tidepool_2") + execute() + parse("tidepool_3", "select 2") +
                   describe("tidepool_3") + sync())
      .server_answers(unknown("nobody") + messages("ZI"))
      .gets(unknown("nobody") + messages("ZI"));
  with.runs("x", 1).runs("all", 2);
}

TEST_CASE(
    "a DEALLOCATE by the extended protocol takes the client's statement when it runs, wherever that is") {
  RelayConversation with;
  with.begin().has_prepared("x", "select 1", 1);
  SUBCASE("unnamed") {
    with.on_server(2).sends(parse("", "deallocate x") + run(""));
    with.server_gets(parse("", "deallocate x") + nothing(1) + parse("tidepool_2", "deallocate tidepool_1") +
                     run("tidepool_2"));
    with.server_answers(messages("1112") + tag("DEALLOCATE") + messages("ZI"));
    with.gets(messages("12") + tag("DEALLOCATE") + messages("ZI")).is_unknown("x");
  }
  SUBCASE("named, and again for another of that name") {
    with.has_prepared_command("d", "deallocate x;", 2);
    with.sends(run("d")).server_gets(nothing(3) + parse("tidepool_4", "deallocate tidepool_3;") +
                                     run("tidepool_4"));
    with.server_answers(messages("112") + tag("DEALLOCATE") + messages("ZI"));
    with.gets(messages("2") + tag("DEALLOCATE") + messages("ZI"));
    with.sends(run("d"))
        .server_gets(run("tidepool_2"))
        .server_answers(messages("2") + unknown("x") + messages("ZI"));
    with.gets(messages("2") + unknown("x") + messages("ZI"));
    with.has_prepared("x", "select 2", 5).sends(run("d"));
    with.server_gets(nothing(6) + parse("tidepool_7", "deallocate tidepool_6;") + run("tidepool_7"));
    with.server_answers(messages("112") + tag("DEALLOCATE") + messages("ZI"));
    with.gets(messages("2") + tag("DEALLOCATE") + messages("ZI")).is_unknown("x");
  }
}

TEST_CASE("a DEALLOCATE that is bound and not run takes nothing, and leaves nothing there") {
  RelayConversation with;
  with.begin().has_prepared("x", "select 1", 1).sends(parse("", "deallocate x") + bind_to("") + sync());
  with.server_gets(parse("", "deallocate x") + nothing(2) + parse("tidepool_3", "deallocate tidepool_2") +
                   bind_to("tidepool_3") + sync());
  with.server_answers(messages("1112ZI")).gets(messages("12ZI"));
  with.sends(run("x")).server_gets(close("tidepool_2") + run("tidepool_1"));
  with.server_answers(messages("32DCZI")).gets(messages("2DCZI"));
}

TEST_CASE("a DEALLOCATE that is skipped behind an error has taken nothing away") {
  RelayConversation with;
  with.begin().has_prepared("x", "select 1", 1);
  with.sends(bind_to("nobody") + parse("", "deallocate x") + run("") + run("x"));
  with.server_gets(bind_to("nobody") + parse("", "deallocate x") + nothing(2) +
                   parse("tidepool_3", "deallocate tidepool_2") + run("tidepool_3"));
  with.server_answers(unknown("nobody") + messages("ZI")).gets(unknown("nobody") + messages("ZI"));
  with.server_gets(run("tidepool_1")).server_answers(messages("2DCZI")).gets(messages("2DCZI"));
}

TEST_CASE("what uses the name behind a DEALLOCATE of its batch finds none") {
  RelayConversation with;
  with.begin().has_prepared("x", "select 1", 1);
  with.sends(parse("", "deallocate x") + bind_to("") + execute() + parse("x", "select 2") + run("x"));
  with.server_gets(parse("", "deallocate x") + nothing(2) + parse("tidepool_3", "deallocate tidepool_2") +
                   bind_to("tidepool_3") + execute() + parse("tidepool_4", "select 2") +
                   describe("tidepool_4") + run("tidepool_4"));
  with.server_answers(messages("1112") + tag("DEALLOCATE") + messages("1") + kDescribed + messages("2DCZI"));
  with.gets(messages("12") + tag("DEALLOCATE") + messages("12DCZI"));
}

// -- Refusals

TEST_CASE("a refused Query is answered in its turn, and the session goes on") {
  RelayConversation with;
  with.begin().of_client().policy.on_state = SessionWatch::OnState::Error;
  with.sends(query("select 1") + query("listen news") + query("select 2"));
  with.server_gets(query("select 1") + kRefusedQuery + query("select 2"));
  with.server_answers(messages("TDCZI")).gets(messages("TDCZI"));
  with.server_answers(kSyntax + messages("ZI"))
      .gets_error("0A000", "LISTEN would leave state", messages("ZI"));
  with.server_answers(messages("TDCZI")).gets(messages("TDCZI"));
  CHECK_FALSE(with.of_client().watch.is_suspicious());
}

TEST_CASE("a refused statement of a batch fails there, and the rest of the batch with it") {
  for (std::string_view name : {"", "x"}) {
    CAPTURE(name);
    RelayConversation with(RelayConversation::Pieces::Whole);
    with.begin().of_client().policy.on_state = SessionWatch::OnState::Error;
    with.sends(parse("", "select 1") + bind_to("") + execute() + parse(name, "listen news") + run(name));
    with.server_gets(parse("", "select 1") + bind_to("") + execute() + kRefusedStatement + run(name));
    with.server_answers(messages("12DC")).gets(messages("12DC"));
    with.server_answers(kRefused + messages("ZI")).gets_error("0A000", "LISTEN", messages("ZI"));
    with.as_it_is(query("select 1")).server_answers(messages("TDCZI")).gets(messages("TDCZI"));
  }
}

TEST_CASE("in statement mode a transaction block is refused") {
  RelayConversation with;
  with.begin().of_client().policy.one_statement_only = true;
  with.sends(query("begin")).server_gets(kRefusedQuery).server_answers(kSyntax + messages("ZI"));
  with.gets_error("0A000", "transaction blocks are not possible", messages("ZI"));
  with.sends(parse("b", "START TRANSACTION") + sync()).server_gets(kRefusedStatement + sync());
  with.server_answers(kRefused + messages("ZI")).gets_error("0A000", "statement mode", messages("ZI"));
}

TEST_CASE("who would pin one server too many is refused, but not who has one already") {
  RelayConversation with;
  with.begin().of_client().policy.may_pin = false;
  with.sends(query("listen news")).server_gets(kRefusedQuery).server_answers(kSyntax + messages("ZI"));
  with.gets_error("53400", "max_pinned", messages("ZI"));
  with.of_client().watch.note_pin(Pin::Load, "load 'x'");
  with.as_it_is(query("listen news")).server_answers(tag("LISTEN") + messages("ZI"));
  with.gets(tag("LISTEN") + messages("ZI"));
}

TEST_CASE("a shared statement is refused when it is bound, if the policy has become another") {
  RelayConversation with;
  with.begin().has_prepared_command("x", "listen news", 1).of_client().policy.on_state =
      SessionWatch::OnState::Error;
  if (!with.is_whole()) return;  // a Bind whose end is still to come cannot be refused any more
  with.sends(run("x")).server_gets(run(kNobody));
  with.server_answers(kRefused + messages("ZI")).gets_error("0A000", "LISTEN", messages("ZI"));
}

TEST_CASE("statements that take too much memory are refused with 53200") {
  RelayConversation with(RelayConversation::Pieces::Whole, 2000);
  std::string told;
  wire::append_error_response(
      told, "ERROR",
      {"53200", "out of memory", "The prepared statements of this pool's clients take too much memory.", ""});
  with.begin().has_prepared("x", "select 1", 1);
  with.sends(parse("y", "select '" + std::string(3000, 'y') + "'") + sync());
  with.server_gets(kRefusedStatement + sync()).server_answers(kRefused + messages("ZI"));
  with.gets(told + messages("ZI")).runs("x", 1);
}

TEST_CASE("a client whose own statements take too much is refused with 53200, and others are not") {
  const auto text = [](char c) { return "select '" + std::string(1500, c) + "'"; };
  for (const bool is_closed : {true, false}) {
    RelayConversation with(RelayConversation::Pieces::Whole);
    with.begin().of_client().most_bytes = 4500;
    with.has_prepared("a", text('a'), 1).has_prepared("b", text('b'), 2);
    with.sends(parse("c", text('c')) + sync()).server_gets(kRefusedStatement + sync());
    with.server_answers(kRefused + messages("ZI"));
    with.gets_error("53200", "out of memory", messages("ZI")).runs("a", 1).runs("b", 2);
    if (is_closed)
      with.sends(close("a") + sync())
          .server_gets(sync())
          .server_answers(messages("ZI"))
          .gets(messages("3ZI"));
    else
      with.client(2).on_server(1);  // it has its own measure
    with.has_prepared("c", text('c'), 3).runs("c", 3);
  }
}

}  // namespace
}  // namespace tidepool::session
