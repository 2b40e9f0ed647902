// What a text of a Query or Parse message may leave behind in its session: a suspicion, found by reading, on
// which the server is asked. A false alarm costs a question, a miss is unsafe: in doubt a trait is raised.
//
// Knows no catalog: what functions, triggers and procedures do inside is not noticed, unless Options name
// them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tidepool::sql {

enum class Trait : uint32_t {
  // SET, RESET x, set_config(): `settings` and `setting_parameters` name them. Not SET LOCAL and the like.
  Settings = 1U << 0,
  // RESET ALL, DISCARD ALL, a set_config() whose name is computed, UPDATE pg_settings.
  AnySetting = 1U << 1,
  // RESET, SET x TO DEFAULT, DISCARD ALL: something may go back to what the session started with.
  ResetsSetting = 1U << 2,
  Listen = 1U << 3,
  // CREATE TEMP, SELECT INTO TEMP, pg_temp mentioned.
  TemporaryObject = 1U << 4,
  // CREATE, SELECT INTO: with pg_temp in the search_path it may be temporary.
  Creates = 1U << 5,
  // One that outlives its transaction.
  AdvisoryLock = 1U << 6,
  HoldCursor = 1U << 7,
  // PREPARE of SQL.
  PreparedStatement = 1U << 8,
  Load = 1U << 9,
  // Something that cannot be asked about: dblink_connect(), setseed(), Options::pin_functions and the like.
  Unaskable = 1U << 10,
  // currval(), lastval().
  NamesCurrentValue = 1U << 11,
  // nextval(), setval(), INSERT and whatever else writes, CALL, DO, EXECUTE: a sequence may advance.
  MayAdvance = 1U << 12,
  // UNLISTEN, DROP, CLOSE, DEALLOCATE, DISCARD, pg_advisory_unlock(): what pinned a server may be gone.
  RemovesState = 1U << 13,
  DeallocateAll = 1U << 14,
  DiscardAll = 1U << 15,
  // BEGIN, START TRANSACTION, COMMIT AND CHAIN.
  BeginsTransaction = 1U << 16,
  // EXECUTE of SQL: what it runs had its traits when it was prepared. `named_statements` say which one.
  Executes = 1U << 17,
  // A text that is put together when it runs, or whose language is not read: anything may have happened.
  Dynamic = 1U << 18,
  // The text ends inside a string, a comment or a bracket (half a text, or a mistake), or a name is spelled
  // with escapes: anything may have happened.
  Unreadable = 1U << 19,
  // A set_config() whose name is computed (AnySetting too): were it a custom setting, nobody could say which.
  NamelessSetting = 1U << 20,
  // SET LOCAL, set_config(..., true) of a setting that decides what a text means (settings_of_texts.h), or of
  // one whose name is computed: no state, but what is parsed in the same transaction may mean something else.
  SetsLocally = 1U << 21,
  // The same, of one that decides what its literals mean.
  SetsLiteralsLocally = 1U << 22,
  DiscardPlans = 1U << 23,
  // CALL, DO, a call of a function that is not one of PostgreSQL's own: what it does inside is not read.
  Calls = 1U << 24,
  // Of what the text does to the application_name, by itself or with all settings, the last.
  SetsName = 1U << 25,
  ResetsName = 1U << 26,
  // ALTER, DROP: names, types and rows may be others behind it (as behind Creates).
  ChangesObjects = 1U << 28,
  // SET LOCAL, set_config(..., true) of a custom setting: a plan may hold what it is (functions that are
  // wrongly
  // declared IMMUTABLE).
  SetsCustomLocally = 1U << 29,
};

struct StatementTraits {
  // A statement of SQL's PREPARE or of the protocol that DEALLOCATE or EXECUTE names.
  struct NamedStatement {
    size_t at;  // where the name stands in the text, quotes included
    size_t size;
    std::string name;  // what it is: lower case unless quoted
  };

  uint32_t bits = 0;
  // In lower case unless quoted; PostgreSQL compares them ignoring case. No name twice; a text that names
  // very many of them or of the parameters raises AnySetting for the rest.
  std::vector<std::string> settings;
  // 1 for $1: the parameter's value is the name of a setting.
  std::vector<uint16_t> setting_parameters;
  std::vector<NamedStatement> named_statements;

  bool has(Trait trait) const { return (bits & static_cast<uint32_t>(trait)) != 0; }
  bool has_any(std::initializer_list<Trait> traits) const {
    for (Trait trait : traits)
      if (has(trait)) return true;
    return false;
  }
  bool is_empty() const { return bits == 0; }
  bool names_statements() const { return !named_statements.empty(); }
  void raise(Trait trait) { bits |= static_cast<uint32_t>(trait); }
  void drop(Trait trait) { bits &= ~static_cast<uint32_t>(trait); }
  void add_setting(std::string name);
  void add_setting_parameter(uint16_t number);
};

struct Options {
  bool standard_conforming_strings = true;
  // In lower case, with a schema ("app.lock_it": only calls that name it) or without (in any schema).
  std::span<const std::string> pin_functions;
  // Of the server: which names are PostgreSQL's own there.
  unsigned server_major = 13;
  // The client's letters may hold a quote or a backslash where PostgreSQL, which converts them first, sees
  // none, or the other way round (encodings.h): a text that depends_on_letters() is Unreadable.
  bool has_doubtful_letters = false;
  // What is said in front of the text may have changed either of these: so it is then.
  bool is_unsure = false;
};

// Whether what `text` means depends on the encoding of its letters or on standard_conforming_strings.
bool depends_on_letters(std::string_view text);

StatementTraits classify(std::string_view text, const Options& options);

// "LISTEN", "a temporary object", ...: as a log or a console shows it.
std::string_view to_string(Trait trait);

}  // namespace tidepool::sql
