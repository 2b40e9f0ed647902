// One dial from beginning to end, on the thread that calls it: the hosts of a conninfo in turn, each of their
// addresses within its time limit, until one of them is logged in and proven to be idle.
#pragma once

#include <chrono>
#include <map>
#include <mutex>
#include <string>

#include "daemon/server_dialer.h"

namespace tidepool::daemon {

// Servers must not end a resting connection by an idle_session_timeout that was set for their role or
// database, and a value from the startup packet is the only one that RESET ALL and DISCARD ALL go back to.
// But PostgreSQL before 14 does not know it, and some poolers take no `options`: those conninfos are
// remembered for an hour, to be logged in without. Thread-safe.
class IdleTimeoutRefusals {
 public:
  bool has(const std::string& conninfo);
  void add(const std::string& conninfo);

 private:
  using TimePoint = std::chrono::steady_clock::time_point;
  std::mutex mutex_;
  std::map<std::string, TimePoint> since_;
};

// Gives up soon after `stop_fd` becomes readable (name resolution excepted).
DialResult log_in(const DialOrder& order, IdleTimeoutRefusals& refusals, int stop_fd);

}  // namespace tidepool::daemon
