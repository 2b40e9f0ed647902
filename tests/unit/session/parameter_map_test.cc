#include "lib/session/parameter_map.h"

#include <doctest/doctest.h>

#include "lib/base/bytes.h"
#include "lib/wire/trace.h"

using namespace std::string_literals;
using tidepool::session::ParameterMap;

namespace {

ParameterMap map_of(std::initializer_list<std::pair<const char*, const char*>> entries) {
  ParameterMap map;
  for (const auto& [name, value] : entries) map.set(name, value);
  return map;
}

}  // namespace

TEST_CASE("a parameter that is set again has its new value") {
  ParameterMap map = map_of({{"TimeZone", "UTC"}, {"DateStyle", "ISO, MDY"}});
  map.set("TimeZone", "Europe/Berlin");
  REQUIRE(map.find("TimeZone"));
  CHECK(*map.find("TimeZone") == "Europe/Berlin");
  CHECK(map.entries().size() == 2);
  CHECK(map.find("DateStyle"));
  CHECK_FALSE(map.find("datestyle"));  // names are the server's, letter for letter
  CHECK_FALSE(map.find(""));
}

TEST_CASE("two maps with the same parameters are equal, in whatever order they were set") {
  CHECK(map_of({{"a", "1"}, {"b", "2"}}) == map_of({{"b", "2"}, {"a", "1"}}));
  CHECK_FALSE(map_of({{"a", "1"}}) == map_of({{"a", "2"}}));
}

TEST_CASE("a ParameterStatus is applied if its body is whole, and otherwise changes nothing") {
  const std::string body = "TimeZone\0UTC\0"s;
  for (size_t size = 0; size < body.size(); ++size) {
    ParameterMap map;
    CHECK_FALSE(map.apply_status(body.substr(0, size)));
    CHECK(map.entries().empty());
  }
  ParameterMap map;
  CHECK(map.apply_status(body));
  CHECK(map == map_of({{"TimeZone", "UTC"}}));
  CHECK_FALSE(map.apply_status(body + "x"));
}

TEST_CASE("what a server may report is bounded, in names and in bytes") {
  ParameterMap many;
  for (size_t i = 0; i < ParameterMap::kMostReported; ++i)
    CHECK(many.report("name" + std::to_string(i), "v"));
  const uint64_t version = many.version();
  CHECK_FALSE(many.report("another", "v"));
  CHECK(many.find("another") == nullptr);
  CHECK(many.version() == version);
  CHECK(many.report("name7", "w"));
  CHECK(*many.find("name7") == "w");

  ParameterMap large;
  const std::string half(ParameterMap::kMostReportedBytes / 2 - 1, 'v');
  CHECK(large.report("a", half));
  CHECK(large.report("b", half));
  CHECK_FALSE(large.report("c", ""));
  CHECK_FALSE(large.report("b", half + "v"));
  CHECK_FALSE(large.apply_status("c\0\0"s));
  CHECK(large.report("b", half.substr(1)));
  CHECK(large.report("c", ""));
}

TEST_CASE("all parameters are told as ParameterStatus messages") {
  std::string out;
  map_of({{"b", "2"}, {"a", ""}}).append_all(out);
  CHECK(out == "S\0\0\0\7a\0\0S\0\0\0\10b\0002\0"s);
}

TEST_CASE("only what differs from what was told is told again") {
  const ParameterMap told = map_of({{"a", "1"}, {"b", "1"}, {"d", "1"}, {"e", "1"}});
  std::string out;
  map_of({{"a", "1"}, {"b", "2"}, {"c", "1"}, {"e", "1"}, {"f", "1"}}).append_differences(told, out);
  CHECK(tidepool::wire::trace_server(out) ==
        "ParameterStatus \"b\" \"2\"\n"
        "ParameterStatus \"c\" \"1\"\n"
        "ParameterStatus \"f\" \"1\"\n");
}
