#include "lib/sql/words.h"

#include <doctest/doctest.h>

#include <string>

using namespace tidepool::sql;

TEST_CASE("words are found in either case, quoted names as they are, and keywords only unquoted") {
  CHECK(find_word("set") == Word::Set);
  CHECK(find_word("SeT") == Word::Set);
  CHECK(find_word("Set_Config") == Word::SetConfig);
  CHECK(find_word("setx") == Word::Other);
  CHECK(find_word("sets") == Word::Other);
  CHECK(find_word("\xc3\xa4") == Word::Other);
  CHECK(find_word("") == Word::Other);
  CHECK(find_quoted("set") == Word::Other);
  CHECK(find_quoted("set_config") == Word::SetConfig);
  CHECK(find_quoted("Set_Config") == Word::Other);
  CHECK(find_quoted("") == Word::Other);
}

TEST_CASE("only ASCII is folded, and only letters") {
  CHECK(find_word("\xd3\xc5\xd4") == Word::Other);
  CHECK(find_word("SET\x1f"
                  "CONFIG") == Word::Other);  // 0x1f and '_' differ in 0x40 only
  CHECK(find_word("set\x7f"
                  "config") == Word::Other);
}

TEST_CASE("pg_temp and the temporary schemas with a number are one word") {
  CHECK(find_word("pg_temp") == Word::PgTemp);
  CHECK(find_word("PG_TEMP_12") == Word::PgTemp);
  CHECK(find_quoted("pg_temp_3") == Word::PgTemp);
  CHECK(find_word("pg_tempo") == Word::Other);
  CHECK(find_quoted("PG_TEMP_3") == Word::Other);
}

TEST_CASE("words longer than any that is looked for are no word of ours") {
  for (size_t size = 1; size < 300; ++size) CHECK(find_word(std::string(size, 's')) == Word::Other);
}
