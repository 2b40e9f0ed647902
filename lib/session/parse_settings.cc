#include "lib/session/parse_settings.h"

#include <charconv>
#include <optional>

#include "lib/base/ascii.h"
#include "lib/sql/encodings.h"
#include "lib/sql/settings_of_texts.h"

namespace tidepool::session {

namespace {

constexpr std::string_view kApplicationName = "application_name";
constexpr std::string_view kPrivate = "?";  // the name of no setting

// PostgreSQL compares names of settings without regard to case; a client may write "timezone" for what is
// reported as "TimeZone".
const std::string* find_any_case(const ParameterMap& map, std::string_view name) {
  for (const auto& entry : map.entries())
    if (base::same_letters(entry.first, name)) return &entry.second;
  return nullptr;
}

std::string fingerprint_of(const ParameterMap& settings) {
  std::string text;
  for (const auto& [name, value] : settings.entries()) {
    if (name == kApplicationName || name.find('.') != std::string::npos) continue;
    text.append(name).push_back('\0');
    text.append(value).push_back('\0');
  }
  return text;
}

// Takes the next one off. False: there is none.
bool take_setting(std::string_view& fingerprint, std::string_view& name, std::string_view& value) {
  const size_t name_end = fingerprint.find('\0');
  if (name_end == std::string_view::npos) return false;
  const size_t value_end = fingerprint.find('\0', name_end + 1);
  if (value_end == std::string_view::npos) return false;
  name = fingerprint.substr(0, name_end);
  value = fingerprint.substr(name_end + 1, value_end - name_end - 1);
  fingerprint.remove_prefix(value_end + 1);
  return true;
}

ParameterMap settings_in(std::string_view fingerprint) {
  ParameterMap settings;
  for (std::string_view name, value; take_setting(fingerprint, name, value);) settings.set(name, value);
  return settings;
}

std::optional<std::string> value_in(std::string_view fingerprint, std::string_view wanted) {
  for (std::string_view name, value; take_setting(fingerprint, name, value);)
    if (name == wanted) return std::string(value);
  return std::nullopt;
}

}  // namespace

const ParseSettingsPtr& no_parse_settings() {
  static const ParseSettingsPtr kNone = std::make_shared<const ParseSettings>();
  return kNone;
}

ParseSettingsPtr parse_settings_of(const StartupSettings& startup, const ParameterMap& told,
                                   const ParameterMap* carried) {
  ParameterMap all;
  // As the server reports it: what is given may be half of a value ("ISO" for a DateStyle).
  for (const auto& [name, value] : startup.entries) {
    const std::string* reported = find_any_case(told, name);
    all.set(base::lower(name), reported != nullptr ? *reported : value);
  }
  if (carried != nullptr)
    for (const auto& [name, value] : carried->entries()) all.set(name, value);

  auto settings = std::make_shared<ParseSettings>();
  settings->fingerprint = fingerprint_of(all);
  settings->literals = literals_in(settings->fingerprint);
  const auto level = value_in(settings->fingerprint, "client_min_messages");
  settings->hears_debug = level && base::lower(*level).starts_with("debug");
  for (const auto& [name, value] : all.entries())
    if (name.find('.') != std::string::npos)
      settings->custom.append(name).append(1, '\0').append(value).append(1, '\0');
  return settings;
}

bool read_option(std::string_view parameter, std::string_view value, sql::Options& options) {
  if (parameter == "standard_conforming_strings")
    options.standard_conforming_strings = value != "off";
  else if (parameter == "client_encoding")
    options.has_doubtful_letters = sql::has_doubtful_letters(value);
  else if (parameter == "server_version")
    std::from_chars(value.data(), value.data() + value.size(), options.server_major);
  else
    return false;
  return true;
}

bool is_parsed_again(std::string_view from, std::string_view to) {
  return from != to && value_in(from, "search_path") != value_in(to, "search_path");
}

std::string literals_in(std::string_view fingerprint) {
  std::string part;
  for (std::string_view name : sql::kSettingsOfLiterals)
    if (const auto value = value_in(fingerprint, name))
      part.append(name).append(1, '\0').append(*value).append(1, '\0');
  return part;
}

std::string with_letters_of(std::string_view parsed_under, std::string_view now) {
  ParameterMap settings = settings_in(now);
  for (std::string_view name : sql::kSettingsOfLetters) {
    settings.erase(name);
    if (const auto value = value_in(parsed_under, name)) settings.set(name, *value);
  }
  return fingerprint_of(settings);
}

void make_private(std::string_view id, std::string& fingerprint) {
  fingerprint.append(kPrivate).append(1, '\0').append(id).append(1, '\0');
}

bool is_private(std::string_view fingerprint) {
  return value_in(fingerprint, kPrivate).has_value();
}

SettingChanges parse_settings_between(std::string_view from, std::string_view to) {
  SettingChanges changes;
  const bool is_unknown = from.data() == nullptr;
  if (from == to && !is_unknown) return changes;
  const auto add = [&](std::string_view name) {
    auto before = value_in(from, name);
    auto after = value_in(to, name);
    if (before != after || is_unknown) changes.push_back({std::string(name), std::move(after)});
  };
  for (std::string_view name : sql::kSettingsOfLiterals) add(name);
  for (std::string_view name : sql::kSettingsOfLetters) add(name);
  return changes;
}

}  // namespace tidepool::session
