// What cannot be read with certainty is in doubt.
#include <doctest/doctest.h>

#include "lib/sql/encodings.h"
#include "tests/unit/sql/reading.h"

using namespace tidepool::sql;

TEST_CASE("letters beyond ASCII are in doubt in encodings whose letters hold a backslash") {
  for (const char* name : {"SJIS", "SHIFT_JIS_2004", "BIG5", "GBK", "UHC", "GB18030", "JOHAB", "sjis"})
    CHECK(has_doubtful_letters(name));
  for (const char* name : {"UTF8", "LATIN1", "EUC_JP", "SQL_ASCII", "WIN1252", ""})
    CHECK_FALSE(has_doubtful_letters(name));

  Options options;
  CHECK(reading_of("select '\x95\x5c'", options).empty());
  options.has_doubtful_letters = true;
  check_readings({{"select '\x95\x5c'", "Unreadable"}, {"select 1 -- \xe4", "Unreadable"}}, options);
  check_harmless({"select 'a', 1"}, options);
}

TEST_CASE("letters beyond ASCII and backslashes are in doubt behind what may change how they are read") {
  Options options;
  options.is_unsure = true;
  check_readings({{"select '\\', '; set role weak; --'", "Unreadable"}, {"select '\xe4'", "Unreadable"}},
                 options);
  check_harmless({"select 'a', 1"}, options);
  CHECK(depends_on_letters("\\"));
  CHECK(depends_on_letters("\x80"));
  CHECK_FALSE(depends_on_letters("select 'a'"));
}

TEST_CASE("names that are spelled with escapes, or cut by PostgreSQL, are in doubt") {
  const std::string long_name(64, 'a');
  for (std::string_view text :
       {"set U&\"app.x\" = 1", "set app.U&\"x\" = 1", "reset U&\"x\"", "reset app.U&\"x\"",
        "deallocate U&\"p\"", "deallocate prepare U&\"p\"", "execute U&\"p\"", "select U&\"f\"(1)"}) {
    CAPTURE(text);
    CHECK(classify(text, {}).has(Trait::Unreadable));
  }
  for (const std::string& text :
       {"set " + long_name + " = 1", "set app." + long_name + " = 1", "reset a." + long_name,
        "deallocate " + long_name, "execute \"" + long_name + "\""}) {
    CAPTURE(text);
    CHECK(classify(text, {}).has(Trait::Unreadable));
  }
  CHECK_FALSE(classify("set app." + std::string(63, 'a') + " = 1", {}).has(Trait::Unreadable));
}

TEST_CASE("words of a body that may be labels are in doubt") {
  CHECK(classify("create function f() returns int begin atomic select 1 end; set x = 1", {})
            .has(Trait::Unreadable));
}

TEST_CASE("the name of set_config is taken from a string only if it is as it stands there") {
  check_readings({
      {"select set_config(setting_name => 'app.x', new_value => 'v', is_local => false)",
       "AnySetting NamelessSetting"},
      {"select set_config(is_local => true, setting_name => 'app.x', new_value => 'v')",
       "AnySetting NamelessSetting"},
      {"select set_config(variadic array['a'])", "AnySetting NamelessSetting"},
      {"select set_config('app.x'::name, 'v', false)", "AnySetting NamelessSetting"},
      {"select set_config('app.x '::bpchar, 'v', false)", "AnySetting NamelessSetting"},
      {"select set_config(N'app.x ', 'v', false)", "AnySetting NamelessSetting"},
      {"select set_config(U&'app.x', 'v', false)", "AnySetting NamelessSetting"},
      {"select set_config(E'app\\x2ex', 'v', false)", "AnySetting NamelessSetting"},
      {"select set_config('app.x' || '', 'v', false)", "AnySetting NamelessSetting"},
      {"select set_config('app.x', 'v', true and false)", "Settings(app.x)"},
      {"select set_config('app.x', 'v', true::bool)", "Settings(app.x)"},
  });
}

TEST_CASE("functions that run a text may do anything") {
  check_readings({
      {"select * from crosstab('select 1')", "Dynamic"},
      {"select * from connectby('t', 'a', 'b', 'c', 0)", "Dynamic"},
      {"select * from xpath_table('a', 'b', 'c', 'd', 'e')", "Dynamic"},
      {"select schema_to_xml('public', true, false, '')", "Dynamic"},
      {"select table_to_xml('t', true, false, '')", "Dynamic"},
      {"select ts_stat('select 1')", "Dynamic"},
  });
}
