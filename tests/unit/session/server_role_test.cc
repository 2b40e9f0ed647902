#include "lib/session/server_role.h"

#include <doctest/doctest.h>

using tidepool::session::has_session_attributes;
using tidepool::session::ParameterMap;

TEST_CASE("a server is what it reports to be") {
  const struct {
    const char *standby, *reads_only;
    bool read_write, read_only, primary, standby_wanted;
  } rows[] = {{"off", "off", true, false, true, false},
              {"on", "off", false, true, false, true},
              {"off", "on", false, true, true, false},
              {"on", "on", false, true, false, true}};
  for (const auto& row : rows) {
    ParameterMap reported;
    reported.set("in_hot_standby", row.standby);
    reported.set("default_transaction_read_only", row.reads_only);
    CHECK(has_session_attributes(reported, "read-write") == row.read_write);
    CHECK(has_session_attributes(reported, "read-only") == row.read_only);
    CHECK(has_session_attributes(reported, "primary") == row.primary);
    CHECK(has_session_attributes(reported, "standby") == row.standby_wanted);
    for (const char* anything : {"", "any", "prefer-standby"})
      CHECK(has_session_attributes(reported, anything));
  }
}

TEST_CASE("a server that does not say what it is will do") {
  for (const char* attributes : {"read-write", "read-only", "primary", "standby"})
    CHECK(has_session_attributes({}, attributes));
}
