// Any text of a query. The first byte says whether standard_conforming_strings is on and whether functions
// are pinned. What is checked: names stand where the traits say; a text raises the same in a buffer that ends
// where it ends; behind another statement and in front of one it raises no less; hidden in a string or a
// comment it raises nothing.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lib/sql/statement_traits.h"
#include "tests/fuzz/expect.h"

namespace {

using namespace tidepool::sql;

bool has_all(uint32_t bits, uint32_t wanted) {
  return (bits & wanted) == wanted;
}

void check_names(std::string_view text, const StatementTraits& traits) {
  for (const auto& named : traits.named_statements) {
    EXPECT(named.size > 0 && named.at <= text.size() && named.size <= text.size() - named.at);
    EXPECT(named.name.size() <= 63);
    EXPECT((text[named.at] == '"') == (text[named.at + named.size - 1] == '"') ||
           traits.has(Trait::Unreadable));
  }
  EXPECT(traits.settings.empty() || traits.has(Trait::Settings));
  EXPECT(traits.setting_parameters.empty() || traits.has(Trait::Settings));
}

std::string hidden_in_string(std::string_view text) {
  std::string hidden = "select e'";
  for (char c : text) {
    if (static_cast<unsigned char>(c) >= 0x80) c = 'x';  // no doubts about encodings
    if (c == '\'' || c == '\\') hidden += '\\';
    hidden += c;
  }
  return hidden + '\'';
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  static const std::vector<std::string> pinned = {"lock_it", "app.hold_it"};
  Options options;
  options.standard_conforming_strings = (data[0] & 1) == 0;
  if ((data[0] & 2) != 0) options.pin_functions = pinned;
  const std::vector<char> copy(data + 1, data + size);
  const std::string_view text(copy.data(), copy.size());

  const StatementTraits traits = classify(text, options);
  check_names(text, traits);
  const std::string behind = "select 1;" + std::string(text);
  // How far the text in front of a bracket is looked back grows with its length: beyond that it is in doubt.
  const auto calls = static_cast<uint32_t>(Trait::Calls);
  EXPECT(has_all(classify(behind, options).bits | calls, traits.bits));
  if (!traits.has(Trait::Unreadable))
    EXPECT(has_all(classify(std::string(text) + "\n;listen a", options).bits | calls, traits.bits));
  EXPECT(classify(hidden_in_string(text), options).is_empty());
  return 0;
}
