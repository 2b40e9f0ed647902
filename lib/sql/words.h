// The words that the classifier looks for: keywords, and functions by what they leave behind.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace tidepool::sql {

// clang-format off
enum class Word : uint8_t {
  Other,
  // Keywords that matter in certain places
  Abort, All, Alter, Analyze, And, As, Atomic, Authorization, Begin, Call, Case, Chain, Characteristics,
  Close, Commit, Constraints, Copy, Create, Cursor, Deallocate, Declare, Default, Discard, Do, Drop, Else,
  End, Execute, Explain, Extension, For, From, Function, Hold, Language, Listen, Load, Loop, Names, Or, Plans,
  Prepare, Procedure, Refresh, Replace, Reset, Role, Rollback, Schema, Session, Set, Start, Table, Then, Time, To,
  Transaction, True, Unlisten, Verbose, With, Work, Xml, Zone,
  // Keywords that matter anywhere
  Delete, Global, Insert, Into, Local, Merge, Temporary, Update,
  // Names
  PgTemp, PgSettings,
  // Functions
  AdvanceSequence, AdvisoryLock, AdvisoryUnlock, CurrentValue, LeaveUnaskable, RunText, SetConfig, SetLimit
};
// clang-format on
inline constexpr Word kFirstThatMattersAnywhere = Word::Delete;
inline constexpr size_t kShortestThatMattersAnywhere = 4;
inline constexpr Word kFirstName = Word::PgTemp;
inline constexpr Word kFirstFunction = Word::AdvanceSequence;

// Of a word as it stands in the text, in either case.
Word find_word(std::string_view word);
// Of a name without its quotes: in lower case or not at all.
Word find_quoted(std::string_view name);

// Before a word or name is looked for: its first and third letters and its length rule out nearly all that do
// not matter anywhere in a statement. A bit for each length, those from 63 on are one.
extern const std::array<uint64_t, 64> kLengthsThatMatter;

constexpr size_t letters_of(char first, char third) {
  return (static_cast<size_t>(first & 31) + 3 * static_cast<size_t>(third & 31)) & 63;
}
inline bool may_matter(std::string_view word) {
  if (word.size() < kShortestThatMattersAnywhere) return false;
  const size_t length = word.size() < 63 ? word.size() : 63;
  return (kLengthsThatMatter[letters_of(word[0], word[2])] >> length & 1) != 0;
}

}  // namespace tidepool::sql
