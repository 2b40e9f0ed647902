// What a statement's rows look like, as one number: of each column what PostgreSQL compares before it says
// "cached plan must not change result type", its name, type and type modifier; not the table that it comes
// from, nor formats. Only descriptions of statements (Describe 'S') can be compared: one of a portal has the
// type modifiers of its plan, which are others ('a'::varchar(5) in a CASE) and depend on parameters.
// https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-ROWDESCRIPTION
#pragma once

#include <cstdint>

#include "lib/base/bytes.h"

namespace tidepool::session {

class RowShape {
 public:
  // No shape has these numbers.
  static constexpr uint64_t kUnknown = 0;
  static constexpr uint64_t kNoRows = 1;       // NoData
  static constexpr uint64_t kNotCompared = 2;  // of a command whose rows PostgreSQL never compares (FETCH)

  // The body of a RowDescription, or the next piece of it.
  void read(base::Bytes piece);
  // Of what was read.
  uint64_t number() const { return hash_ > kNotCompared ? hash_ : ~hash_; }

 private:
  void add(char byte) { hash_ = (hash_ ^ static_cast<unsigned char>(byte)) * kPrime; }

  static constexpr uint64_t kBasis = 0xcbf29ce484222325, kPrime = 0x100000001b3;  // FNV-1a
  uint64_t hash_ = kBasis;
  int count_left_ = 2;    // bytes of the number of columns
  int behind_name_ = -1;  // bytes of the column that were read behind its name; -1: the name is being read
};

}  // namespace tidepool::session
