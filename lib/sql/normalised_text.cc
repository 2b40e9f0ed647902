#include "lib/sql/normalised_text.h"

#include <optional>

#include "lib/base/ascii.h"
#include "lib/sql/lexer.h"

namespace tidepool::sql {

namespace {

bool is_word(const Token& token, std::string_view word) {
  return token.kind == Token::Kind::Word && base::same_letters(token.text, word);
}

// What is no UTF-8 is a letter cut in two, or in an encoding where a letter may become a quote.
bool is_utf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const auto first = static_cast<unsigned char>(text[at++]);
    if (first < 0x80) continue;
    if (first < 0xc2 || first > 0xf4) return false;
    for (int more = first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3; more > 0; --more, ++at)
      if (at == text.size() || (static_cast<unsigned char>(text[at]) & 0xc0) != 0x80) return false;
  }
  return true;
}

// The text's tokens, as long as they are the same with standard_conforming_strings on and off.
class SureLexer {
 public:
  explicit SureLexer(std::string_view text) : on_(text, false), off_(text, true) {}

  // Nothing: from here on nobody knows.
  std::optional<Token> next() {
    const Token token = on_.next();
    const Token other = off_.next();
    const bool is_same = token.kind == other.kind && token.text.data() == other.text.data() &&
                         token.text.size() == other.text.size();
    const bool is_unsure = on_.is_broken() || off_.is_broken() || on_.is_doubtful() || off_.is_doubtful() ||
                           token.is('$') ||  // of a dollar quote that was cut
                           !is_utf8(token.text);
    if (!is_same || is_unsure) return std::nullopt;
    return token;
  }

 private:
  Lexer on_, off_;
};

// 1.5e10, 0xff, 1_000: the lexer takes these apart.
class Numbers {
 public:
  // `token` goes on with the number in front of it.
  bool goes_on(const Token& token) {
    const bool is_behind = token.text.data() == end_;
    const bool is_part = token.kind == Token::Kind::Word || token.is('.') || begins(token);
    if (!is_behind || !is_part) return false;
    end_ = token.text.data() + token.text.size();
    return true;
  }
  bool begins(const Token& token) const {
    return token.kind == Token::Kind::Symbol && is(token.text.front(), kDigit);
  }
  void begin(const Token& token) { end_ = token.text.data() + token.text.size(); }

 private:
  const char* end_ = nullptr;  // of the number that was read last
};

// SET name = value, also of ALTER ROLE, CREATE FUNCTION and the like: words and quoted names are values
// there.
class ValuesOfSet {
 public:
  bool is_value(const Token& token) {
    if (token.is(';')) {
      place_ = Place::Head;
      return false;
    }
    switch (place_) {
      case Place::Head:
        if (is_word(token, "set"))
          place_ = Place::Name;
        else
          place_ = is_word(token, "alter") || is_word(token, "create") ? Place::Before : Place::Nowhere;
        return false;
      case Place::Before:
        if (is_word(token, "set")) place_ = Place::Name;
        return false;
      case Place::Name:
        if (token.is('=') || is_word(token, "to")) place_ = Place::Value;
        if (token.is('(') || token.is(',')) place_ = Place::Before;
        return false;
      case Place::Value:
        place_ = Place::BehindValue;
        return token.is_name() || token.kind == Token::Kind::UnicodeName;
      case Place::BehindValue:
        place_ = token.is(',') ? Place::Value : is_word(token, "set") ? Place::Name : Place::Before;
        return false;
      case Place::Nowhere:
        return false;
    }
    return false;
  }

 private:
  enum class Place { Head, Before, Name, Value, BehindValue, Nowhere };
  Place place_ = Place::Head;
};

}  // namespace

std::string normalised_text(std::string_view text) {
  std::string out;
  SureLexer lexer(text);
  Numbers numbers;
  ValuesOfSet values;
  const char* end = text.data();
  for (;;) {
    const auto token = lexer.next();
    if (!token) return out + "...";
    if (token->kind == Token::Kind::End) return out;
    const bool is_apart = token->text.data() != end;
    end = token->text.data() + token->text.size();
    if (numbers.goes_on(*token)) continue;
    if (is_apart && !out.empty()) out += ' ';
    const bool is_value = values.is_value(*token);
    if (numbers.begins(*token)) numbers.begin(*token);
    if (is_value || numbers.begins(*token) || token->kind == Token::Kind::String)
      out += '?';
    else
      out += token->text;
  }
}

}  // namespace tidepool::sql
