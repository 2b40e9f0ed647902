// Who was told what a statement's rows look like does not get others, on whatever server.
#include <doctest/doctest.h>

#include "tests/unit/session/relay_conversation.h"

namespace tidepool::session {
namespace {

const std::string kText = "select * from t";

// Descriptions of a table before and after an ALTER.
std::string rows(std::initializer_list<wire::Column> columns) {
  std::string bytes = messages("");
  wire::append_row_description(bytes, columns);
  return bytes;
}
const std::string kOld = rows({{"a", 23, 4}}), kNew = rows({{"a", 23, 4}, {"b", 23, 4}});
const std::string kNoRows = messages("n");

std::string parameters(std::initializer_list<uint32_t> types = {}) {
  std::string bytes;
  wire::append_parameter_description(bytes, {types.begin(), types.size()});
  return bytes;
}

// As PostgreSQL says it, with the routine that drivers look for.
const std::string kOtherRows = [] {
  std::string bytes;
  const wire::MessageFrame frame(bytes, 'E');
  for (const std::string_view field :
       {"SERROR", "VERROR", "C0A000", "Mcached plan must not change result type", "Fplancache.c",
        "RRevalidateCachedQuery"})
    wire::append_cstring(bytes, field);
  bytes.push_back('\0');
  return bytes;
}();

const std::string kNobody = "tidepool: this statement is refused";
std::string asked(uint32_t number) {
  const std::string name = ServerStatements::name_of(number);
  return parse(name, kText) + describe(name) + flush();
}

// Client 1 prepares "x" on server 1, where it is tidepool_1, and is told of its rows.
void told(RelayConversation& with, const std::string& description = kOld) {
  with.begin()
      .sends(parse("x", kText) + describe("x") + sync())
      .server_gets(parse("tidepool_1", kText) + describe("tidepool_1") + sync())
      .server_answers(messages("1") + parameters() + description + messages("ZI"))
      .gets(messages("1") + parameters() + description + messages("ZI"));
}

// What it sends next on another server is held back for the question, and goes on if the rows are the same.
void asks_and_goes_on(RelayConversation& with, const std::string& description = kOld) {
  with.sends(run("x")).server_gets(asked(1)).gets_nothing_yet();
  with.server_answers(messages("1") + parameters() + description).gets_nothing_yet();
  with.server_gets(run("tidepool_1")).server_answers(messages("2DCZI")).gets(messages("2DCZI"));
}

// ... and fails if they are not.
void asks_and_is_refused(RelayConversation& with, const std::string& description) {
  with.sends(run("x")).server_gets(asked(1));
  with.server_answers(messages("1") + parameters() + description).gets_nothing_yet();
  with.server_gets(bind_to(kNobody) + execute() + sync());
  with.server_answers(unknown(kNobody) + messages("ZI")).gets(kOtherRows + messages("ZI"));
}

TEST_CASE("on another server it is asked what the rows look like, once") {
  RelayConversation with;
  told(with);
  with.on_server(2);
  asks_and_goes_on(with);
  with.runs("x", 1).on_server(1).runs("x", 1).on_server(2).runs("x", 1);
}

TEST_CASE("rows of another shape are refused as PostgreSQL does where it knows better") {
  RelayConversation with;
  told(with);
  with.on_server(2);
  SUBCASE("a column more") {
    asks_and_is_refused(with, kNew);
  }
  SUBCASE("another type") {
    asks_and_is_refused(with, rows({{"a", 20, 8}}));
  }
  SUBCASE("another name") {
    asks_and_is_refused(with, rows({{"b", 23, 4}}));
  }
  SUBCASE("none at all") {
    asks_and_is_refused(with, kNoRows);
  }
}

TEST_CASE("no rows are a shape, too") {
  RelayConversation with;
  told(with, kNoRows);
  with.on_server(2);
  SUBCASE("the same") {
    asks_and_goes_on(with, kNoRows);
  }
  SUBCASE("rows") {
    asks_and_is_refused(with, kOld);
  }
}

TEST_CASE("a description longer than what is read at once is compared, too, and left out whole") {
  const auto wide = [&](uint32_t last_type) {
    std::string bytes;
    std::vector<wire::Column> all(1600,
                                  wire::Column{"a rather long name for a column, as they sometimes are"});
    all.back().type_oid = last_type;
    wire::append_row_description(bytes, all);
    return bytes;
  };
  RelayConversation with(RelayConversation::Pieces::Whole);
  told(with, wide(25));
  with.on_server(2);
  SUBCASE("the same") {
    asks_and_goes_on(with, wide(25));
  }
  SUBCASE("another at its very end") {
    asks_and_is_refused(with, wide(23));
  }
}

TEST_CASE("who prepares it again after the error works on, with the new rows") {
  RelayConversation with;
  told(with);
  with.on_server(2);
  asks_and_is_refused(with, kNew);
  with.sends(close("x") + parse("x", kText) + describe("x") + sync())
      .server_gets(describe("tidepool_1") + sync())
      .server_answers(parameters() + kNew + messages("ZI"))
      .gets(messages("31") + parameters() + kNew + messages("ZI"));
  with.runs("x", 1).on_server(3);
  asks_and_goes_on(with, kNew);
  // Where it was first, the copy has the old rows: it is prepared anew.
  with.on_server(1).sends(run("x"));
  with.server_gets(close("tidepool_1") + asked(2)).server_answers(messages("31") + parameters() + kNew);
  with.server_gets(run("tidepool_2")).server_answers(messages("2DCZI")).gets(messages("2DCZI"));
}

TEST_CASE("as long as it is not prepared again it fails each time, and works when the table is as it was") {
  RelayConversation with;
  told(with);
  with.on_server(2);
  asks_and_is_refused(with, kNew);
  with.sends(run("x")).server_gets(close("tidepool_1") + asked(2));
  SUBCASE("as it was") {
    with.server_answers(messages("31") + parameters() + kOld).server_gets(run("tidepool_2"));
    with.server_answers(messages("2DCZI")).gets(messages("2DCZI"));
  }
  SUBCASE("still changed") {
    with.server_answers(messages("31") + parameters() + kNew);
    with.server_gets(bind_to(kNobody) + execute() + sync());
    with.server_answers(unknown(kNobody) + messages("ZI")).gets(kOtherRows + messages("ZI"));
  }
}

TEST_CASE("what any client is told there is known for all") {
  RelayConversation with;
  told(with);
  with.client(2).on_server(2);
  with.sends(parse("y", kText) + describe("y") + sync())
      .server_gets(parse("tidepool_1", kText) + describe("tidepool_1") + sync());
  SUBCASE("the same") {
    with.server_answers(messages("1") + parameters() + kOld + messages("ZI"));
    with.gets(messages("1") + parameters() + kOld + messages("ZI"));
    with.client(1).on_server(2).runs("x", 1);
  }
  SUBCASE("another") {
    with.server_answers(messages("1") + parameters() + kNew + messages("ZI"));
    with.gets(messages("1") + parameters() + kNew + messages("ZI"));
    // Is that copy older than what the client was told, or newer? A new one tells.
    with.client(1).on_server(2).sends(run("x")).server_gets(close("tidepool_1") + asked(2));
    with.server_answers(messages("31") + parameters() + kOld).server_gets(run("tidepool_2"));
    with.server_answers(messages("2DCZI")).gets(messages("2DCZI"));
  }
}

TEST_CASE("a copy that nobody was told of is prepared anew rather than asked: it may be older, and fail") {
  RelayConversation with;
  told(with);
  with.client(2).on_server(2).has_prepared("y", kText, 1);
  with.client(1).on_server(2).sends(run("x")).server_gets(close("tidepool_1") + asked(2));
  with.server_answers(messages("31") + parameters() + kOld).server_gets(run("tidepool_2"));
  with.server_answers(messages("2DCZI")).gets(messages("2DCZI"));
}

TEST_CASE("who was never told gets what there is") {
  RelayConversation with;
  with.begin().has_prepared("x", kText, 1).on_server(2);
  with.sends(run("x")).server_gets(parse("tidepool_1", kText) + run("tidepool_1"));
  with.server_answers(messages("12DCZI")).gets(messages("2DCZI"));
  with.client(2).on_server(2);
  with.sends(parse("y", kText) + describe("y") + sync()).server_gets(describe("tidepool_1") + sync());
  with.server_answers(parameters() + kNew + messages("ZI"));
  with.gets(messages("1") + parameters() + kNew + messages("ZI"));
  with.client(1).on_server(2).runs("x", 1);
}

TEST_CASE("a Describe is answered so, too") {
  RelayConversation with;
  told(with);
  with.on_server(2).sends(describe("x") + sync()).server_gets(asked(1));
  SUBCASE("the same rows") {
    with.server_answers(messages("1") + parameters() + kOld).gets_nothing_yet();
    with.server_gets(describe("tidepool_1") + sync());
    with.server_answers(parameters() + kOld + messages("ZI")).gets(parameters() + kOld + messages("ZI"));
  }
  SUBCASE("others") {
    with.server_answers(messages("1") + parameters() + kNew).gets_nothing_yet();
    with.server_gets(describe(kNobody) + sync());
    with.server_answers(unknown(kNobody) + messages("ZI")).gets(kOtherRows + messages("ZI"));
  }
}

// -- Told by a portal

TEST_CASE("a portal's first description tells, but what is compared is that of its statement") {
  RelayConversation with;
  const std::string of_portal = rows({{"a, as its plan has it", 23, 4}});
  with.begin().has_prepared("x", kText, 1);
  for (const std::string_view portal : {"", "portal"}) {
    CAPTURE(portal);
    const bool first = portal.empty();
    const auto use = [&](const std::string& name, const std::string& question) {
      return bind_to(name, {}, portal) + question + describe_portal(portal) + execute(portal) + sync();
    };
    with.sends(use("x", "")).server_gets(use("tidepool_1", first ? describe("tidepool_1") : ""));
    const std::string description = first ? parameters() + kOld : "";
    with.server_answers(messages("2")).server_answers(description).server_answers(of_portal);
    with.server_answers(messages("DCZI")).gets(messages("2") + of_portal + messages("DCZI"));
  }
  with.on_server(2);
  SUBCASE("the same rows") {
    asks_and_goes_on(with);
  }
  SUBCASE("others") {
    asks_and_is_refused(with, kNew);
  }
}

TEST_CASE("a portal of a statement whose rows are known there tells without a question") {
  RelayConversation with;
  told(with);
  with.client(2).on_server(1);
  with.sends(parse("y", kText) + bind_to("y") + describe_portal() + sync())
      .server_gets(bind_to("tidepool_1") + describe_portal() + sync())
      .server_answers(messages("2TZI"))
      .gets(messages("12TZI"));
  with.on_server(2).sends(run("y")).server_gets(asked(1));
  with.server_answers(messages("1") + parameters() + kNew);
  with.server_gets(bind_to(kNobody) + execute() + sync());
  with.server_answers(unknown(kNobody) + messages("ZI")).gets(kOtherRows + messages("ZI"));
}

TEST_CASE("a portal of another statement, or one that was executed, tells nothing of the last one bound") {
  RelayConversation with;
  with.begin().has_prepared("x", kText, 1).has_prepared("y", "select 2", 2);
  const auto all = [](std::string_view x, std::string_view y) {
    return bind_to(x, {}, "of x") + bind_to(y) + describe_portal("of x") + execute() + describe_portal() +
           sync();
  };
  with.sends(all("x", "y")).server_gets(all("tidepool_1", "tidepool_2"));
  with.server_answers(messages("22TDCTZI")).gets(messages("22TDCTZI"));
}

TEST_CASE("a Describe that fails, or is skipped, has told nothing") {
  RelayConversation with;
  with.begin().has_prepared("x", kText, 1);
  SUBCASE("of the statement") {
    with.sends(describe("x") + sync()).server_gets(describe("tidepool_1") + sync());
    with.server_answers(messages("EZI")).gets(messages("EZI"));
  }
  SUBCASE("of a portal") {
    with.sends(bind_to("x") + describe_portal() + sync());
    with.server_gets(bind_to("tidepool_1") + describe("tidepool_1") + describe_portal() + sync());
    with.server_answers(messages("EZI")).gets(messages("EZI"));
  }
  with.on_server(2).sends(run("x")).server_gets(parse("tidepool_1", kText) + run("tidepool_1"));
  with.server_answers(messages("12DCZI")).gets(messages("2DCZI"));
}

// -- In batches and transactions

TEST_CASE("in a pipeline what is in front is answered first, and what is behind follows") {
  RelayConversation with;
  told(with);
  with.on_server(2).sends(parse("z", "select 1") + bind_to("z") + execute() + run("x") + query("select 2"));
  with.server_gets(parse("tidepool_1", "select 1") + bind_to("tidepool_1") + execute() + asked(2));
  with.server_answers(messages("12DC1")).gets(messages("12DC"));
  with.server_answers(parameters()).gets_nothing_yet().server_gets("");
  SUBCASE("the same rows") {
    with.server_answers(kOld).server_gets(run("tidepool_2") + query("select 2"));
    with.server_answers(messages("2DCZITDCZI")).gets(messages("2DCZITDCZI"));
  }
  SUBCASE("others") {
    with.server_answers(kNew).server_gets(bind_to(kNobody) + execute() + sync() + query("select 2"));
    with.server_answers(unknown(kNobody) + messages("ZITDCZI")).gets(kOtherRows + messages("ZITDCZI"));
  }
}

TEST_CASE("a Sync that is on its way is not what the question waits for") {
  RelayConversation with;
  told(with);
  with.on_server(2).sends(query("select 1") + run("x"));
  with.server_gets(query("select 1") + asked(1));
  with.server_answers(messages("TDCZI")).gets(messages("TDCZI")).server_gets("");
  with.server_answers(messages("1") + parameters() + kOld).server_gets(run("tidepool_1"));
  with.server_answers(messages("2DCZI")).gets(messages("2DCZI"));
}

TEST_CASE("in a transaction the refusal fails it") {
  RelayConversation with;
  told(with);
  with.on_server(2).as_it_is(query("begin")).server_answers(tag("BEGIN") + messages("ZT"));
  with.gets(tag("BEGIN") + messages("ZT"));
  with.sends(run("x")).server_gets(asked(1)).server_answers(messages("1") + parameters() + kNew);
  with.server_gets(bind_to(kNobody) + execute() + sync());
  with.server_answers(unknown(kNobody) + messages("ZE")).gets(kOtherRows + messages("ZE"));
  // What is there is left to the server in a failed one: it says so, or there are no rows.
  with.sends(run("x")).server_gets(run("tidepool_1"));
  with.server_answers(messages("EZE")).gets(messages("EZE"));
  with.as_it_is(query("rollback")).server_answers(tag("ROLLBACK") + messages("ZI"));
  with.gets(tag("ROLLBACK") + messages("ZI"));
}

TEST_CASE("a question that fails is the client's error, and its batch is skipped") {
  RelayConversation with;
  told(with);
  const std::string gone = error("42P01", "relation \"t\" does not exist");
  with.on_server(2).sends(run("x")).server_gets(asked(1));
  with.server_answers(gone).gets(gone).server_gets(run("x"));
  with.server_answers(messages("ZI")).gets(messages("ZI"));
  // Nothing was prepared.
  with.sends(run("x")).server_gets(asked(2)).server_answers(messages("1") + parameters() + kOld);
  with.server_gets(run("tidepool_2")).server_answers(messages("2DCZI")).gets(messages("2DCZI"));
}

TEST_CASE("an error in front of the question skips it, with all that is behind") {
  RelayConversation with;
  told(with);
  with.on_server(2).sends(bind_to("nothing") + run("x"));
  with.server_gets(bind_to("nothing") + asked(1));
  with.server_answers(unknown("nothing")).gets(unknown("nothing")).server_gets(run("x"));
  with.server_answers(messages("ZI")).gets(messages("ZI"));
  with.sends(run("x")).server_gets(asked(2)).server_answers(messages("1") + parameters() + kOld);
  with.server_gets(run("tidepool_2")).server_answers(messages("2DCZI")).gets(messages("2DCZI"));
}

TEST_CASE("what a client is being told counts where the copy that tells it had to go meanwhile") {
  RelayConversation with;
  with.begin();
  with.of_client().max_prepared_statements = 1;
  with.has_prepared("x", kText, 1);
  with.sends(describe("x") + parse("y", "select 2") + run("x"))
      .server_gets(describe("tidepool_1") + close("tidepool_1") + parse("tidepool_2", "select 2") +
                   close("tidepool_2") + asked(3));
  with.server_answers(parameters() + kOld + messages("3131") + parameters() + kNew)
      .gets(parameters() + kOld + messages("1"));
  with.server_gets(bind_to(kNobody) + execute() + sync());
  with.server_answers(unknown(kNobody) + messages("ZI")).gets(kOtherRows + messages("ZI"));
}

TEST_CASE("what was told of a statement whose Close is skipped counts") {
  RelayConversation with;
  with.begin().has_prepared("x", kText, 1);
  with.sends(describe("x") + bind_to("nothing") + close("x") + sync());
  with.server_gets(describe("tidepool_1") + bind_to("nothing") + sync());
  with.server_answers(parameters() + kOld + unknown("nothing") + messages("ZI"));
  with.gets(parameters() + kOld + unknown("nothing") + messages("ZI"));
  with.on_server(2);
  asks_and_is_refused(with, kNew);
}

TEST_CASE("what was told of an earlier statement of that name does not") {
  RelayConversation with;
  with.begin().has_prepared("x", kText, 1);
  with.sends(describe("x") + close("x") + parse("x", "select 2") + sync());
  with.server_gets(describe("tidepool_1") + parse("tidepool_2", "select 2") + sync());
  with.server_answers(parameters() + kOld + messages("1ZI"));
  with.gets(parameters() + kOld + messages("31ZI"));
  with.on_server(2).sends(run("x")).server_gets(parse("tidepool_1", "select 2") + run("tidepool_1"));
  with.server_answers(messages("12DCZI")).gets(messages("2DCZI"));
}

TEST_CASE(
    "a text is parsed under its own settings for the question, too, which an unsure session asks once") {
  RelayConversation with(RelayConversation::Pieces::Whole);
  told(with);
  with.on_server(2);
  with.of_client().watch.note_everything("a SET of who knows what");
  asks_and_goes_on(with);
  with.of_client().watch.answered({});
}

// -- Servers that are given up, clients that leave

TEST_CASE("who leaves while the relay asks leaves nothing that is asked") {
  RelayConversation with;
  told(with);
  with.on_server(2).sends(run("x")).server_gets(asked(1));
  SUBCASE("before any answer") {}
  SUBCASE("within the description") {
    with.server_answers(messages("1") + parameters() + kOld.substr(0, kOld.size() - 3));
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
  told(with);
  with.on_server(2).sends(run("x")).server_gets(asked(1));
  with.of_server().relay.take_back(with.of_client().statements);
  CHECK_FALSE(with.of_server().relay.asks());
  static_cast<void>(with.of_server().leave());
  with.of_client().pending.clear();
  with.on_server(3);
  asks_and_is_refused(with, kNew);
}

}  // namespace
}  // namespace tidepool::session
