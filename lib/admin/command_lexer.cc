#include "lib/admin/command_lexer.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace tidepool::admin {

namespace {

bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}

bool is_in_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '$' ||
         static_cast<unsigned char>(c) >= 0x80;
}

std::string in_lower_case(std::string_view text) {
  std::string lower(text);
  for (char& c : lower)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return lower;
}

class Lexer {
 public:
  explicit Lexer(std::string_view sql) : sql_(sql) {}

  // Nothing: the end, or a quote or comment that does not end (then !well_formed()).
  std::optional<Token> next() {
    skip_blank();
    begin_ = at_;
    if (at_ == sql_.size() || !well_formed_) return std::nullopt;
    const char first = sql_[at_];
    if (first == '"') return quoted('"', Token::Kind::QuotedIdentifier);
    if (first == '\'') return quoted('\'', Token::Kind::String);
    if (!is_in_word(first)) return symbol();
    while (at_ < sql_.size() && is_in_word(sql_[at_])) ++at_;
    const std::string_view word = sql_.substr(begin_, at_ - begin_);
    return Token{Token::Kind::Word, std::string(word), in_lower_case(word)};
  }

  size_t begin() const { return begin_; }  // of the last token
  size_t end() const { return at_; }
  bool well_formed() const { return well_formed_; }

 private:
  Token symbol() {
    const std::string text(1, sql_[at_++]);
    return {Token::Kind::Symbol, text, text};
  }

  // A doubled quote stands for one.
  std::optional<Token> quoted(char quote, Token::Kind kind) {
    std::string text;
    for (++at_; at_ < sql_.size(); ++at_) {
      if (sql_[at_] != quote) {
        text += sql_[at_];
      } else if (sql_.substr(at_ + 1).starts_with(quote)) {
        text += sql_[at_++];
      } else {
        ++at_;
        return Token{kind, std::move(text), {}};
      }
    }
    well_formed_ = false;
    return std::nullopt;
  }

  void skip_blank() {
    while (at_ < sql_.size()) {
      const std::string_view left = sql_.substr(at_);
      if (is_space(left.front()))
        ++at_;
      else if (left.starts_with("--"))
        at_ = std::min(sql_.find('\n', at_), sql_.size());
      else if (left.starts_with("/*"))
        skip_comment();
      else
        return;
    }
  }

  void skip_comment() {
    int depth = 0;
    while (at_ < sql_.size()) {
      const std::string_view left = sql_.substr(at_);
      if (left.starts_with("/*")) {
        ++depth;
        at_ += 2;
      } else if (left.starts_with("*/")) {
        at_ += 2;
        if (--depth == 0) return;
      } else {
        ++at_;
      }
    }
    well_formed_ = false;
  }

  std::string_view sql_;
  size_t at_ = 0;
  size_t begin_ = 0;
  bool well_formed_ = true;
};

}  // namespace

std::vector<Statement> split_statements(std::string_view sql) {
  std::vector<Statement> statements;
  Statement current;
  size_t begin = 0;
  const auto finish = [&](size_t end) {
    current.source = sql.substr(begin, end - begin);
    if (!current.tokens.empty() || !current.well_formed) statements.push_back(std::move(current));
    current = {};
  };
  Lexer lexer(sql);
  while (auto token = lexer.next()) {
    if (current.tokens.empty()) begin = lexer.begin();
    if (token->lower == ";") {
      finish(lexer.end());
    } else {
      current.tokens.push_back(std::move(*token));
    }
  }
  if (current.tokens.empty()) begin = lexer.begin();
  current.well_formed = lexer.well_formed();
  finish(sql.size());
  return statements;
}

std::string canonical_text(const Statement& statement) {
  std::string text;
  for (const Token& token : statement.tokens) {
    if (!text.empty()) text += ' ';
    if (token.kind == Token::Kind::QuotedIdentifier)
      text += '"' + token.text + '"';
    else if (token.kind == Token::Kind::String)
      text += '\'' + token.text + '\'';
    else
      text += token.lower;
  }
  return text;
}

}  // namespace tidepool::admin
