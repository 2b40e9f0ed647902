#include <doctest/doctest.h>

#include "tests/unit/sql/reading.h"

TEST_CASE("the body of a DO is run, and read") {
  check_readings({
      {"do $$begin null; end$$", "MayAdvance"},
      {"do 'begin null; end'", "MayAdvance"},
      {"do language plpgsql $$begin null; end$$", "MayAdvance"},
      {"do $$begin null; end$$ language 'plpgsql'", "MayAdvance"},
      {"do $$begin null; end$$ language \"plpgsql\"", "MayAdvance"},
      {"do $$begin set x = 1; end$$", "Settings(x) MayAdvance"},
      {"do $$begin set local x = 1; end$$", "MayAdvance"},
      {"do $$begin reset x; end$$", "Settings(x) ResetsSetting MayAdvance"},
      {"do $body$ declare a int := 1; begin if a then set x = 1; elsif b then set y = 1; else set z = 1; end "
       "if; end "
       "$body$",
       "Settings(x y z) MayAdvance"},
      {"do $$begin for i in 1..2 loop listen a; end loop; end$$", "Listen MayAdvance"},
      {"do $$<<a>> begin <<b>> listen a; end$$", "Listen MayAdvance"},
      {"do $$begin begin listen a; exception when others then load 'x'; end; end$$",
       "Listen Load MayAdvance"},
      {"do $$begin case 1 when 1 then listen a; else null; end case; end$$", "Listen MayAdvance"},
      {"do $$begin perform set_config('a', b, false); end$$", "Settings(a) MayAdvance"},
      {"do $$begin perform set_config(a, b, true); end$$", "MayAdvance"},
      {"do $$begin perform set_config($1, b, false); end$$", "AnySetting MayAdvance"},
      {"do $$begin perform pg_advisory_lock(1); end$$", "AdvisoryLock MayAdvance"},
      {"do $$begin if pg_try_advisory_lock(1) then null; end if; end$$", "AdvisoryLock MayAdvance"},
      {"do $$declare a bigint := lastval(); begin end$$", "NamesCurrentValue MayAdvance"},
      {"do $$begin create temp table t (a int); end$$", "TemporaryObject Creates MayAdvance"},
      {"do $$begin create table t as select 1; listen a; end$$", "Listen Creates MayAdvance"},
      {"do $$begin drop table t; end$$", "MayAdvance RemovesState"},
      {"do $$begin prepare a as select 1; end$$", "PreparedStatement MayAdvance"},
      {"do $$begin deallocate a; end$$", "MayAdvance RemovesState"},
      {"do 'begin perform set_config(''a'', ''b'', false); end'", "Settings(a) MayAdvance"},
      {"do E'begin set x = 1; end'", "Settings(x) MayAdvance"},
      {"do $$begin raise notice 'set x = 1; listen a'; end$$", "MayAdvance"},
      {"do $$begin -- set x = 1; listen a\n null; end$$", "MayAdvance"},
      {"do $$begin update t set x = 1; insert into t values (1); commit and chain; end$$", "MayAdvance"},
      {"do $$begin set session authorization a; end$$; listen a",
       "Settings(role session_authorization) Listen MayAdvance"},
      {"do $$begin update pg_settings set setting = 1; end$$", "AnySetting MayAdvance"},
      {"do $$begin create trigger a after insert on t for each row execute function f(); end$$",
       "Creates MayAdvance"},
  });
}

TEST_CASE("a DO that puts its statements together may do anything") {
  check_readings({
      {"do $$begin execute 'set x = 1'; end$$", "MayAdvance Dynamic"},
      {"do $$begin for a in execute b loop null; end loop; end$$", "MayAdvance Dynamic"},
      {"do $$begin return query execute a; end$$", "MayAdvance Dynamic"},
      {"do $$begin open c for execute a; end$$", "MayAdvance Dynamic"},
      {"do $$begin create table t as execute a; end$$", "Creates MayAdvance Executes Dynamic"},
      {"do $$begin raise notice 'execute'; end$$", "MayAdvance"},
  });
}

TEST_CASE("a DO whose body is not read may do anything") {
  check_readings({
      {"do language plpython3u $$x = 1$$", "MayAdvance Dynamic"},
      {"do $$1$$ language plperl", "MayAdvance Dynamic"},
      {"do language 'plperl' $$1$$", "MayAdvance Dynamic"},
      {"do E'begin set x = \\'1\\'; end'", "MayAdvance Dynamic"},
      {"do U&'begin end'", "MayAdvance Dynamic"},
      {"do", "MayAdvance Dynamic"},
      {"do $$begin 'x; end$$", "MayAdvance Unreadable"},
      {"do language", "MayAdvance Dynamic"},
      {"do language;", "MayAdvance Dynamic"},
  });
  check_readings({{"do 'begin set x = \\'1\\'; end'", "MayAdvance Dynamic"}}, {false, {}});
}

TEST_CASE("DO within DO is read to a depth") {
  check_readings({
      {"do $a$begin do $b$begin set x = 1; end$b$; set y = 1; end$a$", "Settings(x y) MayAdvance"},
      {"do $a$begin do $b$begin do $c$begin do $d$begin listen a; end$d$; end$c$; end$b$; end$a$",
       "Listen MayAdvance"},
      {"do $a$begin do $b$begin do $c$begin do $d$begin do $e$begin end$e$; end$d$; end$c$; end$b$; end$a$",
       "MayAdvance Dynamic"},
  });
}
