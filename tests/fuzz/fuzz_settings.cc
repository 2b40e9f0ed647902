// Any bytes as a settings file. What is checked: it is settings or mistakes, never both and never neither;
// each finding is one line with a place; no mistake shows what the environment holds; settings that load can
// be shown, and have no pool that could not work.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "lib/config/loader.h"
#include "tests/fuzz/expect.h"

namespace {

using namespace tidepool;
using namespace tidepool::config;

constexpr std::string_view kSecret = "a-secret-of-the-environment";

base::Result<ConninfoFacts> read_conninfo(const std::string& conninfo) {
  if (conninfo.find("bad") != std::string::npos)
    return base::Error{"", "missing \"=\" after \"" + conninfo + "\""};
  return ConninfoFacts{"app"};
}

std::vector<base::Result<auth::Secret>> make_secrets(const std::vector<StoredPassword>& stored) {
  std::vector<base::Result<auth::Secret>> secrets;
  for (const auto& each : stored) secrets.push_back(auth::Secret::parse(each.text, std::string(16, 's')));
  return secrets;
}

void check_findings(const std::vector<Mistake>& findings) {
  int line = 0;
  for (const Mistake& finding : findings) {
    EXPECT(finding.line >= 1 && finding.column >= 1);
    EXPECT(finding.line >= line);
    line = finding.line;
    EXPECT(!finding.key.empty() && !finding.text.empty());
    EXPECT(finding.to_string().find('\n') == std::string::npos);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  setenv("SECRET", kSecret.data(), 1);
  const std::string text(data, data + size);
  const Loaded loaded = load_text(text, "fuzz.yaml", read_conninfo, make_secrets);
  EXPECT((loaded.settings == nullptr) == !loaded.mistakes.empty());
  check_findings(loaded.mistakes);
  check_findings(loaded.warnings);
  // The path of a password file is shown as it was looked for, since that is what an operator needs.
  // A file that has the secret's own words in it, which the fuzzer learns by and by, may be quoted.
  const bool shows_paths =
      text.find("password_file") != std::string::npos || text.find(kSecret) != std::string::npos;
  for (const Mistake& mistake : loaded.mistakes) {
    EXPECT(shows_paths || mistake.to_string().find(kSecret) == std::string::npos);
  }
  if (!loaded.settings) return 0;
  EXPECT(!loaded.settings->listen.empty() && !loaded.settings->pools.empty());
  for (const auto& [name, pool] : loaded.settings->pools) {
    EXPECT(pool.name == name && !pool.users.empty() && pool.max_size >= 1 && pool.max_size >= pool.min_size);
  }
  for (const SettingRow& row : rows_of(*loaded.settings)) EXPECT(!row.key.empty());
  return 0;
}
