// The unnamed statement, messages in pieces, and servers that are given up.
#include <doctest/doctest.h>

#include "tests/unit/session/relay_conversation.h"

namespace tidepool::session {
namespace {

const std::string kNoUnnamed = error("26000", "unnamed prepared statement does not exist");

// The client parses its unnamed statement in a batch that does not bind it: the relay asks what it is.
void has_parsed(RelayConversation& with, std::string_view sql, const std::string& description = kDescribed) {
  with.sends(parse("", sql) + sync())
      .server_gets(parse("", sql) + describe("") + sync())
      .server_answers(messages("1") + description + messages("ZI"))
      .gets(messages("1ZI"));
}
// The same in a batch that does: nothing need be asked.
void has_run(RelayConversation& with, std::string_view sql) {
  with.as_it_is(parse("", sql) + run("")).server_answers(messages("12DCZI")).gets(messages("12DCZI"));
}
// It runs where it is not the server's own unnamed one: under a name of ours.
void runs_elsewhere(RelayConversation& with, std::string_view sql, uint32_t number,
                    const std::string& in_front = "") {
  with.sends(run(""))
      .server_gets(in_front + asked(number, sql))
      .gets_nothing_yet()
      .server_answers(messages(in_front.empty() ? "1" : "31") + kDescribed)
      .server_gets(run(ours(number)))
      .server_answers(messages("2DCZI"))
      .gets(messages("2DCZI"));
}
void has_none(RelayConversation& with) {
  with.sends(run(""))
      .server_gets(close("") + run(""))
      .server_answers(messages("3") + kNoUnnamed + messages("ZI"));
  with.gets(kNoUnnamed + messages("ZI"));
}

// -- The unnamed statement

TEST_CASE("a batch with the unnamed statement passes as it is") {
  RelayConversation with;
  with.begin()
      .as_it_is(parse("", "select $1") + bind_to("", {"5"}) + describe_portal() + execute() + sync())
      .server_answers(messages("12TDCZI"))
      .gets(messages("12TDCZI"));
}

TEST_CASE(
    "the unnamed statement of an earlier batch is there, or is made under a name of ours on another server") {
  RelayConversation with;
  with.begin();
  has_parsed(with, "select $1", parameters({23}) + kRows);
  with.as_it_is(bind_to("", {"5"}) + execute() + sync()).server_answers(messages("2DCZI"));
  with.gets(messages("2DCZI")).on_server(2);
  with.sends(describe("") + bind_to("", {"5"}) + execute() + sync())
      .is_asked(1, "select $1", {23}, parameters({23}) + kRows)
      .server_gets(describe("tidepool_1") + bind_to("tidepool_1", {"5"}) + execute() + sync())
      .server_answers(parameters({23}) + kRows + messages("2DCZI"))
      .gets(parameters({23}) + kRows + messages("2DCZI"));
  with.runs("", 1).on_server(1).as_it_is(run("")).server_answers(messages("2DCZI")).gets(messages("2DCZI"));
}

TEST_CASE("an unnamed statement that is parsed and not bound is described at its Sync, once") {
  const std::string one = parse("", "select 1"), two = parse("", "select 2");
  struct Row {
    std::string sent, passed_on, answers, told;
  };
  for (const auto& [sent, passed_on, answers, told] : std::initializer_list<Row>{
           {one + two, one + two + describe(""), messages("11") + kDescribed, messages("11")},
           // The client's own Describe will do.
           {two + describe(""), two + describe(""), messages("1") + kDescribed, messages("1") + kDescribed},
           // One that was bound, and another behind it.
           {one + bind_to("") + execute() + two, one + bind_to("") + execute() + two + describe(""),
            messages("12DC1") + kDescribed, messages("12DC1")},
       }) {
    RelayConversation with(RelayConversation::Pieces::Whole);
    with.begin().sends(sent + sync()).server_gets(passed_on + sync());
    with.server_answers(answers + messages("ZI")).gets(told + messages("ZI"));
    with.as_it_is(sync()).server_answers(messages("ZI")).gets(messages("ZI"));
    with.on_server(2).sends(run("")).is_asked(1, "select 2", {}, parameters() + kOtherRows);
    with.server_gets(run(kNobody)).server_answers(unknown(kNobody) + messages("ZI"));
    with.gets(kRefusedRows + messages("ZI"));
  }
}

TEST_CASE("an unnamed command, or none, is not described") {
  for (std::string_view text : {"begin", "show all", ""}) {
    RelayConversation with(RelayConversation::Pieces::Whole);
    with.begin().as_it_is(parse("", text) + sync()).server_answers(messages("1ZI")).gets(messages("1ZI"));
    with.on_server(2).sends(run("")).server_gets(parse("tidepool_1", text) + run("tidepool_1"));
    with.server_answers(messages("12CZI")).gets(messages("2CZI"));
  }
  RelayConversation with(RelayConversation::Pieces::Whole);
  with.begin().as_it_is(parse("", "select 1") + close("") + sync()).server_answers(messages("13ZI"));
  with.gets(messages("13ZI"));
}

TEST_CASE("an unnamed statement whose description fails is there") {
  RelayConversation with;
  with.begin()
      .sends(parse("", "select 1") + sync())
      .server_gets(parse("", "select 1") + describe("") + sync());
  with.server_answers(messages("1EZI")).gets(messages("1EZI"));
  with.as_it_is(run("")).server_answers(messages("2DCZI")).gets(messages("2DCZI"));
}

TEST_CASE("an unnamed statement that was bound in its batch is what another server makes of it") {
  RelayConversation with;
  with.begin();
  has_run(with, "select 1");
  with.on_server(2);
  runs_elsewhere(with, "select 1", 1);
  // From then on it is what it was there.
  with.on_server(3).sends(run("")).is_asked(1, "select 1", {}, parameters() + kOtherRows);
  with.server_gets(run(kNobody)).server_answers(unknown(kNobody) + messages("ZI"));
  with.gets(kRefusedRows + messages("ZI"));
}

TEST_CASE("unnamed statements share copies with named ones") {
  RelayConversation with;
  with.begin();
  has_parsed(with, "select 1");
  with.client(2).on_server(2).has_prepared("x", "select 1", 1);
  with.client(1).on_server(2).runs("", 1);
}

TEST_CASE("of a client's unnamed statements the last one runs, not the one that a server still has") {
  RelayConversation with;
  with.begin();
  has_parsed(with, "select 1");
  with.on_server(2);
  has_parsed(with, "select 2");
  with.on_server(1);
  runs_elsewhere(with, "select 2", 1);
}

TEST_CASE("a Query, and a Close of it, end the unnamed statement on every server") {
  for (const std::string& ends : {query("select 2"), close("") + sync()}) {
    RelayConversation with(RelayConversation::Pieces::Whole);
    with.begin();
    has_parsed(with, "select 1");
    with.on_server(2);
    runs_elsewhere(with, "select 1", 1);
    const std::string done = ends.front() == 'Q' ? messages("TDCZI") : messages("3ZI");
    with.on_server(3).as_it_is(ends).server_answers(done).gets(done).on_server(1);
    has_none(with);
    with.on_server(2)
        .as_it_is(run(""))
        .server_answers(kNoUnnamed + messages("ZI"))
        .gets(kNoUnnamed + messages("ZI"));
  }
}

TEST_CASE("another client's unnamed statement is never reached") {
  RelayConversation with;
  with.begin();
  has_parsed(with, "select 'secret'");
  with.client(2).on_server(1);
  SUBCASE("not by Bind") {}
  SUBCASE("not by Describe") {
    with.sends(describe("") + sync()).server_gets(close("") + describe("") + sync());
    with.server_answers(messages("3") + kNoUnnamed + messages("ZI")).gets(kNoUnnamed + messages("ZI"));
    with.as_it_is(run("")).server_answers(kNoUnnamed + messages("ZI")).gets(kNoUnnamed + messages("ZI"));
    return;
  }
  SUBCASE("not when what was put in front is skipped behind an error") {
    with.sends(bind_to("nobody") + bind_to("") + sync())
        .server_gets(bind_to("nobody") + close("") + bind_to("") + sync());
    with.server_answers(unknown("nobody") + messages("ZI")).gets(unknown("nobody") + messages("ZI"));
  }
  SUBCASE("not when its own Parse is skipped behind an error") {
    with.sends(bind_to("nobody") + parse("", "select 2") + sync());
    with.server_gets(bind_to("nobody") + parse("", "select 2") + describe("") + sync());
    with.server_answers(unknown("nobody") + messages("ZI")).gets(unknown("nobody") + messages("ZI"));
  }
  SUBCASE("not when that is not known yet") {
    with.sends(bind_to("nobody") + parse("", "select 2") + sync() + run(""));
    with.server_gets(bind_to("nobody") + parse("", "select 2") + describe("") + sync());
    with.server_answers(unknown("nobody") + messages("ZI")).gets(unknown("nobody") + messages("ZI"));
    with.server_gets(close("") + run("")).server_answers(messages("3") + kNoUnnamed + messages("ZI"));
    with.gets(kNoUnnamed + messages("ZI"));
    return;
  }
  SUBCASE("not when its Close is skipped behind an error") {
    with.as_it_is(bind_to("nobody") + close("") + sync());
    with.server_answers(unknown("nobody") + messages("ZI")).gets(unknown("nobody") + messages("ZI"));
  }
  SUBCASE("not when its Query is skipped behind an error") {
    with.as_it_is(bind_to("nobody") + query("select 2") + sync());
    with.server_answers(unknown("nobody") + messages("ZI")).gets(unknown("nobody") + messages("ZI"));
  }
  has_none(with);
}

TEST_CASE("behind an error the unnamed statement is what it was") {
  for (const std::string& skipped : {parse("", "select 2"), close(""), parse("", "select 2") + close(""),
                                     close("") + parse("", "select 2") + parse("", "select 3")}) {
    RelayConversation with(RelayConversation::Pieces::Whole);
    with.begin();
    has_parsed(with, "select 1");
    with.sends(bind_to("nobody") + skipped + bind_to("") + sync());
    static_cast<void>(std::exchange(with.of_server().to_server, {}));
    with.server_answers(unknown("nobody") + messages("ZI")).gets(unknown("nobody") + messages("ZI"));
    with.on_server(2);
    runs_elsewhere(with, "select 1", 1);
  }
}

TEST_CASE("behind an error in each of two batches the unnamed statement is what it was") {
  RelayConversation with;
  with.begin();
  has_parsed(with, "select 1");
  with.sends(bind_to("nobody") + parse("", "select 2") + sync() + bind_to("nobody") + parse("", "select 3") +
             sync());
  with.server_gets(bind_to("nobody") + parse("", "select 2") + describe("") + sync() + bind_to("nobody") +
                   parse("", "select 3") + describe("") + sync());
  with.server_answers(unknown("nobody") + messages("ZI") + unknown("nobody") + messages("ZI"))
      .gets(unknown("nobody") + messages("ZI") + unknown("nobody") + messages("ZI"));
  with.as_it_is(run("")).server_answers(messages("2DCZI")).gets(messages("2DCZI")).on_server(2);
  runs_elsewhere(with, "select 1", 1);
}

TEST_CASE("an unnamed Parse that fails has taken the one before it away") {
  RelayConversation with;
  with.begin();
  has_parsed(with, "select 1");
  with.sends(parse("", "nonsense") + sync()).server_gets(parse("", "nonsense") + describe("") + sync());
  with.server_answers(messages("EZI")).gets(messages("EZI"));
  has_none(with);
}

TEST_CASE("it has, though others behind it were skipped, in its batch and in the next") {
  RelayConversation with;
  with.begin();
  with.sends(parse("", "select nothing") + parse("", "select 2") + sync() + bind_to("nobody") +
             parse("", "select 3") + sync());
  with.server_gets(parse("", "select nothing") + parse("", "select 2") + describe("") + sync() +
                   bind_to("nobody") + parse("", "select 3") + describe("") + sync());
  with.server_answers(error("42703", "no") + messages("ZI") + unknown("nobody") + messages("ZI"));
  with.gets(error("42703", "no") + messages("ZI") + unknown("nobody") + messages("ZI"));
  has_none(with);
}

TEST_CASE("the failure of an earlier unnamed Parse does not forget a later one") {
  RelayConversation with;
  with.begin().sends(parse("", "nonsense") + sync() + parse("", "select 3") + run(""));
  with.server_gets(parse("", "nonsense") + describe("") + sync() + parse("", "select 3") + run(""));
  with.server_answers(messages("EZI12DCZI")).gets(messages("EZI12DCZI")).on_server(2);
  runs_elsewhere(with, "select 3", 1);
}

TEST_CASE(
    "after something of ours has used the unnamed statement, the client's is used under a name of ours") {
  RelayConversation with;
  with.begin();
  has_parsed(with, "select 1");
  with.of_server().relay.unnamed_is_gone();
  runs_elsewhere(with, "select 1", 1);
  with.runs("", 1);
}

TEST_CASE("an unnamed statement that is too long to be kept lives on its server") {
  RelayConversation with;
  const std::string text = "select '" + std::string(9000, 'x') + "'";
  with.begin().of_client().most_bytes = 5000;
  with.as_it_is(parse("", text) + sync()).server_answers(messages("1ZI")).gets(messages("1ZI"));
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
  with.begin().has_prepared("x", "select set_config($1, $2, false)", 1, parameters({25, 25}) + kRows);
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

TEST_CASE("a Parse too long to be waited for goes under a name of ours, and what it says is collected") {
  RelayConversation with(RelayConversation::Pieces::Whole);
  const std::string text = "select '" + std::string(200'000, 'x') + "'";
  const std::string bytes = parse("x", text), renamed = parse("tidepool_1", text);
  const size_t longer = renamed.size() - bytes.size(), half = size_t{64} * 1024;
  with.begin().sends(bytes.substr(0, half)).server_gets(renamed.substr(0, half + longer));
  CHECK(with.of_server().relay.wants_client_rest());
  with.sends(bytes.substr(half, half)).server_gets(renamed.substr(half + longer, half));
  with.sends(bytes.substr(2 * half) + sync());
  CHECK_FALSE(with.of_server().relay.wants_client_rest());
  with.server_gets(renamed.substr(2 * half + longer) + describe("tidepool_1") + sync());
  with.server_answers(messages("1") + kDescribed + messages("ZI")).gets(messages("1ZI"));
  CHECK_FALSE(with.of_client().watch.has_own_statements());
  CHECK(with.of_client().statements.bytes() > text.size());
  with.runs("x", 1).on_server(2).runs_anew("x", 1, text);
  // It is shared like any other.
  with.client(2).on_server(2).has_prepared("y", text, 2);
  with.client(1).on_server(2).sends(run("x")).server_gets(close("tidepool_1") + run("tidepool_2"));
  with.server_answers(messages("32DCZI")).gets(messages("2DCZI"));
}

TEST_CASE("a long Parse that fails has prepared nothing") {
  RelayConversation with(RelayConversation::Pieces::Whole);
  const std::string text = "select '" + std::string(100'000, 'x') + "'";
  const std::string bytes = parse("x", text), renamed = parse("tidepool_2", text);
  const size_t longer = renamed.size() - bytes.size(), half = size_t{64} * 1024;
  with.begin().has_prepared("x", "select 1", 1).sends(close("x") + bytes.substr(0, half));
  with.server_gets(renamed.substr(0, half + longer));
  SUBCASE("when it is all there") {
    with.sends(bytes.substr(half) + sync());
    with.server_gets(renamed.substr(half + longer) + describe("tidepool_2") + sync());
    with.server_answers(messages("EZI")).gets(messages("3EZI")).is_unknown("x");
  }
  SUBCASE("what comes behind it is what it was") {
    with.sends(bytes.substr(half) + close("x") + parse("x", "select 1") + sync());
    with.server_gets(renamed.substr(half + longer) + describe("tidepool_2") +
                     parse("tidepool_3", "select 1") + describe("tidepool_3") + sync());
    with.server_answers(messages("EZI")).gets(messages("3EZI")).is_unknown("x");
  }
}

TEST_CASE("what a long Parse does is noted when it is all here") {
  RelayConversation with(RelayConversation::Pieces::Whole);
  const std::string text = "select '" + std::string(100'000, 'x') + "', set_config('app.user', '5', false)";
  const std::string bytes = parse("x", text), renamed = parse("tidepool_1", text);
  const size_t longer = renamed.size() - bytes.size(), half = size_t{64} * 1024;
  with.begin().sends(bytes.substr(0, half)).server_gets(renamed.substr(0, half + longer));
  CHECK_FALSE(with.of_client().watch.is_suspicious());
  with.sends(bytes.substr(half) + run("x"));
  with.server_gets(renamed.substr(half + longer) + describe("tidepool_1") + run("tidepool_1"));
  CHECK(with.of_client().watch.settings() == std::vector<std::string>{"app.user"});
  with.server_answers(messages("1") + kDescribed + messages("2DCZI")).gets(messages("12DCZI"));
}

TEST_CASE("a long Parse behind an error is skipped, and collects nothing") {
  RelayConversation with(RelayConversation::Pieces::Whole);
  const std::string bytes = parse("x", "select '" + std::string(100'000, 'x') + "'");
  with.begin()
      .as_it_is(bind_to("nobody") + flush())
      .server_answers(unknown("nobody"))
      .gets(unknown("nobody"));
  with.as_it_is(bytes.substr(0, 64 * 1024)).as_it_is(bytes.substr(64 * 1024) + sync());
  with.server_answers(messages("ZI")).gets(messages("ZI"));
  CHECK(with.of_client().statements.size() == 0);
}

TEST_CASE("a long Parse of the unnamed statement is collected, too") {
  RelayConversation with(RelayConversation::Pieces::Whole);
  const std::string text = "select '" + std::string(100'000, 'x') + "'";
  const std::string bytes = parse("", text);
  with.begin().as_it_is(bytes.substr(0, 64 * 1024));
  with.sends(bytes.substr(64 * 1024) + sync()).server_gets(bytes.substr(64 * 1024) + describe("") + sync());
  with.server_answers(messages("1") + kDescribed + messages("ZI")).gets(messages("1ZI"));
  with.as_it_is(run("")).server_answers(messages("2DCZI")).gets(messages("2DCZI")).on_server(2);
  runs_elsewhere(with, text, 1);
}

TEST_CASE(
    "a Parse too long for the client's memory keeps its name and its server, if it is too long to be waited "
    "for") {
  RelayConversation with(RelayConversation::Pieces::Whole);
  const std::string bytes = parse("x", "select '" + std::string(100'000, 'x') + "'");
  with.begin().of_client().most_bytes = 90'000;
  with.as_it_is(bytes.substr(0, 64 * 1024)).as_it_is(bytes.substr(64 * 1024) + run("x"));
  with.server_answers(messages("12DCZI")).gets(messages("12DCZI"));
  CHECK(with.of_client().watch.has_own_statements());
}

TEST_CASE("who leaves within a long Parse leaves nothing that is collected") {
  RelayConversation with(RelayConversation::Pieces::Whole);
  const std::string bytes = parse("x", "select '" + std::string(100'000, 'x') + "'");
  with.begin().sends(bytes.substr(0, 64 * 1024));
  with.of_server().to_server.clear();
  CHECK_FALSE(with.of_server().leave());
  CHECK_FALSE(with.of_server().relay.wants_client_rest());
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

// -- Servers that are given up, clients that leave

TEST_CASE("what was sent to a server that is given up is sent again to another, as if for the first time") {
  RelayConversation with(RelayConversation::Pieces::Whole);
  with.begin().has_prepared("x", "select 1", 1);
  has_parsed(with, "select 3");
  const std::string batch =
      close("x") + parse("x", "select 2") + parse("y", "select 4") + bind_to("x") + sync();
  const auto passed_on = [](uint32_t x, uint32_t y) {
    return parse(ours(x), "select 2") + describe(ours(x)) + parse(ours(y), "select 4") + describe(ours(y)) +
           bind_to(ours(x)) + sync();
  };
  with.sends(batch).server_gets(passed_on(2, 3));
  with.of_server().relay.take_back(with.of_client().statements);
  with.of_server().leave();
  with.on_server(2).sends(batch).server_gets(passed_on(1, 2));
  with.server_answers(messages("1") + kDescribed + messages("1") + kDescribed + messages("2ZI"));
  with.gets(messages("3112ZI"));
  runs_elsewhere(with, "select 3", 3);
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
  CHECK(with.of_client().statements.find("x")->statement->text->text == "select 1");
  with.on_server(2).runs_anew("x", 1, "select 1");
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
