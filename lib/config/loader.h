// Reads the YAML file into Settings, or says everything that is wrong with it. The one part of lib/ that
// reads files and the environment ("${VAR}" in a value, password_file). Any thread.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "lib/base/result.h"
#include "lib/config/settings.h"

namespace tidepool::config {

struct Mistake {
  std::string file;
  int line = 0, column = 0;       // 1-based
  std::string key;                // "pools.orders.max_size"
  std::string text;               // "is 0, which is less than min_size (4); would be right: 4 or more"
  std::string to_string() const;  // FILE:LINE:COLUMN: key: text
};

// Looks at a conninfo as libpq would, without connecting: an error in libpq's words, or the user it logs in
// as. Passed in, because lib/ knows no libpq.
struct ConninfoFacts {
  std::string user;
};
using ConninfoReader = std::function<base::Result<ConninfoFacts>(const std::string& conninfo)>;
// The 16 bytes of salt for a user's plain password: the same at each reload, and made as those that unknown users are shown, so that
// nobody learns from a salt who exists.
using SaltSource = std::function<std::string(std::string_view user)>;

struct Loaded {
  std::shared_ptr<const Settings> settings;  // null if there are mistakes
  std::vector<Mistake> mistakes;             // all of them, in the order of the file
  std::vector<Mistake> warnings;             // a world-readable file with a secret in it, ...
};

Loaded load_file(const std::string& path, const ConninfoReader& conninfo, const SaltSource& salt);
Loaded load_text(std::string_view yaml, const std::string& file_name, const ConninfoReader& conninfo,
                 const SaltSource& salt);

}  // namespace tidepool::config
