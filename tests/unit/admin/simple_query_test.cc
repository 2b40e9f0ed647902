#include "tests/unit/admin/console_conversation.h"

using namespace tidepool;
using namespace tidepool::admin;

namespace {

const std::string kVersionTable =
    "RowDescription 1 \"version\" 0 0 25 -1 -1 0\n"
    "DataRow 1 \"tidepool 0.1.0\"\n"
    "CommandComplete \"SHOW\"\n";
const std::string kIdle = "ReadyForQuery I\n";
const std::string kInTransaction = "ReadyForQuery T\n";
const std::string kFailed = "ReadyForQuery E\n";

std::string complete(const std::string& tag) {
  return "CommandComplete \"" + tag + "\"\n";
}

std::string error(const std::string& sqlstate, const std::string& message) {
  return "ErrorResponse S \"ERROR\" V \"ERROR\" C \"" + sqlstate + "\" M \"" + message + "\"\n";
}

std::string notice(const std::string& severity, const std::string& sqlstate, const std::string& message) {
  return "NoticeResponse S \"" + severity + "\" V \"" + severity + "\" C \"" + sqlstate + "\" M \"" +
         message + "\"\n";
}

}  // namespace

TEST_CASE("a SHOW command answers with its table") {
  CHECK(talk(query("SHOW VERSION")) == kVersionTable + kIdle);
}

TEST_CASE("case, blanks, comments, quotes and a semicolon do not matter") {
  for (const char* sql :
       {"show version", "  Show\n\tVersion ; ", "SHOW VERSION;;", "SHOW /* which /* one */ ? */ VERSION",
        "-- hello\nSHOW VERSION -- bye", "\"show\" \"version\"", "SELECT version", "/**/select VERSION;"})
    CHECK(talk(query(sql)) == kVersionTable + kIdle);
}

TEST_CASE("an unknown command is refused in PgBouncer's words") {
  for (const char* sql :
       {"SHOW FOO", "show", "PAUSE", "RELOAD now", "SHOW POOLS orders", "SHUTDOWN WAIT_FOR_NOTHING",
        "SET max_size = 5", "RECONNECT a b", "'SHOW' POOLS", "ROLLBACK AND CHAIN", "x"})
    CHECK(talk(query(sql)) ==
          error("42601", "invalid command '" + std::string(sql) + "', use SHOW HELP;") + kIdle);
  CHECK(talk(query("  show foo ; ")) ==
        error("42601", "invalid command 'show foo ;', use SHOW HELP;") + kIdle);
  CHECK(talk(query("SHOW 'FOO")) == error("42601", "invalid command 'SHOW 'FOO', use SHOW HELP;") + kIdle);
}

TEST_CASE("a long unknown command is cut between two characters") {
  std::string sql = "x";
  while (sql.size() < 2000) sql += "\xc3\xa9";
  const std::string answer = [&] {
    ConsoleConversation with;
    with.receive(query(sql));
    return with.written();
  }();
  CHECK(answer.find("\\xc3', use SHOW HELP") == std::string::npos);
  CHECK(answer.find("\\xc3\\xa9', use SHOW HELP") != std::string::npos);
}

TEST_CASE("an empty query has an EmptyQueryResponse") {
  for (const char* sql : {"", " ", ";", " ; ;", "-- nothing", "/* nothing */"})
    CHECK(talk(query(sql)) == "EmptyQueryResponse\n" + kIdle);
}

TEST_CASE("several statements in one query are answered in order") {
  CHECK(talk(query("RELOAD; SHOW VERSION; RECONNECT")) == "-> reload\n" + complete("RELOAD") + kVersionTable +
                                                              "-> reconnect ''\n" + complete("RECONNECT") +
                                                              kIdle);
}

TEST_CASE("if one of several statements is unknown, none runs") {
  CHECK(talk(query("RELOAD; SHOW FOO;")) ==
        error("42601", "invalid command 'SHOW FOO;', use SHOW HELP;") + kIdle);
}

TEST_CASE("what follows a statement that fails is not run") {
  CHECK(talk(query("RECONNECT nix; SHOW VERSION")) == error("3D000", "no such database: nix") + kIdle);
}

TEST_CASE("queries that are sent without waiting are answered in order") {
  CHECK(talk(Client().query("RELOAD").query("SHOW VERSION").query("")) ==
        "-> reload\n" + complete("RELOAD") + kIdle + kVersionTable + kIdle + "EmptyQueryResponse\n" + kIdle);
}

TEST_CASE("RELOAD, RECONNECT and SHUTDOWN are done by the shell, whose word is the answer") {
  CHECK(talk(query("RELOAD;")) == "-> reload\n" + complete("RELOAD") + kIdle);
  CHECK(talk(query("SHUTDOWN")) == "-> shutdown\n" + complete("SHUTDOWN") + kIdle);
  for (const char* words : {"shutdown wait_for_clients;", "SHUTDOWN WAIT_FOR_SERVERS"})
    CHECK(talk(query(words)) == "-> shutdown, drained\n" + complete("SHUTDOWN") + kIdle);
  CHECK(talk(query("RECONNECT")) == "-> reconnect ''\n" + complete("RECONNECT") + kIdle);
  const base::Error bad_file{"F0000", "pools.orders.min_size: is 5, would be right: at most max_size (4)"};
  CHECK(talk(query("RELOAD"), bad_file) == "-> reload\n" + error("F0000", bad_file.message) + kIdle);
}

TEST_CASE("RECONNECT takes a pool by its exact name") {
  CHECK(talk(query("RECONNECT orders")) == "-> reconnect 'orders'\n" + complete("RECONNECT") + kIdle);
  CHECK(talk(query("reconnect \"report\";")) == "-> reconnect 'report'\n" + complete("RECONNECT") + kIdle);
  CHECK(talk(query("RECONNECT Orders")) == error("3D000", "no such database: Orders") + kIdle);
  CHECK(talk(query("RECONNECT \"a \"\"b\"\"\"")) == error("3D000", "no such database: a \\\"b\\\"") + kIdle);
}

TEST_CASE("SHOW HELP is a NOTICE and no table") {
  CHECK(talk(query("SHOW HELP")) ==
        "NoticeResponse S \"NOTICE\" V \"NOTICE\" C \"00000\" M \"Console usage\" D \"\\x0a\\x09SHOW "
        "HELP|CLIENTS|CONFIG|DATABASES|LISTS|PINS|POOLS|POOL_STATS|SERVERS|STATS|"
        "VERSION\\x0a\\x09RELOAD\\x0a\\x09RECONNECT "
        "[<pool>]\\x0a\\x09SHUTDOWN [WAIT_FOR_CLIENTS]\"\n" +
            complete("SHOW") + kIdle);
}

TEST_CASE("the variables that psql and drivers look at have fixed values") {
  const auto value = [](const std::string& name, const std::string& shown, const std::string& is) {
    return "RowDescription 1 \"" + name + "\" 0 0 25 -1 -1 0\nDataRow 1 \"" + is + "\"\nCommandComplete \"" +
           shown + "\"\n" + kIdle;
  };
  CHECK(talk(query("SHOW client_encoding")) == value("client_encoding", "SHOW", "UTF8"));
  CHECK(talk(query("show datestyle;")) == value("DateStyle", "SHOW", "ISO, MDY"));
  CHECK(talk(query("SHOW TimeZone")) == value("TimeZone", "SHOW", "UTC"));
  CHECK(talk(query("SHOW TIME ZONE")) == value("TimeZone", "SHOW", "UTC"));
  CHECK(talk(query("SHOW default_transaction_isolation")) ==
        value("default_transaction_isolation", "SHOW", "read committed"));
  CHECK(talk(query("show transaction isolation level")) ==
        value("transaction_isolation", "SHOW", "read committed"));
  CHECK(talk(query("SHOW standard_conforming_strings")) ==
        value("standard_conforming_strings", "SHOW", "on"));
  CHECK(talk(query("SHOW transaction_read_only")) == value("transaction_read_only", "SHOW", "off"));
  CHECK(talk(query("select pg_catalog.version()")) ==
        value("version", "SELECT 1", "PostgreSQL 15.0 (tidepool 0.1.0)"));
}

TEST_CASE("setting a client variable is accepted and ignored, with a NOTICE") {
  for (const char* sql :
       {"SET datestyle TO 'ISO'", "set client_encoding = utf8;", "SET SESSION extra_float_digits = 3",
        "SET search_path TO a, \"b\"", "SET NAMES 'UTF8'", "SET TIME ZONE 'Europe/Berlin'",
        "SET LOCAL \"timezone\" TO DEFAULT", "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"})
    CHECK(talk(query(sql)) == notice("NOTICE", "00000", "SET ignored") + complete("SET") + kIdle);
  CHECK(talk(query("RESET timezone")) ==
        notice("NOTICE", "00000", "RESET ignored") + complete("RESET") + kIdle);
}

TEST_CASE("a transaction block has PostgreSQL's tags and status") {
  CHECK(talk(Client().query("BEGIN").query("SHOW VERSION").query("COMMIT")) ==
        complete("BEGIN") + kInTransaction + kVersionTable + kInTransaction + complete("COMMIT") + kIdle);
  CHECK(talk(Client()
                 .query("start transaction isolation level read committed, read only")
                 .query("ABORT WORK")) ==
        complete("START TRANSACTION") + kInTransaction + complete("ROLLBACK") + kIdle);
  CHECK(talk(query("BEGIN; SHOW VERSION; END")) ==
        complete("BEGIN") + kVersionTable + complete("COMMIT") + kIdle);
}

TEST_CASE("after an error in a transaction block only its end is accepted") {
  const std::string aborted =
      error("25P02", "current transaction is aborted, commands ignored until end of transaction block");
  CHECK(
      talk(Client().query("BEGIN").query("RECONNECT nix").query("SHOW VERSION").query("").query("COMMIT")) ==
      complete("BEGIN") + kInTransaction + error("3D000", "no such database: nix") + kFailed + aborted +
          kFailed + "EmptyQueryResponse\n" + kFailed + complete("ROLLBACK") + kIdle);
}

TEST_CASE("what does not fit the transaction's state is a WARNING") {
  CHECK(talk(Client().query("COMMIT").query("BEGIN").query("BEGIN")) ==
        notice("WARNING", "25P01", "there is no transaction in progress") + complete("COMMIT") + kIdle +
            complete("BEGIN") + kInTransaction +
            notice("WARNING", "25001", "there is already a transaction in progress") + complete("BEGIN") +
            kInTransaction);
}

TEST_CASE("savepoints can be set, released and rolled back to") {
  CHECK(talk(Client()
                 .query("BEGIN; SAVEPOINT a; SAVEPOINT \"B\"; RELEASE a")
                 .query("ROLLBACK TO \"B\"")
                 .query("ROLLBACK")) == complete("BEGIN") + complete("SAVEPOINT") + complete("SAVEPOINT") +
                                            complete("RELEASE") + kInTransaction +
                                            error("3B001", "savepoint \\\"B\\\" does not exist") + kFailed +
                                            complete("ROLLBACK") + kIdle);
  CHECK(talk(Client()
                 .query("BEGIN; SAVEPOINT a")
                 .query("x")
                 .query("ROLLBACK WORK TO SAVEPOINT a")
                 .query("COMMIT")) == complete("BEGIN") + complete("SAVEPOINT") + kInTransaction +
                                          error("42601", "invalid command 'x', use SHOW HELP;") + kFailed +
                                          complete("ROLLBACK") + kInTransaction + complete("COMMIT") + kIdle);
  CHECK(talk(query("SAVEPOINT a")) ==
        error("25P01", "SAVEPOINT can only be used in transaction blocks") + kIdle);
}

TEST_CASE("a driver's clean-up between two users of a connection is accepted") {
  CHECK(talk(query("SELECT pg_advisory_unlock_all();\nCLOSE ALL;\nUNLISTEN *;\nRESET ALL;")) ==
        "RowDescription 1 \"pg_advisory_unlock_all\" 0 0 2278 4 -1 0\nDataRow 1 \"\"\n" +
            complete("SELECT 1") + complete("CLOSE CURSOR ALL") + complete("UNLISTEN") + complete("RESET") +
            kIdle);
  CHECK(talk(query("DISCARD ALL")) == complete("DISCARD ALL") + kIdle);
  CHECK(talk(query("DEALLOCATE ALL")) == complete("DEALLOCATE ALL") + kIdle);
}

TEST_CASE("a query with bytes behind its end, or without one, is an error and no more") {
  CHECK(talk(Client().message('Q', "SHOW VERSION").query("SHOW VERSION")) ==
        error("08P01", "invalid message format") + kIdle + kVersionTable + kIdle);
  CHECK(talk(Client().message('Q', std::string_view("SHOW VERSION\0x", 14))) ==
        error("08P01", "invalid message format") + kIdle);
}

TEST_CASE("function calls are refused, and messages of a COPY ignored") {
  CHECK(talk(Client()
                 .message('F', "whatever")
                 .message('d', "data")
                 .message('c', "")
                 .message('f', "x")
                 .query("")) == error("0A000", "function calls are not supported by the console") + kIdle +
                                    "EmptyQueryResponse\n" + kIdle);
}

TEST_CASE("Terminate closes, and nothing behind it is answered") {
  CHECK(talk(Client().query("").terminate().query("SHOW VERSION")) ==
        "EmptyQueryResponse\n" + kIdle + "-> close\n");
}

TEST_CASE("a message that is too long, impossibly short or of no known type ends the conversation") {
  const auto fatal = [](const std::string& message) {
    return "ErrorResponse S \"FATAL\" V \"FATAL\" C \"08P01\" M \"" + message + "\"\n-> close\n";
  };
  CHECK(talk(std::string("Q\0\1\0\1", 5)) ==
        fatal("invalid message length 65537 (the console's limit is 65536)"));
  CHECK(talk(std::string("Q\0\0\0\3", 5)) ==
        fatal("invalid message length 3 (the console's limit is 65536)"));
  CHECK(talk(Client().message('p', "secret").query("SHOW VERSION")) ==
        fatal("invalid frontend message type 112"));
}

TEST_CASE("bytes that come while a command waits are kept, up to a limit") {
  Console console;
  std::string out;
  CHECK(std::holds_alternative<NeedSnapshot>(console.receive(query("SHOW VERSION"), out)));
  CHECK(std::holds_alternative<NeedMore>(console.receive(query("RELOAD"), out)));
  CHECK(out.empty());
  SUBCASE("they are answered when it is done") {
    CHECK(std::holds_alternative<DoReload>(console.resume(two_pools(), out)));
    CHECK(std::holds_alternative<NeedMore>(console.resume(base::Status(base::Done{}), out)));
    CHECK(wire::trace_server(out) == kVersionTable + kIdle + complete("RELOAD") + kIdle);
  }
  SUBCASE("too many of them end the conversation") {
    const std::string much = query(std::string(60000, ' '));
    bool closed = false;
    for (int i = 0; i < 5; ++i) closed = std::holds_alternative<CloseConsole>(console.receive(much, out));
    CHECK(closed);
    CHECK(wire::trace_server(out).find("C \"08P01\"") != std::string::npos);
    out.clear();
    CHECK(std::holds_alternative<CloseConsole>(console.resume(two_pools(), out)));
    CHECK(std::holds_alternative<CloseConsole>(console.receive(much, out)));
    CHECK(out.empty());
  }
}

TEST_CASE("the greeting tells what psql and drivers look at") {
  std::string out;
  Console::append_parameters(out, "tidepool 0.1.0", "psql");
  CHECK(wire::trace_server(out) ==
        "ParameterStatus \"server_version\" \"15.0 (tidepool 0.1.0)\"\n"
        "ParameterStatus \"application_name\" \"psql\"\n"
        "ParameterStatus \"client_encoding\" \"UTF8\"\n"
        "ParameterStatus \"DateStyle\" \"ISO, MDY\"\n"
        "ParameterStatus \"default_transaction_read_only\" \"off\"\n"
        "ParameterStatus \"in_hot_standby\" \"off\"\n"
        "ParameterStatus \"integer_datetimes\" \"on\"\n"
        "ParameterStatus \"IntervalStyle\" \"postgres\"\n"
        "ParameterStatus \"is_superuser\" \"on\"\n"
        "ParameterStatus \"server_encoding\" \"UTF8\"\n"
        "ParameterStatus \"standard_conforming_strings\" \"on\"\n"
        "ParameterStatus \"TimeZone\" \"UTC\"\n");
}
