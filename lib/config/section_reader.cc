#include "lib/config/section_reader.h"

namespace tidepool::config {
namespace {

// "max_clients" at the top level belongs into limits. Empty: nowhere.
std::string section_that_has(std::string_view key) {
  for (const SettingText& row : all_settings()) {
    if (row.key == key && row.key != "*") return row.section.empty() ? "the top level" : row.section;
  }
  return "";
}

}  // namespace

void report_unknown_key(const YamlEntry& entry, const std::string& path,
                        const std::vector<std::string_view>& known, Findings& findings, Given& given) {
  const std::string_view meant = nearest(entry.key, known);
  if (!meant.empty()) given.was_misspelt(meant);

  // {app: {hunter2}} is a forgotten "password:", and its key a password.
  const bool may_be_secret = path.starts_with("users.") && meant.empty();
  std::string text = "unknown setting; ";
  if (entry.key == "<<") {
    text += "YAML's merge key has no meaning here: write the settings out";
  } else if (const std::string owner = section_that_has(entry.key); !owner.empty()) {
    text += "it belongs in " + owner;
  } else if (!meant.empty()) {
    text += "did you mean " + std::string(meant) + "?";
  } else {
    text += "write " + one_of(known);
  }
  findings.wrong(entry.place, may_be_secret ? path : path_of(path, shortened(entry.key)), text);
}

Wrong not_of_kind(const YamlNode& node, YamlNode::Kind wanted, const std::string& would_be_right) {
  if (node.kind == wanted) return std::nullopt;
  switch (node.kind) {
    case YamlNode::Kind::Null:
      return "has no value; write " + would_be_right + ", or remove the key";
    case YamlNode::Kind::Scalar:
      return "is a single value; write " + would_be_right;
    case YamlNode::Kind::List:
      return "is a list; write " + would_be_right;
    case YamlNode::Kind::Map:
      return "is a map; write " + would_be_right;
  }
  return std::nullopt;
}

std::string mistake_in_name(std::string_view name) {
  if (name.empty()) return "a name is empty; write it";
  for (char c : name) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
      return "a name has a control character; write it without";
  }
  return "";
}

std::optional<Value> read_scalar(const YamlNode& node, Place place, const std::string& path,
                                 const std::string& allowed, Findings& findings) {
  if (const Wrong wrong = not_of_kind(node, YamlNode::Kind::Scalar, allowed)) {
    findings.wrong(place, path, *wrong);
    return std::nullopt;
  }
  Expanded expanded = expand_variables(node.text);
  if (!expanded.mistake.empty()) {
    findings.wrong(place, path, expanded.mistake);
    return std::nullopt;
  }
  // What the environment holds may be a secret: it is named, not shown.
  std::string shown =
      expanded.has_variables ? "the value of " + in_quotes(node.text) : in_quotes(expanded.text);
  return Value{std::move(expanded.text), std::move(shown)};
}

}  // namespace tidepool::config
