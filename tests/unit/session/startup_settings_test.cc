#include "lib/session/startup_settings.h"

#include <doctest/doctest.h>

using namespace tidepool;
using namespace tidepool::session;

namespace {

using Entries = std::vector<StartupSettings::Entry>;

StartupSettings of(std::string_view options) {
  StartupSettings settings;
  const base::Status status = add_options(options, settings);
  CAPTURE(options);
  CHECK(status);
  return settings;
}

std::string error_of(std::string_view options) {
  StartupSettings settings;
  const base::Status status = add_options(options, settings);
  CAPTURE(options);
  REQUIRE_FALSE(status);
  CHECK(status.error().sqlstate == "42601");
  return status.error().message;
}

TEST_CASE("settings written as options are the same settings, whatever is in them") {
  StartupSettings settings;
  settings.add("search_path", "\"$user\", \"a b\\c\", '--x'");
  settings.add("app.text", " tab\t line\n back\\slash -c x=y \xc3\x85 \xc2\xa0=");
  settings.add("work_mem", "");
  settings.add("role", "-x");
  StartupSettings again;
  REQUIRE(add_options(as_options(settings), again));
  CHECK(again == settings);
  CHECK(as_options({}) == "");
  StartupSettings one;
  one.add("TimeZone", "Europe/Berlin");
  one.add("app.x", "a b");
  CHECK(as_options(one) == "-c TimeZone=Europe/Berlin -c app.x=a\\ b");
}

TEST_CASE("names that options would make others of are refused in PostgreSQL's words") {
  const auto error_of = [](std::string_view name) {
    StartupSettings settings;
    settings.add(name, "1");
    const auto status = check_names(settings);
    return status ? "" : status.error().sqlstate + " " + status.error().message;
  };
  CHECK(error_of("work_mem") == "");
  CHECK(error_of("app.x$1") == "");
  CHECK(error_of("work-mem") == "42704 unrecognized configuration parameter \"work-mem\"");
  CHECK(error_of("a=b") == "42704 unrecognized configuration parameter \"a=b\"");
  CHECK(error_of("app.work-mem") == "42602 invalid configuration parameter name \"app.work-mem\"");
}

}  // namespace

TEST_CASE("settings keep their order, those of one name too") {
  StartupSettings settings;
  settings.add("DateStyle", "ISO");
  settings.add("geqo", "off");
  settings.add("datestyle", "German");
  CHECK(settings.entries == Entries{{"DateStyle", "ISO"}, {"geqo", "off"}, {"datestyle", "German"}});
  CHECK_FALSE(settings.application_name);
}

TEST_CASE("application_name is kept apart") {
  StartupSettings settings;
  settings.add("Application_Name", "psql");
  CHECK(settings.entries.empty());
  CHECK(settings.application_name == "psql");
  settings.add("application_name", "");
  CHECK(settings.application_name == "");
}

TEST_CASE("of long names, those in front of a setting that is refused have been told") {
  StartupSettings settings;
  const std::string name(65, 'a'), second(65, 'b');
  settings.add("work_mem", "1MB");
  settings.add("application_name", name);
  settings.add("TimeZone", "Nowhere");
  settings.add("application_name", second);
  settings.add("role", "Nobody");
  const auto told = [&](std::string message) {
    return long_names_before({"22023", std::move(message)}, settings).size();
  };
  CHECK(told("invalid value for parameter \"work_mem\": \"1MB\"") == 0);
  CHECK(told("invalid value for parameter \"timezone\": \"Nowhere\"") == 1);
  CHECK(told("role \"Nobody\" does not exist") == 2);
  settings.add("work_mem", "plenty");
  CHECK(told("invalid value for parameter \"work_mem\": \"plenty\"") == 2);
  CHECK(told("the database system is shutting down") == 0);
}

TEST_CASE("options are switches, split at white space") {
  CHECK(of("").entries.empty());
  CHECK(of("  \t\n").entries.empty());
  const Entries geqo{{"geqo", "off"}};
  CHECK(of("-c geqo=off").entries == geqo);
  CHECK(of("-cgeqo=off").entries == geqo);
  CHECK(of("--geqo=off").entries == geqo);
  CHECK(of(" \t-c\n geqo=off  ").entries == geqo);
  CHECK(of("-c geqo=on --geqo=off").entries == Entries{{"geqo", "on"}, {"geqo", "off"}});
  CHECK(of("-c geqo=off --").entries == geqo);
  CHECK(of("-c application-name=me").application_name == "me");
}

TEST_CASE("dashes in a name mean underscores, in a value themselves") {
  CHECK(of("--Search-Path=a-b").entries == Entries{{"Search_Path", "a-b"}});
  CHECK(of("-c a.b-c=1").entries == Entries{{"a.b_c", "1"}});
  CHECK(of("-c --geqo=off").entries ==
        Entries{{"__geqo", "off"}});  // unknown to PostgreSQL, and its own words say so
}

TEST_CASE("a value is all that follows the first equals sign") {
  CHECK(of("-c a=b=c").entries == Entries{{"a", "b=c"}});
  CHECK(of("-c a=").entries == Entries{{"a", ""}});
  CHECK(of("-c =off").entries == Entries{{"", "off"}});
  CHECK(of("-cgeqo=off-c").entries == Entries{{"geqo", "off-c"}});
}

TEST_CASE("a backslash takes the next character as it is") {
  CHECK(of("-c search_path=a,\\ b").entries == Entries{{"search_path", "a, b"}});
  CHECK(of("-c a=\\\\b").entries == Entries{{"a", "\\b"}});
  CHECK(of("-c\\ a=b").entries == Entries{{" a", "b"}});
  CHECK(of("-c geqo=off\\").entries == Entries{{"geqo", "off"}});
  CHECK(of("-c geqo\\=off").entries == Entries{{"geqo", "off"}});
}

TEST_CASE("the short switches of postgres stand for settings") {
  CHECK(of("-S 100").entries == Entries{{"work_mem", "100"}});
  CHECK(of("-eS100").entries == Entries{{"datestyle", "euro"}, {"work_mem", "100"}});
  CHECK(of("-ec geqo=off").entries == Entries{{"datestyle", "euro"}, {"geqo", "off"}});
  CHECK(of("-fs -f h").entries == Entries{{"enable_seqscan", "false"}, {"enable_hashjoin", "false"}});
  CHECK(of("-tpa -t executor").entries ==
        Entries{{"log_parser_stats", "true"}, {"log_executor_stats", "true"}});
  CHECK(of("-B 9").entries ==
        Entries{{"shared_buffers", "9"}});  // PostgreSQL says that this cannot be changed now
  CHECK(of("-T -E -n -j -r x -v3 -C x").entries.empty());
}

TEST_CASE("what PostgreSQL refuses is refused in its words") {
  CHECK(error_of("-c geqo") == "-c geqo requires a value");
  CHECK(error_of("--geqo off") == "--geqo requires a value");
  CHECK(error_of("--single") == "--single requires a value");
  const std::string invalid = "invalid command-line argument for server process: ";
  CHECK(error_of("-x") == invalid + "-x");
  CHECK(error_of("foo") == invalid + "foo");
  CHECK(error_of("-") == invalid + "-");
  CHECK(error_of("-c") == invalid + "-c");
  CHECK(error_of("-f") == invalid + "-f");
  CHECK(error_of("-f x") == invalid + "x");
  CHECK(error_of("-t xx") == invalid + "xx");
  CHECK(error_of("-c geqo=off x -e") == invalid + "x");
  CHECK(error_of("-c geqo=off -- -z") == invalid + "-z");
}

TEST_CASE("-d is refused: it changes several settings, for superusers") {
  CHECK(error_of("-d 3") == "invalid command-line argument for server process: -d");
}

TEST_CASE("a session's settings are equal if names, values and order are") {
  CHECK(of("-c a=1 -c b=2") == of("--a=1 --b=2"));
  CHECK_FALSE(of("-c a=1 -c b=2") == of("-c b=2 -c a=1"));
  CHECK_FALSE(of("-c application_name=x") == of(""));
}
