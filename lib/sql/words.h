// The words that the classifier looks for: keywords, and functions by what they leave behind.
#pragma once

#include <cstdint>
#include <string_view>

namespace tidepool::sql {

enum class Word : uint8_t {
  Other,
  // Keywords
  Abort,
  All,
  Analyze,
  And,
  As,
  Atomic,
  Authorization,
  Begin,
  Call,
  Case,
  Chain,
  Characteristics,
  Close,
  Commit,
  Constraints,
  Copy,
  Create,
  Cursor,
  Deallocate,
  Declare,
  Default,
  Delete,
  Discard,
  Do,
  Drop,
  Else,
  End,
  Execute,
  Explain,
  For,
  From,
  Function,
  Global,
  Hold,
  Insert,
  Into,
  Language,
  Listen,
  Load,
  Local,
  Loop,
  Merge,
  Names,
  No,
  Option,
  Or,
  Prepare,
  Procedure,
  Replace,
  Reset,
  Role,
  Rollback,
  Schema,
  Session,
  Set,
  Start,
  Temporary,
  Then,
  Time,
  To,
  Transaction,
  True,
  Unlisten,
  Update,
  Verbose,
  With,
  Work,
  Xml,
  Zone,
  // Names
  PgTemp,
  PgSettings,
  // Functions
  AdvanceSequence,
  AdvisoryLock,
  AdvisoryUnlock,
  CurrentValue,
  LeaveUnaskable,
  RunText,
  SetConfig,
  SetLimit
};

// Of a word as it stands in the text, in either case.
Word find_word(std::string_view word);
// Of a name without its quotes: in lower case or not at all.
Word find_quoted(std::string_view name);

}  // namespace tidepool::sql
