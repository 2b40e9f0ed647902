// The settings file, read with this program's libpq, and the secrets of its users, made on several cores.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "lib/config/loader.h"

namespace tidepool::daemon {

// `mock_key`: random, this process's own; from it the salts of plain passwords are made, as those are that
// unknown users are shown. `before`, if there is one: plain passwords that stand there already keep the keys
// that were made of them, which takes a millisecond each. Any thread; reads files, and takes its time.
config::Loaded load_settings(const std::string& file, const std::string& mock_key,
                             const config::Settings* before = nullptr);

// The same on a thread of its own, which leaves the CPUs to others; `done` is called there, once. A file that
// nobody writes to (a FIFO) is waited for without end.
void load_settings_elsewhere(std::string mock_key, std::shared_ptr<const config::Settings> before,
                             std::function<void(config::Loaded)> done);

}  // namespace tidepool::daemon
