#include "lib/sql/normalised_text.h"

#include <doctest/doctest.h>

#include <array>
#include <random>
#include <string>
#include <vector>

using tidepool::sql::normalised_text;

namespace {

struct Row {
  std::string text, shown;
};

void check_rows(const std::vector<Row>& rows) {
  for (const auto& [text, shown] : rows) {
    CAPTURE(text);
    CHECK(normalised_text(text) == shown);
  }
}

}  // namespace

TEST_CASE("names, keywords, parameters and symbols are shown as they stand there") {
  check_rows({
      {"", ""},
      {"listen jobs", "listen jobs"},
      {"SELECT $1, a.\"B c\" FROM U&\"d\\0061\"", "SELECT $1, a.\"B c\" FROM U&\"d\\0061\""},
      {"select \xc3\xa4 from \"\xe2\x82\xac\"", "select \xc3\xa4 from \"\xe2\x82\xac\""},
      {"(reported by the server)", "(reported by the server)"},
      {"a FunctionCall message", "a FunctionCall message"},
      {"select a::text[], b->>c;\n\n  select x ", "select a::text[], b->>c; select x"},
  });
}

TEST_CASE("constants of every form are not shown") {
  check_rows({
      {"select 'a', e'b', E'c\\'d', n'f', b'01', X'9f', u&'g'", "select ?, ?, ?, ?, ?, ?, ?"},
      {"select 'it''s'", "select ?"},
      {"select 'a'\n  'b'", "select ?"},
      {"select u&'!0061' uescape '!'", "select ? uescape ?"},
      {"do $$begin perform 1; end$$", "do ?"},
      {"do language plpgsql $a$ 'x' $b$ $a$;", "do language plpgsql ?;"},
      {"select 1, -2, 3.5, 1e10, 0xff, 1_000, .5, 7.", "select ?, -?, ?, ?, ?, ?, .?, ?"},
      {"select a1, t2.b3, a[4]", "select a1, t2.b3, a[?]"},
      {"select pg_advisory_lock(1)", "select pg_advisory_lock(?)"},
  });
}

TEST_CASE("the secrets of utility statements are not shown") {
  check_rows({
      {"ALTER USER app PASSWORD 'hunter2'", "ALTER USER app PASSWORD ?"},
      {"create subscription s connection 'host=a password=b' publication p",
       "create subscription s connection ? publication p"},
      {"copy t from program 'curl -u me:secret x'", "copy t from program ?"},
      {"create server s foreign data wrapper w options (host 'h', password 'p')",
       "create server s foreign data wrapper w options (host ?, password ?)"},
      {"notify jobs, 'secret'", "notify jobs, ?"},
  });
}

TEST_CASE("what SET sets something to is a constant without quotes, too") {
  check_rows({
      {"set app.key = hunter", "set app.key = ?"},
      {"set local app.key to hunter, \"b c\", 'd'", "set local app.key to ?, ?, ?"},
      {"select 1; set app.key=hunter; select a", "select ?; set app.key=?; select a"},
      {"alter role app in database d set app.key to hunter", "alter role app in database d set app.key to ?"},
      {"create function f() returns int set a.b to c set a.d = e language sql as $$select 1$$",
       "create function f() returns int set a.b to ? set a.d = ? language sql as ?"},
      {"set transaction isolation level serializable", "set transaction isolation level serializable"},
      {"update t set a = b where c = d", "update t set a = b where c = d"},
  });
}

TEST_CASE("comments are not shown") {
  check_rows({
      {"/* user: me */ listen a -- why", "listen a"},
      {"select/* /* 'a */ */1--'\n,b", "select ? ,b"},
  });
}

TEST_CASE("a text of which nobody knows where its constants end is shown up to there") {
  check_rows({
      {"select a, 'b", "select a,..."},
      {"select a, $x$b", "select a,..."},
      {"select a, $x", "select a,..."},
      {"select a /* b", "select a..."},
      {"select a, \"b", "select a,..."},
      // With standard_conforming_strings off, and on.
      {"select a, 'b\\' from c, ' d '", "select a,..."},
      {"select a, n'b\\'", "select a,..."},
      {"select a, 'b\\\\n\\x' from c", "select a, ? from c"},
      {"select a, e'b\\'' from c", "select a, ? from c"},
      // In SJIS the backslash may belong to the letter in front of it.
      {"select a, e'\xe3\x81\x82\\' from c, ' d '", "select a,..."},
      // In SHIFT_JIS_2004 a letter may become a quote.
      {"select a, '\x81\xad' from c", "select a,..."},
      {"select a, b\xc3", "select a,..."},
  });
}

namespace {

// Every byte of a constant or a comment that may be a secret is Z or 9, and stands nowhere else.
constexpr std::array kHarmless{"select ", "a",   " ",   ", ",  "\"b c\"", "\n",       "(",       ")",
                               "::",      "; ",  "e",   "u&",  "U&\"d\"", "set ",     "alter ",  " = ",
                               " to ",    " - ", " / ", " * ", ".",       "\xc3\xa4", "\xe3\x81"};
constexpr std::array kSecret{"'Z'",
                             "'Z''Z'",
                             "''",
                             "e'Z\\'Z'",
                             "E'\\\\'",
                             "n'Z\"Z'",
                             "N'Z--Z'",
                             "b'9'",
                             "x'Z9'",
                             "U&'Z\\9' uescape '9'",
                             "$$Z'Z$$",
                             "$Z$Z$$ $Z $Z9$Z$",
                             "'Z'\n  '\"Z'",
                             "'Z' -- Z'\n 'Z'",
                             "e'Z'\n'Z\\'Z'",
                             "/* Z /* ' Z */ $$ Z */",
                             "-- Z ' $$ Z\n",
                             " 9.99e-9 ",
                             " 9Z_9 ",
                             " .9e9 ",
                             "; set a.b = Z, \"Z Z\", 9, 'Z';",
                             "; alter role a set b to Z;"};
constexpr std::array kSecretWhenOn{"'Z\\'", "n'Z\\'", "'\\'''", "'Z\\'\n'Z\\'"};
constexpr std::array kSecretWhenOff{"'Z\\'Z'", "n'Z\\'Z\"'", "'\\\\'", "'Z'\n'Z\\'Z'", "'\\'''"};

}  // namespace

TEST_CASE("no byte of a constant or a comment is shown, wherever the text was cut") {
  std::mt19937 random(20261130);
  const auto one_of = [&random](const auto& pieces) -> std::string {
    return pieces[std::uniform_int_distribution<size_t>(0, pieces.size() - 1)(random)];
  };
  size_t shown_whole = 0;
  for (int i = 0; i < 20'000; ++i) {
    const bool is_on = i % 2 == 0;
    std::string text;
    for (auto pieces = std::uniform_int_distribution<>(1, 8)(random); pieces > 0; --pieces) {
      const int kind = std::uniform_int_distribution<>(0, 9)(random);
      if (kind < 5)
        text += one_of(kHarmless);
      else if (kind < 8)
        text += " " + one_of(kSecret) + " ,";  // or a string would go on behind a line's end
      else if (kind == 8)
        text += " " + (is_on ? one_of(kSecretWhenOn) : one_of(kSecretWhenOff)) + " ,";
      else
        text += " ";
    }
    for (size_t size = 0; size <= text.size(); ++size) {
      const std::string shown = normalised_text(std::string_view(text).substr(0, size));
      if (shown.find_first_of("Z9") != shown.npos) {
        CAPTURE(is_on);
        CAPTURE(text.substr(0, size));
        CHECK(shown == "");
        return;
      }
      shown_whole += size == text.size() && !shown.ends_with("...") ? 1 : 0;
    }
  }
  CHECK(shown_whole > 2'000);  // or nothing was tested
}
