// What PostgreSQL made of a statement at its client's own Parse is what the client gets, on whatever server:
// the same parameters, and rows of the same shape, or "cached plan must not change result type".
#include <doctest/doctest.h>

#include <vector>

#include "tests/unit/session/relay_conversation.h"

namespace tidepool::session {
namespace {

constexpr std::string_view kText = "select * from t";

// Client 1 prepares "x" on server 1, where it is tidepool_1, and comes to server 2.
void moves(RelayConversation& with, const std::string& description = kDescribed) {
  with.begin().has_prepared("x", kText, 1, description).on_server(2);
}
// What it sends next there is held back for the question, and goes on if the rows are the same.
void asks_and_goes_on(RelayConversation& with, const std::string& description = kDescribed) {
  with.sends(run("x")).is_asked(1, kText, {}, description);
  with.server_gets(run("tidepool_1")).server_answers(messages("2DCZI")).gets(messages("2DCZI"));
}
void is_refused(RelayConversation& with, char status = 'I') {
  const std::string ready = messages(std::string("Z") + status);
  with.server_gets(run(kNobody)).server_answers(unknown(kNobody) + ready).gets(kRefusedRows + ready);
}
// ... and fails if they are not.
void asks_and_is_refused(RelayConversation& with, const std::string& description) {
  with.sends(run("x")).is_asked(1, kText, {}, description);
  is_refused(with);
}

TEST_CASE("on another server it is asked what the rows look like, once") {
  RelayConversation with;
  moves(with);
  asks_and_goes_on(with);
  with.runs("x", 1).on_server(1).runs("x", 1).on_server(2).runs("x", 1);
}

TEST_CASE("rows of another shape are refused as PostgreSQL does where it knows better") {
  RelayConversation with;
  moves(with);
  SUBCASE("a column more") {
    asks_and_is_refused(with, parameters() + kOtherRows);
  }
  SUBCASE("another type") {
    asks_and_is_refused(with, parameters() + rows({{"a", 20, 8}}));
  }
  SUBCASE("another name") {
    asks_and_is_refused(with, parameters() + rows({{"b", 23, 4}}));
  }
  SUBCASE("none at all") {
    asks_and_is_refused(with, parameters() + kNoRows);
  }
}

TEST_CASE("no rows are a shape, too") {
  RelayConversation with;
  moves(with, parameters() + kNoRows);
  SUBCASE("the same") {
    asks_and_goes_on(with, parameters() + kNoRows);
  }
  SUBCASE("rows") {
    asks_and_is_refused(with, kDescribed);
  }
}

TEST_CASE("a description longer than what is read at once is compared, too, and left out whole") {
  const auto wide = [&](uint32_t last_type) {
    std::vector<wire::Column> all(1600,
                                  wire::Column{"a rather long name for a column, as they sometimes are"});
    all.back().type_oid = last_type;
    std::string bytes = parameters();
    wire::append_row_description(bytes, all);
    return bytes;
  };
  RelayConversation with(RelayConversation::Pieces::Whole);
  moves(with, wide(25));
  SUBCASE("the same") {
    asks_and_goes_on(with, wide(25));
  }
  SUBCASE("another at its very end") {
    asks_and_is_refused(with, wide(23));
  }
}

TEST_CASE("many parameters are remembered whole") {
  RelayConversation with;
  std::string description, all;
  const std::vector<uint32_t> types(3000, 1043);
  wire::append_parameter_description(description, types);
  wire::append_parse(all, "tidepool_1", kText, types);
  moves(with, description + kRows);
  with.sends(run("x")).server_gets(all + describe("tidepool_1") + flush());
  with.is_described(description + kRows).server_gets(run("tidepool_1"));
  with.server_answers(messages("2DCZI")).gets(messages("2DCZI"));
}

TEST_CASE("who prepares it again after the error works on, with the new rows") {
  RelayConversation with;
  moves(with);
  asks_and_is_refused(with, parameters() + kOtherRows);
  with.sends(close("x") + parse("x", kText) + describe("x") + sync())
      .server_gets(parse("tidepool_2", kText) + describe("tidepool_2") + sync())
      .server_answers(messages("1") + parameters() + kOtherRows + messages("ZI"))
      .gets(messages("31") + parameters() + kOtherRows + messages("ZI"));
  with.sends(run("x")).server_gets(close("tidepool_1") + run("tidepool_2"));
  with.server_answers(messages("32DCZI")).gets(messages("2DCZI")).on_server(3);
  asks_and_goes_on(with, parameters() + kOtherRows);
  // Where it was first, that copy has the old rows: it is somebody else's.
  with.on_server(1).sends(run("x")).is_asked(2, kText, {}, parameters() + kOtherRows);
  with.server_gets(run("tidepool_2")).server_answers(messages("2DCZI")).gets(messages("2DCZI"));
  CHECK(with.of_server().relay.statements().numbers() == std::vector<uint32_t>{1, 2});
}

TEST_CASE("as long as it is not prepared again it fails each time, and works when the table is as it was") {
  RelayConversation with;
  moves(with);
  asks_and_is_refused(with, parameters() + kOtherRows);
  SUBCASE("as it was") {
    with.sends(run("x")).is_asked(2, kText);
    with.server_gets(run("tidepool_2")).server_answers(messages("2DCZI")).gets(messages("2DCZI"));
    // Both copies are what PostgreSQL says they are: neither is in the other's way.
    CHECK(with.of_server().relay.statements().size() == 2);
  }
  SUBCASE("still changed") {
    // It is asked again, and the older copy of the same goes.
    with.sends(run("x")).is_asked(2, kText, {}, parameters() + kOtherRows);
    is_refused(with);
    with.sends(run("x")).server_gets(close("tidepool_1") + asked(3, kText));
    with.server_answers(messages("31") + parameters() + kOtherRows);
    is_refused(with);
  }
}

TEST_CASE("what any client's Parse there has shown is known for all") {
  RelayConversation with;
  moves(with);
  SUBCASE("the same") {
    with.client(2).on_server(2).has_prepared("y", kText, 1).client(1).on_server(2).runs("x", 1);
  }
  SUBCASE("another is another's") {
    with.client(2).on_server(2).has_prepared("y", kText, 1, parameters() + kOtherRows);
    with.client(1).on_server(2).sends(run("x")).is_asked(2, kText);
    with.server_gets(run("tidepool_2")).server_answers(messages("2DCZI")).gets(messages("2DCZI"));
    with.client(2).on_server(2).runs("y", 1);
  }
}

TEST_CASE("parameters of other types are another statement, which rows of the same shape do not refuse") {
  RelayConversation with;
  moves(with);
  with.sends(run("x")).is_asked(1, kText, {}, parameters({20}) + kRows);
  with.server_gets(run("tidepool_1")).server_answers(messages("2DCZI")).gets(messages("2DCZI"));
}

TEST_CASE("a Describe is answered so, too") {
  RelayConversation with;
  moves(with);
  with.sends(describe("x") + sync()).server_gets(asked(1, kText));
  SUBCASE("the same rows") {
    with.is_described().server_gets(describe("tidepool_1") + sync());
    with.server_answers(kDescribed + messages("ZI")).gets(kDescribed + messages("ZI"));
  }
  SUBCASE("others") {
    with.is_described(parameters() + kOtherRows).server_gets(describe(kNobody) + sync());
    with.server_answers(unknown(kNobody) + messages("ZI")).gets(kRefusedRows + messages("ZI"));
  }
}

// -- In batches and transactions

TEST_CASE("in a pipeline what is in front is answered first, and what is behind follows") {
  RelayConversation with;
  moves(with);
  with.sends(parse("z", "select 1") + bind_to("z") + execute() + run("x") + query("select 2"));
  with.server_gets(parse("tidepool_1", "select 1") + describe("tidepool_1") + bind_to("tidepool_1") +
                   execute() + asked(2, kText));
  with.server_answers(messages("1") + kDescribed + messages("2DC1")).gets(messages("12DC"));
  with.server_answers(parameters()).gets_nothing_yet().server_gets("");
  SUBCASE("the same rows") {
    with.server_answers(kRows).server_gets(run("tidepool_2") + query("select 2"));
    with.server_answers(messages("2DCZITDCZI")).gets(messages("2DCZITDCZI"));
  }
  SUBCASE("others") {
    with.server_answers(kOtherRows).server_gets(run(kNobody) + query("select 2"));
    with.server_answers(unknown(kNobody) + messages("ZITDCZI")).gets(kRefusedRows + messages("ZITDCZI"));
  }
}

TEST_CASE("a Sync that is on its way is not what the question waits for") {
  RelayConversation with;
  moves(with);
  with.sends(query("select 1") + run("x")).server_gets(query("select 1") + asked(1, kText));
  with.server_answers(messages("TDCZI")).gets(messages("TDCZI")).server_gets("");
  with.is_described().server_gets(run("tidepool_1"));
  with.server_answers(messages("2DCZI")).gets(messages("2DCZI"));
}

TEST_CASE("two statements of one batch, neither of which is there, are asked one behind the other") {
  RelayConversation with;
  with.begin()
      .has_prepared("x", kText, 1)
      .has_prepared("y", "select 2", 2, parameters() + kOtherRows)
      .on_server(2);
  with.sends(bind_to("x") + execute() + bind_to("y") + execute() + bind_to("x") + execute() + sync());
  with.is_asked(1, kText).server_gets(bind_to("tidepool_1") + execute() + asked(2, "select 2"));
  with.server_answers(messages("2DC1") + parameters() + kOtherRows).gets(messages("2DC"));
  with.server_gets(bind_to("tidepool_2") + execute() + bind_to("tidepool_1") + execute() + sync());
  with.server_answers(messages("2DC2DCZI")).gets(messages("2DC2DCZI"));
}

TEST_CASE("in a transaction the refusal fails it") {
  RelayConversation with;
  moves(with);
  with.runs_query("begin", "BEGIN", 'T');
  with.sends(run("x")).is_asked(1, kText, {}, parameters() + kOtherRows);
  is_refused(with, 'E');
  // In a failed one nothing can be asked: the server says so.
  with.sends(run("x")).server_gets(parse("tidepool_2", kText) + run("tidepool_2"));
  with.server_answers(messages("EZE")).gets(messages("EZE"));
  with.runs_query("rollback", "ROLLBACK");
}

TEST_CASE("a question whose Parse fails is the client's error, and its batch is skipped") {
  RelayConversation with;
  moves(with);
  const std::string gone = error("42P01", "relation \"t\" does not exist");
  with.sends(run("x")).server_gets(asked(1, kText)).server_answers(gone).gets(gone).server_gets(run("x"));
  with.server_answers(messages("ZI")).gets(messages("ZI"));
  // Nothing was prepared.
  with.runs_anew("x", 2, kText);
}

TEST_CASE("a question that fails itself, too; what was prepared for it is not used") {
  RelayConversation with;
  moves(with);
  with.sends(run("x")).server_gets(asked(1, kText)).server_answers(messages("1E")).gets(messages("E"));
  with.server_gets(run("x")).server_answers(messages("ZI")).gets(messages("ZI"));
  with.runs_anew("x", 2, kText);
}

TEST_CASE("an error in front of the question skips it, with all that is behind") {
  RelayConversation with;
  moves(with);
  with.sends(bind_to("nothing") + run("x"));
  with.server_gets(bind_to("nothing") + asked(1, kText));
  with.server_answers(unknown("nothing")).gets(unknown("nothing")).server_gets(run("x"));
  with.server_answers(messages("ZI")).gets(messages("ZI"));
  with.runs_anew("x", 2, kText);
}

TEST_CASE("what a client's Parse was counts where that copy had to go meanwhile") {
  RelayConversation with;
  with.begin().of_client().max_prepared_statements = 1;
  with.sends(parse("x", kText) + parse("y", "select 2") + run("x"));
  with.server_gets(parse("tidepool_1", kText) + describe("tidepool_1") + close("tidepool_1") +
                   parse("tidepool_2", "select 2") + describe("tidepool_2") + close("tidepool_2") +
                   asked(3, kText));
  with.server_answers(messages("1") + kDescribed + messages("31") + kDescribed + messages("3"));
  with.gets(messages("11"));
  SUBCASE("the same rows") {
    with.is_described().server_gets(run("tidepool_3"));
    with.server_answers(messages("2DCZI")).gets(messages("2DCZI"));
  }
  SUBCASE("others") {
    with.is_described(parameters() + kOtherRows);
    is_refused(with);
  }
}

TEST_CASE("what a statement is is known though its Close is on its way, which is skipped") {
  RelayConversation with;
  with.begin().sends(parse("x", kText) + bind_to("nothing") + close("x") + sync());
  with.server_gets(parse("tidepool_1", kText) + describe("tidepool_1") + bind_to("nothing") + sync());
  with.server_answers(messages("1") + kDescribed + unknown("nothing") + messages("ZI"));
  with.gets(messages("1") + unknown("nothing") + messages("ZI")).on_server(2);
  asks_and_is_refused(with, parameters() + kOtherRows);
}

TEST_CASE("what a statement is is not that of the next one under its name") {
  RelayConversation with;
  with.begin().sends(parse("x", kText) + close("x") + parse("x", "select 2") + sync());
  with.server_gets(parse("tidepool_1", kText) + describe("tidepool_1") + parse("tidepool_2", "select 2") +
                   describe("tidepool_2") + sync());
  with.server_answers(messages("1") + kDescribed + messages("1") + parameters() + kOtherRows +
                      messages("ZI"));
  with.gets(messages("131ZI")).on_server(2).sends(run("x"));
  with.is_asked(1, "select 2", {}, parameters() + kOtherRows);
  with.server_gets(run("tidepool_1")).server_answers(messages("2DCZI")).gets(messages("2DCZI"));
}

TEST_CASE("a question is answered though the client has sent more than what waits") {
  RelayConversation with;
  moves(with);
  with.sends(run("x")).server_gets(asked(1, kText)).sends(query("select 2") + run("x")).server_gets("");
  with.is_described().server_gets(run("tidepool_1") + query("select 2") + run("tidepool_1"));
  with.server_answers(messages("2DCZITDCZI2DCZI")).gets(messages("2DCZITDCZI2DCZI"));
}

TEST_CASE("an unsure session asks what a statement is for this once") {
  RelayConversation with(RelayConversation::Pieces::Whole);
  moves(with);
  with.of_client().watch.note_everything("a SET of who knows what");
  SUBCASE("the same rows") {
    asks_and_goes_on(with);
  }
  SUBCASE("others") {
    asks_and_is_refused(with, parameters() + kOtherRows);
  }
  with.of_client().watch.answered({});
  with.on_server(1).runs("x", 1);
}

// -- Servers that are given up, clients that leave

TEST_CASE("who leaves while the relay asks leaves nothing that is asked") {
  RelayConversation with;
  moves(with);
  with.sends(run("x")).server_gets(asked(1, kText));
  SUBCASE("before any answer") {}
  SUBCASE("within the description") {
    with.server_answers(messages("1") + kDescribed.substr(0, kDescribed.size() - 3));
    CHECK(with.of_server().relay.wants_rest());
  }
  CHECK(with.of_server().relay.asks());
  CHECK_FALSE(with.of_server().may_go());
  static_cast<void>(with.of_server().leave());
  CHECK_FALSE(with.of_server().relay.asks());
  CHECK_FALSE(with.of_server().relay.wants_rest());
  CHECK_FALSE(with.of_server().relay.has_marks());
}

TEST_CASE("a server that is given up while the relay asks: the next one is asked") {
  RelayConversation with(RelayConversation::Pieces::Whole);
  moves(with);
  with.sends(run("x")).server_gets(asked(1, kText));
  with.of_server().relay.take_back(with.of_client().statements);
  CHECK_FALSE(with.of_server().relay.asks());
  static_cast<void>(with.of_server().leave());
  with.of_client().pending.clear();
  with.on_server(3);
  asks_and_is_refused(with, parameters() + kOtherRows);
}

TEST_CASE("what nobody was told of is given up when its client leaves") {
  RelayConversation with(RelayConversation::Pieces::Whole);
  with.begin().sends(parse("x", kText) + sync());
  with.server_gets(parse("tidepool_1", kText) + describe("tidepool_1") + sync());
  with.server_answers(messages("1EZI")).gets(messages("1EZI"));
  with.client(2).on_server(1).sends(parse("y", kText) + sync());
  with.server_gets(close("tidepool_1") + parse("tidepool_2", kText) + describe("tidepool_2") + sync());
  with.server_answers(messages("31") + kDescribed + messages("ZI")).gets(messages("1ZI"));
}

}  // namespace
}  // namespace tidepool::session
