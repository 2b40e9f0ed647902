#include "lib/session/greeting_book.h"

#include <strings.h>

namespace tidepool::session {

namespace {

constexpr std::string_view kApplicationName = "application_name";

std::string key_of(const StartupSettings& settings) {
  std::string key;
  for (const auto& [name, value] : settings.entries) {
    key.append(name).push_back('\0');
    key.append(value).push_back('\0');
  }
  return key;
}

// PostgreSQL compares names of settings without regard to case; a client may write "timezone" for what is
// reported as "TimeZone".
const ParameterMap::Entry* find_any_case(const ParameterMap& map, const std::string& name) {
  for (const auto& entry : map.entries())
    if (strcasecmp(entry.first.c_str(), name.c_str()) == 0) return &entry;
  return nullptr;
}

}  // namespace

std::vector<StartupSettings::Entry> Greeting::missing_on(const ParameterMap& current) const {
  std::vector<StartupSettings::Entry> missing;
  for (const Wish& wish : wishes) {
    const std::string* value = wish.reported_name.empty() ? nullptr : current.find(wish.reported_name);
    if (value == nullptr || *value != wish.reported_value) missing.push_back(wish.setting);
  }
  return missing;
}

std::vector<StartupSettings::Entry> Greeting::settings() const {
  std::vector<StartupSettings::Entry> all;
  all.reserve(wishes.size());
  for (const Wish& wish : wishes) all.push_back(wish.setting);
  return all;
}

void GreetingBook::learn_base(const ParameterMap& reported) {
  ParameterMap told;
  for (const auto& [name, value] : reported.entries())
    if (name != kApplicationName) told.set(name, value);
  if (base_ && base_->told == told) return;
  auto base = std::make_shared<Greeting>();
  base->told = std::move(told);
  base->told.append_all(base->bytes);
  base_ = std::move(base);
  for (auto& [key, set] : sets_) set.greeting = nullptr;
}

std::shared_ptr<const Greeting> GreetingBook::find(const StartupSettings& settings) {
  if (settings.entries.empty() || !base_) return base_;
  const auto found = sets_.find(key_of(settings));
  if (found == sets_.end()) return nullptr;
  Set& set = found->second;
  if (!set.greeting) set.greeting = make(set.settings, set.changed);
  return set.greeting;
}

std::shared_ptr<const Greeting> GreetingBook::learn(const StartupSettings& settings,
                                                    const ParameterMap& server, const ParameterMap& changed) {
  learn_base(server);
  if (settings.entries.empty()) return base_;
  if (sets_.size() >= most_sets_) sets_.clear();
  Set& set = sets_[key_of(settings)];
  set = {settings, changed, make(settings, changed)};
  set.settings.application_name.reset();
  return set.greeting;
}

void GreetingBook::forget() {
  base_ = nullptr;
  sets_.clear();
}

std::shared_ptr<const Greeting> GreetingBook::make(const StartupSettings& settings,
                                                   const ParameterMap& changed) const {
  auto greeting = std::make_shared<Greeting>();
  greeting->told = base_->told;
  for (const auto& [name, value] : changed.entries())
    if (name != kApplicationName) greeting->told.set(name, value);
  greeting->told.append_all(greeting->bytes);
  for (const auto& setting : settings.entries) {
    Greeting::Wish wish{setting, {}, {}};
    // A setting that the trial did not change stood at its value already: then the server's own report holds.
    if (const auto* reported = find_any_case(greeting->told, setting.first)) {
      wish.reported_name = reported->first;
      wish.reported_value = reported->second;
    }
    greeting->wishes.push_back(std::move(wish));
  }
  return greeting;
}

}  // namespace tidepool::session
