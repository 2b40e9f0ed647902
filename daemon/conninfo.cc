#include "daemon/conninfo.h"

#include <libpq-fe.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <string_view>

namespace tidepool::daemon {
namespace {

using base::Error;
using std::string_view;
using Options = std::map<std::string, std::string, std::less<>>;

constexpr const char* kInvalidValue = "22023";

struct FreeOptions {
  void operator()(PQconninfoOption* options) const { PQconninfoFree(options); }
};
using LibpqOptions = std::unique_ptr<PQconninfoOption, FreeOptions>;

Options non_empty(const PQconninfoOption* option) {
  Options options;
  for (; option->keyword; ++option) {
    if (option->val && *option->val) options[option->keyword] = option->val;
  }
  return options;
}

Error libpq_error(string_view words) {
  while (!words.empty() && words.back() == '\n') words.remove_suffix(1);
  return {kInvalidValue, std::string(words)};
}

base::Result<Options> parse(const std::string& conninfo) {
  char* words = nullptr;
  const LibpqOptions parsed(PQconninfoParse(conninfo.c_str(), &words));
  if (!parsed) {
    auto error = libpq_error(words ? words : "out of memory");
    PQfreemem(words);
    return error;
  }
  return non_empty(parsed.get());
}

// libpq has no call that reads the service file and fills in the defaults, and then stops. But it does so
// before it looks at the value of `stopping_key`, and gives up on a value that it does not know, before it
// connects. All keys but that one are then true. `port` is the last that it looks at, when all others have
// been found to be right.
constexpr const char* kStop = "tidepool-stops-libpq-here";

base::Result<Options> complete(const Options& given, const char* stopping_key) {
  std::vector<const char*> keys, values;
  for (const auto& [key, value] : given) {
    if (key == stopping_key) continue;
    keys.push_back(key.c_str());
    values.push_back(value.c_str());
  }
  keys.insert(keys.end(), {stopping_key, nullptr});
  values.insert(values.end(), {kStop, nullptr});
  const std::unique_ptr<PGconn, decltype(&PQfinish)> connection(
      PQconnectStartParams(keys.data(), values.data(), 0), &PQfinish);
  if (!connection) return Error{"53200", "out of memory"};
  const string_view words = PQerrorMessage(connection.get());
  if (words.find(kStop) == string_view::npos) return libpq_error(words);
  const LibpqOptions options(PQconninfo(connection.get()));
  if (!options) return Error{"53200", "out of memory"};
  Options found = non_empty(options.get());
  found.erase(stopping_key);
  return found;
}

std::string take(Options& options, string_view key) {
  const auto found = options.find(key);
  if (found == options.end()) return {};
  return std::move(options.extract(found).mapped());
}

std::vector<std::string> split(string_view list) {
  std::vector<std::string> parts;
  while (true) {
    const size_t comma = list.find(',');
    parts.emplace_back(list.substr(0, comma));
    if (comma == string_view::npos) return parts;
    list.remove_prefix(comma + 1);
  }
}

std::optional<int> read_integer(string_view text) {
  constexpr string_view kSpaces = " \t\n\r\f\v";
  const size_t first = text.find_first_not_of(kSpaces);
  if (first == string_view::npos) return {};
  text = text.substr(first, text.find_last_not_of(kSpaces) - first + 1);
  if (text.starts_with('+')) text.remove_prefix(1);
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return {};
  return number;
}

// libpq has seen to it that the lists are as long as one another, or have one entry for all.
base::Result<std::vector<DialTarget>> targets_of(const ConninfoSummary& summary, string_view hostaddr) {
  const auto hosts = split(summary.host), addresses = split(hostaddr), ports = split(summary.port);
  std::vector<DialTarget> targets(std::max(hosts.size(), addresses.size()));
  for (size_t i = 0; i < targets.size(); ++i) {
    DialTarget& target = targets[i];
    if (i < hosts.size()) target.host = hosts[i];
    if (i < addresses.size()) target.hostaddr = addresses[i];
    target.port = ports[ports.size() == 1 ? 0 : std::min(i, ports.size() - 1)];
    if (target.port.empty()) continue;
    const auto port = read_integer(target.port);
    if (!port)
      return Error{kInvalidValue,
                   "invalid integer value \"" + target.port + "\" for connection option \"port\""};
    if (*port < 1 || *port > 65535)
      return Error{kInvalidValue, "invalid port number: \"" + target.port + "\""};
  }
  return targets;
}

base::Result<std::chrono::seconds> time_limit_of(const std::string& connect_timeout) {
  if (connect_timeout.empty()) return kDefaultTimeLimit;
  const auto seconds = read_integer(connect_timeout);
  if (!seconds) {
    return Error{kInvalidValue, "invalid integer value \"" + connect_timeout +
                                    "\" for connection option \"connect_timeout\""};
  }
  if (*seconds <= 0) return kLongestTimeLimit;
  return std::min(std::chrono::seconds(*seconds), kLongestTimeLimit);
}

// Keys that would make something else of the connection than a server for clients.
std::optional<Error> find_misfit(const Options& options) {
  if (options.contains("replication"))
    return Error{"0A000", "replication: a pool has no use for replication connections"};
  if (const auto mode = options.find("gssencmode"); mode != options.end() && mode->second == "require") {
    return Error{"0A000",
                 "gssencmode=require: connections encrypted by GSSAPI cannot be pooled; use sslmode=require"};
  }
  return {};
}

}  // namespace

base::Result<DialPlan> plan_dial(const std::string& conninfo) {
  auto given = parse(conninfo);
  if (!given) return given.error();
  auto options = complete(*given, "port");
  if (!options) return options.error();
  auto rest = complete(*given, "gssencmode");
  if (!rest) return rest.error();
  if (auto misfit = find_misfit(*options)) return *misfit;

  DialPlan plan;
  plan.target_session_attrs = take(*options, "target_session_attrs");
  plan.summary = {.user = options->contains("user") ? options->at("user") : "",
                  .host = take(*options, "host"),
                  .database = options->contains("dbname") ? options->at("dbname") : "",
                  .port = take(*rest, "port"),
                  .application_name = {},
                  .shuffles_hosts = take(*options, "load_balance_hosts") == "random"};
  auto targets = targets_of(plan.summary, take(*options, "hostaddr"));
  if (!targets) return targets.error();
  plan.targets = std::move(*targets);
  auto time_limit = time_limit_of(take(*options, "connect_timeout"));
  if (!time_limit) return time_limit.error();
  plan.time_limit = *time_limit;

  plan.summary.application_name = take(*options, "application_name");
  if (auto fallback = take(*options, "fallback_application_name"); plan.summary.application_name.empty()) {
    plan.summary.application_name = std::move(fallback);
  }
  plan.server_options = take(*options, "options");
  // The service file was read just now.
  take(*options, "service");
  take(*options, "servicefile");
  (*options)["gssencmode"] = "disable";  // its encryption is inside libpq: a relay cannot take it over
  plan.options.assign(std::make_move_iterator(options->begin()), std::make_move_iterator(options->end()));
  return plan;
}

base::Result<ConninfoSummary> summarize_conninfo(const std::string& conninfo) {
  auto plan = plan_dial(conninfo);
  if (!plan) return plan.error();
  return std::move(plan->summary);
}

void forget_libpq_environment() {
  // Its letters, too: /proc and a core file show the memory that a process was started with.
  if (char* const password = std::getenv("PGPASSWORD")) explicit_bzero(password, std::strlen(password));
  unsetenv("PGPASSWORD");
  unsetenv("PGSERVICE");  // first: with the name of an unknown service, libpq would tell no keys
  if (const LibpqOptions options{PQconndefaults()}) {
    for (const auto* option = options.get(); option->keyword; ++option) {
      if (option->envvar && string_view(option->envvar) != "PGSERVICEFILE") unsetenv(option->envvar);
    }
  }
  // Those that libpq reads beside them.
  for (const char* name : {"PGREQUIRESSL", "PGDATESTYLE", "PGTZ", "PGGEQO"}) unsetenv(name);
}

}  // namespace tidepool::daemon
