#include "lib/sql/lexer.h"

#include <algorithm>
#include <cassert>
#include <cstring>

namespace tidepool::sql {

namespace {

constexpr size_t kLongestName = 63;  // NAMEDATALEN - 1

const char* find_char(const char* begin, const char* end, char c) {
  if (begin == end) return end;
  const void* const found = std::memchr(begin, c, static_cast<size_t>(end - begin));
  return found == nullptr ? end : static_cast<const char*>(found);
}

}  // namespace

Token Lexer::next() {
  skip_blank();
  if (at_ == end_) return token(Token::Kind::End, at_);
  const char* const begin = at_;
  if (is(*at_, kStartsWord)) {
    skip_word();
    return word_or_quoted(begin);
  }
  if (is(*at_, kDigit)) {
    while (at_ != end_ && is(*at_, kDigit)) ++at_;
    return token(Token::Kind::Symbol, begin);
  }
  if (*at_ == '\'' || *at_ == '"' || *at_ == '$') return read_quoted();
  return symbol();
}

std::string_view Lexer::in_front_of_name() const {
  const char* end = name_;
  while (end > comment_end_ && is(end[-1], kBlank)) --end;
  return {comment_end_, static_cast<size_t>(end > comment_end_ ? end - comment_end_ : 0)};
}

std::string_view Lexer::last_word_of(std::string_view text) {
  size_t size = 0;
  while (size < text.size() && is(text[text.size() - size - 1], kInWord)) ++size;
  return text.substr(text.size() - size);
}

void Lexer::skip_blank() {
  do {
    while (at_ != end_ && is(*at_, kBlank)) ++at_;
  } while (skip_comment());
}

// at_ is on a - or /.
bool Lexer::skip_comment_or_operator() {
  if (is_at('-') && is_next('-')) {
    while (at_ != end_ && *at_ != '\n' && *at_ != '\r') ++at_;
    return true;
  }
  if (!is_at('/') || !is_next('*')) return false;
  size_t depth = 0;
  do {
    if (is_at('/') && is_next('*')) {
      ++depth;
      at_ += 2;
    } else if (is_at('*') && is_next('/')) {
      --depth;
      at_ += 2;
    } else if (at_ != end_) {
      ++at_;
    } else {
      broken_ = true;
      depth = 0;
    }
  } while (depth > 0);
  return true;
}

// A letter was read, and a quote or & follows: E'...', B'...', X'...', N'...', U&'...', U&"..." are one
// token.
Token Lexer::read_prefixed(const char* begin) {
  const char letter = to_lower(*begin);
  if (*at_ == '\'') {
    if (letter == 'e') return read_string(begin, Escapes::Backslash, nullptr);
    if (letter == 'b' || letter == 'x') return read_string(begin, Escapes::None, nullptr);
    if (letter == 'n') return read_string(begin, escapes_, nullptr);
  } else if (letter == 'u' && (is_next('\'') || is_next('"'))) {
    ++at_;
    if (*at_ == '"') return read_quoted_name(Token::Kind::UnicodeName, begin);
    return read_string(begin, Escapes::Doubled, nullptr);
  }
  return token(Token::Kind::Word, begin);
}

// Before a ' " $, or before a character that stands for itself.
Token Lexer::read_quoted() {
  const char* const begin = at_;
  if (*at_ == '\'') return read_string(begin, escapes_, nullptr);
  if (*at_ == '"') return read_quoted_name(Token::Kind::QuotedName, begin);
  if (*at_ == '$') return read_dollar();
  return symbol();
}

// Is there a symbol that may be the second byte of a letter, in SJIS and the like?
bool Lexer::may_end_letter(const char* at) const {
  return at > begin_ && at < end_ && static_cast<unsigned char>(at[-1]) >= 0x80 && *at >= '@' && *at <= '~' &&
         !is(*at, kInWord);
}

// $1, or $tag$ ... $tag$ whose tag is empty or a word without $. Any other $ stands for itself.
Token Lexer::read_dollar() {
  const char* const begin = at_++;
  if (at_ != end_ && is(*at_, kDigit)) {
    while (at_ != end_ && is(*at_, kDigit)) ++at_;
    return token(Token::Kind::Parameter, begin);
  }
  const char* tag_end = at_;
  if (tag_end != end_ && is(*tag_end, kStartsWord))
    while (tag_end != end_ && is(*tag_end, kInWord) && *tag_end != '$') ++tag_end;
  doubtful_ |= (begin != begin_ && may_end_letter(begin - 1)) || may_end_letter(tag_end);
  if (tag_end == end_ || *tag_end != '$') return token(Token::Kind::Symbol, begin);
  const std::string_view quote(begin, static_cast<size_t>(tag_end + 1 - begin));
  at_ = tag_end + 1;
  for (;;) {
    at_ = find_char(at_, end_, '$');
    if (static_cast<size_t>(end_ - at_) < quote.size()) break;
    if (std::memcmp(at_, quote.data(), quote.size()) == 0) {
      at_ += quote.size();
      return token(Token::Kind::String, begin);
    }
    ++at_;
  }
  at_ = end_;
  broken_ = true;
  return token(Token::Kind::String, begin);
}

// at_ is on the opening quote.
Token Lexer::read_string(const char* begin, Escapes escapes, std::string* value) {
  do {
    ++at_;
    read_to_closing_quote(escapes, value);
  } while (!broken_ && skip_to_continuation());
  return token(Token::Kind::String, begin);
}

void Lexer::read_to_closing_quote(Escapes escapes, std::string* value) {
  const bool backslashes = escapes == Escapes::Backslash;
  for (const char* at = at_;;) {
    const char* const from = at;
    if (backslashes)
      while (at != end_ && *at != '\'' && *at != '\\') ++at;
    else
      at = find_char(at, end_, '\'');
    if (value) value->append(from, static_cast<size_t>(at - from));
    if (at == end_) {
      broken_ = true;
      at_ = at;
      return;
    }
    const bool has_next = end_ - at > 1;
    if (*at == '\\') {
      doubtful_ |= may_end_letter(at);  // then what follows is not escaped
      at += has_next ? 2 : 1;
    } else if (has_next && at[1] == '\'' && escapes != Escapes::None) {
      if (value) *value += '\'';
      at += 2;
    } else {
      at_ = at + 1;
      return;
    }
  }
}

// A string goes on if only blanks and comments with at least one line's end are between it and a quote.
bool Lexer::skip_to_continuation() {
  const char* at = at_;
  bool on_another_line = false;
  for (; at != end_; ++at) {
    if (*at == '-' && end_ - at > 1 && at[1] == '-')
      at = std::find_if(at, end_, [](char c) { return c == '\n' || c == '\r'; });
    if (at == end_ || !is(*at, kBlank)) break;
    on_another_line |= *at == '\n' || *at == '\r';
  }
  if (!on_another_line || at == end_ || *at != '\'') return false;
  at_ = at;
  return true;
}

// at_ is on the opening quote.
Token Lexer::read_quoted_name(Token::Kind kind, const char* begin) {
  const char* at = at_ + 1;
  for (;; at += 2) {
    while (at != end_ && *at != '"') ++at;
    if (end_ - at <= 1 || at[1] != '"') break;
  }
  broken_ |= at == end_;
  at_ = at == end_ ? at : at + 1;
  return token(kind, begin);
}

std::optional<std::string> Lexer::value_of(const Token& string) const {
  assert(string.kind == Token::Kind::String);
  std::string_view text = string.text;
  if (text.front() == '$') {
    const size_t quote = text.find('$', 1) + 1;
    if (text.size() < 2 * quote) return std::nullopt;
    return std::string(text.substr(quote, text.size() - 2 * quote));
  }
  const char prefix = to_lower(text.front());
  if (prefix == 'b' || prefix == 'x' || prefix == 'u') return std::nullopt;
  const bool has_escapes = prefix == 'e' || escapes_ == Escapes::Backslash;
  if (has_escapes && text.find('\\') != text.npos) return std::nullopt;
  if (prefix != '\'') text.remove_prefix(1);
  std::string value;
  Lexer lexer(text, false);
  lexer.read_string(text.data(), has_escapes ? Escapes::Backslash : Escapes::Doubled, &value);
  if (lexer.is_broken()) return std::nullopt;
  return value;
}

std::string folded_name(const Token& name) {
  std::string folded;
  if (name.kind == Token::Kind::Word) {
    folded.assign(name.text);
    std::transform(folded.begin(), folded.end(), folded.begin(), to_lower);
  } else {
    for (size_t i = 1; i + 1 < name.text.size(); ++i) {
      folded += name.text[i];
      if (name.text[i] == '"') ++i;
    }
  }
  if (folded.size() > kLongestName) {
    size_t size = kLongestName;
    while (size > 0 && (static_cast<unsigned char>(folded[size]) & 0xc0) == 0x80) --size;  // no half letter
    folded.resize(size);
  }
  return folded;
}

}  // namespace tidepool::sql
