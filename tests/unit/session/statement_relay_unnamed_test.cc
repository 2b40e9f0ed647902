// The unnamed statement, messages in pieces, plans that change, and servers that are given up.
#include <doctest/doctest.h>

#include "tests/unit/session/relay_conversation.h"

namespace tidepool::session {
namespace {

const std::string kNoUnnamed = error("26000", "unnamed prepared statement does not exist");

// -- The unnamed statement

TEST_CASE("a batch with the unnamed statement passes as it is") {
  RelayConversation with;
  with.begin()
      .as_it_is(parse("", "select $1") + bind_to("", {"5"}) + describe_portal() + execute() + sync())
      .server_answers(messages("12TDCZI"))
      .gets(messages("12TDCZI"));
}

TEST_CASE("the unnamed statement of an earlier batch is there, or is made again on another server") {
  RelayConversation with;
  with.begin()
      .as_it_is(parse("", "select $1") + sync())
      .server_answers(messages("1ZI"))
      .gets(messages("1ZI"));
  with.as_it_is(bind_to("", {"5"}) + execute() + sync()).server_answers(messages("2DCZI"));
  with.gets(messages("2DCZI")).on_server(2);
  with.sends(describe("") + bind_to("", {"5"}) + execute() + sync())
      .server_gets(parse("", "select $1") + describe("") + bind_to("", {"5"}) + execute() + sync())
      .server_answers(messages("1tT2DCZI"))
      .gets(messages("tT2DCZI"));
  with.as_it_is(run("")).server_answers(messages("2DCZI")).gets(messages("2DCZI"));
}

TEST_CASE("of a client's unnamed statements the last one runs, not the one that a server still has") {
  RelayConversation with;
  with.begin().as_it_is(parse("", "select 1") + sync()).server_answers(messages("1ZI")).gets(messages("1ZI"));
  with.on_server(2).as_it_is(parse("", "select 2") + sync()).server_answers(messages("1ZI"));
  with.gets(messages("1ZI")).on_server(1);
  with.sends(run("")).server_gets(parse("", "select 2") + run("")).server_answers(messages("12DCZI"));
  with.gets(messages("2DCZI"));
}

TEST_CASE("a Query, and a Close of it, end the unnamed statement on every server") {
  for (const std::string& ends : {query("select 2"), close("") + sync()}) {
    RelayConversation with(RelayConversation::Pieces::Whole);
    with.begin()
        .as_it_is(parse("", "select 1") + sync())
        .server_answers(messages("1ZI"))
        .gets(messages("1ZI"));
    const std::string done = ends.front() == 'Q' ? messages("TDCZI") : messages("3ZI");
    with.on_server(2).as_it_is(ends).server_answers(done).gets(done).on_server(1);
    with.sends(run(""))
        .server_gets(close("") + run(""))
        .server_answers(messages("3") + kNoUnnamed + messages("ZI"));
    with.gets(kNoUnnamed + messages("ZI"));
  }
}

TEST_CASE("another client's unnamed statement is never reached") {
  RelayConversation with;
  with.begin()
      .as_it_is(parse("", "select 'secret'") + sync())
      .server_answers(messages("1ZI"))
      .gets(messages("1ZI"));
  with.client(2).on_server(1);
  SUBCASE("not by Bind") {
    with.sends(run(""))
        .server_gets(close("") + run(""))
        .server_answers(messages("3") + kNoUnnamed + messages("ZI"));
    with.gets(kNoUnnamed + messages("ZI"));
  }
  SUBCASE("not by Describe") {
    with.sends(describe("") + sync()).server_gets(close("") + describe("") + sync());
    with.server_answers(messages("3") + kNoUnnamed + messages("ZI")).gets(kNoUnnamed + messages("ZI"));
  }
  SUBCASE("not when what was put in front is skipped behind an error") {
    with.sends(bind_to("nobody") + bind_to("") + sync())
        .server_gets(bind_to("nobody") + close("") + bind_to("") + sync());
    with.server_answers(unknown("nobody") + messages("ZI")).gets(unknown("nobody") + messages("ZI"));
    with.sends(run(""))
        .server_gets(close("") + run(""))
        .server_answers(messages("3") + kNoUnnamed + messages("ZI"));
    with.gets(kNoUnnamed + messages("ZI"));
  }
  SUBCASE("not when its own Parse is skipped behind an error") {
    with.as_it_is(bind_to("nobody") + parse("", "select 2") + sync());
    with.server_answers(unknown("nobody") + messages("ZI")).gets(unknown("nobody") + messages("ZI"));
    with.sends(run(""))
        .server_gets(close("") + run(""))
        .server_answers(messages("3") + kNoUnnamed + messages("ZI"));
    with.gets(kNoUnnamed + messages("ZI"));
  }
  SUBCASE("not when that is not known yet") {
    with.sends(bind_to("nobody") + parse("", "select 2") + sync() + run(""));
    with.server_gets(bind_to("nobody") + parse("", "select 2") + sync());
    with.server_answers(unknown("nobody") + messages("ZI")).gets(unknown("nobody") + messages("ZI"));
    with.server_gets(close("") + run("")).server_answers(messages("3") + kNoUnnamed + messages("ZI"));
    with.gets(kNoUnnamed + messages("ZI"));
  }
  SUBCASE("not when its Close is skipped behind an error") {
    with.as_it_is(bind_to("nobody") + close("") + sync());
    with.server_answers(unknown("nobody") + messages("ZI")).gets(unknown("nobody") + messages("ZI"));
    with.sends(run(""))
        .server_gets(close("") + run(""))
        .server_answers(messages("3") + kNoUnnamed + messages("ZI"));
    with.gets(kNoUnnamed + messages("ZI"));
  }
  SUBCASE("not when its Query is skipped behind an error") {
    with.as_it_is(bind_to("nobody") + query("select 2") + sync());
    with.server_answers(unknown("nobody") + messages("ZI")).gets(unknown("nobody") + messages("ZI"));
    with.sends(run(""))
        .server_gets(close("") + run(""))
        .server_answers(messages("3") + kNoUnnamed + messages("ZI"));
    with.gets(kNoUnnamed + messages("ZI"));
  }
}

TEST_CASE("behind an error the unnamed statement is what it was") {
  for (const std::string& skipped : {parse("", "select 2"), close(""), parse("", "select 2") + close(""),
                                     close("") + parse("", "select 2") + parse("", "select 3")}) {
    RelayConversation with(RelayConversation::Pieces::Whole);
    with.begin()
        .as_it_is(parse("", "select 1") + sync())
        .server_answers(messages("1ZI"))
        .gets(messages("1ZI"));
    with.as_it_is(bind_to("nobody") + skipped + sync()).server_answers(unknown("nobody") + messages("ZI"));
    with.gets(unknown("nobody") + messages("ZI")).on_server(2);
    with.sends(run("")).server_gets(parse("", "select 1") + run("")).server_answers(messages("12DCZI"));
    with.gets(messages("2DCZI"));
  }
}

TEST_CASE("behind an error in each of two batches the unnamed statement is what it was") {
  RelayConversation with;
  with.begin().as_it_is(parse("", "select 1") + sync()).server_answers(messages("1ZI")).gets(messages("1ZI"));
  with.as_it_is(bind_to("nobody") + parse("", "select 2") + sync() + bind_to("nobody") +
                parse("", "select 3") + sync());
  with.server_answers(unknown("nobody") + messages("ZI") + unknown("nobody") + messages("ZI"))
      .gets(unknown("nobody") + messages("ZI") + unknown("nobody") + messages("ZI"));
  with.as_it_is(run("")).server_answers(messages("2DCZI")).gets(messages("2DCZI")).on_server(2);
  with.sends(run("")).server_gets(parse("", "select 1") + run("")).server_answers(messages("12DCZI"));
  with.gets(messages("2DCZI"));
}

TEST_CASE("an unnamed Parse that fails has taken the one before it away") {
  RelayConversation with;
  with.begin().as_it_is(parse("", "select 1") + sync()).server_answers(messages("1ZI")).gets(messages("1ZI"));
  with.as_it_is(parse("", "nonsense") + sync()).server_answers(messages("EZI")).gets(messages("EZI"));
  with.sends(run(""))
      .server_gets(close("") + run(""))
      .server_answers(messages("3") + kNoUnnamed + messages("ZI"));
  with.gets(kNoUnnamed + messages("ZI"));
}

TEST_CASE("it has, though others behind it were skipped, in its batch and in the next") {
  RelayConversation with;
  with.begin();
  with.as_it_is(parse("", "select nothing") + parse("", "select 2") + sync() + bind_to("nobody") +
                parse("", "select 3") + sync());
  with.server_answers(error("42703", "no") + messages("ZI") + unknown("nobody") + messages("ZI"));
  with.gets(error("42703", "no") + messages("ZI") + unknown("nobody") + messages("ZI"));
  with.sends(run(""))
      .server_gets(close("") + run(""))
      .server_answers(messages("3") + kNoUnnamed + messages("ZI"));
  with.gets(kNoUnnamed + messages("ZI"));
}

TEST_CASE("the failure of an earlier unnamed Parse does not forget a later one") {
  RelayConversation with;
  with.begin().as_it_is(parse("", "nonsense") + sync() + parse("", "select 3") + run(""));
  with.server_answers(messages("EZI12DCZI")).gets(messages("EZI12DCZI")).on_server(2);
  with.sends(run("")).server_gets(parse("", "select 3") + run("")).server_answers(messages("12DCZI"));
  with.gets(messages("2DCZI"));
}

TEST_CASE("after something of ours has used the unnamed statement, the client's is made again") {
  RelayConversation with;
  with.begin().as_it_is(parse("", "select 1") + sync()).server_answers(messages("1ZI")).gets(messages("1ZI"));
  with.of_server().relay.unnamed_is_gone();
  with.sends(run("")).server_gets(parse("", "select 1") + run("")).server_answers(messages("12DCZI"));
  with.gets(messages("2DCZI"));
}

TEST_CASE("a long unnamed statement is not kept: it lives on its server") {
  RelayConversation with;
  const std::string text = "select '" + std::string(9000, 'x') + "'";
  with.begin().as_it_is(parse("", text) + sync()).server_answers(messages("1ZI")).gets(messages("1ZI"));
  with.as_it_is(run("")).server_answers(messages("2DCZI")).gets(messages("2DCZI"));
  CHECK(with.of_client().statements.unnamed.empty());
  CHECK(with.of_client().statements.unnamed_is_long);
}

// -- Pieces

TEST_CASE("of most messages so much is waited for as is needed to decide") {
  const auto enough = [](char type, std::string_view body, size_t size) {
    return StatementRelay::is_enough(type, body, size);
  };
  for (char type : {'P', 'Q', 'D', 'C'}) {
    CHECK_FALSE(enough(type, "abc", 4));
    CHECK(enough(type, "abcd", 4));
    const std::string piece(StatementRelay::kLongestWhole, 'x');
    CHECK(enough(type, piece, 100'000'000));
    CHECK_FALSE(enough(type, piece.substr(1), 100'000'000));
  }
  for (char type : {'E', 'S', 'H', 'd', 'c', 'f'}) CHECK(enough(type, "", 1000));
  using namespace std::string_view_literals;
  CHECK_FALSE(enough('B', "portal\0na"sv, 1000));
  CHECK(enough('B', "portal\0name\0"sv, 1000));
  CHECK_FALSE(enough('B', "portal"sv, 1000));
  CHECK(enough('B', "portal"sv, 6));
  // To be refused.
  CHECK(enough('B', "\0tidepool_1\0"sv, 20));
  CHECK(enough('B', "\0tidepool_1\0\0\0\0\0\0\0\0\0"sv, 20));
}

TEST_CASE("a setting whose name travels in a Bind is noticed; in a long one it could be any") {
  RelayConversation with;
  with.begin().has_prepared("x", "select set_config($1, $2, false)", 1);
  with.of_client().watch.answered({});
  with.sends(bind_to("x", {"App.User", "5"}) + execute() + sync());
  with.server_gets(bind_to("tidepool_1", {"App.User", "5"}) + execute() + sync());
  with.server_answers(messages("2DCZI")).gets(messages("2DCZI"));
  CHECK(with.of_client().watch.settings() == std::vector<std::string>{"app.user"});
  CHECK(with.of_client().watch.pins() == 0);
  if (with.is_whole()) return;
  const std::string value(70'000, 'v');
  with.sends(bind_to("x", {"app.user", value}) + sync())
      .server_gets(bind_to("tidepool_1", {"app.user", value}) + sync());
  with.server_answers(messages("2ZI")).gets(messages("2ZI"));
  CHECK(with.of_client().watch.pins() == bit(Pin::Setting));
}

TEST_CASE("values of any length pass as they come, behind a name of ours") {
  RelayConversation with;
  with.begin().has_prepared("x", "select $1", 1);
  const std::string value(300'000, 'v');
  with.sends(bind_to("x", {value}) + execute() + sync());
  with.server_gets(bind_to("tidepool_1", {value}) + execute() + sync());
  with.server_answers(messages("2DCZI")).gets(messages("2DCZI"));
}

TEST_CASE("a Parse too long to be waited for keeps the client's name, and its server") {
  RelayConversation with(RelayConversation::Pieces::Whole);
  const std::string bytes = parse("x", "select '" + std::string(100'000, 'x') + "'");
  with.begin().as_it_is(bytes.substr(0, 64 * 1024)).as_it_is(bytes.substr(64 * 1024) + run("x"));
  with.server_answers(messages("12DCZI")).gets(messages("12DCZI"));
  CHECK(with.of_client().watch.has_own_statements());
}

TEST_CASE("a long Query passes in pieces; it may have done anything") {
  RelayConversation with(RelayConversation::Pieces::Whole);
  const std::string bytes = query("select '" + std::string(100'000, 'x') + "'");
  with.begin().as_it_is(bytes.substr(0, 64 * 1024)).as_it_is(bytes.substr(64 * 1024));
  with.server_answers(messages("TDCZI")).gets(messages("TDCZI"));
  CHECK(with.of_client().watch.asked_pins() == kAskablePins);
}

TEST_CASE("what is no message of its type goes to the server, which says so") {
  for (char type : {'P', 'B', 'D', 'C', 'Q', 'E'}) {
    for (const std::string body : {"", "x", "S", "Sx"}) {
      CAPTURE(type);
      CAPTURE(body);
      RelayConversation with(RelayConversation::Pieces::Whole);
      std::string bytes;
      {
        const wire::MessageFrame frame(bytes, type);
        bytes += body;
      }
      const std::string end = type == 'Q' ? "" : sync();
      with.begin().as_it_is(bytes + end).server_answers(messages("EZI")).gets(messages("EZI"));
    }
  }
}

// -- A plan that has changed

const std::string kRows = messages("TD") + tag("SELECT 1") + messages("ZI");

TEST_CASE("a plan whose result has changed is made again unseen, if the client was never told its rows") {
  RelayConversation with(RelayConversation::Pieces::Whole);
  with.begin().has_prepared("x", "select * from t", 1);
  const std::string batch = bind_to("x") + describe_portal() + execute() + sync();
  const auto sent_as = [](std::string_view name) {
    return bind_to(name) + describe(name) + describe_portal() + execute() + sync();
  };
  with.sends(batch).server_gets(sent_as("tidepool_1"));
  with.server_answers(kChanged + messages("ZI")).gets_nothing_yet();
  with.server_gets(close("tidepool_1") + parse("tidepool_2", "select * from t") + sent_as("tidepool_2"));
  with.server_answers(messages("312tT") + kRows).gets(messages("2") + kRows);
}

TEST_CASE("what the client has sent meanwhile comes behind it") {
  RelayConversation with(RelayConversation::Pieces::Whole);
  with.begin().has_prepared("x", "select * from t", 1);
  with.sends(run("x")).sends(query("select 2")).server_gets(run("tidepool_1"));
  with.server_answers(kChanged).server_answers(messages("ZI"));
  with.server_gets(close("tidepool_1") + parse("tidepool_2", "select * from t") + run("tidepool_2") +
                   query("select 2"));
  with.server_answers(messages("312DCZITDCZI")).gets(messages("2DCZITDCZI"));
}

TEST_CASE("it is tried once") {
  RelayConversation with(RelayConversation::Pieces::Whole);
  with.begin().has_prepared("x", "select * from t", 1);
  with.sends(run("x")).server_gets(run("tidepool_1")).server_answers(kChanged + messages("ZI"));
  with.server_gets(close("tidepool_1") + parse("tidepool_2", "select * from t") + run("tidepool_2"));
  with.server_answers(messages("31") + kChanged + messages("ZI")).gets(kChanged + messages("ZI"));
  with.sends(run("x"));
  with.server_gets(close("tidepool_2") + parse("tidepool_3", "select * from t") + run("tidepool_3"));
  with.server_answers(messages("312DCZI")).gets(messages("2DCZI"));
}

TEST_CASE("a change that the client must hear of is told, and the copy dropped") {
  RelayConversation with(RelayConversation::Pieces::Whole);
  with.begin().has_prepared("x", "select * from t", 1);
  std::string batch = run("x"), sent = run("tidepool_1"), answers = kChanged + messages("ZI"), told = answers;
  bool was_told = false;
  SUBCASE("it was told other rows for the statement") {
    was_told = true;
    with.sends(describe("x") + sync()).server_gets(describe("tidepool_1") + sync());
    with.server_answers(messages("tTZI")).gets(messages("tTZI"));
  }
  SUBCASE("it was told other rows for a portal of it") {
    was_told = true;
    with.sends(bind_to("x") + describe_portal() + sync())
        .server_gets(bind_to("tidepool_1") + describe("tidepool_1") + describe_portal() + sync());
    with.server_answers(messages("2tTTZI")).gets(messages("2TZI"));
  }
  SUBCASE("it is not the first of its batch") {
    batch = bind_to("") + batch;
    sent = bind_to("") + sent;
    answers = told = messages("2") + answers;
  }
  SUBCASE("a transaction is open") {
    with.as_it_is(query("begin"))
        .server_answers(tag("BEGIN") + messages("ZT"))
        .gets(tag("BEGIN") + messages("ZT"));
    answers = told = kChanged + messages("ZE");
  }
  SUBCASE("more is on its way than the batch") {
    batch += query("select 2");
    sent += query("select 2");
    answers += messages("TDCZI");
    told = answers;
  }
  with.sends(batch).server_gets(sent).server_answers(answers).gets(told);
  if (with.of_server().tracker.status() != 'I') {
    with.as_it_is(query("rollback")).server_answers(tag("ROLLBACK") + messages("ZI"));
    with.gets(tag("ROLLBACK") + messages("ZI"));
  }
  with.sends(run("x"));
  const std::string fresh = close("tidepool_1") + parse("tidepool_2", "select * from t");
  if (was_told)  // these are the rows that it knows, after all
    with.server_gets(fresh + describe("tidepool_2") + flush())
        .server_answers(messages("31tT"))
        .gets_nothing_yet()
        .server_gets(run("tidepool_2"));
  else
    with.server_gets(fresh + run("tidepool_2")).server_answers(messages("31"));
  with.server_answers(messages("2DCZI")).gets(messages("2DCZI"));
}

// -- Servers that are given up, clients that leave

TEST_CASE("what was sent to a server that is given up is sent again to another, as if for the first time") {
  RelayConversation with(RelayConversation::Pieces::Whole);
  with.begin().has_prepared("x", "select 1", 1).as_it_is(parse("", "select 3") + sync());
  with.server_answers(messages("1ZI")).gets(messages("1ZI"));
  const std::string batch =
      close("x") + parse("x", "select 2") + parse("y", "select 4") + bind_to("x") + sync();
  with.sends(batch).server_gets(parse("tidepool_2", "select 2") + parse("tidepool_3", "select 4") +
                                bind_to("tidepool_2") + sync());
  with.of_server().relay.take_back(with.of_client().statements);
  with.of_server().leave();
  with.on_server(2).sends(batch);
  with.server_gets(parse("tidepool_1", "select 2") + parse("tidepool_2", "select 4") + bind_to("tidepool_1") +
                   sync());
  with.server_answers(messages("112ZI")).gets(messages("3112ZI"));
  with.sends(run("")).server_gets(parse("", "select 3") + run("")).server_answers(messages("12DCZI"));
  with.gets(messages("2DCZI"));
}

TEST_CASE("take_back leaves names, and the unnamed statement, as they were") {
  RelayConversation with(RelayConversation::Pieces::Whole);
  with.begin()
      .has_prepared("x", "select 1", 1)
      .sends(parse("y", "select 2") + close("x") + query("deallocate all"));
  static_cast<void>(std::exchange(with.of_server().to_server, {}));
  with.of_server().relay.take_back(with.of_client().statements);
  with.of_server().leave();
  CHECK(with.of_client().statements.size() == 1);
  REQUIRE(with.of_client().statements.find("x") != nullptr);
  CHECK(with.of_client().statements.find("x")->statement->text == "select 1");
  with.on_server(2).sends(run("x")).server_gets(parse("tidepool_1", "select 1") + run("tidepool_1"));
  with.server_answers(messages("12DCZI")).gets(messages("2DCZI"));
}

TEST_CASE("a client that leaves in the middle: what its server has is known if no names were at stake") {
  RelayConversation with(RelayConversation::Pieces::Whole);
  with.begin().has_prepared("x", "select 1", 1);
  static_cast<void>(with.sends(run("x")).of_server().to_server.erase());
  CHECK(with.of_server().leave());
  CHECK_FALSE(with.of_server().relay.has_marks());
  with.on_server(2).sends(parse("y", "select 2"));
  with.of_server().to_server.clear();
  CHECK_FALSE(with.of_server().leave());
  with.of_server().relay.discarded();
  CHECK(with.of_server().relay.statements().is_empty());
}

}  // namespace
}  // namespace tidepool::session
