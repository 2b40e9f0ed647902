#include "lib/session/startup_settings.h"

#include <algorithm>

#include "lib/base/ascii.h"
#include "lib/session/application_name.h"

namespace tidepool::session {

namespace {

bool is_space(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

// pg_split_opts(): a backslash takes the next character as it is.
std::vector<std::string> split_words(std::string_view text) {
  std::vector<std::string> words;
  for (size_t at = 0; at < text.size();) {
    if (is_space(text[at])) {
      ++at;
      continue;
    }
    std::string& word = words.emplace_back();
    for (; at < text.size() && !is_space(text[at]); ++at) {
      if (text[at] == '\\' && ++at == text.size()) break;
      word += text[at];
    }
  }
  return words;
}

// The switches of `postgres` that a client may give: getopt's "B:bC:c:D:d:EeFf:h:ijk:lN:nOPp:r:S:sTt:v:W:-:".
// https://www.postgresql.org/docs/current/app-postgres.html
struct Switch {
  char letter;
  bool has_argument;
  const char* setting;  // null: accepted, without effect on a session
  const char* value;    // null: the argument
};
constexpr Switch kSwitches[] = {
    {'B', true, "shared_buffers", nullptr},
    {'C', true, nullptr, nullptr},
    {'D', true, nullptr, nullptr},
    {'E', false, nullptr, nullptr},
    {'F', false, "fsync", "false"},
    {'N', true, "max_connections", nullptr},
    {'O', false, "allow_system_table_mods", "true"},
    {'P', false, "ignore_system_indexes", "true"},
    {'S', true, "work_mem", nullptr},
    {'T', false, nullptr, nullptr},
    {'W', true, "post_auth_delay", nullptr},
    {'b', false, nullptr, nullptr},
    {'e', false, "datestyle", "euro"},
    {'h', true, "listen_addresses", nullptr},
    {'i', false, "listen_addresses", "*"},
    {'j', false, nullptr, nullptr},
    {'k', true, "unix_socket_directories", nullptr},
    {'l', false, "ssl", "true"},
    {'n', false, nullptr, nullptr},
    {'p', true, "port", nullptr},
    {'r', true, nullptr, nullptr},
    {'s', false, "log_statement_stats", "true"},
    {'v', true, nullptr, nullptr},
};

// The arguments of -f (what the planner may not use) and -t (what is timed).
struct Named {
  char option;
  std::string_view argument;
  const char* setting;
  const char* value;
};
constexpr Named kNamed[] = {
    {'f', "s", "enable_seqscan", "false"},       {'f', "i", "enable_indexscan", "false"},
    {'f', "o", "enable_indexonlyscan", "false"}, {'f', "b", "enable_bitmapscan", "false"},
    {'f', "t", "enable_tidscan", "false"},       {'f', "n", "enable_nestloop", "false"},
    {'f', "m", "enable_mergejoin", "false"},     {'f', "h", "enable_hashjoin", "false"},
    {'t', "pa", "log_parser_stats", "true"},     {'t', "parser", "log_parser_stats", "true"},
    {'t', "pl", "log_planner_stats", "true"},    {'t', "planner", "log_planner_stats", "true"},
    {'t', "e", "log_executor_stats", "true"},    {'t', "executor", "log_executor_stats", "true"},
};

base::Error invalid_argument(std::string_view word) {
  return {"42601", "invalid command-line argument for server process: " + std::string(word), "",
          "Try \"postgres --help\" for more information."};
}

// ParseLongOption(): name=value, dashes in the name meaning underscores.
base::Status set_long(const std::string& flag, std::string_view text, StartupSettings& to) {
  const size_t equals = text.find('=');
  if (equals == std::string_view::npos) {
    return base::Error{"42601", flag + std::string(text) + " requires a value"};
  }
  std::string name(text.substr(0, equals));
  std::replace(name.begin(), name.end(), '-', '_');
  to.add(name, text.substr(equals + 1));
  return base::Done{};
}

bool has_argument(char letter) {
  if (letter == 'c' || letter == 'f' || letter == 't') return true;
  for (const Switch& row : kSwitches) {
    if (row.letter == letter) return row.has_argument;
  }
  return false;
}

base::Status set_switch(char letter, const std::string& argument, const std::string& word,
                        StartupSettings& to) {
  if (letter == 'c') return set_long("-c ", argument, to);
  for (const Named& row : kNamed) {
    if (row.option != letter || row.argument != argument) continue;
    to.add(row.setting, row.value);
    return base::Done{};
  }
  for (const Switch& row : kSwitches) {
    if (row.letter != letter) continue;
    if (row.setting != nullptr) to.add(row.setting, row.value != nullptr ? row.value : argument.c_str());
    return base::Done{};
  }
  return invalid_argument(word);
}

}  // namespace

namespace {

// Not known: what postgresql.conf or the role says.
bool tells_notices(const std::vector<StartupSettings::Entry>& entries) {
  std::string_view level;
  for (const auto& [name, value] : entries)
    if (base::same_letters(name, "client_min_messages")) level = value;
  for (std::string_view higher : {"warning", "error", "fatal", "panic"})
    if (base::same_letters(level, higher)) return false;
  return true;
}

}  // namespace

void StartupSettings::add(std::string_view name, std::string_view value) {
  if (base::same_letters(name, "application_name")) {
    application_name = value;
    if (value.size() > kLongestName && tells_notices(entries))
      long_names.push_back({std::string(value), entries.size()});
    return;
  }
  entries.emplace_back(name, value);
}

base::Status add_options(std::string_view options, StartupSettings& to) {
  const std::vector<std::string> words = split_words(options);
  std::vector<std::string_view> not_switches;
  bool switches_are_over = false;
  for (size_t at = 0; at < words.size(); ++at) {
    const std::string& word = words[at];
    if (switches_are_over || word.size() < 2 || word[0] != '-') {
      not_switches.push_back(word);
    } else if (word == "--") {
      switches_are_over = true;
    } else if (word[1] == '-') {
      base::Status status = set_long("--", std::string_view(word).substr(2), to);
      if (!status) return status;
    } else {
      // Letters may stand together; the argument of the last is the rest of the word, or the next word.
      for (size_t i = 1; i < word.size(); ++i) {
        std::string argument;
        const char letter = word[i];
        if (has_argument(letter)) {
          if (i + 1 == word.size() && at + 1 == words.size()) return invalid_argument(word);
          argument = i + 1 < word.size() ? word.substr(i + 1) : words[++at];
          i = word.size();
        }
        base::Status status = set_switch(letter, argument, words[at], to);
        if (!status) return status;
      }
    }
  }
  if (!not_switches.empty()) return invalid_argument(not_switches.front());
  return base::Done{};
}

// What counts as white space is the server's locale's to say: 85 and a0 do in some.
std::string as_options(const StartupSettings& settings) {
  std::string options;
  const auto append = [&options](std::string_view text) {
    for (const char c : text) {
      if (is_space(c) || c == '\\' || c == '\x85' || c == '\xa0') options += '\\';
      options += c;
    }
  };
  for (const auto& [name, value] : settings.entries) {
    options += options.empty() ? "-c " : " -c ";
    append(name);
    options += '=';
    append(value);
  }
  return options;
}

// It names the setting, in its own spelling, and most often the value; or the role or the user that the value
// is.
std::vector<std::string_view> long_names_before(const base::Error& refusal, const StartupSettings& settings) {
  const std::string words = base::lower(refusal.message);
  const auto says = [&words](const std::string& text) {
    return words.find("\"" + base::lower(text) + "\"") != std::string::npos;
  };
  auto refused = std::find_if(settings.entries.begin(), settings.entries.end(),
                              [&](const auto& entry) { return says(entry.first) && says(entry.second); });
  if (refused == settings.entries.end())
    refused = std::find_if(settings.entries.begin(), settings.entries.end(),
                           [&](const auto& entry) { return says(entry.first) || says(entry.second); });
  std::vector<std::string_view> names;
  if (refused == settings.entries.end()) return names;
  for (const auto& [name, behind] : settings.long_names)
    if (behind <= static_cast<size_t>(refused - settings.entries.begin())) names.push_back(name);
  return names;
}

base::Status check_names(const StartupSettings& settings) {
  for (const auto& [name, value] : settings.entries) {
    if (name.find_first_of("-=") == std::string::npos) continue;
    if (name.find('.') == std::string::npos)
      return base::Error{"42704", "unrecognized configuration parameter \"" + name + "\""};
    return base::Error{"42602", "invalid configuration parameter name \"" + name + "\"",
                       "Custom parameter names must be two or more simple identifiers separated by dots."};
  }
  return base::Done{};
}

}  // namespace tidepool::session
