// Splits a text into tokens exactly where PostgreSQL's scan.l does, without their meaning: what is inside a
// string, a comment or a quoted name is never taken for a word. Allocates nothing unless a value is asked
// for; knows no locale. https://www.postgresql.org/docs/current/sql-syntax-lexical.html
//
// Bytes from 0x80 on are letters, as in PostgreSQL, in whichever encoding. Where a letter's second byte may
// be a backslash (SJIS, BIG5, GBK), only a string with escapes could be misread: is_doubtful().
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tidepool::sql {

struct Token {
  enum class Kind : uint8_t {
    End,
    Word,         // a keyword or a name
    QuotedName,   // "..."
    UnicodeName,  // U&"...": may spell any name
    String,       // '...', E'...', $tag$...$tag$, ...; several if they continue each other over a line's end
    Parameter,    // $1
    Symbol        // any other character
  };
  Kind kind = Kind::End;
  std::string_view text;  // as it stands there, quotes included
  bool is(char symbol) const { return kind == Kind::Symbol && text.front() == symbol; }
  bool is_name() const { return kind == Kind::Word || kind == Kind::QuotedName; }
};

// What a character can be, by its byte.
inline constexpr uint8_t kStartsWord = 1, kInWord = 2, kBlank = 4, kDigit = 8;
inline constexpr uint8_t kNamesNothing = 16;  // blanks, digits, operators, brackets: nothing for next_name()

inline constexpr std::array<uint8_t, 256> kCharacters = [] {
  std::array<uint8_t, 256> table{};
  for (size_t c = 0; c < table.size(); ++c) {
    const bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c >= 0x80;
    const bool is_digit = c >= '0' && c <= '9';
    if (is_letter) table[c] |= kStartsWord;
    if (is_digit) table[c] |= kDigit;
    if (is_letter || is_digit || c == '$') table[c] |= kInWord;
    if (c == ' ' || (c >= '\t' && c <= '\r')) table[c] |= kBlank;
    if (!is_letter && c != '\'' && c != '"' && c != '$' && c != '-' && c != '/' && c != ';')
      table[c] |= kNamesNothing;
  }
  return table;
}();

inline bool is(char c, uint8_t kinds) {
  return (kCharacters[static_cast<unsigned char>(c)] & kinds) != 0;
}
inline char to_lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}

class Lexer {
 public:
  // `backslash_escapes`: standard_conforming_strings is off, so that a backslash escapes in '...' too.
  Lexer(std::string_view text, bool backslash_escapes)
      : at_(text.data()), end_(text.data() + text.size()), backslash_escapes_(backslash_escapes) {}

  Token next();

  // The next word, quoted name or ';'. What is between has no influence on which they are.
  Token next_name() {
    for (;;) {
      while (at_ != end_ && is(*at_, kNamesNothing)) ++at_;
      if (at_ == end_) return token(Token::Kind::End, at_);
      if (is(*at_, kStartsWord)) {
        const char* const begin = at_;
        skip_word();
        const Token token = word_or_quoted(begin);
        if (token.kind == Token::Kind::String) [[unlikely]]
          continue;
        return token;
      }
      if (*at_ == ';') return symbol();
      if (skip_comment()) continue;
      if (const Token token = read_quoted(); token.kind == Token::Kind::QuotedName) return token;
    }
  }

  // As if what follows `token`, a token of this text, had not been read yet.
  void go_back_behind(const Token& token) { at_ = token.text.data() + token.text.size(); }
  void go_back_before(const Token& token) { at_ = token.text.data(); }
  void skip_blank();

  bool is_at(char c) const { return at_ != end_ && *at_ == c; }
  bool is_at_end() const { return at_ == end_; }
  const char* at() const { return at_; }

  bool is_broken() const { return broken_; }  // the text ended inside a string, comment or quoted name
  bool is_doubtful() const {
    return doubtful_;
  }  // perhaps a string ended elsewhere, if the encoding is a rare one

  // What a string of this text stands for; nothing if that takes an escape to find out.
  std::optional<std::string> value_of(const Token& string) const;

 private:
  enum class Escapes : uint8_t { Doubled, Backslash, None };

  void skip_word() {
    do ++at_;
    while (at_ != end_ && is(*at_, kInWord));
  }
  bool is_next(char c) const { return end_ - at_ > 1 && at_[1] == c; }
  Token word_or_quoted(const char* begin) {
    if (at_ != end_ && (*at_ == '\'' || *at_ == '&')) [[unlikely]]
      return read_prefixed(begin);
    return token(Token::Kind::Word, begin);
  }
  Token token(Token::Kind kind, const char* begin) const {
    return {kind, std::string_view(begin, static_cast<size_t>(at_ - begin))};
  }
  Token symbol() {
    ++at_;
    return token(Token::Kind::Symbol, at_ - 1);
  }
  bool skip_comment();
  Token read_prefixed(const char* begin);
  Token read_quoted();
  Token read_dollar();
  Token read_string(const char* begin, Escapes escapes, std::string* value);
  bool skip_to_continuation();
  Token read_quoted_name(Token::Kind kind, const char* begin);

  const char* at_;
  const char* end_;
  bool backslash_escapes_;
  bool broken_ = false;
  bool doubtful_ = false;
};

// A name as PostgreSQL folds it: lower case unless quoted, at most 63 bytes.
std::string folded_name(const Token& name);

}  // namespace tidepool::sql
