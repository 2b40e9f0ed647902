#include "lib/session/session_settings.h"

#include <algorithm>
#include <optional>

#include "lib/base/ascii.h"
#include "lib/sql/settings_of_texts.h"

namespace tidepool::session {

namespace {

constexpr std::string_view kApplicationName = "application_name";
constexpr std::string_view kRole = "role";
constexpr std::string_view kSessionAuthorization = "session_authorization";

constexpr std::string_view kPrivate = "?";  // the name of no setting

bool is_identity(std::string_view name) {
  return name == kRole || name == kSessionAuthorization;
}

// Well-formed, so that it can be meant as such: what a startup packet gives has no encoding of its own, and
// the server's last client may have left another one in force.
bool is_utf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const auto first = static_cast<unsigned char>(text[at++]);
    const int more = first < 0x80                    ? 0
                     : first >= 0xf0 && first < 0xf8 ? 3
                     : first >= 0xe0                 ? 2
                     : first >= 0xc2                 ? 1
                                                     : -1;
    if (more < 0 || first >= 0xf8) return false;
    for (int i = 0; i < more; ++i, ++at)
      if (at >= text.size() || (static_cast<unsigned char>(text[at]) & 0xc0) != 0x80) return false;
  }
  return true;
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

ParameterMap settings_in(std::string_view fingerprint) {
  ParameterMap settings;
  while (!fingerprint.empty()) {
    const size_t name_end = fingerprint.find('\0');
    const size_t value_end = fingerprint.find('\0', name_end + 1);
    settings.set(fingerprint.substr(0, name_end), fingerprint.substr(name_end + 1, value_end - name_end - 1));
    fingerprint.remove_prefix(value_end + 1);
  }
  return settings;
}

std::optional<std::string> value_in(std::string_view fingerprint, std::string_view wanted) {
  while (!fingerprint.empty()) {
    const size_t name_end = fingerprint.find('\0');
    const size_t value_end = fingerprint.find('\0', name_end + 1);
    if (fingerprint.substr(0, name_end) == wanted)
      return std::string(fingerprint.substr(name_end + 1, value_end - name_end - 1));
    fingerprint.remove_prefix(value_end + 1);
  }
  return std::nullopt;
}

}  // namespace

SettingChanges WantedSettings::changes_on(ParameterMap& applied, const ParameterMap& base) const {
  ParameterMap wanted;  // but for what the server has by itself
  const auto is_carried = [&](std::string_view name) {
    return carried != nullptr && carried->find(name) != nullptr;
  };
  const auto want = [&](std::string_view name, std::string_view value, const std::string* of_base) {
    const bool is_own = of_base != nullptr && *of_base == value;
    // What it has by itself need not be set; what was set there must be set again.
    if (!is_carried(name) && (!is_own || applied.find(name) != nullptr)) wanted.set(name, value);
  };
  for (const auto& wish : greeting.wishes) {
    const bool is_reported = !wish.reported_name.empty();
    // As the server reports it: what is given may be half of a value ("ISO" for a DateStyle), to be completed
    // by what is in force.
    want(base::lower(wish.setting.first), is_reported ? wish.reported_value : wish.setting.second,
         is_reported ? base.find(wish.reported_name) : nullptr);
  }
  want(kApplicationName, application_name, base.find(kApplicationName));
  if (carried != nullptr)
    for (const auto& [name, value] : carried->entries()) wanted.set(name, value);

  SettingChanges changes;
  // Under another role than the one that set them, settings might not be allowed: it ends first, and begins
  // anew in the end.
  const auto differs = [&](std::string_view name) {
    const std::string* here = applied.find(name);
    const std::string* there = wanted.find(name);
    return here != nullptr && (there == nullptr || *here != *there);
  };
  const bool anew = differs(kRole) || differs(kSessionAuthorization);
  if (anew) {
    for (std::string_view name : {kSessionAuthorization, kRole})
      if (applied.find(name) != nullptr) changes.push_back({std::string(name), std::nullopt});
  }
  for (const auto& [name, value] : applied.entries())
    if (wanted.find(name) == nullptr && !is_identity(name)) changes.push_back({name, std::nullopt});
  for (const auto& [name, value] : wanted.entries()) {
    const std::string* here = applied.find(name);
    if (here == nullptr || *here != value || (anew && is_identity(name)))
      changes.push_back({name, value, is_carried(name) || is_utf8(value)});
  }
  applied.replace_by(std::move(wanted));
  return changes;
}

ParameterMap WantedSettings::all() const {
  ParameterMap all;
  // Whole values, as above: they are set again for what is parsed again.
  for (const auto& wish : greeting.wishes)
    all.set(base::lower(wish.setting.first),
            wish.reported_name.empty() ? wish.setting.second : wish.reported_value);
  if (carried != nullptr)
    for (const auto& [name, value] : carried->entries()) all.set(name, value);
  return all;
}

std::string WantedSettings::fingerprint() const {
  return fingerprint_of(all());
}

std::string WantedSettings::custom() const {
  std::string text;
  const ParameterMap wanted = all();
  for (const auto& [name, value] : wanted.entries())
    if (name.find('.') != std::string::npos) text.append(name).append(1, '\0').append(value).append(1, '\0');
  return text;
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

CarriedSettings carried_after(const CarriedSettings& before, const Greeting& greeting,
                              const SessionWatch& watch, const SessionState& state, const ParameterMap& base,
                              ParameterMap& applied) {
  ParameterMap now;
  if (before) now = *before;
  const auto is_asked_for = [&](const std::string& name) {
    if (watch.asks_all_settings() || (is_identity(name) && watch.asks_identity())) return true;
    return std::any_of(watch.settings().begin(), watch.settings().end(),
                       [&](const std::string& asked) { return base::same_letters(asked, name); });
  };
  const auto has = [&](const std::string& name, const std::string& value) {
    // As it was brought to: by a wish of the client's, or carried already.
    const std::string* here = applied.find(name);
    if (here != nullptr && *here == value) return;
    now.set(name, value);
    applied.set(name, value);
  };
  const auto is_wish = [&](const std::string& name) {
    return std::any_of(greeting.wishes.begin(), greeting.wishes.end(),
                       [&](const auto& wish) { return base::same_letters(wish.setting.first, name); });
  };
  const auto has_not = [&](const std::string& name) {
    now.erase(name);
    applied.erase(name);
  };

  // Those that the server has by itself (again) are not in the answer.
  ParameterMap set;
  for (const auto& [name, value] : state.settings) set.set(name, value.value_or(""));
  std::vector<std::string> gone;
  for (const ParameterMap* known :
       {static_cast<const ParameterMap*>(&now), static_cast<const ParameterMap*>(&applied)})
    for (const auto& [name, value] : known->entries())
      if (is_asked_for(name) && set.find(name) == nullptr && name.find('.') == std::string::npos &&
          !is_identity(name))
        gone.push_back(name);
  for (const std::string& name : gone) has_not(name);
  for (const auto& [name, value] : set.entries())
    if (is_asked_for(name)) has(name, value);

  for (const auto& [name, value] : state.asked) {
    if (!is_asked_for(name)) continue;
    // At the server's own value: by RESET, or because the client has SET it to that in place of what it had
    // asked for at start-up.
    const bool is_back = value && (value->empty() || (name == kRole && *value == "none"));
    const bool was_set = is_wish(name) && !watch.saw_reset(name);
    const std::string* login = name == kSessionAuthorization ? base.find(name) : nullptr;
    const bool is_login = value && login != nullptr && *login == *value;
    if (!value || is_login || (is_back && !was_set && (name == kRole || is_wish(name)))) {
      has_not(name);
    } else {
      has(name, *value);
    }
  }
  return now.entries().empty() ? nullptr : std::make_shared<const ParameterMap>(std::move(now));
}

}  // namespace tidepool::session
