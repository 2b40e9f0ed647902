// The settings and the pools made from them: what a worker needs to know, swapped whole on reload. Immutable.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "lib/config/settings.h"

namespace tidepool::daemon {

class SharedPool;

struct World {
  std::shared_ptr<const config::Settings> settings;
  std::map<std::string, std::shared_ptr<SharedPool>, std::less<>> pools;
  bool stopping = false;
};

}  // namespace tidepool::daemon
