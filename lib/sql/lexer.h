// Splits a text into tokens exactly where PostgreSQL's scan.l does, without their meaning: what is inside a
// string, a comment or a quoted name is never taken for a word. Allocates nothing unless a value is asked
// for; knows no locale. https://www.postgresql.org/docs/current/sql-syntax-lexical.html
//
// Bytes from 0x80 on are letters, as in PostgreSQL, in whichever encoding. Where a letter's second byte may
// look like a symbol (SJIS, BIG5, GBK, ...), only strings with escapes and dollar quotes could be misread:
// is_doubtful().
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
inline constexpr uint8_t kNamesNothing = 16;  // blanks, digits, operators: nothing for next_name()

inline constexpr std::array<uint8_t, 256> kCharacters = [] {
  std::array<uint8_t, 256> table{};
  for (size_t c = 0; c < table.size(); ++c) {
    const bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c >= 0x80;
    const bool is_digit = c >= '0' && c <= '9';
    if (is_letter) table[c] |= kStartsWord;
    if (is_digit) table[c] |= kDigit;
    if (is_letter || is_digit || c == '$') table[c] |= kInWord;
    if (c == ' ' || (c >= '\t' && c <= '\r')) table[c] |= kBlank;
    if (!is_letter && c != '\'' && c != '"' && c != '$' && c != '-' && c != '/' && c != ';' && c != '(')
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
      : begin_(text.data()),
        at_(text.data()),
        end_(text.data() + text.size()),
        escapes_(backslash_escapes ? Escapes::Backslash : Escapes::Doubled) {}

  Token next();

  // The next word of at least `shortest` letters, quoted name, ';', or '(' that stands behind a name. What is
  // between has no influence on which they are.
  Token next_name(size_t shortest) {
    for (const char* at = at_;; at = at_) {
      while (at != end_ && is(*at, kNamesNothing)) ++at;
      const char* const begin = at;
      if (at != end_ && is(*at, kStartsWord)) {
        do ++at;
        while (at != end_ && is(*at, kInWord));
        at_ = at;
        const Token token = word_or_quoted(begin);
        if (token.kind == Token::Kind::String) continue;
        name_is(begin);
        if (token.text.size() < shortest) continue;
        return token;
      }
      at_ = at;
      if (at == end_) return token(Token::Kind::End, at);
      if (*at == ';') return symbol();
      if (*at == '(') {
        ++at_;
        if (is_behind_name(at)) return token(Token::Kind::Symbol, at);
        continue;
      }
      if (skip_comment()) {
        if (is_behind_name(begin)) behind_name_ = at_;
        comment_end_ = at_;
        continue;
      }
      if (const Token token = read_quoted(); token.kind == Token::Kind::QuotedName) {
        name_is(begin);
        return token;
      }
    }
  }
  // The last name that next_name() has passed, and what stands in front of it, blanks aside: up to the last
  // comment, and if it ends with a word, that word.
  std::string_view last_name() const { return {name_, static_cast<size_t>(name_end_ - name_)}; }
  std::string_view in_front_of_name() const;
  static std::string_view last_word_of(std::string_view text);

  // As if `token`, one of this text, had not been read yet.
  void go_back_before(const Token& token) { at_ = token.text.data(); }
  void skip_blank();

  // Is `c` what comes next, behind blanks and comments?
  bool is_before(char c) const {
    const char* at = at_;
    while (at != end_ && is(*at, kBlank)) ++at;
    if (at == end_ || (*at != '-' && *at != '/')) return at != end_ && *at == c;
    Lexer ahead = *this;
    ahead.skip_blank();
    return ahead.is_at(c);
  }
  bool is_at(char c) const { return at_ != end_ && *at_ == c; }
  const char* at() const { return at_; }

  bool is_broken() const { return broken_; }      // the text ended inside a string, comment or quoted name
  bool is_doubtful() const { return doubtful_; }  // in a rare encoding a string may begin or end elsewhere

  // What a string of this text stands for; nothing if that takes an escape to find out.
  std::optional<std::string> value_of(const Token& string) const;

 private:
  enum class Escapes : uint8_t { Doubled, Backslash, None };

  void name_is(const char* begin) {
    name_ = begin;
    name_end_ = behind_name_ = at_;
  }
  // Only blanks and comments are between the last name and `at`.
  bool is_behind_name(const char* at) const {
    while (at != behind_name_ && at != begin_ && is(at[-1], kBlank)) --at;
    return at == behind_name_;
  }
  void skip_word() {
    do ++at_;
    while (at_ != end_ && is(*at_, kInWord));
  }
  bool is_next(char c) const { return end_ - at_ > 1 && at_[1] == c; }
  Token word_or_quoted(const char* begin) {
    if (at_ - begin == 1 && at_ != end_ && (*at_ == '\'' || *at_ == '&')) [[unlikely]]
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
  // A comment of one line ends at a carriage return, too. Those between /* and */ nest.
  bool skip_comment() {
    if (at_ == end_ || (*at_ != '-' && *at_ != '/')) return false;
    return skip_comment_or_operator();
  }
  bool skip_comment_or_operator();
  Token read_prefixed(const char* begin);
  Token read_quoted();
  Token read_dollar();
  Token read_string(const char* begin, Escapes escapes, std::string* value);
  void read_to_closing_quote(Escapes escapes, std::string* value);
  bool may_end_letter(const char* at) const;
  bool skip_to_continuation();
  Token read_quoted_name(Token::Kind kind, const char* begin);

  const char* begin_;
  const char* at_;
  const char* end_;
  Escapes escapes_;             // in '...'
  const char* name_ = nullptr;  // the last one that next_name() has passed
  const char* name_end_ = nullptr;
  const char* behind_name_ = nullptr;  // the same, or the end of the comments behind it
  const char* comment_end_ = begin_;   // of the last one that next_name() has passed
  bool broken_ = false;
  bool doubtful_ = false;
};

// A name as PostgreSQL folds it: lower case unless quoted, at most 63 bytes.
std::string folded_name(const Token& name);

}  // namespace tidepool::sql
