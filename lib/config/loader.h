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
// Makes the secrets of users, in their order, of what the settings say (auth::Secret::parse). Passed in,
// because that of a plain password takes randomness and a millisecond, and there may be thousands.
struct StoredPassword {
  std::string user, text;
};
using SecretMaker =
    std::function<std::vector<base::Result<auth::Secret>>(const std::vector<StoredPassword>& stored)>;

struct Loaded {
  std::shared_ptr<const Settings> settings;  // null if there are mistakes
  std::vector<Mistake> mistakes;             // all of them, in the order of the file
  std::vector<Mistake> warnings;             // a world-readable file with a secret in it, ...
};

Loaded load_file(const std::string& path, const ConninfoReader& conninfo, const SecretMaker& secrets);
Loaded load_text(std::string_view yaml, const std::string& file_name, const ConninfoReader& conninfo,
                 const SecretMaker& secrets);

}  // namespace tidepool::config
