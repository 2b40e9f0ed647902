#include "lib/session/session_trace.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <iterator>

#include "lib/sql/statement_traits.h"

namespace tidepool::session {

namespace {

// What a text may hold, in either case of its letters: a guess that is right most often.
struct Hints {
  bool lasts = false;      // "ee" or "db", of "seed" and "dblink"
  bool temporary = false;  // "mp", of TEMP and pg_temp, or a bracket, which may be a call's
};

// So many pairs of letters at once: a loop of a known length without a branch becomes a few vector
// instructions.
constexpr size_t kBlock = 16;

class Reader {
 public:
  void read(const char* text) {
    for (size_t i = 0; i < kBlock; ++i) {
      const auto one = static_cast<uint8_t>(text[i] | 0x20);
      const auto next = static_cast<uint8_t>(text[i + 1] | 0x20);
      lasts_[i] |= static_cast<uint8_t>((one == 'e') & (next == 'e')) |
                   static_cast<uint8_t>((one == 'd') & (next == 'b'));
      temporary_[i] |= static_cast<uint8_t>((one == 'm') & (next == 'p')) | static_cast<uint8_t>(one == '(');
    }
  }
  Hints hints() const { return {is_set(lasts_), is_set(temporary_)}; }

 private:
  using Found = std::array<uint8_t, kBlock>;
  static bool is_set(const Found& found) { return found != Found{}; }

  Found lasts_{}, temporary_{};
};

Hints hints_in(base::Bytes text) {
  Reader reader;
  std::array<char, kBlock + 1> rest{};
  if (text.size() <= kBlock) {
    text.copy(rest.data(), text.size());
    reader.read(rest.data());
    return reader.hints();
  }
  for (size_t at = 0; at + kBlock < text.size(); at += kBlock) reader.read(text.data() + at);
  reader.read(text.data() + text.size() - rest.size());
  return reader.hints();
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
  if (lasts_ && may_have_temporary_) return;
  const Hints hints = hints_in(text);
  may_have_temporary_ = may_have_temporary_ || hints.temporary;
  if (lasts_ || !hints.lasts) return;
  // However strings are read there.
  for (const bool standard_strings : {true, false}) {
    sql::Options options;
    options.standard_conforming_strings = standard_strings;
    lasts_ = lasts_ || sql::classify(text, options).has_any({sql::Trait::Unaskable, sql::Trait::Load});
  }
}

}  // namespace tidepool::session
