// What a conninfo or URI means, found out by libpq itself but without connecting: service files read,
// defaults filled in, hosts taken apart. The dialer goes through hosts and their addresses itself, since only
// so can each have its own time limit.
#pragma once

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "daemon/server_dialer.h"
#include "lib/base/result.h"

namespace tidepool::daemon {

// One of the hosts, as libpq's keys say it; empty means libpq's default.
struct DialTarget {
  std::string host, hostaddr, port;
};

struct DialPlan {
  // What libpq is to be given beside the keys of a DialTarget, target_session_attrs and application_name.
  std::vector<std::pair<std::string, std::string>> options;
  std::vector<DialTarget> targets;  // at least one
  std::string target_session_attrs;
  std::string server_options;       // the key `options`
  std::chrono::seconds time_limit;  // of each address
  ConninfoSummary summary;
};

// Errors in libpq's words where it has some.
base::Result<DialPlan> plan_dial(const std::string& conninfo);

// The time limit of an address, of connect_timeout: not given; 0 or less, which means "for ever" to libpq.
inline constexpr std::chrono::seconds kDefaultTimeLimit{15};
inline constexpr std::chrono::seconds kLongestTimeLimit{300};

}  // namespace tidepool::daemon
