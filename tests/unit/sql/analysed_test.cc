// Which texts PostgreSQL analyses when it parses them, and what of a text settings decide then.
#include "lib/sql/analysed.h"

#include <doctest/doctest.h>

#include <string>

namespace tidepool::sql {
namespace {

TEST_CASE("commands that mean the same whenever they are parsed are not analysed") {
  for (std::string_view text : {"begin",
                                "BEGIN",
                                "Begin;",
                                "start transaction read only",
                                "commit",
                                "end",
                                "rollback",
                                "abort",
                                "savepoint a",
                                "release a",
                                "set a to b",
                                "SET LOCAL x = 1",
                                "reset all",
                                "show search_path",
                                "discard all",
                                "deallocate a",
                                "prepare p as select 1",
                                "execute p",
                                "fetch 5 from c",
                                "move c",
                                "close c",
                                "listen news",
                                "unlisten *",
                                "notify news",
                                "vacuum",
                                "analyze t",
                                "analyse t",
                                "lock t",
                                "truncate t",
                                "copy t from stdin",
                                "drop table t",
                                "alter table t add b int",
                                "grant all on t to a",
                                "checkpoint",
                                "do $$ begin end $$",
                                "  \n\t begin",
                                "-- why\nbegin",
                                "/* why /* not */ */ begin",
                                ";; begin",
                                "reindex table t",
                                "load 'x'",
                                "comment on table t is 'x'",
                                "security label on t is 'x'",
                                "cluster",
                                "create index concurrently on t(a)",
                                "CREATE /* it */ UNIQUE INDEX i ON t(a)",
                                "create database d",
                                "create tablespace s location '/there'",
                                "import foreign schema s from server a into b",
                                "reassign owned by a to b",
                                "revoke all on t from a",
                                "",
                                " ",
                                ";",
                                "-- nothing",
                                "/* nothing */"}) {
    CAPTURE(text);
    CHECK_FALSE(is_analysed(text));
  }
}

TEST_CASE("the rows of some commands are those of their parse") {
  for (std::string_view text : {"fetch 1 from c", " /* next */ FETCH c", ";show app.tenant"}) {
    CAPTURE(text);
    CHECK(has_rows_of_its_parse(text));
  }
  for (std::string_view text :
       {"move 1 in c", "select 1", "show all", "begin", "", "\"fetch\" c", "fetches"}) {
    CAPTURE(text);
    CHECK_FALSE(has_rows_of_its_parse(text));
  }
}

TEST_CASE("what has rows or names of its own is analysed, and so is what cannot be told") {
  for (std::string_view text : {"select 1",
                                "SELECT 1",
                                "values (1)",
                                "table t",
                                "with a as (select 1) select * from a",
                                "insert into t values (1)",
                                "update t set a = 1",
                                "delete from t",
                                "merge into t using u on true when matched then delete",
                                "(select 1)",
                                "((select 1)) union select 2",
                                "explain select 1",
                                "declare c cursor for select 1",
                                "create table t as select 1",
                                "create view v as select 1",
                                "call p(1)",
                                "refresh materialized view v",
                                "begins",
                                "showing",
                                "\"begin\"",
                                "nonsense",
                                "1",
                                "'a'",
                                "$1",
                                "/* not closed",
                                "-- why\nselect 1",
                                "; select 1"}) {
    CAPTURE(text);
    CHECK(is_analysed(text));
  }
}

TEST_CASE("a string of any kind, and NULL, is a literal") {
  for (std::string_view text : {"select 'a'", "select E'a'", "select U&'a'", "select B'1'", "select $$a$$",
                                "select $tag$a$tag$", "select null", "select NULL", "a = Null", "''", "$"}) {
    CAPTURE(text);
    CHECK(has_literals(text));
  }
  for (std::string_view text : {"select 1", "select $1", "select $1, $23 from t where a = $4", "select \"a\"",
                                "", "nul", "select n, u, l", "select 1.5e3"}) {
    CAPTURE(text);
    CHECK_FALSE(has_literals(text));
  }
}

TEST_CASE("letters that are not ASCII's, and backslashes, are odd ones") {
  for (std::string_view text :
       {"select '\xc3\xa4'", "select \"\xe4\"", "select 'a\\n'", "\\", "\x80", "\xff"}) {
    CAPTURE(text);
    CHECK(has_odd_letters(text));
  }
  for (std::string_view text : {"", "select 'plain', \"plain\"", "\x7f\x01 ~"}) {
    CAPTURE(text);
    CHECK_FALSE(has_odd_letters(text));
  }
}

}  // namespace
}  // namespace tidepool::sql
