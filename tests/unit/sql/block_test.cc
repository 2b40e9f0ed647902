#include <doctest/doctest.h>

#include "tests/unit/sql/reading.h"

TEST_CASE("the body of a DO is run, and read") {
  check_readings({
      {"do $$begin null; end$$", "MayAdvance Calls"},
      {"do 'begin null; end'", "MayAdvance Calls"},
      {"do language plpgsql $$begin null; end$$", "MayAdvance Calls"},
      {"do $$begin null; end$$ language 'plpgsql'", "MayAdvance Calls"},
      {"do $$begin null; end$$ language \"plpgsql\"", "MayAdvance Calls"},
      {"do $$begin set x = 1; end$$", "Settings(x) MayAdvance Calls"},
      {"do $$begin set local x = 1; end$$", "MayAdvance Calls"},
      {"do $$begin reset x; end$$", "Settings(x) ResetsSetting MayAdvance Calls"},
      {"do $body$ declare a int := 1; begin if a then set x = 1; elsif b then set y = 1; else set z = 1; end "
       "if; end "
       "$body$",
       "Settings(x y z) MayAdvance Calls"},
      {"do $$begin for i in 1..2 loop listen a; end loop; end$$", "Listen MayAdvance Calls"},
      {"do $$<<a>> begin <<b>> listen a; end$$", "Listen MayAdvance Calls"},
      {"do $$begin begin listen a; exception when others then load 'x'; end; end$$",
       "Listen Load MayAdvance Calls"},
      {"do $$begin case 1 when 1 then listen a; else null; end case; end$$", "Listen MayAdvance Calls"},
      {"do $$begin perform set_config('a', b, false); end$$", "Settings(a) MayAdvance Calls"},
      {"do $$begin perform set_config(a, b, true); end$$", "MayAdvance Calls"},
      {"do $$begin perform set_config($1, b, false); end$$", "AnySetting NamelessSetting MayAdvance Calls"},
      {"do $$begin perform pg_advisory_lock(1); end$$", "AdvisoryLock MayAdvance Calls"},
      {"do $$begin if pg_try_advisory_lock(1) then null; end if; end$$", "AdvisoryLock MayAdvance Calls"},
      {"do $$declare a bigint := lastval(); begin end$$", "NamesCurrentValue MayAdvance Calls"},
      {"do $$begin create temp table t (a int); end$$", "TemporaryObject Creates MayAdvance Calls"},
      {"do $$begin create table t as select 1; listen a; end$$", "Listen Creates MayAdvance Calls"},
      {"do $$begin drop table t; end$$", "MayAdvance RemovesState Calls"},
      {"do $$begin prepare a as select 1; end$$", "PreparedStatement MayAdvance Calls"},
      {"do $$begin deallocate a; end$$", "MayAdvance RemovesState Calls"},
      {"do 'begin perform set_config(''a'', ''b'', false); end'", "Settings(a) MayAdvance Calls"},
      {"do E'begin set x = 1; end'", "Settings(x) MayAdvance Calls"},
      {"do $$begin raise notice 'set x = 1; listen a'; end$$", "MayAdvance Calls"},
      {"do $$begin -- set x = 1; listen a\n null; end$$", "MayAdvance Calls"},
      {"do $$begin update t set x = 1; insert into t values (1); commit and chain; end$$",
       "MayAdvance Calls"},
      {"do $$begin set session authorization a; end$$; listen a",
       "Settings(role session_authorization) Listen MayAdvance Calls"},
      {"do $$begin update pg_settings set setting = 1; end$$", "AnySetting MayAdvance Calls"},
      {"do $$begin create trigger a after insert on t for each row execute function f(); end$$",
       "Creates MayAdvance Calls"},
  });
}

TEST_CASE("a DO that puts its statements together may do anything") {
  check_readings({
      {"do $$begin execute 'set x = 1'; end$$", "MayAdvance Dynamic Calls"},
      {"do $$begin for a in execute b loop null; end loop; end$$", "MayAdvance Dynamic Calls"},
      {"do $$begin return query execute a; end$$", "MayAdvance Dynamic Calls"},
      {"do $$begin open c for execute a; end$$", "MayAdvance Dynamic Calls"},
      {"do $$begin create table t as execute a; end$$", "Creates MayAdvance Executes Dynamic Calls"},
      {"do $$begin raise notice 'execute'; end$$", "MayAdvance Calls"},
  });
}

TEST_CASE("a DO whose body is not read may do anything") {
  check_readings({
      {"do language plpython3u $$x = 1$$", "MayAdvance Dynamic Calls"},
      {"do $$1$$ language plperl", "MayAdvance Dynamic Calls"},
      {"do language 'plperl' $$1$$", "MayAdvance Dynamic Calls"},
      {"do E'begin set x = \\'1\\'; end'", "MayAdvance Dynamic Calls"},
      {"do U&'begin end'", "MayAdvance Dynamic Calls"},
      {"do", "MayAdvance Dynamic Calls"},
      {"do $$begin 'x; end$$", "MayAdvance Unreadable Calls"},
      {"do language", "MayAdvance Dynamic Calls"},
      {"do language;", "MayAdvance Dynamic Calls"},
  });
  check_readings({{"do 'begin set x = \\'1\\'; end'", "MayAdvance Dynamic Calls"}}, {false, {}});
}

TEST_CASE("DO within DO is read to a depth") {
  check_readings({
      {"do $a$begin do $b$begin set x = 1; end$b$; set y = 1; end$a$", "Settings(x y) MayAdvance Calls"},
      {"do $a$begin do $b$begin do $c$begin do $d$begin listen a; end$d$; end$c$; end$b$; end$a$",
       "Listen MayAdvance Calls"},
      {"do $a$begin do $b$begin do $c$begin do $d$begin do $e$begin end$e$; end$d$; end$c$; end$b$; end$a$",
       "MayAdvance Dynamic Calls"},
  });
}
