#include "daemon/service_manager.h"

#include <systemd/sd-daemon.h>

#include <cstdlib>
#include <string>

#include "daemon/clock.h"

namespace tidepool::daemon::service_manager {

namespace {

void tell(const std::string& state) {
  // A manager that does not listen is its own loss.
  (void)sd_notify(0, state.c_str());
}

std::string status_line(std::string_view status) {
  return "STATUS=" + std::string(status);
}

}  // namespace

bool is_there() {
  return std::getenv("NOTIFY_SOCKET") != nullptr;
}

void ready(std::string_view status) {
  tell("READY=1\n" + status_line(status));
}

void reloading() {
  const int64_t now_us = now_monotonic().time_since_epoch().count();
  tell("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(now_us));
}

void stopping(base::Duration at_most, std::string_view status) {
  tell("STOPPING=1\nEXTEND_TIMEOUT_USEC=" + std::to_string(at_most.count()) + "\n" + status_line(status));
}

void status(std::string_view line) {
  tell(status_line(line));
}

std::optional<base::Duration> watchdog_period() {
  uint64_t period_us = 0;
  if (sd_watchdog_enabled(0, &period_us) <= 0) return std::nullopt;
  return base::Duration(static_cast<int64_t>(period_us));
}

void watchdog_fed() {
  tell("WATCHDOG=1");
}

}  // namespace tidepool::daemon::service_manager
