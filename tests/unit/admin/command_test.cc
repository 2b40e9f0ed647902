#include "lib/admin/command.h"

#include <doctest/doctest.h>

#include "lib/admin/command_lexer.h"

using namespace tidepool::admin;

TEST_CASE("statements are split at semicolons outside of quotes and comments") {
  const auto statements = split_statements("a ';' b; /* ; */ \"c;\"; -- ;\n d");
  REQUIRE(statements.size() == 3);
  CHECK(statements[0].source == "a ';' b;");
  CHECK(canonical_text(statements[0]) == "a ';' b");
  CHECK(canonical_text(statements[1]) == "\"c;\"");
  CHECK(canonical_text(statements[2]) == "d");
}

TEST_CASE("a statement's text is independent of case and blanks") {
  CHECK(canonical_text(split_statements("Select  PG_catalog.Version( )")[0]) ==
        "select pg_catalog . version ( )");
}

TEST_CASE("a doubled quote stands for one, and what is quoted keeps its case") {
  const auto statements = split_statements("\"A\"\"b\" 'it''s'");
  REQUIRE(statements.size() == 1);
  CHECK(statements[0].tokens[0].text == "A\"b");
  CHECK(statements[0].tokens[0].lower.empty());
  CHECK(statements[0].tokens[1].text == "it's");
}

TEST_CASE("a quote or a comment without an end is noticed, wherever it begins") {
  for (const char* sql : {"a 'b", "a; \"", "/* a", "a /* /* */", "'"}) {
    const auto statements = split_statements(sql);
    REQUIRE(!statements.empty());
    CHECK(!statements.back().well_formed);
    CHECK(!parse_commands(sql));
  }
}

TEST_CASE("every SHOW table is a command") {
  for (const ShowTable& table : show_tables()) {
    const auto commands = parse_commands("SHOW " + std::string(table.name));
    REQUIRE(commands);
    CHECK(commands->front().columns().size() == table.columns.size());
    CHECK(commands->front().tag == "SHOW");
  }
}

TEST_CASE("a string is no name, and a quoted name is no keyword") {
  CHECK(!parse_commands("SHOW 'pools'"));
  CHECK(!parse_commands("ROLLBACK \"TO\" x"));
  const auto commands = parse_commands("DEALLOCATE \"all\"");
  REQUIRE(commands);
  CHECK(std::get<Deallocate>(commands->front().action).name == "all");
}

TEST_CASE("a driver's query with more parameters than any has is not one") {
  const std::string begin = "select typname as name, oid, typarray as array_oid, $";
  CHECK(parse_commands(begin + "100"));
  CHECK(!parse_commands(begin + "101"));
  CHECK(!parse_commands(begin + "99999999999999999999999"));
}
