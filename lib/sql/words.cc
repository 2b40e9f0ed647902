#include "lib/sql/words.h"

#include <algorithm>
#include <array>
#include <cstddef>

#include "lib/sql/lexer.h"

namespace tidepool::sql {

namespace {

struct Row {
  std::string_view text;
  Word word;
};

constexpr Row kRows[] = {
    {"abort", Word::Abort},
    {"all", Word::All},
    {"alter", Word::Alter},
    {"analyse", Word::Analyze},
    {"analyze", Word::Analyze},
    {"and", Word::And},
    {"as", Word::As},
    {"atomic", Word::Atomic},
    {"authorization", Word::Authorization},
    {"begin", Word::Begin},
    {"call", Word::Call},
    {"case", Word::Case},
    {"chain", Word::Chain},
    {"characteristics", Word::Characteristics},
    {"close", Word::Close},
    {"commit", Word::Commit},
    {"constraints", Word::Constraints},
    {"copy", Word::Copy},
    {"create", Word::Create},
    {"cursor", Word::Cursor},
    {"deallocate", Word::Deallocate},
    {"declare", Word::Declare},
    {"default", Word::Default},
    {"delete", Word::Delete},
    {"discard", Word::Discard},
    {"do", Word::Do},
    {"drop", Word::Drop},
    {"else", Word::Else},
    {"end", Word::End},
    {"execute", Word::Execute},
    {"explain", Word::Explain},
    {"extension", Word::Extension},
    {"for", Word::For},
    {"from", Word::From},
    {"function", Word::Function},
    {"global", Word::Global},
    {"hold", Word::Hold},
    {"insert", Word::Insert},
    {"into", Word::Into},
    {"language", Word::Language},
    {"listen", Word::Listen},
    {"load", Word::Load},
    {"local", Word::Local},
    {"loop", Word::Loop},
    {"merge", Word::Merge},
    {"names", Word::Names},
    {"or", Word::Or},
    {"plans", Word::Plans},
    {"prepare", Word::Prepare},
    {"procedure", Word::Procedure},
    {"refresh", Word::Refresh},
    {"replace", Word::Replace},
    {"reset", Word::Reset},
    {"role", Word::Role},
    {"rollback", Word::Rollback},
    {"schema", Word::Schema},
    {"session", Word::Session},
    {"set", Word::Set},
    {"start", Word::Start},
    {"table", Word::Table},
    {"temp", Word::Temporary},
    {"temporary", Word::Temporary},
    {"then", Word::Then},
    {"time", Word::Time},
    {"to", Word::To},
    {"transaction", Word::Transaction},
    {"true", Word::True},
    {"unlisten", Word::Unlisten},
    {"update", Word::Update},
    {"verbose", Word::Verbose},
    {"with", Word::With},
    {"work", Word::Work},
    {"xml", Word::Xml},
    {"zone", Word::Zone},

    {"pg_temp", Word::PgTemp},
    {"pg_settings", Word::PgSettings},  // UPDATE pg_settings is set_config()

    {"nextval", Word::AdvanceSequence},
    {"setval", Word::AdvanceSequence},  // currval() gives its value from then on
    {"pg_advisory_lock", Word::AdvisoryLock},
    {"pg_advisory_lock_shared", Word::AdvisoryLock},
    {"pg_try_advisory_lock", Word::AdvisoryLock},
    {"pg_try_advisory_lock_shared", Word::AdvisoryLock},
    {"pg_advisory_unlock", Word::AdvisoryUnlock},
    {"pg_advisory_unlock_all", Word::AdvisoryUnlock},
    {"pg_advisory_unlock_shared", Word::AdvisoryUnlock},
    {"currval", Word::CurrentValue},
    {"lastval", Word::CurrentValue},
    {"set_config", Word::SetConfig},
    {"set_limit", Word::SetLimit},  // pg_trgm's: SET pg_trgm.similarity_threshold

    // Connections, a backup, replication origins and slots of the session, the state of random().
    {"dblink_connect", Word::LeaveUnaskable},
    {"dblink_connect_u", Word::LeaveUnaskable},
    {"pg_backup_start", Word::LeaveUnaskable},
    {"pg_start_backup", Word::LeaveUnaskable},
    {"pg_copy_logical_replication_slot", Word::LeaveUnaskable},
    {"pg_copy_physical_replication_slot", Word::LeaveUnaskable},
    {"pg_create_logical_replication_slot", Word::LeaveUnaskable},
    {"pg_create_physical_replication_slot", Word::LeaveUnaskable},
    {"pg_replication_origin_session_setup", Word::LeaveUnaskable},
    {"setseed", Word::LeaveUnaskable},

    // Functions of PostgreSQL and its extensions that run a text which they are given.
    {"connectby", Word::RunText},
    {"crosstab", Word::RunText},
    {"crosstab2", Word::RunText},
    {"crosstab3", Word::RunText},
    {"crosstab4", Word::RunText},
    {"database_to_xml", Word::RunText},
    {"database_to_xml_and_xmlschema", Word::RunText},
    {"database_to_xmlschema", Word::RunText},
    {"query_to_xml", Word::RunText},
    {"query_to_xml_and_xmlschema", Word::RunText},
    {"query_to_xmlschema", Word::RunText},
    {"schema_to_xml", Word::RunText},
    {"schema_to_xml_and_xmlschema", Word::RunText},
    {"schema_to_xmlschema", Word::RunText},
    {"table_to_xml", Word::RunText},
    {"table_to_xml_and_xmlschema", Word::RunText},
    {"table_to_xmlschema", Word::RunText},
    {"ts_rewrite", Word::RunText},
    {"ts_stat", Word::RunText},
    {"xpath_table", Word::RunText},
};

// A word is looked for among those of its first letter and length: hardly ever more than two, mostly none.
constexpr size_t kLongestWord = 35;
constexpr size_t kBuckets = 26 * (kLongestWord + 1);

constexpr size_t bucket_of(char first_lower, size_t size) {
  return static_cast<size_t>(first_lower - 'a') * (kLongestWord + 1) + size;
}

struct Table {
  std::array<Row, std::size(kRows)> rows;   // by bucket
  std::array<uint8_t, kBuckets + 1> begin;  // of a bucket's rows; they end where the next one's begin
};

constexpr Table kTable = [] {
  Table table{};
  std::copy(std::begin(kRows), std::end(kRows), table.rows.begin());
  const auto bucket = [](const Row& row) { return bucket_of(row.text.front(), row.text.size()); };
  std::sort(table.rows.begin(), table.rows.end(),
            [&](const Row& a, const Row& b) { return bucket(a) < bucket(b); });
  size_t row = 0;
  for (size_t b = 0; b <= kBuckets; ++b) {
    table.begin[b] = static_cast<uint8_t>(row);
    while (row < table.rows.size() && bucket(table.rows[row]) == b) ++row;
  }
  return table;
}();
static_assert(std::size(kRows) < 256);
static_assert(std::all_of(std::begin(kRows), std::end(kRows),
                          [](const Row& row) { return row.text.size() <= kLongestWord; }));

// A name like pg_temp_3 is a session's temporary schema, perhaps this one's.
bool names_temporary_schema(std::string_view lower) {
  return lower.starts_with("pg_temp_");
}

template <class Fold>
Word find(std::string_view text, Fold fold) {
  if (text.empty()) return Word::Other;
  const char first = fold(text.front());
  if (first < 'a' || first > 'z') return Word::Other;
  if (first == 'p' && text.size() > 8 && text[2] == '_' && fold(text[3]) == 't') {
    char start[8];
    std::transform(text.begin(), text.begin() + 8, start, fold);
    if (names_temporary_schema({start, 8})) return Word::PgTemp;
  }
  if (text.size() > kLongestWord) return Word::Other;
  const size_t bucket = bucket_of(first, text.size());
  for (size_t row = kTable.begin[bucket]; row < kTable.begin[bucket + 1]; ++row) {
    const std::string_view wanted = kTable.rows[row].text;
    if (std::equal(wanted.begin(), wanted.end(), text.begin(), [&](char a, char b) { return a == fold(b); }))
      return kTable.rows[row].word;
  }
  return Word::Other;
}

constexpr std::array<uint64_t, 64> kMatter = [] {
  std::array<uint64_t, 64> lengths{};
  for (const Row& row : kRows) {
    if (row.word >= kFirstThatMattersAnywhere)
      lengths[letters_of(row.text[0], row.text[2])] |= uint64_t{1} << row.text.size();
  }
  lengths[letters_of('p', '_')] = ~uint64_t{0};  // pg_temp_3
  return lengths;
}();
static_assert(std::all_of(std::begin(kRows), std::end(kRows), [](const Row& row) {
  return row.word < kFirstThatMattersAnywhere || row.text.size() >= kShortestThatMattersAnywhere;
}));

}  // namespace

const std::array<uint64_t, 64> kLengthsThatMatter = kMatter;

Word find_word(std::string_view word) {
  return find(word, [](char c) { return to_lower(c); });
}

Word find_quoted(std::string_view name) {
  const Word word = find(name, [](char c) { return c; });
  return word >= kFirstName ? word : Word::Other;  // a quoted name is no keyword
}

}  // namespace tidepool::sql
