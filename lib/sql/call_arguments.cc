#include "lib/sql/call_arguments.h"

#include <charconv>
#include <optional>
#include <utility>

#include "lib/base/ascii.h"
#include "lib/sql/words.h"

namespace tidepool::sql {

namespace {

// Of PostgreSQL's own parameters no number is larger (65535).
std::optional<uint16_t> parameter_number(const Token& token) {
  uint16_t number = 0;
  const char* const end = token.text.data() + token.text.size();
  const auto read = std::from_chars(token.text.data() + 1, end, number);
  if (read.ec != std::errc() || read.ptr != end || number == 0) return std::nullopt;
  return number;
}

bool is_text_type(const Token& token) {
  if (!token.is_name()) return false;
  const std::string name = folded_name(token);
  return name == "text" || name == "varchar";
}

// Behind the name: a comma, or ::text and a comma. Other types might cut the name off.
bool ends_name(Lexer& lexer) {
  Token token = lexer.next();
  while (token.is(':')) {
    if (!lexer.next().is(':')) return false;
    token = lexer.next();
    if (token.is_name() && folded_name(token) == "pg_catalog" && lexer.is_at('.')) {
      lexer.next();
      token = lexer.next();
    }
    if (!is_text_type(token)) return false;
    token = lexer.next();
  }
  return token.is(',');
}

void read_name(Lexer& lexer, SetConfigCall& call) {
  const Token name = lexer.next();
  // N'...' is of another type, which loses blanks at its end.
  if (name.kind == Token::Kind::String && to_lower(name.text.front()) != 'n') {
    std::optional<std::string> literal = lexer.value_of(name);
    if (!literal || !ends_name(lexer)) return;
    call.name = SetConfigCall::Name::Literal;
    call.literal = std::move(*literal);
  } else if (name.kind == Token::Kind::Parameter) {
    const std::optional<uint16_t> number = parameter_number(name);
    if (!number || !ends_name(lexer)) return;
    call.name = SetConfigCall::Name::Parameter;
    call.parameter = *number;
  }
}

// To the comma that ends the second argument; false if there is none, or too far away.
bool skip_to_last_argument(Lexer& lexer, const char* limit) {
  size_t commas = 0;
  for (size_t depth = 1; depth > 0 && lexer.at() < limit;) {
    const Token token = lexer.next();
    if (token.kind == Token::Kind::End) return false;
    if (token.is('(') || token.is('[')) ++depth;
    if (token.is(')') || token.is(']')) --depth;
    if (depth == 1 && token.is(',') && ++commas == 2) return true;
  }
  return false;
}

}  // namespace

SetConfigCall read_set_config(Lexer behind_bracket, size_t& budget) {
  const char* const begin = behind_bracket.at();
  SetConfigCall call;
  Lexer name = behind_bracket;
  read_name(name, call);
  if (call.name == SetConfigCall::Name::Literal) {
    const Token value = name.next();
    call.is_reset = value.is_name() && base::same_letters(value.text, "null") && name.next().is(',');
  }
  Lexer& lexer = behind_bracket;
  if (skip_to_last_argument(lexer, begin + budget)) {
    const Token last = lexer.next();
    call.is_local =
        last.kind == Token::Kind::Word && find_word(last.text) == Word::True && lexer.next().is(')');
  }
  const auto read = static_cast<size_t>(lexer.at() - begin);
  budget -= read < budget ? read : budget;
  return call;
}

}  // namespace tidepool::sql
