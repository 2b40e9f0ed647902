// A statement that clients have prepared by Parse, as sessions of a pool share it: whoever prepares the same
// text under the same settings, and to whom PostgreSQL gave the same parameter types and rows for it, means
// the same one. What PostgreSQL gives depends on what exists when a text is parsed, so that it is known only
// behind each client's own Parse; until then a statement is nobody else's.
//
// Settings belong to it because PostgreSQL reads literals when it parses: '01/02/2020'::date keeps the
// DateStyle of its Parse (docs/decisions.md, 22). But it parses again when a table changed, under the
// settings of whoever runs the statement then, and plans may hold what custom settings were (a function that
// is wrongly declared IMMUTABLE): so those who run it under other settings than those of the Parse share one
// of their own. https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-EXT-QUERY
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "lib/session/row_shape.h"
#include "lib/sql/statement_traits.h"

namespace tidepool::session {

// What a Parse message says, but for the name. Once for all who say it.
struct StatementText {
  std::string text;
  std::string types;  // as they stand in the Parse message: Int16 how many, then their OIDs
  sql::StatementTraits traits;
  bool is_analysed = true;             // sql::is_analysed()
  bool has_rows_of_its_parse = false;  // sql::has_rows_of_its_parse()
  bool has_literals = true, has_odd_letters = true;

  size_t bytes() const { return sizeof *this + text.size() + types.size(); }
};
using TextPtr = std::shared_ptr<const StatementText>;

struct PreparedStatement {
  TextPtr text;
  std::string fingerprint;  // of the settings that it is parsed under
  std::string run_under;    // what differs from that where it is run; empty: nothing
  // The types of all its parameters, as a Parse would name them: what PostgreSQL made of them.
  std::string parameters = {};
  uint64_t shape = RowShape::kUnknown;

  // PostgreSQL has said what its parameters and rows are.
  bool is_known() const { return shape != RowShape::kUnknown; }
  const sql::StatementTraits& traits() const { return text->traits; }
  // What a Parse of ours names, so that the text means the same again.
  const std::string& types() const { return is_known() ? parameters : text->types; }
  size_t bytes() const { return sizeof *this + fingerprint.size() + run_under.size() + parameters.size(); }
  bool operator==(const PreparedStatement&) const = default;
};

// Held by the book, by each client that has it under some name, and by each server that has it prepared.
using StatementPtr = std::shared_ptr<const PreparedStatement>;

// Between one DEALLOCATE ALL and the next, and the one in front of it.
struct Era {
  uint32_t number = 0, before = 0;
};

// No era is begun twice: one that is undone may leave statements behind, which the next one is to take along.
class Eras {
 public:
  uint32_t now() const { return now_; }
  Era begin() {
    const uint32_t before = std::exchange(now_, ++last_);
    return {now_, before};
  }
  // Others may have begun behind it.
  void undo(Era undone) {
    if (now_ == undone.number) now_ = undone.before;
  }

 private:
  uint32_t now_ = 0, last_ = 0;
};

// Where the relay gets shared statements from; called on the session's worker.
class StatementSource {
 public:
  virtual ~StatementSource() = default;
  // `is_unsure`: as sql::Options have it. Null: those in use take too much memory already.
  virtual TextPtr text(std::string_view text, std::string_view types, bool is_unsure) = 0;
  // The one that is equal to this one, which is known.
  virtual StatementPtr share(const PreparedStatement& statement) = 0;
};

}  // namespace tidepool::session
