"""pg_dump and pg_restore through the pool: what comes back is what was there."""

import subprocess

import pytest

DATA = """
create schema shop;
create table shop.item (id serial primary key, name text not null, price numeric check (price >= 0));
insert into shop.item (name, price) select 'item ' || i, i * 1.25 from generate_series(1, 20000) i;
create index on shop.item (name);
create view shop.dear as select * from shop.item where price > 20000;
create function shop.twice(n int) returns int language sql as 'select n * 2';
create type shop.mood as enum ('well', 'unwell');
create table shop.moody (m shop.mood default 'well', at timestamptz default now());
insert into shop.moody select from generate_series(1, 100);
select lo_from_bytea(0, decode(repeat('00ff', 100000), 'hex'));
"""
FINGERPRINT = """
select (select md5(string_agg(i::text, ',' order by id)) from shop.item i), (select count(*) from shop.moody),
       shop.twice(21), (select count(*) from shop.dear), (select sum(length(lo_get(oid))) from pg_largeobject_metadata);
"""


def run(program, target, *arguments):
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=110, env=target.environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.timeout(150)
@pytest.mark.parametrize("form", ["plain", "custom", "directory"])
def test_a_round_trip(target, tmp_path, form):
    restored, file = target.others["restored"], tmp_path / "dump"
    target.postgres.psql("-c", "drop schema if exists shop cascade",
                         "-c", "select lo_unlink(oid) from pg_largeobject_metadata", dbname=target.database)
    target.postgres.psql("-c", "drop schema if exists shop cascade",
                         "-c", "select lo_unlink(oid) from pg_largeobject_metadata", dbname=restored.database)
    target.postgres.psql("-c", "grant create on database \"%s\" to app" % restored.database)
    target.postgres.psql("-q", stdin=DATA, dbname=target.database, user="app")
    expected = target.postgres.psql("-c", FINGERPRINT, dbname=target.database)

    # The selection keeps tables of other tests out; large objects are asked for by name then.
    dump = ["-n", "shop", "--blobs", "-f", str(file)]
    if form == "plain":
        run("pg_dump", target, *dump)
        run("psql", restored, "-Xq", "-v", "ON_ERROR_STOP=1", "-f", str(file))
    elif form == "custom":
        run("pg_dump", target, "-Fc", *dump)
        run("pg_restore", restored, "-d", restored.dbname, "--exit-on-error", "--single-transaction", str(file))
    else:
        run("pg_dump", target, "-Fd", "-j", "3", *dump)
        run("pg_restore", restored, "-d", restored.dbname, "--exit-on-error", "-j", "3", str(file))
    assert target.postgres.psql("-c", FINGERPRINT, dbname=restored.database) == expected
