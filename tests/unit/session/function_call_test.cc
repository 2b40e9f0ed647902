// What a FunctionCall message may leave.
#include "lib/session/function_call.h"

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <vector>

#include "lib/base/bytes.h"

namespace tidepool::session {
namespace {

using namespace std::string_view_literals;

constexpr uint32_t kSetConfig = 2078;

std::string call(uint32_t function, const std::vector<std::string_view>& arguments) {
  std::string body;
  base::append_u32(body, function);
  body += "\0\1\0\0"sv;  // one format, of all
  body.push_back('\0');
  body.push_back(static_cast<char>(arguments.size()));
  for (std::string_view argument : arguments) {
    base::append_u32(body, static_cast<uint32_t>(argument.size()));
    body += argument;
  }
  body += "\0\0"sv;
  return body;
}

SessionWatch watch_of(std::string_view body) {
  SessionWatch watch;
  note_function_call(body, watch);
  return watch;
}

TEST_CASE("set_config by a FunctionCall message names its setting") {
  const SessionWatch watch = watch_of(call(kSetConfig, {"App.X", "v", "f"}));
  CHECK(watch.settings() == std::vector<std::string>{"app.x"});
  CHECK_FALSE(watch.has_doubt());
  CHECK(watch_of(call(kSetConfig, {"session_authorization", "v", "f"})).asks_identity());
  CHECK(watch_of(call(kSetConfig, {"seed", "0.5", "f"})).pins() == bit(Pin::Function));
  CHECK(watch_of(call(1599, {"0.5"})).pins() == bit(Pin::Function));
}

TEST_CASE("functions of large objects leave nothing, others are in doubt") {
  for (uint32_t function : {952U, 953U, 954U, 955U, 957U, 964U, 3170U}) {
    CHECK_FALSE(watch_of(call(function, {"a"})).is_suspicious());
  }
  for (const std::string& body : {call(177, {"a", "b"}), call(kSetConfig, {"a"}), std::string(),
                                  std::string("abc"), call(kSetConfig, {"app.x", "v", "f"}).substr(0, 15)}) {
    const SessionWatch watch = watch_of(body);
    CHECK(watch.has_doubt());
    CHECK(watch.asks_all_settings());
  }
}

TEST_CASE("of a FunctionCall message so much is waited for as is needed to decide") {
  const std::string sets = call(kSetConfig, {"app.x", "v", "f"});
  CHECK_FALSE(is_enough_of_function_call("", 100, 1000));
  CHECK_FALSE(is_enough_of_function_call(sets.substr(0, 3), sets.size(), 1000));
  CHECK_FALSE(is_enough_of_function_call(sets.substr(0, 20), sets.size(), 1000));
  CHECK(is_enough_of_function_call(sets, sets.size(), 1000));
  CHECK(is_enough_of_function_call(sets.substr(0, 20), sets.size(), 20));
  CHECK(is_enough_of_function_call(call(955, {"a"}).substr(0, 4), 100'000, 1000));
  CHECK(is_enough_of_function_call("ab", 2, 1000));
}

}  // namespace
}  // namespace tidepool::session
