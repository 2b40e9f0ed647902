#include "lib/session/session_trace.h"

#include <algorithm>
#include <iterator>

#include "lib/sql/statement_traits.h"

namespace tidepool::session {

namespace {

// Whether one of the pairs of letters stands somewhere in the text, in either case. The loop has no branch,
// so that it takes many bytes at once.
template <class... Pairs>
bool has_pair(base::Bytes text, const Pairs&... pairs) {
  unsigned found = 0;
  for (size_t at = 1; at < text.size(); ++at) {
    const unsigned first = static_cast<unsigned char>(text[at - 1]) | 0x20U;
    const unsigned second = static_cast<unsigned char>(text[at]) | 0x20U;
    found |= ((static_cast<unsigned>(first == static_cast<unsigned char>(pairs[0])) &
               static_cast<unsigned>(second == static_cast<unsigned char>(pairs[1]))) |
              ...);
  }
  return found != 0;
}

// Of "seed" or "dblink": most texts have neither.
bool may_last(base::Bytes text) {
  return has_pair(text, "ee", "db");
}

// Of TEMP and pg_temp.
bool names_temporary(base::Bytes text) {
  return has_pair(text, "mp");
}

}  // namespace

// Commands as such; what a SELECT calls is not seen here. CREATE TABLE may have made a temporary one.
bool SessionTrace::leaves_nothing(base::Bytes tag) {
  static constexpr std::string_view kHarmless[] = {
      "SELECT",         "INSERT",    "UPDATE", "DELETE",  "BEGIN",   "COMMIT",
      "ROLLBACK",       "FETCH",     "MERGE",  "COPY",    "SHOW",    "CLOSE CURSOR",
      "DECLARE CURSOR", "SAVEPOINT", "VACUUM", "ANALYZE", "RELEASE", "START TRANSACTION",
      "TRUNCATE TABLE"};
  return std::any_of(std::begin(kHarmless), std::end(kHarmless),
                     [tag](std::string_view harmless) { return tag.starts_with(harmless); });
}

// What calls no function that its text does not show, by way of a trigger, a rule or a default.
bool SessionTrace::runs_nothing_unseen(base::Bytes tag) {
  static constexpr std::string_view kPlain[] = {"SELECT", "BEGIN", "COMMIT", "ROLLBACK",
                                                "SHOW",   "SET",   "RESET",  "START TRANSACTION"};
  return std::any_of(std::begin(kPlain), std::end(kPlain),
                     [tag](std::string_view plain) { return tag.starts_with(plain); });
}

void SessionTrace::see_text(base::Bytes text) {
  may_have_temporary_ = may_have_temporary_ || text.find('(') != base::Bytes::npos || names_temporary(text);
  if (lasts_ || !may_last(text)) return;
  // However strings are read there.
  for (const bool standard_strings : {true, false}) {
    sql::Options options;
    options.standard_conforming_strings = standard_strings;
    lasts_ = lasts_ || sql::classify(text, options).has_any({sql::Trait::Unaskable, sql::Trait::Load});
  }
}

}  // namespace tidepool::session
