#include "daemon/login_trace.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace tidepool::daemon {
namespace {

using Names = std::vector<std::string>;

// A line as libpq writes it, with the length that such a message has on the wire.
std::string parameter(const std::string& name, const std::string& value) {
  const size_t length = 4 + name.size() + 1 + value.size() + 1;
  return "B\t" + std::to_string(length) + "\tParameterStatus\t \"" + name + "\" \"" + value + "\"\n";
}

const std::string kLogin =
    "F\t64\tUnknown message: length is 64\n"
    "F\t54\tUnknown message: 70\n"
    "mismatched message length: consumed 4, expected 54\n" +
    parameter("application_name", "a\"b?c") + parameter("client_encoding", "UTF8") +
    parameter("DateStyle", "ISO, MDY") +
    "B\t12\tBackendKeyData\t 9395 -1226977873\n"
    "B\t5\tReadyForQuery\t I\n";

TEST_CASE("a login's trace tells the parameters and the key") {
  const auto read = read_login_trace(kLogin);
  CHECK(read.parameter_names == Names{"application_name", "client_encoding", "DateStyle"});
  REQUIRE(read.key);
  CHECK(read.key->process_id == 9395);
  CHECK(read.key->secret == std::string("\xb6\xdd\xcd\xaf", 4));  // -1226977873
}

TEST_CASE("a trace that is cut off anywhere tells what is whole") {
  for (size_t size = 0; size <= kLogin.size(); ++size) {
    const auto read = read_login_trace(std::string_view(kLogin).substr(0, size));
    CHECK(read.parameter_names.size() <= 3);
    CHECK(read.key.has_value() == (size > kLogin.find("-1226977873\n") + 11));
  }
}

TEST_CASE("a value with quotes and newlines ends where its message's length says") {
  const std::string value = "x\"\nB\t12\tBackendKeyData\t 1 2\nB\t9\tParameterStatus\t \"evil\" \"\"\n\" \"";
  const auto read = read_login_trace(parameter("search_path", value) + parameter("TimeZone", "UTC") +
                                     "B\t12\tBackendKeyData\t 4711 7\n");
  CHECK(read.parameter_names == Names{"search_path", "TimeZone"});
  REQUIRE(read.key);
  CHECK(read.key->process_id == 4711);
}

TEST_CASE("an empty value and a value in UTF-8 are read") {
  const auto read =
      read_login_trace(parameter("application_name", "") + parameter("a.b", "f\xc3\xbcr \xe2\x82\xac"));
  CHECK(read.parameter_names == Names{"application_name", "a.b"});
}

TEST_CASE("a parameter that is reported twice is named once") {
  const auto read = read_login_trace(parameter("is_superuser", "on") + parameter("is_superuser", "off"));
  CHECK(read.parameter_names == Names{"is_superuser"});
}

TEST_CASE("the first key counts") {
  const auto read = read_login_trace("B\t12\tBackendKeyData\t 1 2\nB\t12\tBackendKeyData\t 3 4\n");
  REQUIRE(read.key);
  CHECK(read.key->process_id == 1);
}

TEST_CASE("what the client sent is not taken for the server's") {
  const auto read =
      read_login_trace("F\t12\tBackendKeyData\t 1 2\nF\t14\tParameterStatus\t \"abc\" \"defg\"\n");
  CHECK(read.parameter_names.empty());
  CHECK_FALSE(read.key);
}

TEST_CASE("the notation of libpq 18 for long keys is read") {
  const auto read = read_login_trace("B\t15\tBackendKeyData\t 4711 'a\\x00'\\\\xff\\x0ax'\n");
  REQUIRE(read.key);
  CHECK(read.key->process_id == 4711);
  CHECK(read.key->secret == std::string("a\0'\\\xff\nx", 7));
}

TEST_CASE("a long key that could be read in two ways is not read") {
  // Four printable bytes that look like one that is not.
  CHECK_FALSE(read_login_trace("B\t12\tBackendKeyData\t 4711 '\\x00'\n").key);
}

TEST_CASE("lines that are no messages are passed over") {
  const std::string key = "B\t12\tBackendKeyData\t 4711 7\n";
  for (const char* line :
       {"", "\n", "B\n", "B\t\n", "B\t3\tParameterStatus\t\n", "B\t99\tParameterStatus\t \"a\" \"b\"\n",
        "B\t4\tParameterStatus\t \n", "B\t5\tParameterStatus\t \"\n", "B\t99999999999\tX\t\n",
        "B\t12\tBackendKeyData\t x y\n", "B\t12\tBackendKeyData\t 1\n", "B\t8\tBackendKeyData\t 1 2\n"}) {
    CAPTURE(line);
    const auto read = read_login_trace(line + key);
    CHECK(read.parameter_names.empty());
    REQUIRE(read.key);
    CHECK(read.key->process_id == 4711);
  }
}

}  // namespace
}  // namespace tidepool::daemon
