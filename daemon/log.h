// The daemon's log: one line per event. spdlog is behind it, in one source. Any thread; the hot path logs
// nothing. Who says a line does not wait for it to be written (daemon/log_queue.h).
#pragma once

#include <string>
#include <string_view>

#include "lib/config/settings.h"

namespace tidepool::daemon::log {

// Opens the log, a file also if it is the same as before: whoever moved it away (logrotate) gets a new one.
// Fails (with words) if that is not possible; the log then stays as it was. Main thread, at start and on
// reload.
std::string configure(const config::LogSettings& settings);

// As long as this lives, a thread writes the lines. At its end what waits is written, or lost if that takes
// longer than a second.
class Thread {
 public:
  Thread();
  ~Thread() { finish(); }
  Thread(const Thread&) = delete;
  Thread& operator=(const Thread&) = delete;

  static void finish();  // also for who leaves by std::_Exit
};

bool is_on(config::LogLevel level);
void write(config::LogLevel level, std::string_view line);

inline void debug(std::string_view line) {
  write(config::LogLevel::Debug, line);
}
inline void info(std::string_view line) {
  write(config::LogLevel::Info, line);
}
inline void warning(std::string_view line) {
  write(config::LogLevel::Warning, line);
}
inline void error(std::string_view line) {
  write(config::LogLevel::Error, line);
}

// What a peer sent, fit for a line of a log: control characters are escaped, and it is cut at 128 bytes.
std::string shown(std::string_view untrusted);

}  // namespace tidepool::daemon::log
