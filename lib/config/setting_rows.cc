#include <algorithm>

#include "lib/config/settings.h"
#include "lib/config/settings_table.h"

namespace tidepool::config {
namespace {

template <class Section>
void append_rows(const std::string& path, const Section& section, std::vector<SettingRow>& out) {
  for (const Setting<Section>& setting : settings_of<Section>()) {
    const std::string fallback =
        setting.fallback_in != nullptr ? setting.fallback_in(section) : std::string(setting.fallback);
    const std::string key = path.empty() ? std::string(setting.key) : path + "." + std::string(setting.key);
    out.push_back({key, setting.kind.show(section), fallback, setting.reload == Reload::Yes});
  }
}

// What only the other kind of listener has is left out.
void append_listener(const std::string& path, const ListenSettings& listen, std::vector<SettingRow>& out) {
  const bool is_unix = !listen.unix_directory.empty();
  std::vector<SettingRow> rows;
  append_rows(path, listen, rows);
  for (SettingRow& row : rows) {
    const std::string key = row.key.substr(path.size() + 1);
    const bool is_of_other_kind =
        is_unix ? key == "tcp" || is_for_tcp_only(key) : key == "unix" || is_for_unix_only(key);
    if (!is_of_other_kind) out.push_back(std::move(row));
  }
}

}  // namespace

std::vector<SettingRow> rows_of(const Settings& settings) {
  std::vector<SettingRow> out;
  for (size_t i = 0; i < settings.listen.size(); ++i) {
    append_listener("listen[" + std::to_string(i) + "]", settings.listen[i], out);
  }
  append_rows("", settings, out);
  for (const auto& [name, user] : settings.users)
    out.push_back({"users." + name + ".password", "<hidden>", "", true});
  for (const auto& [name, names] : settings.peer_map) {
    const auto& row = settings_of<PeerNames>().front();
    out.push_back({"peer_map." + name, row.kind.show(PeerNames{names}), std::string(row.fallback),
                   row.reload == Reload::Yes});
  }
  for (const auto& [name, pool] : settings.pools) append_rows("pools." + name, pool, out);
  append_rows("console", settings.console, out);
  append_rows("limits", settings.limits, out);
  append_rows("log", settings.log, out);
  return out;
}

}  // namespace tidepool::config
