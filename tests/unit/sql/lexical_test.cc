#include <doctest/doctest.h>

#include "tests/unit/sql/reading.h"

TEST_CASE("strings hide what is in them") {
  check_harmless({
      "select 'listen'",
      "select '; listen a'",
      "select 'it''s; listen a'",
      "select '''; listen a'",
      "select ''';listen a;'''",
      "select E'\\'; listen a'",
      "select e'\\\\\\'; listen a'",
      "select e'a'\n'\\'; listen a'",
      "select e'a' -- '\n -- '\n '\\'; listen a'",
      "select B'1'';listen a;'",
      "select n'; listen a', x'; listen a', U&'; listen a', u&'\\0061; listen a' uescape '!'",
      "select ';listen a' ';listen a'",
      "select U&'\\'",
      "select '\\'",
      "select E'\n\\n'",
  });
}

TEST_CASE("a statement behind a string is read") {
  check_readings({
      {"select '\\'; listen a", "Listen"},       {"select '\\'; listen a --'", "Listen"},
      {"select e'\\\\'; listen a", "Listen"},    {"select e'\\''; listen a", "Listen"},
      {"select ae'\\'; listen a", "Listen"},     {"select _e'\\'; listen a", "Listen"},
      {"select e '\\'; listen a", "Listen"},     {"select $1e'\\''; listen a --", "Listen"},
      {"select b'\\'; listen a", "Listen"},      {"select U&'\\'; listen a", "Listen"},
      {"select n'\\'; listen a", "Listen"},      {"select e'a' '\\'; listen a", "Listen"},
      {"select e'a'\n'\\'';listen a", "Listen"}, {"select e'a' /*\n*/ '\\'; listen a", "Listen"},
      {"select 'a'\n'b'; listen a", "Listen"},   {"select ''; listen a", "Listen"},
      {"select '''';listen a", "Listen"},        {"select ''''''; listen a", "Listen"},
      {"select 'ü'; listen a", "Listen"},
  });
}

TEST_CASE("with standard_conforming_strings off a backslash escapes in plain strings") {
  const tidepool::sql::Options off{false, {}};
  check_harmless({"select '\\'; listen a'", "select n'\\'; listen a'", "select 'a'\n'\\'; listen a'"}, off);
  check_readings({{"select '\\\\'; listen a", "Listen"},
                  {"select b'\\'; listen a", "Listen"},
                  {"select \"\\\"; listen a", "Listen"},
                  {"select $$\\$$; listen a", "Listen"},
                  {"select set_config('a', '\\'', false)", "Settings(a)"},
                  {"select set_config('\\a', '', false)", "AnySetting NamelessSetting"}},
                 off);
}

TEST_CASE("dollar quotes") {
  check_harmless({
      "select $$; listen a$$",
      "select $a$; listen a $$ ; listen $b$ ; listen $a$",
      "select $a$ $A$; listen a; $a$",
      "select $a1_$ ; listen a $a1_$",
      "select $\xc3\xa4$; listen a$\xc3\xa4$",
      "select $a$ $a $a$",
      "select $$$;listen a$$",
      "select 1$$;listen a$$",
      "select $1$a$; listen a$a$",
      "select a$b$c$ from t",
      "select $1, $2",
      "select $",
      "select $$a$$ $b$;listen a$b$",
  });
  check_readings({
      {"select a$b$; listen a; select c$b$", "Listen"},
      {"select a$$; listen a; select c$$", "Listen"},
      {"select $1$; listen a; $1$", "Listen"},
      {"select $a-b$; listen a; $a-b$", "Listen"},
      {"select $$a$$; listen a", "Listen"},
      {"select $a$$a$; listen a", "Listen"},
      {"select $a$ $a$a$; listen a", "Listen"},
      {"select $$a$b$$; listen a", "Listen"},
      {"select $ $; listen a", "Listen"},
  });
}

TEST_CASE("comments") {
  check_harmless({
      "select 1 -- ; listen a",
      "select 1 -- '\n; -- listen a",
      "select 1 /* ; listen a */",
      "select 1 /* /* */ ; listen a; */",
      "select 1 /*/ ; listen a */",
      "select 1 /* ' */ + 1",
      "select 1 +/* ; listen a */ 2",
      "select 2*/* ; listen a */3",
      "select 1 +-- ; listen a\n 2",
      "select 1 /* -- */",
      "select 1 /**/",
      "/*/**/*/select 1",
      "select 1 - - 1 / / 2 * 3",
  });
  check_readings({
      {"-- x\nlisten a", "Listen"},
      {"-- x\rlisten a", "Listen"},
      {"--\rlisten a", "Listen"},
      {"/* x */listen a", "Listen"},
      {"/* /* */ */ listen a", "Listen"},
      {"/***/ listen a", "Listen"},
      {"/* -- */ listen a", "Listen"},
      {"select 1 -- /*\n; listen a", "Listen"},
      {"select 1; /* x */ listen/**/a", "Listen"},
      {"select 1 */ ; listen a", "Listen"},
      {"select '/*'; listen a; select '*/'", "Listen"},
      {"select \"--\"; listen a", "Listen"},
  });
}

TEST_CASE("quoted names") {
  check_harmless({
      "select \"; listen a\"",
      "select \"a\"\"; listen a\"",
      "select \"'\" from t",
      "select \"set\", \"listen\" from \"insert\"",
      "select \"\"",
  });
  check_readings({
      {"select \"a\"; listen a", "Listen"},
      {"select \"\\\"; listen a", "Listen"},
      {"select \"a'b\"; listen a", "Listen"},
      {"select \"a\"\"b\"; listen a", "Listen"},
      {"select U&\"a\\0062\"; listen a", "Listen Unreadable"},  // may be the name of a function of ours
      {"select u&\"s\\0065t_config\"('a', 'b', false)", "Unreadable Calls"},
      {"set U&\"x\" = 1", "AnySetting Unreadable"},
      {"set a.u&\"x\" = 1", "Settings(a) Unreadable"},
      {"execute U&\"x\"", "MayAdvance Executes Unreadable"},
      {"deallocate U&\"x\"", "RemovesState Unreadable"},
      {"create function U&\"pg_t\\0065mp\".f() returns int return 1", "Creates Unreadable"},
  });
}

TEST_CASE("half a text is unreadable") {
  check_readings({
      {"select 'a", "Unreadable"},
      {"select 'a''", "Unreadable"},
      {"select '", "Unreadable"},
      {"select e'\\'", "Unreadable"},
      {"select e'\\", "Unreadable"},
      {"select 'a'\n'", "Unreadable"},
      {"select \"a", "Unreadable"},
      {"select \"", "Unreadable"},
      {"select $$a", "Unreadable"},
      {"select $a$a$b$", "Unreadable"},
      {"select $$a$", "Unreadable"},
      {"select /* a", "Unreadable"},
      {"select /* /* */", "Unreadable"},
      {"select /*", "Unreadable"},
      {"select /*/", "Unreadable"},
      {"set x = 'a", "Settings(x) Unreadable"},
      {"select set_config('a', 'b", "Settings(a) Unreadable"},
      {"select set_config('a", "AnySetting NamelessSetting Unreadable"},
      {"'", "Unreadable"},
  });
}

TEST_CASE("bytes from 0x80 on are letters, in any encoding") {
  check_harmless({"select \xe4listen from \xff\xfe"});
  check_readings({{"select set\xc3\xa9_config('a', 'b', false)", "Calls"}});
  check_readings({{"select '\xe4'; listen a", "Listen"}, {"select \xe4; listen a", "Listen"}});
}

TEST_CASE(
    "a backslash behind such a byte may be half a letter, in a string with escapes and at a dollar quote") {
  check_readings({
      {"select e'\x95\\'; listen a --'", "Unreadable"},
      {"select e'\x95\\\\'; listen a --'", "Listen Unreadable"},
      {"select '\x95\\'; listen a", "Listen"},
      {"select $\x83\\$ ' $\x83\\$; listen a --'", "Unreadable"},
      {"select a\x83\\$b$ from t; listen a; select $b$", "Unreadable"},
      {"select \x83\\ from t; listen a", "Listen"},
  });
}

TEST_CASE("blanks of all kinds") {
  check_readings({{"\t\r\n\f listen a", "Listen"}, {"set\tx\n=\r1", "Settings(x)"}, {"(listen)", ""}});
}
