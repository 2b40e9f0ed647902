// Splits what a client of the console typed into statements of tokens, by PostgreSQL's rules as far as
// console commands need them: comments (nested ones too), 'strings', "quoted identifiers", words, and symbols
// of one character. https://www.postgresql.org/docs/current/sql-syntax-lexical.html
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tidepool::admin {

struct Token {
  enum class Kind : uint8_t { Word, QuotedIdentifier, String, Symbol };
  Kind kind;
  std::string text;   // without its quotes
  std::string lower;  // a word's text in lower case; empty if it is quoted, so that no keyword is found in it
};

struct Statement {
  std::vector<Token> tokens;
  std::string_view source;  // borrowed; from its first token to its semicolon
  bool well_formed = true;  // its quotes and comments end
};

// Without those that are empty.
std::vector<Statement> split_statements(std::string_view sql);

// Its tokens in lower case with one blank between two; what is quoted stands in its quotes.
std::string canonical_text(const Statement& statement);

}  // namespace tidepool::admin
