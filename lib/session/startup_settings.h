// What a client asked for in its startup packet beside user and database: settings for its session, in the
// order given.
// https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-STARTUPMESSAGE
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/base/result.h"

namespace tidepool::session {

struct StartupSettings {
  using Entry = std::pair<std::string, std::string>;
  // Without application_name. PostgreSQL sets one after the other, so that one of a name twice is set twice:
  // a DateStyle builds upon the one before.
  std::vector<Entry> entries;
  std::optional<std::string> application_name;
  // Those that PostgreSQL would tell the client that they are too long: not below the client_min_messages
  // that stands in front of them. `behind`: how many entries do.
  struct LongName {
    std::string name;
    size_t behind;
    bool operator==(const LongName&) const = default;
  };
  std::vector<LongName> long_names;

  bool operator==(const StartupSettings&) const = default;

  void add(std::string_view name, std::string_view value);
};

// Adds what stands in the startup parameter `options`: "-c name=value", "-cname=value", "--name=value",
// dashes in a --name meaning underscores, words split at white space with backslash escapes, as PostgreSQL's
// pg_split_opts() and process_postgres_switches() do. The short switches of `postgres` stand for settings
// ("-S 100" for work_mem), or for nothing. Others are refused with 42601 and PostgreSQL's words, and so is
// -d, which is for superusers and several settings at once.
base::Status add_options(std::string_view options, StartupSettings& to);

// The same settings as `options`, in order: "-c name=value -c ...", whatever is in a value.
std::string as_options(const StartupSettings& settings);
// The long names that PostgreSQL has told when it refuses one of the settings with these words.
std::vector<std::string_view> long_names_before(const base::Error& refusal, const StartupSettings& settings);
// Names that `options` would make others of ("work-mem") are no settings of PostgreSQL's: its words for them.
base::Status check_names(const StartupSettings& settings);

}  // namespace tidepool::session
