#include "lib/sql/analysed.h"

#include <algorithm>
#include <array>

#include "lib/base/ascii.h"
#include "lib/sql/lexer.h"

namespace tidepool::sql {

namespace {

constexpr std::array<std::string_view, 40> kCommands{
    "abort",     "alter",    "analyse",  "analyze",    "begin",   "checkpoint", "close",    "cluster",
    "comment",   "commit",   "copy",     "deallocate", "discard", "do",         "drop",     "end",
    "execute",   "fetch",    "grant",    "import",     "listen",  "load",       "lock",     "move",
    "notify",    "prepare",  "reassign", "reindex",    "release", "reset",      "revoke",   "rollback",
    "savepoint", "security", "set",      "show",       "start",   "truncate",   "unlisten", "vacuum"};

// Of those that begin with CREATE, which others are analysed, or what is in them is (CREATE TABLE AS).
constexpr std::array<std::string_view, 5> kCreated{"database", "index", "subscription", "tablespace",
                                                   "unique"};

bool is_in(const auto& words, std::string_view word) {
  return std::any_of(words.begin(), words.end(),
                     [&](std::string_view each) { return base::same_letters(each, word); });
}

Token first_of(Lexer& lexer) {
  Token first = lexer.next();
  while (first.is(';')) first = lexer.next();
  return first;
}

}  // namespace

bool is_analysed(std::string_view text) {
  Lexer lexer(text, false);
  const Token first = first_of(lexer);
  if (first.kind == Token::Kind::End) return lexer.is_broken();
  if (first.kind != Token::Kind::Word) return true;
  if (base::same_letters("create", first.text)) {
    const Token what = lexer.next();
    return what.kind != Token::Kind::Word || !is_in(kCreated, what.text);
  }
  return !is_in(kCommands, first.text);
}

bool has_rows_of_its_parse(std::string_view text) {
  Lexer lexer(text, false);
  const Token first = first_of(lexer);
  if (first.kind != Token::Kind::Word) return false;
  if (base::same_letters("fetch", first.text)) return true;
  return base::same_letters("show", first.text) && text.find('.') != std::string_view::npos;
}

bool has_literals(std::string_view text) {
  constexpr std::string_view kNull = "null";
  for (size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (c == '\'') return true;
    const bool is_parameter = at + 1 < text.size() && is(text[at + 1], kDigit);
    if (c == '$' && !is_parameter) return true;
    if ((c == 'n' || c == 'N') && base::same_letters(text.substr(at, kNull.size()), kNull)) return true;
  }
  return false;
}

bool has_odd_letters(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return c == '\\' || static_cast<unsigned char>(c) >= 0x80; });
}

}  // namespace tidepool::sql
