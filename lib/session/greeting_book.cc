#include "lib/session/greeting_book.h"

#include <algorithm>
#include <utility>

#include "lib/base/ascii.h"
#include "lib/session/server_role.h"

namespace tidepool::session {

namespace {

constexpr std::string_view kApplicationName = "application_name";

bool is_identity(std::string_view name) {
  return base::same_letters(name, "role") || base::same_letters(name, "session_authorization");
}

// Drivers spell it in as many ways as PostgreSQL allows.
bool means_utf8(std::string_view name, std::string_view value) {
  if (!base::same_letters(name, "client_encoding")) return false;
  std::string letters = base::lower(value);
  std::erase_if(letters, [](char c) { return (c < 'a' || c > 'z') && (c < '0' || c > '9'); });
  return letters == "utf8" || letters == "unicode";
}

// In an order that does not depend on the driver's. A role and a session authorization come last: either
// takes back the other's effect, so that theirs counts.
StartupSettings in_order(const StartupSettings& settings) {
  StartupSettings ordered;
  ordered.entries = settings.entries;
  std::stable_sort(ordered.entries.begin(), ordered.entries.end(), [](const auto& a, const auto& b) {
    const bool a_is_last = is_identity(a.first), b_is_last = is_identity(b.first);
    if (a_is_last || b_is_last) return !a_is_last && b_is_last;
    return base::lower(a.first) < base::lower(b.first);
  });
  for (auto& [name, value] : ordered.entries)
    if (means_utf8(name, value)) value = "UTF8";
  return ordered;
}

std::string key_of(const StartupSettings& settings) {
  std::string key;
  for (const auto& [name, value] : settings.entries) {
    key.append(base::lower(name)).push_back('\0');
    key.append(value).push_back('\0');
  }
  return key;
}

}  // namespace

const std::string* StartupFlavour::find(std::string_view name) const {
  const std::string* found = nullptr;
  for (const auto& entry : settings.entries)
    if (base::same_letters(entry.first, name)) found = &entry.second;
  return found;
}

GreetingBook::GreetingBook(size_t most) : most_(most) {
  plain_ = flavour_of({});
}

FlavourPtr GreetingBook::flavour_of(const StartupSettings& settings) {
  if (settings.entries.empty() && plain_) return plain_;
  StartupSettings ordered = in_order(settings);
  std::string key = key_of(ordered);
  if (const auto known = numbers_.find(key); known != numbers_.end()) {
    Entry& entry = entries_.at(known->second);
    entry.last_use = ++uses_;
    return entry.flavour;
  }
  if (entries_.size() >= most_) make_room();
  const uint32_t number = entries_.empty() ? 0 : ++last_number_;
  Entry& entry = entries_[number];
  entry.flavour = std::make_shared<const StartupFlavour>(StartupFlavour{number, std::move(ordered)});
  entry.key = key;
  entry.last_use = ++uses_;
  numbers_.emplace(std::move(key), number);
  return entry.flavour;
}

FlavourPtr GreetingBook::find(uint32_t number) const {
  const auto found = entries_.find(number);
  return found == entries_.end() ? nullptr : found->second.flavour;
}

GreetingPtr GreetingBook::learn(const FlavourPtr& flavour, const ParameterMap& reported) {
  auto greeting = std::make_shared<Greeting>();
  greeting->flavour = flavour;
  for (const auto& [name, value] : reported.entries())
    if (name != kApplicationName) greeting->told.set(name, value);
  Entry* entry = entry_of(flavour);
  if (entry != nullptr && entry->greeting && entry->greeting->told == greeting->told) return entry->greeting;
  greeting->told.append_all(greeting->bytes);
  greeting->parse_settings = parse_settings_of(flavour->settings, greeting->told, nullptr);
  for (const auto& [name, value] : greeting->told.entries()) read_option(name, value, greeting->options);
  if (const std::string* version = greeting->told.find("server_version")) greeting->server_version = *version;
  if (const std::string* encoding = greeting->told.find("server_encoding"))
    greeting->server_encoding = *encoding;
  if (entry != nullptr) entry->greeting = greeting;
  return greeting;
}

void GreetingBook::change(std::string_view name, std::string_view before, std::string_view now) {
  for (auto& [number, entry] : entries_) {
    const std::string* told = entry.greeting ? entry.greeting->told.find(name) : nullptr;
    if (told == nullptr || *told != before || entry.flavour->find(name) != nullptr) continue;
    ParameterMap reported = entry.greeting->told;
    reported.set(name, now);
    learn(entry.flavour, reported);
  }
}

bool GreetingBook::tells_of_standby() const {
  return std::any_of(entries_.begin(), entries_.end(), [](const auto& each) {
    const GreetingPtr& greeting = each.second.greeting;
    const std::string* told = greeting ? greeting->told.find(kInHotStandby) : nullptr;
    return told != nullptr && *told == "on";
  });
}

GreetingPtr GreetingBook::greeting_for(const FlavourPtr& flavour) const {
  const auto found = entries_.find(flavour->number);
  return found == entries_.end() ? nullptr : found->second.greeting;
}

void GreetingBook::forget(const FlavourPtr& flavour) {
  if (Entry* entry = entry_of(flavour)) entry->greeting = nullptr;
}

void GreetingBook::forget_greetings() {
  for (auto& [number, entry] : entries_) entry.greeting = nullptr;
}

GreetingBook::Entry* GreetingBook::entry_of(const FlavourPtr& flavour) {
  const auto found = entries_.find(flavour->number);
  return found == entries_.end() ? nullptr : &found->second;
}

// By a session, a server, a dial.
bool GreetingBook::Entry::is_used() const {
  return flavour.use_count() > (greeting ? 2 : 1) || greeting.use_count() > 1;
}

// The one asked for longest ago goes. If all are used, there are as many as sessions and servers need.
void GreetingBook::make_room() {
  auto oldest = entries_.end();
  for (auto at = entries_.begin(); at != entries_.end(); ++at) {
    if (at->first == 0 || at->second.is_used()) continue;
    if (oldest == entries_.end() || at->second.last_use < oldest->second.last_use) oldest = at;
  }
  if (oldest == entries_.end()) return;
  numbers_.erase(oldest->second.key);
  entries_.erase(oldest);
}

}  // namespace tidepool::session
