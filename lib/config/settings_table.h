// The list of all settings: a row for each, with its key, how it is read, its default, whether a reload
// changes it, and its meaning. It drives the loader, SHOW CONFIG, and the tests that keep
// config/tidepool.full.yaml and docs/settings.md complete. To add a setting: a field in settings.h, a row in
// settings_table.cc, a line in each of those two.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lib/config/setting.h"
#include "lib/config/settings.h"

namespace tidepool::config {

// What the file says of a user, before it becomes a secret.
struct UserText {
  std::string password;
  std::string password_file;
};
// Of an operating-system user.
struct PeerNames {
  std::vector<std::string> names;
};

// The rows of a section of the file, in its order. Settings itself stands for the top level.
template <class Section>
std::span<const Setting<Section>> settings_of();
template <>
std::span<const Setting<Settings>> settings_of();
template <>
std::span<const Setting<ListenSettings>> settings_of();
template <>
std::span<const Setting<UserText>> settings_of();
template <>
std::span<const Setting<PeerNames>> settings_of();
template <>
std::span<const Setting<PoolSettings>> settings_of();
template <>
std::span<const Setting<ConsoleSettings>> settings_of();
template <>
std::span<const Setting<LimitSettings>> settings_of();
template <>
std::span<const Setting<LogSettings>> settings_of();

// Keys of a listener that only one of its kinds has.
bool is_for_unix_only(std::string_view key);
bool is_for_tcp_only(std::string_view key);

// A row as text: "pools.*.max_size".
struct SettingText {
  std::string section;  // "pools.*"
  std::string key;
  std::string allowed;
  std::string fallback;
  Reload reload;
  std::string meaning;
};
std::vector<SettingText> all_settings();

}  // namespace tidepool::config
