// What PostgreSQL makes of an application_name.
#include "lib/session/application_name.h"

#include <doctest/doctest.h>

#include "lib/session/startup_settings.h"

namespace tidepool::session {
namespace {

std::string times(std::string_view what, int count) {
  std::string text;
  while (count-- > 0) text += what;
  return text;
}

TEST_CASE("a long application_name is cut in whole characters of the database's encoding") {
  const struct {
    std::string name;
    std::string_view encoding;
    size_t kept;
  } kRows[] = {
      {times("x", 63), "UTF8", 63},
      {times("x", 64), "UTF8", 63},
      {times("ä", 40), "UTF8", 62},
      {"x" + times("ä", 40), "UTF8", 63},
      {times("ä", 40), "LATIN1", 63},
      {times("ä", 40), "SQL_ASCII", 63},
      {times("€", 30), "UTF8", 63},
      {"x" + times("€", 30), "UTF8", 61},
      {times("\xf0\x9f\x90\x98", 20), "UTF8", 60},
      {times("\x80", 70), "UTF8", 63},
      {times("\xa4\xa2", 40), "EUC_JP", 62},
      {times("\x8f\xa4\xa2", 30), "EUC_JP", 63},
      {times("\x8e\xa1\xa4\xa2", 20), "EUC_TW", 60},
      {times("\xa4\xa2", 40), "EUC_KR", 62},
  };
  for (const auto& row : kRows) {
    CAPTURE(row.name);
    CAPTURE(row.encoding);
    CHECK(clipped_name(row.name, row.encoding) == row.name.substr(0, row.kept));
  }
}

TEST_CASE(
    "letters of an application_name that are not ASCII become what the server's version makes of them") {
  CHECK(shown_application_name("a name", "15.4") == "a name");
  CHECK(shown_application_name("ä\x01~", "15.4 (Debian 15.4-1)") == "???~");
  CHECK(shown_application_name("ä\x01~", "9.6.24") == "???~");
  CHECK(shown_application_name("ä\x01~", "16.0") == "\\xc3\\xa4\\x01~");
  CHECK(shown_application_name("ä\x01~", "18beta1") == "\\xc3\\xa4\\x01~");
  CHECK(shown_application_name(times("ä", 31), "17.1") == times("ä", 31));
}

TEST_CASE("a long application_name is noticed, and one that is short enough is not") {
  std::string out;
  append_clipping_notice(times("x", 63), "UTF8", out);
  CHECK(out.empty());
  append_clipping_notice(times("x", 65), "UTF8", out);
  CHECK(out.find("42622") != std::string::npos);
  CHECK(out.find("identifier \"" + times("x", 65) + "\" will be truncated to \"" + times("x", 63) + "\"") !=
        std::string::npos);
}

TEST_CASE("whether a long application_name is noticed goes by the client_min_messages in front of it") {
  const std::string name = times("x", 65);
  const struct {
    const char* level;
    bool notices;
  } kRows[] = {{"debug5", true},   {"log", true},    {"Notice", true}, {"info", true},
               {"warning", false}, {"ERROR", false}, {"fatal", false}, {"panic", false}};
  for (const auto& row : kRows) {
    CAPTURE(row.level);
    StartupSettings before, behind;
    before.add("client_min_messages", row.level);
    before.add("application_name", name);
    CHECK(before.long_names.size() == (row.notices ? 1 : 0));
    behind.add("application_name", name);
    behind.add("Client_Min_Messages", row.level);
    CHECK(behind.long_names == std::vector<StartupSettings::LongName>{{name, 0}});
  }
  StartupSettings changed;
  changed.add("client_min_messages", "error");
  changed.add("client_min_messages", "notice");
  changed.add("application_name", name);
  CHECK(changed.long_names == std::vector<StartupSettings::LongName>{{name, 2}});
  StartupSettings twice;
  REQUIRE(add_options("-c application_name=" + name, twice));
  twice.add("application_name", name + "y");
  CHECK(twice.long_names == std::vector<StartupSettings::LongName>{{name, 0}, {name + "y", 0}});
  CHECK(twice.application_name == name + "y");
}

}  // namespace
}  // namespace tidepool::session
