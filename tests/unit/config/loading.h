// What the tests of loading share: a conninfo reader that knows a few keys, and findings as lines of text.
#pragma once

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <vector>

#include "lib/config/loader.h"

namespace tidepool::config {

// libpq's words, for keyword conninfos without quotes or spaces; the user is "postgres" if it is left out.
inline base::Result<ConninfoFacts> read_conninfo(const std::string& conninfo) {
  constexpr std::string_view known[] = {"host", "port", "dbname", "user", "password", "options"};
  if (conninfo.starts_with("postgres")) return ConninfoFacts{"uri_user"};
  ConninfoFacts facts{"postgres"};
  for (size_t at = 0; at < conninfo.size();) {
    const size_t end = std::min(conninfo.find(' ', at), conninfo.size());
    const std::string pair = conninfo.substr(at, end - at);
    at = end + 1;
    const size_t equals = pair.find('=');
    if (pair.empty()) continue;
    if (equals == std::string::npos) {
      return base::Error{"", "missing \"=\" after \"" + pair + "\" in connection info string\n"};
    }
    bool is_known = false;
    for (std::string_view key : known) is_known |= pair.substr(0, equals) == key;
    if (!is_known) return base::Error{"", "invalid connection option \"" + pair.substr(0, equals) + "\"\n"};
    if (pair.starts_with("user=")) facts.user = pair.substr(5);
  }
  return facts;
}

inline std::vector<base::Result<auth::Secret>> make_secrets(const std::vector<StoredPassword>& stored) {
  std::vector<base::Result<auth::Secret>> secrets;
  for (const auto& each : stored) secrets.push_back(auth::Secret::parse(each.text, std::string(16, 's')));
  return secrets;
}

inline Loaded load(std::string_view yaml) {
  Loaded loaded = load_text(yaml, "t.yaml", read_conninfo, make_secrets);
  CHECK((loaded.settings == nullptr) == !loaded.mistakes.empty());
  return loaded;
}

inline std::string lines_of(const std::vector<Mistake>& findings) {
  std::string out;
  for (const Mistake& finding : findings) out += finding.to_string() + "\n";
  return out;
}
inline std::string mistakes_in(std::string_view yaml) {
  return lines_of(load(yaml).mistakes);
}
inline std::string warnings_in(std::string_view yaml) {
  const Loaded loaded = load(yaml);
  CHECK(lines_of(loaded.mistakes) == "");
  return lines_of(loaded.warnings);
}

// The settings of a text that has to be right.
inline Settings settings_in(std::string_view yaml) {
  const Loaded loaded = load(yaml);
  REQUIRE(lines_of(loaded.mistakes) == "");
  return *loaded.settings;
}

// A whole file around the settings of one pool, which start in line 5.
inline std::string with_pool(const std::string& settings) {
  return "listen: [{unix: /run/t}]\npools:\n  orders:\n    conninfo: \"dbname=orders user=app\"\n    " +
         settings + "\n";
}
// A whole file around other sections, which start in line 3.
inline std::string with_sections(const std::string& sections) {
  return "listen: [{unix: /run/t}]\npools: {orders: {conninfo: \"dbname=orders user=app\"}}\n" + sections +
         "\n";
}
// A whole file around listeners, which start in line 3.
inline std::string with_listeners(const std::string& entries) {
  return "pools: {orders: {conninfo: \"dbname=orders user=app\"}}\nlisten:\n" + entries + "\n";
}

}  // namespace tidepool::config
