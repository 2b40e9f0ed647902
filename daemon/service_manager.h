// What the service manager is told (systemd, or whoever set NOTIFY_SOCKET; without one nothing happens), in
// the words of sd_notify(3). Main thread.
#pragma once

#include <optional>
#include <string_view>

#include "lib/base/time.h"

namespace tidepool::daemon::service_manager {

bool is_there();

// Clients can come in. Also the end of reloading().
void ready(std::string_view status);
void reloading();
// No new clients from here on. The end comes within `at_most`, however short the manager's own patience is.
void stopping(base::Duration at_most, std::string_view status);
void status(std::string_view line);

// How often watchdog_fed() has to be called, if the manager watches us.
std::optional<base::Duration> watchdog_period();
void watchdog_fed();

}  // namespace tidepool::daemon::service_manager
