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

constexpr std::string_view kNone = "none";

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

}  // namespace

ParseSettingsPtr WantedSettings::parse_settings() const {
  return parse_settings_of(greeting.flavour->settings, greeting.told, carried);
}

SettingChanges WantedSettings::changes_on(ParameterMap& applied, const ParameterMap& base) const {
  ParameterMap wanted;  // but for what the server has by itself
  const std::string* own_name = base.find(kApplicationName);
  // What it has by itself need not be set; what was set there must be set again.
  const bool has_name = own_name != nullptr && *own_name == application_name;
  if (!has_name || applied.find(kApplicationName) != nullptr) wanted.set(kApplicationName, application_name);
  if (carried != nullptr)
    for (const auto& [name, value] : carried->entries()) wanted.set(name, value);

  SettingChanges changes;
  const bool is_carried_name = carried != nullptr && carried->find(kApplicationName) != nullptr;
  for (const auto& [name, value] : applied.entries())
    if (wanted.find(name) == nullptr && !is_identity(name)) changes.push_back({name, std::nullopt});
  for (const auto& [name, value] : wanted.entries()) {
    const std::string* here = applied.find(name);
    if (!is_identity(name) && (here == nullptr || *here != value))
      changes.push_back({name, value, name != kApplicationName || is_carried_name || is_utf8(value)});
  }
  add_identity(applied, wanted, changes);
  applied.replace_by(std::move(wanted));
  return changes;
}

// Under another role than the one that set them, settings might not be allowed: it ends first, and begins
// anew in the end, behind the session authorization, which takes it back.
void WantedSettings::add_identity(const ParameterMap& applied, const ParameterMap& wanted,
                                  SettingChanges& changes) const {
  const bool sets_something = std::any_of(changes.begin(), changes.end(), [](const SettingChange& change) {
    return change.name != kApplicationName;
  });
  const auto is_in = [](const ParameterMap& map) {
    return map.find(kRole) != nullptr || map.find(kSessionAuthorization) != nullptr;
  };
  const auto differs = [&](std::string_view name) {
    const std::string* here = applied.find(name);
    const std::string* there = wanted.find(name);
    return here != nullptr && (there == nullptr || *here != *there);
  };
  const bool anew = differs(kRole) || differs(kSessionAuthorization) || (sets_something && is_in(applied));
  SettingChanges first;
  if (anew) {
    // A session authorization takes the role along, also that of the server's own startup packet.
    const bool is_another_user = applied.find(kSessionAuthorization) != nullptr;
    if (is_another_user) first.push_back({std::string(kSessionAuthorization), std::nullopt});
    if (is_another_user || applied.find(kRole) != nullptr)
      first.push_back({std::string(kRole), std::nullopt});
  }
  const std::string* own_role = greeting.flavour->find(kRole);
  const bool lifts_own = own_role != nullptr && *own_role != kNone && sets_something;
  if (lifts_own) first.push_back({std::string(kRole), std::string(kNone)});
  changes.insert(changes.begin(), first.begin(), first.end());
  for (std::string_view name : {kSessionAuthorization, kRole}) {
    const std::string* there = wanted.find(name);
    if (there == nullptr || !(anew || lifts_own || applied.find(name) == nullptr)) continue;
    // Another user may have no right to the role that RESET leads back to.
    const bool is_own = name == kRole && own_role != nullptr && *there == *own_role;
    changes.push_back({std::string(name), is_own ? std::nullopt : std::optional(*there), true});
  }
  if (lifts_own && !is_in(wanted)) changes.push_back({std::string(kRole), std::nullopt});
}

CarriedSettings carried_after(const CarriedSettings& before, const StartupFlavour& flavour,
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
    // As it was brought to: its application_name, or carried already.
    const std::string* here = applied.find(name);
    if (here != nullptr && *here == value) return;
    now.set(name, value);
    applied.set(name, value);
  };
  const auto has_not = [&](std::string_view name) {
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

  // Of these it is known what they are, not where it comes from.
  const std::string *user = nullptr, *role = nullptr;
  for (const auto& [name, value] : state.asked) {
    if (name == kSessionAuthorization) user = value ? &*value : nullptr;
    if (name == kRole) role = value ? &*value : nullptr;
    if (!is_asked_for(name) || is_identity(name)) continue;
    const std::string* own = flavour.find(name);
    if (!value || (own != nullptr && *own == *value))
      has_not(name);
    else
      has(name, *value);
  }
  const std::string* login = base.find(kSessionAuthorization);
  const bool is_another_user = user != nullptr && login != nullptr && *user != *login;
  const std::string* startup_role = flavour.find(kRole);
  const std::string_view own_role = startup_role != nullptr ? std::string_view(*startup_role) : kNone;
  const bool asks_identity =
      is_asked_for(std::string(kSessionAuthorization)) || is_asked_for(std::string(kRole));
  if (asks_identity && role != nullptr) {
    for (std::string_view name : {kSessionAuthorization, kRole}) has_not(name);
    // Who is another user has no role, or one that was chosen behind that.
    if (is_another_user) has(std::string(kSessionAuthorization), *user);
    if (is_another_user || *role != own_role) has(std::string(kRole), *role);
  }
  return now.entries().empty() ? nullptr : std::make_shared<const ParameterMap>(std::move(now));
}

namespace {

std::string next_word(std::string_view& text) {
  constexpr std::string_view kBlanks = " \t\r\n\f\v";
  text.remove_prefix(std::min(text.find_first_not_of(kBlanks), text.size()));
  const std::string_view word = text.substr(0, text.find_first_of(" \t\r\n\f\v;"));
  text.remove_prefix(word.size());
  return base::lower(word);
}

}  // namespace

CarriedSettings without_what_is_reset(const CarriedSettings& carried, std::string_view text,
                                      const sql::Options& options) {
  using sql::Trait;
  const size_t end = text.find(';');
  const bool is_one =
      end == std::string_view::npos || text.find_first_not_of("; \t\r\n\f\v", end) == std::string_view::npos;
  std::string_view left = text;
  const std::string head = next_word(left), second = next_word(left);
  const bool is_such =
      head == "reset" || head == "discard" || (head == "set" && second != "local" && second != "transaction");
  const auto traits = sql::classify(text, options);
  if (!carried || !is_one || !is_such || !traits.has_any({Trait::Settings, Trait::ResetsSetting}))
    return carried;
  const bool takes_all = traits.has(Trait::AnySetting) && traits.has(Trait::ResetsSetting);
  auto rest = std::make_shared<ParameterMap>();
  for (const auto& [name, value] : carried->entries()) {
    const bool is_identity = name == "role" || name == "session_authorization";
    const bool is_named =
        std::any_of(traits.settings.begin(), traits.settings.end(),
                    [&name = name](const std::string& set) { return base::same_letters(set, name); });
    if (is_named || (takes_all && (!is_identity || traits.has(Trait::DiscardAll)))) continue;
    rest->set(name, value);
  }
  if (rest->entries().size() == carried->entries().size()) return carried;
  return rest;
}

}  // namespace tidepool::session
