#include "lib/sql/encodings.h"

#include <algorithm>
#include <array>

#include "lib/base/ascii.h"

namespace tidepool::sql {

namespace {

// Those that PostgreSQL does not allow on a server, for this reason: the second byte of a letter may be an
// ASCII symbol. Every conversion of every other letter was tried (a test does it again): none becomes a quote
// or a backslash but one of SHIFT_JIS_2004.
// https://www.postgresql.org/docs/current/multibyte.html
constexpr std::array<std::string_view, 7> kDoubtful{"sjis", "shift_jis_2004", "big5", "gbk",
                                                    "uhc",  "gb18030",        "johab"};

}  // namespace

bool has_doubtful_letters(std::string_view client_encoding) {
  return std::any_of(kDoubtful.begin(), kDoubtful.end(),
                     [&](std::string_view name) { return base::same_letters(name, client_encoding); });
}

}  // namespace tidepool::sql
