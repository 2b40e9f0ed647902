// Reads a map of the file into the struct of its section, by the rows of the settings table. Included by
// settings_reader.cc alone.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "lib/config/findings.h"
#include "lib/config/settings_table.h"
#include "lib/config/variables.h"

namespace tidepool::config {

// "pools.orders.max_size". An empty key is shown as "".
inline std::string path_of(const std::string& section, std::string_view key) {
  const std::string shown(key.empty() ? "\"\"" : key);
  return section.empty() ? shown : section + "." + shown;
}

// What stood in a section, for the checks that look at more than one setting.
class Given {
 public:
  // Null: left out, or its value was a mistake already.
  const YamlEntry* taken(std::string_view key) const {
    const auto found = taken_.find(std::string(key));
    return found == taken_.end() ? nullptr : found->second;
  }
  // Null: left out.
  const YamlEntry* written(std::string_view key) const {
    const auto found = written_.find(std::string(key));
    return found == written_.end() ? nullptr : found->second;
  }
  // Whether a misspelt key is there that probably means `key`, so that nobody need be told that it is
  // missing.
  bool is_misspelt(std::string_view key) const { return misspelt_.count(std::string(key)) > 0; }

  void was_written(const YamlEntry& entry) { written_[entry.key] = &entry; }
  void was_taken(const YamlEntry& entry) { taken_[entry.key] = &entry; }
  void was_misspelt(std::string_view key) { misspelt_.insert(std::string(key)); }

 private:
  std::unordered_map<std::string, const YamlEntry*> written_, taken_;
  std::set<std::string> misspelt_;
};

// Calls use(entry) for each key of a map, and reports those that occur again; the first one counts.
template <class Use>
void for_each_entry(const YamlNode& map, const std::string& path, Findings& findings, const Use& use) {
  std::unordered_map<std::string_view, int> lines;
  for (const YamlEntry& entry : map.entries) {
    const auto [first, is_new] = lines.emplace(entry.key, entry.place.line);
    if (is_new) {
      use(entry);
    } else {
      findings.wrong(entry.place, path_of(path, entry.key),
                     "is written a second time (the first is in line " + std::to_string(first->second) +
                         "); remove one");
    }
  }
}

// Reports a key that is not among `known` and notes what it probably means.
void report_unknown_key(const YamlEntry& entry, const std::string& path,
                        const std::vector<std::string_view>& known, Findings& findings, Given& given);

// Nothing if `node` is of that kind, else what is wrong: "is a list; write ...".
Wrong not_of_kind(const YamlNode& node, YamlNode::Kind wanted, const std::string& would_be_right);

// A scalar with its variables; nothing if it was a mistake, which is reported.
std::optional<Value> read_scalar(const YamlNode& node, Place place, const std::string& path,
                                 const std::string& allowed, Findings& findings);

// A name that clients give, that logs show and that is matched byte by byte. Empty: it is fine.
std::string mistake_in_name(std::string_view name);

// Whether take(value) took it.
template <class Take>
bool read_value(const YamlNode& node, Place place, const std::string& path, const std::string& allowed,
                Findings& findings, const Take& take) {
  const auto value = read_scalar(node, place, path, allowed, findings);
  if (!value) return false;
  const Wrong wrong = take(*value);
  if (wrong) findings.wrong(place, path, *wrong);
  return !wrong;
}

// Whether the value was taken.
template <class Section>
bool read_setting(const Setting<Section>& setting, const YamlEntry& entry, const std::string& path,
                  Section& section, Findings& findings) {
  const std::string allowed = setting.kind.allowed();
  const auto take = [&](const Value& value) { return setting.kind.read(value, section); };
  if (setting.kind.shape == Shape::Scalar) {
    return read_value(*entry.value, entry.value_place, path, allowed, findings, take);
  }
  const bool is_map = setting.kind.shape == Shape::Map;
  const auto wanted = is_map ? YamlNode::Kind::Map : YamlNode::Kind::List;
  if (const Wrong wrong = not_of_kind(*entry.value, wanted, allowed)) {
    findings.wrong(entry.value_place, path, *wrong);
    return false;
  }
  bool is_taken = true;
  for (const YamlItem& item : entry.value->items) {
    is_taken &= read_value(*item.value, item.place, path, allowed, findings, take);
  }
  if (!is_map) return is_taken;
  for_each_entry(*entry.value, path, findings, [&](const YamlEntry& inner) {
    const std::string inner_path = path_of(path, shortened(inner.key));
    const std::string mistake = mistake_in_name(inner.key);
    if (!mistake.empty()) findings.wrong(inner.place, inner_path, mistake);
    is_taken &= mistake.empty() && read_value(*inner.value, inner.value_place, inner_path, allowed, findings,
                                              [&](const Value& value) {
                                                return setting.kind.read_entry(inner.key, value, section);
                                              });
  });
  return is_taken;
}

template <class Section>
Given read_section(const YamlNode& map, const std::string& path, Section& section, Findings& findings) {
  Given given;
  const auto table = settings_of<Section>();
  for_each_entry(map, path, findings, [&](const YamlEntry& entry) {
    for (const Setting<Section>& setting : table) {
      if (setting.key != entry.key) continue;
      given.was_written(entry);
      if (read_setting(setting, entry, path_of(path, entry.key), section, findings)) given.was_taken(entry);
      return;
    }
    std::vector<std::string_view> known;
    for (const Setting<Section>& setting : table) known.push_back(setting.key);
    report_unknown_key(entry, path, known, findings, given);
  });
  return given;
}

}  // namespace tidepool::config
