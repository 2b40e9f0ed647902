// Reads what a call of set_config(name, value, is_local) says without running it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "lib/sql/lexer.h"

namespace tidepool::sql {

struct SetConfigCall {
  enum class Name : uint8_t { Literal, Parameter, Computed };
  Name name = Name::Computed;
  std::string literal;     // the setting, if Literal
  uint16_t parameter = 0;  // 1 for $1, if Parameter
  bool is_reset = false;   // of a Literal: its value is NULL
  bool is_local = false;   // the last argument is the literal true: it ends with its transaction
};

// `behind_bracket` stands behind the call's opening bracket. No more than `budget` bytes are read, which is
// taken off: calls within calls would be read again and again.
SetConfigCall read_set_config(Lexer behind_bracket, size_t& budget);

}  // namespace tidepool::sql
