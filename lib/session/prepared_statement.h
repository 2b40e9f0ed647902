// A statement that clients have prepared by Parse, as all sessions of a pool share it: whoever prepares the
// same text with the same parameter types under the same settings means the same one. The settings belong to
// it because PostgreSQL reads literals when it parses: '01/02/2020'::date keeps the DateStyle of its Parse
// (docs/decisions.md, 22). But it parses again when a table changed, under the settings of whoever runs the
// statement then: so those who run it under other settings than those of the Parse share one of their own.
// https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-EXT-QUERY
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "lib/sql/statement_traits.h"

namespace tidepool::session {

struct PreparedStatement {
  std::string text;
  std::string types;        // as they stand in the Parse message: Int16 how many, then their OIDs
  std::string fingerprint;  // of the settings that it is parsed under
  std::string run_under;    // what literals_in() finds in that of those who run it; empty: in the same
  sql::StatementTraits traits;

  size_t bytes() const {
    return sizeof *this + text.size() + types.size() + fingerprint.size() + run_under.size();
  }
};

// Held by the book, by each client that has it under some name, and by each server that has it prepared.
using StatementPtr = std::shared_ptr<const PreparedStatement>;

// Where the relay gets shared statements from; called on the session's worker.
class StatementSource {
 public:
  virtual ~StatementSource() = default;
  // Null: those in use take too much memory already.
  virtual StatementPtr share(std::string_view text, std::string_view types, std::string_view fingerprint,
                             std::string_view run_under) = 0;
};

}  // namespace tidepool::session
