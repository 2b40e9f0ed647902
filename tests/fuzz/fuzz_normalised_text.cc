// Any text of a query, as it is shown to others. What is checked, however standard_conforming_strings stands:
// there is no constant and no comment in it; as a constant or a comment the whole text is hidden; nothing is
// read beyond its end.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lib/sql/lexer.h"
#include "lib/sql/normalised_text.h"
#include "tests/fuzz/expect.h"

namespace {

using namespace tidepool::sql;

void check_has_no_constants(std::string_view shown, bool backslash_escapes) {
  if (shown.ends_with("...")) shown.remove_suffix(3);
  Lexer lexer(shown, backslash_escapes);
  const char* end = shown.data();
  for (Token token = lexer.next(); token.kind != Token::Kind::End; token = lexer.next()) {
    EXPECT(token.kind != Token::Kind::String);
    EXPECT(!is(token.text.front(), kDigit));
    EXPECT(token.text.data() - end <= 1);  // or a comment is between
    end = token.text.data() + token.text.size();
  }
  EXPECT(!lexer.is_broken());
}

std::string quoted(std::string_view text) {
  std::string quoted;
  for (char c : text) {
    if (static_cast<unsigned char>(c) >= 0x80) c = 'x';  // no doubts about encodings
    if (c == '\'' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::vector<char> copy(data, data + size);
  const std::string_view text(copy.data(), copy.size());
  const std::string shown = normalised_text(text);
  check_has_no_constants(shown, false);
  check_has_no_constants(shown, true);
  EXPECT(normalised_text("select e'" + quoted(text) + "' from a") == "select ? from a");
  EXPECT(normalised_text("select e'" + quoted(text)) == "select...");
  if (text.find_first_of("\r\n") == text.npos)
    EXPECT(normalised_text("select a -- " + std::string(text)) == "select a");
  return 0;
}
