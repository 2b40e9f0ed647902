"""pgbench in all query modes, with one connection for each client and (-C) one for each transaction."""

import re
import subprocess

import pytest


def pgbench(target, *arguments):
    done = subprocess.run(["pgbench", *arguments], capture_output=True, text=True, timeout=110, env=target.environment)
    assert done.returncode == 0, done.stderr
    assert "abort" not in done.stderr, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def tables(target):
    pgbench(target, "-i", "-q", "-s", "1")


@pytest.mark.timeout(150)
@pytest.mark.parametrize("reconnect", [[], ["-C"]], ids=["connected", "C"])
@pytest.mark.parametrize("mode", ["simple", "extended", "prepared"])
def test_every_transaction_is_done(target, tables, mode, reconnect):
    # In mode prepared a thread of pgbench waits for PQprepare and serves none of its clients meanwhile: with more clients than
    # servers those that have one cannot go on and give it back.
    clients = "8" if mode == "prepared" else "16"
    before = int(target.postgres.psql("-c", "select count(*) from pgbench_history", dbname=target.database))
    out = pgbench(target, "-n", "-M", mode, "-c", clients, "-j", "2", "-t", str(800 // int(clients)), *reconnect)
    assert "number of transactions actually processed: 800/800" in out
    assert re.search(r"number of failed transactions: 0 ", out)
    after = int(target.postgres.psql("-c", "select count(*) from pgbench_history", dbname=target.database))
    assert after - before == 800


@pytest.mark.parametrize("mode", ["extended", "prepared"])
def test_pipelines(target, tmp_path, mode):
    script = tmp_path / "pipeline.sql"
    script.write_text("\\startpipeline\n" + "select 1;\nselect 2;\n" * 20 + "\\endpipeline\n")
    out = pgbench(target, "-n", "-M", mode, "-f", str(script), "-c", "8", "-j", "2", "-t", "50")
    assert "number of transactions actually processed: 400/400" in out
