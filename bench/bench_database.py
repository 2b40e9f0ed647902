"""The database that real work is done in."""

import subprocess

from contenders import Server
from load import environment

DOUBTFUL = "doubtful()"                     # a function: what it does inside, nobody in front of PostgreSQL can say


def make_bench_database(postgres):
    postgres.psql("-c", "create role app login")
    postgres.psql("-c", "create database bench owner app")
    server = Server(postgres.folder, postgres.port)
    direct = type("Direct", (), {"folder": postgres.folder, "port": postgres.port})
    subprocess.run(["pgbench", "-i", "-q", "-s", "5"], env=environment(direct), check=True, capture_output=True)
    postgres.psql("-c", "create table sink (line text)", dbname="bench", user="app")
    postgres.psql("-c", f"create function {DOUBTFUL} returns int language plpgsql as 'begin return 1; end'", dbname="bench", user="app")
    return server
