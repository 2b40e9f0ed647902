#include "lib/session/session_trace.h"

#include <doctest/doctest.h>

#include <string>

namespace tidepool::session {
namespace {

bool after_tag(std::string_view tag) {
  SessionTrace trace;
  trace.command_completed(std::string(tag) + '\0');
  return trace.is_found();
}

TEST_CASE("what commands leave behind is seen by their tags") {
  for (std::string_view tag :
       {"SELECT 1", "INSERT 0 1", "UPDATE 2", "DELETE 3", "BEGIN", "COMMIT", "ROLLBACK", "FETCH 1", "COPY 7",
        "SHOW", "SAVEPOINT", "RELEASE", "MERGE 1", "START TRANSACTION", "VACUUM"})
    CHECK_FALSE_MESSAGE(after_tag(tag), tag);
  for (std::string_view tag :
       {"SET", "RESET", "DISCARD ALL", "LISTEN", "PREPARE", "CREATE TABLE", "CREATE TABLE AS", "LOAD", "DO",
        "CALL", "CREATE VIEW", "PREPARE TRANSACTION", "", "whatever"})
    CHECK_MESSAGE(after_tag(tag), tag);
}

TEST_CASE("statements with a name and functions are seen, unnamed ones leave nothing") {
  const auto after = [](char type, std::string_view body) {
    SessionTrace trace;
    trace.client_sent(type, body);
    return trace.is_found();
  };
  using namespace std::string_view_literals;
  CHECK(after('P', "s1\0select 1\0\0\0"sv));
  CHECK(after('P', ""));  // its name is not there yet
  CHECK(after('F', "1234"));
  CHECK_FALSE(after('P', "\0select 1\0\0\0"sv));
  for (char type : {'Q', 'B', 'E', 'D', 'C', 'S', 'H', 'd'}) CHECK_FALSE(after(type, "x"));
}

TEST_CASE("temporary objects may be behind functions, triggers and what names them") {
  const auto after = [](std::string_view text, std::string_view tag) {
    SessionTrace trace;
    trace.client_sent('Q', std::string(text) + '\0');
    trace.command_completed(std::string(tag) + '\0');
    return trace.may_have_temporary();
  };
  CHECK(after("select f()", "SELECT 1"));
  CHECK(after("select 1 into tEmP t", "SELECT 1"));
  CHECK(after("table pg_temp.t", "SELECT 1"));
  CHECK(after("insert into t values", "INSERT 0 1"));
  CHECK(after("execute p", "CREATE TABLE"));
  for (std::string_view tag : {"SELECT 1", "BEGIN", "COMMIT", "ROLLBACK", "SHOW", "SET", "RESET"})
    CHECK_FALSE_MESSAGE(after("select a from t where b = 7", tag), tag);
  SessionTrace function;
  function.client_sent('F', "1234");
  CHECK(function.may_have_temporary());
}

TEST_CASE("a parameter that changed is a trace, and a trace stays") {
  SessionTrace trace;
  CHECK_FALSE(trace.is_found());
  trace.parameter_changed();
  trace.command_completed("SELECT 1");
  CHECK(trace.is_found());
}

TEST_CASE("what no statement undoes is seen in texts, and by the tag of LOAD") {
  const auto lasts = [](std::string_view text) {
    SessionTrace query, parse;
    query.client_sent('Q', std::string(text) + '\0');
    parse.client_sent('P', std::string("name\0", 5) + std::string(text) + std::string("\0\0\0", 3));
    CHECK(query.lasts() == parse.lasts());
    return query.lasts();
  };
  for (std::string_view text :
       {"select setseed(0.5)", "SELECT SetSeed(0.5)", "set seed = 0.5", "SET SEED TO 0.5",
        "select dblink_connect('a')", "select public.DBLINK_CONNECT_u('a', 'b')",
        "select 1; select setseed(1)", "select set_config('seed', '1', false)"})
    CHECK_MESSAGE(lasts(text), text);
  for (std::string_view text : {"", "s", "select 1", "select seed from plants", "select 'setseed(0.5)'",
                                "select * from dblink('a', 'b') t(a int)",
                                "select a from t where b between 1 and 2 and speed > 3 -- setseed(1)"})
    CHECK_FALSE_MESSAGE(lasts(text), text);
  SessionTrace loads;
  loads.command_completed(std::string("LOAD") + '\0');
  CHECK(loads.lasts());
  SessionTrace broken;
  broken.client_sent('P', "");
  broken.client_sent('P', "setseed");
  broken.client_sent('Q', "");
  CHECK_FALSE(broken.lasts());
}

}  // namespace
}  // namespace tidepool::session
