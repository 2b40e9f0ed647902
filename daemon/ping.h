// tidepoold --ping: asks a running daemon whether it answers, as pg_isready does, through every listener of
// its settings. For health checks: it needs no user, touches no pool and leaves nothing in the log.
#pragma once

#include "lib/config/settings.h"

namespace tidepool::daemon {

// pg_isready's exit codes. The settings could not be read: 3, by the caller.
enum class Ping : int { Answers = 0, Refuses = 1, NoAnswer = 2, NotAsked = 3 };

// Says a line for each listener on stdout; the worst of all.
Ping ping(const config::Settings& settings);

}  // namespace tidepool::daemon
