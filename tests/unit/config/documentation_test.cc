// The files that people read name every setting, with the default and the meaning that the table has.
#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>

#include "lib/config/settings_table.h"
#include "tests/unit/config/loading.h"

namespace tidepool::config {
namespace {

std::string content_of(const std::string& path) {
  std::ifstream file(std::string(TIDEPOOL_SOURCE_DIR) + "/" + path);
  REQUIRE(file.good());
  std::ostringstream out;
  out << file.rdbuf();
  return out.str();
}

std::vector<std::string> lines_in(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

// Without what indents and comments a line.
std::string bare(const std::string& line) {
  const size_t start = line.find_first_not_of(" #-");
  return start == std::string::npos ? "" : line.substr(start);
}
bool is_comment(const std::string& line) {
  const size_t start = line.find_first_not_of(' ');
  return start != std::string::npos && line[start] == '#';
}

// Of a file of settings: each key's line, under "section.key", with the comment above it as one line of
// words.
struct DocumentedKey {
  std::string value, comment;
};
std::multimap<std::string, DocumentedKey> documented_keys(const std::string& text) {
  std::multimap<std::string, DocumentedKey> out;
  std::string section, comment;
  for (const std::string& line : lines_in(text)) {
    const std::string words = bare(line);
    const size_t colon = words.find(':');
    const bool is_key = colon != std::string::npos && words.find_first_of(" (\"$") > colon;
    if (is_key) {
      const std::string key = words.substr(0, colon);
      if (line.front() != ' ') section = key;
      out.emplace(section == key ? key : section + "." + key,
                  DocumentedKey{words.size() > colon + 2 ? words.substr(colon + 2) : "", comment});
      comment.clear();
    } else if (is_comment(line)) {
      comment += (comment.empty() ? "" : " ") + words;
    } else {
      comment.clear();
    }
  }
  return out;
}

// "pools.*" -> "pools", "listen[]" -> "listen".
std::string top_of(const std::string& section) {
  return section.substr(0, section.find_first_of(".["));
}

TEST_CASE("config/tidepool.full.yaml has every setting, each under its meaning") {
  const auto documented = documented_keys(content_of("config/tidepool.full.yaml"));
  for (const SettingText& setting : all_settings()) {
    const std::string top = top_of(setting.section);
    const std::string key = setting.key == "*" ? top : top.empty() ? setting.key : top + "." + setting.key;
    INFO(key);
    REQUIRE(documented.count(key) > 0);
    for (auto [at, end] = documented.equal_range(key); at != end; ++at) {
      INFO(at->second.comment);
      CHECK(at->second.comment.find(setting.meaning) != std::string::npos);
    }
  }
}

TEST_CASE("config/tidepool.full.yaml loads, and every setting in it is at its default") {
  const Loaded loaded = load(content_of("config/tidepool.full.yaml"));
  CHECK(lines_of(loaded.mistakes) + lines_of(loaded.warnings) == "");
  REQUIRE(loaded.settings);
  for (const SettingRow& row : rows_of(*loaded.settings)) {
    INFO(row.key);
    const bool has_no_default =
        row.key.ends_with(".unix") || row.key.ends_with(".tcp") || row.key.ends_with(".conninfo");
    if (!has_no_default) CHECK(row.value.substr(0, row.value.find(" (")) == row.fallback);
  }
}

TEST_CASE("config/tidepool.yaml loads without a warning") {
  const Loaded loaded = load(content_of("config/tidepool.yaml"));
  CHECK(lines_of(loaded.mistakes) + lines_of(loaded.warnings) == "");
}

TEST_CASE("the defaults of settings.h are those of the table") {
  Settings settings;
  settings.listen.resize(2);
  settings.listen[0].unix_directory = "/x";
  settings.listen[0].auth = auth::AuthMethod::Peer;
  settings.listen[1].tcp_address = "x";
  settings.pools["x"];
  for (const SettingRow& row : rows_of(settings)) {
    INFO(row.key);
    const bool has_no_default = row.key.ends_with(".unix") || row.key.ends_with(".tcp");
    if (!has_no_default) CHECK(row.value.substr(0, row.value.find(" (")) == row.fallback);
  }
}

TEST_CASE("docs/settings.md has the row of every setting") {
  const std::string text = content_of("docs/settings.md");
  for (const SettingText& setting : all_settings()) {
    const std::string fallback = setting.fallback.empty() ? "" : "`" + setting.fallback + "`";
    const std::string row = "| `" + setting.key + "` | " + fallback + " | " + setting.allowed + " | " +
                            (setting.reload == Reload::Yes ? "yes" : "no") + " | " + setting.meaning + " |\n";
    INFO(row);
    const std::string top = setting.section.empty() ? setting.key : top_of(setting.section);
    const size_t section = text.find("\n## `" + top + "`");
    REQUIRE(section != std::string::npos);
    CHECK(text.substr(section, text.find("\n## ", section + 1) - section).find(row) != std::string::npos);
  }
}

TEST_CASE("every example in docs/settings.md loads") {
  for (const char* variable : {"APP_PASSWORD", "ADMIN_PASSWORD", "ORDERS_PASSWORD"}) setenv(variable, "x", 1);
  int examples = 0;
  const std::string text = content_of("docs/settings.md"), fence = "```yaml\n";
  for (size_t at = text.find(fence); at != std::string::npos; at = text.find(fence, at)) {
    at += fence.size();
    const std::string example = text.substr(at, text.find("```", at) - at);
    INFO(example);
    CHECK(mistakes_in(example) == "");
    ++examples;
  }
  CHECK(examples >= 7);
}

}  // namespace
}  // namespace tidepool::config
