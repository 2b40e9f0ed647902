#include <array>

#include "tests/unit/admin/console_conversation.h"

using namespace tidepool;
using namespace tidepool::admin;

namespace {

const std::string kDescription = "RowDescription 1 \"version\" 0 0 25 -1 -1 0\n";
const std::string kRow = "DataRow 1 \"tidepool 0.1.0\"\n";
const std::string kShown = "CommandComplete \"SHOW\"\n";
const std::string kIdle = "ReadyForQuery I\n";
const std::string kParsed = "ParseComplete\n";
const std::string kBound = "BindComplete\n";

std::string error(const std::string& sqlstate, const std::string& message) {
  return "ErrorResponse S \"ERROR\" V \"ERROR\" C \"" + sqlstate + "\" M \"" + message + "\"\n";
}

std::string u16(uint16_t value) {
  std::string bytes;
  base::append_u16(bytes, value);
  return bytes;
}

// A Bind of the unnamed statement to the unnamed portal, without parameters.
std::string bind_body(std::initializer_list<uint16_t> formats) {
  std::string body("\0\0\0\0\0\0", 6);
  body += u16(static_cast<uint16_t>(formats.size()));
  for (uint16_t format : formats) body += u16(format);
  return body;
}

}  // namespace

TEST_CASE("parse, bind, describe, execute, sync") {
  CHECK(talk(Client().parse("", "SHOW VERSION").bind("", "").describe('P', "").execute("").sync()) ==
        kParsed + kBound + kDescription + kRow + kShown + kIdle);
}

TEST_CASE("a statement is described without a snapshot") {
  Console console;
  std::string out;
  const std::string sent = Client().parse("s", "SHOW VERSION").describe('S', "s").flush();
  CHECK(std::holds_alternative<NeedMore>(console.receive(sent, out)));
  CHECK(wire::trace_server(out) == kParsed + "ParameterDescription 0\n" + kDescription);
}

TEST_CASE("a prepared statement runs as often as it is bound") {
  Client client;
  client.parse("s", "SHOW VERSION").sync();
  for (int i = 0; i < 2; ++i) client.bind("", "s").execute("").sync();
  CHECK(talk(client) == kParsed + kIdle + kBound + kRow + kShown + kIdle + kBound + kRow + kShown + kIdle);
}

TEST_CASE("a command without a table has no data") {
  CHECK(
      talk(
          Client().parse("", "RELOAD").describe('S', "").bind("", "").describe('P', "").execute("").sync()) ==
      kParsed + "ParameterDescription 0\nNoData\n" + kBound +
          "NoData\n-> reload\nCommandComplete \"RELOAD\"\n" + kIdle);
}

TEST_CASE("an empty statement is executed as PostgreSQL does") {
  CHECK(talk(Client().parse("", " ; ").describe('S', "").bind("", "").execute("").sync()) ==
        kParsed + "ParameterDescription 0\nNoData\n" + kBound + "EmptyQueryResponse\n" + kIdle);
}

TEST_CASE("after an error everything up to Sync is skipped") {
  CHECK(talk(Client()
                 .parse("", "SHOW FOO")
                 .bind("", "")
                 .query("RELOAD")
                 .message('F', "")
                 .message('p', "")
                 .flush()
                 .sync()
                 .query("SHOW VERSION")) == error("42601", "invalid command 'SHOW FOO', use SHOW HELP;") +
                                                kIdle + kDescription + kRow + kShown + kIdle);
  CHECK(talk(Client().parse("", "RECONNECT nix").bind("", "").execute("").execute("").sync()) ==
        kParsed + kBound + error("3D000", "no such database: nix") + kIdle);
}

TEST_CASE("a batch is skipped after an effect that failed") {
  CHECK(talk(Client().parse("", "RELOAD").bind("", "").execute("").execute("").sync(),
             base::Error{"F0000", "no"}) == kParsed + kBound + "-> reload\n" + error("F0000", "no") + kIdle);
}

TEST_CASE("names that do not exist, or exist already, have PostgreSQL's errors") {
  CHECK(talk(Client().bind("", "nix").sync()) ==
        error("26000", "prepared statement \\\"nix\\\" does not exist") + kIdle);
  CHECK(talk(Client().describe('S', "").sync()) ==
        error("26000", "unnamed prepared statement does not exist") + kIdle);
  CHECK(talk(Client().describe('P', "nix").sync()) ==
        error("34000", "portal \\\"nix\\\" does not exist") + kIdle);
  CHECK(talk(Client().execute("").sync()) == error("34000", "portal \\\"\\\" does not exist") + kIdle);
  CHECK(talk(Client().parse("s", "").parse("s", "").sync()) ==
        kParsed + error("42P05", "prepared statement \\\"s\\\" already exists") + kIdle);
  CHECK(talk(Client().parse("", "").parse("", "").bind("p", "").bind("p", "").sync()) ==
        kParsed + kParsed + kBound + error("42P03", "cursor \\\"p\\\" already exists") + kIdle);
}

TEST_CASE("Close forgets, and closing what is not there is no error") {
  CHECK(talk(Client().parse("s", "").close('S', "s").close('S', "s").close('P', "p").parse("s", "").sync()) ==
        kParsed + "CloseComplete\nCloseComplete\nCloseComplete\n" + kParsed + kIdle);
}

TEST_CASE("DEALLOCATE forgets a prepared statement, too") {
  CHECK(talk(Client().parse("s", "").sync().query("DEALLOCATE s").query("DEALLOCATE s")) ==
        kParsed + kIdle + "CommandComplete \"DEALLOCATE\"\n" + kIdle +
            error("26000", "prepared statement \\\"s\\\" does not exist") + kIdle);
}

TEST_CASE("portals end with the transaction, prepared statements do not") {
  CHECK(talk(Client()
                 .parse("s", "SHOW VERSION")
                 .bind("p", "s")
                 .sync()
                 .execute("p")
                 .sync()
                 .bind("p", "s")
                 .sync()) == kParsed + kBound + kIdle + error("34000", "portal \\\"p\\\" does not exist") +
                                 kIdle + kBound + kIdle);
  CHECK(talk(Client().query("BEGIN").parse("", "SHOW VERSION").bind("p", "").sync().execute("p").sync()) ==
        "CommandComplete \"BEGIN\"\nReadyForQuery T\n" + kParsed + kBound + "ReadyForQuery T\n" + kRow +
            kShown + "ReadyForQuery T\n");
}

TEST_CASE("a limit on rows suspends the portal, as often as it is met") {
  CHECK(talk(Client()
                 .query("BEGIN")
                 .parse("", "SHOW POOL_STATS")
                 .bind("", "")
                 .execute("", 1)
                 .execute("", 1)
                 .execute("", 1)
                 .execute("")
                 .sync()) == "CommandComplete \"BEGIN\"\nReadyForQuery T\n" + kParsed + kBound +
                                 "DataRow 18 \"orders\" \"0\" \"0\" \"0\" \"0\" \"0\" \"0\" \"0\" \"0\" "
                                 "\"0\" \"0\" \"0\" \"0\" \"0\" \"0\" \"0\" \"0\" \"0\"\n"
                                 "PortalSuspended\n"
                                 "DataRow 18 \"report\" \"0\" \"0\" \"0\" \"0\" \"0\" \"0\" \"0\" \"0\" "
                                 "\"0\" \"0\" \"0\" \"0\" \"0\" \"0\" \"0\" \"0\" \"0\"\n"
                                 "PortalSuspended\n" +
                                 kShown + kShown + "ReadyForQuery T\n");
}

TEST_CASE("a command without a table does not run twice") {
  CHECK(talk(Client().parse("", "RELOAD").bind("", "").execute("").execute("").sync()) ==
        kParsed + kBound + "-> reload\nCommandComplete \"RELOAD\"\n" +
            error("55000", "portal cannot be run again") + kIdle);
}

TEST_CASE("a prepared statement is one command") {
  CHECK(talk(Client().parse("", "RELOAD; RELOAD").sync()) ==
        error("42601", "cannot insert multiple commands into a prepared statement") + kIdle);
}

TEST_CASE("a failed transaction block accepts only what ends it") {
  const std::string aborted =
      error("25P02", "current transaction is aborted, commands ignored until end of transaction block");
  CHECK(talk(Client()
                 .query("BEGIN")
                 .parse("", "x")
                 .sync()
                 .parse("", "SHOW VERSION")
                 .sync()
                 .parse("", "ROLLBACK")
                 .bind("", "")
                 .execute("")
                 .sync()) == "CommandComplete \"BEGIN\"\nReadyForQuery T\n" +
                                 error("42601", "invalid command 'x', use SHOW HELP;") + "ReadyForQuery E\n" +
                                 aborted + "ReadyForQuery E\n" + kParsed + kBound +
                                 "CommandComplete \"ROLLBACK\"\n" + kIdle);
}

TEST_CASE("results are sent in the formats that were asked for") {
  ConsoleConversation with;
  with.snapshot.pools.resize(1);
  with.snapshot.users = 258;
  with.receive(Client().parse("", "SHOW LISTS"));
  with.receive(Client().message('B', bind_body({0, 1})).describe('P', "").execute("", 2));
  CHECK(with.written() == kParsed + kBound +
                              "RowDescription 2 \"list\" 0 0 25 -1 -1 0 \"items\" 0 0 23 4 -1 1\n"
                              "DataRow 2 \"databases\" \"\\x00\\x00\\x00\\x01\"\n"
                              "DataRow 2 \"users\" \"\\x00\\x00\\x01\\x02\"\n"
                              "PortalSuspended\n");
}

TEST_CASE("one format may stand for all columns") {
  CHECK(talk(Client()
                 .parse("", "SHOW VERSION")
                 .message('B', bind_body({1}))
                 .describe('P', "")
                 .execute("")
                 .sync()) ==
        kParsed + kBound + "RowDescription 1 \"version\" 0 0 25 -1 -1 1\n" + kRow + kShown + kIdle);
}

TEST_CASE("a Bind that does not fit its statement is refused") {
  CHECK(talk(Client().parse("", "SHOW VERSION").message('B', bind_body({1, 1})).sync()) ==
        kParsed + error("08P01", "bind message has 2 result formats but query has 1 columns") + kIdle);
  CHECK(talk(Client().parse("", "SHOW VERSION").message('B', bind_body({2})).sync()) ==
        kParsed + error("22023", "unsupported format code: 2") + kIdle);
  const std::array<wire::Value, 2> values = {"a", std::nullopt};
  CHECK(
      talk(Client().parse("s", "SHOW VERSION").bind("", "s", values).sync()) ==
      kParsed +
          error("08P01", "bind message supplies 2 parameters, but prepared statement \\\"s\\\" requires 0") +
          kIdle);
}

TEST_CASE("a driver's query with a parameter is described and answered") {
  const std::array<wire::Value, 1> hstore = {"hstore"};
  CHECK(talk(Client()
                 .parse("",
                        "SELECT typname AS name, oid, typarray AS array_oid,\n oid::regtype::text AS "
                        "regtype, typdelim AS "
                        "delimiter FROM pg_type t WHERE t.oid = to_regtype($1) ORDER BY t.oid")
                 .describe('S', "")
                 .bind("", "", hstore)
                 .execute("")
                 .sync()) == kParsed +
                                 "ParameterDescription 1 25\nRowDescription 5 \"name\" 0 0 25 -1 -1 0 "
                                 "\"oid\" 0 0 23 4 -1 0 \"array_oid\" 0 0 23 "
                                 "4 -1 0 \"regtype\" 0 0 25 -1 -1 0 \"delimiter\" 0 0 25 -1 -1 0\n" +
                                 kBound + "CommandComplete \"SELECT 0\"\n" + kIdle);
}

TEST_CASE("messages that cannot be read are errors") {
  const std::string invalid = error("08P01", "invalid message format") + kIdle;
  for (char type : {'P', 'B', 'D', 'E', 'C'}) {
    CHECK(talk(Client().message(type, "").sync()) == invalid);
    CHECK(talk(Client().message(type, "S").sync()) == invalid);
    CHECK(talk(Client().message(type, std::string("S\0\0\0\0\0\0\0\0\0\0\0\0x", 14)).sync()) == invalid);
  }
  CHECK(talk(Client().describe('x', "").sync()) ==
        error("08P01", "invalid DESCRIBE message subtype 120") + kIdle);
  CHECK(talk(Client().close('x', "").sync()) == error("08P01", "invalid CLOSE message subtype 120") + kIdle);
}

TEST_CASE("the number of prepared statements and portals is limited") {
  ConsoleConversation with;
  for (int i = 0; i < 256; ++i) with.receive(Client().parse(std::to_string(i), ""));
  CHECK(with.written().find("ErrorResponse") == std::string::npos);
  with.receive(Client().parse("one more", "").sync());
  CHECK(with.written().find("C \"53400\" M \"too many prepared statements") != std::string::npos);
  for (int i = 0; i < 257; ++i) with.receive(Client().bind(std::to_string(i), "1"));
  CHECK(with.written().find("C \"53400\" M \"too many portals") != std::string::npos);
}
