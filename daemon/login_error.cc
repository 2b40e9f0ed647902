#include "daemon/login_error.h"

#include <algorithm>
#include <array>
#include <optional>

namespace tidepool::daemon {
namespace {

using std::string_view;

bool is_sqlstate(string_view text) {
  return text.size() == 5 && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z');
         });
}

struct Said {
  string_view sqlstate;
  string_view rest;  // from the message on
};

// Finds the last "SEVERITY:  28P01: " at the start of a line or behind "failed: ". The last: libpq may have
// tried with and without TLS. The severity may be in any language.
std::optional<Said> find_server_words(string_view words) {
  for (size_t at = words.rfind(":  "); at != string_view::npos;
       at = at > 0 ? words.rfind(":  ", at - 1) : string_view::npos) {
    const string_view code = words.substr(at + 3, 5);
    if (!is_sqlstate(code) || words.substr(at + 8, 2) != ": ") continue;
    const size_t before = words.substr(0, at).find_last_of(" \n");
    const string_view in_front = before == string_view::npos ? string_view() : words.substr(0, before + 1);
    if (!in_front.empty() && !in_front.ends_with('\n') && !in_front.ends_with("failed: ")) continue;
    return Said{code, words.substr(at + 10)};
  }
  return {};
}

// The parts that libpq puts behind the message, each on a line of its own.
constexpr std::array<string_view, 11> kParts = {
    "DETAIL:  ",      "HINT:  ",          "QUERY:  ", "CONTEXT:  ",         "SCHEMA NAME:  ", "TABLE NAME:  ",
    "COLUMN NAME:  ", "DATATYPE NAME:  ", "LINE ",    "CONSTRAINT NAME:  ", "LOCATION:  "};

size_t find_next_part(string_view text) {
  for (size_t at = text.find('\n'); at != string_view::npos; at = text.find('\n', at + 1)) {
    const string_view line = text.substr(at + 1);
    if (std::any_of(kParts.begin(), kParts.end(), [&](string_view part) { return line.starts_with(part); }))
      return at;
  }
  return text.size();
}

string_view without_trailing_newlines(string_view text) {
  while (!text.empty() && text.back() == '\n') text.remove_suffix(1);
  return text;
}

}  // namespace

base::Error read_login_error(string_view words) {
  words = without_trailing_newlines(words);
  const auto said = find_server_words(words);
  if (!said) return {"", std::string(words)};

  string_view rest = said->rest;
  base::Error error{std::string(said->sqlstate), std::string(rest.substr(0, find_next_part(rest)))};
  while (true) {
    const size_t end = find_next_part(rest);
    if (end == rest.size()) return error;
    rest.remove_prefix(end + 1);
    const string_view part = rest.substr(0, find_next_part(rest));
    if (part.starts_with(kParts[0])) error.detail = part.substr(kParts[0].size());
    if (part.starts_with(kParts[1])) error.hint = part.substr(kParts[1].size());
  }
}

// https://www.postgresql.org/docs/current/errcodes-appendix.html
pool::DialFailure classify_login_error(string_view sqlstate) {
  if (sqlstate.starts_with("28") || sqlstate == "3D000") return pool::DialFailure::LoginRefused;
  if (sqlstate == "53300") return pool::DialFailure::TooMany;
  return pool::DialFailure::Unreachable;
}

}  // namespace tidepool::daemon
