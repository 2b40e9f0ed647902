"""The main job at its size: 64 threads in each of 8 processes, 20,000 units of work, a pool of 8, never a ninth backend."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from harness.most_backends import MostBackends

PROCESSES = 8
THREADS = 64
UNITS = int(os.environ.get("TIDEPOOL_UNITS", "20000"))      # fewer under a sanitizer


@pytest.mark.timeout(400)
def test_threads_in_processes_share_a_small_pool(target, max_size):
    threads = 8 if target.direct else THREADS           # PostgreSQL itself would not take them all
    target.postgres.psql("-c", "drop table if exists units_of_work", "-c", "create table units_of_work (id int primary key)",
                         dbname=target.database, user="app")
    program, each = Path(__file__).with_name("units_of_work.py"), UNITS // PROCESSES
    with MostBackends(target.postgres, target.database, target.user, pause=0.002) as backends:
        processes = [subprocess.Popen([sys.executable, program, target.url("psycopg"), str(threads), str(each), str(number * each)],
                                      stdout=subprocess.PIPE, text=True) for number in range(PROCESSES)]
        results = [json.loads(process.communicate(timeout=390)[0]) for process in processes]
    assert results == [{"errors": 0, "first": []}] * PROCESSES
    done = target.postgres.psql("-c", "select count(*) from units_of_work", dbname=target.database)
    assert int(done) == each * PROCESSES
    assert backends.samples > 100
    if not target.direct:
        assert backends.most <= max_size
        assert target.daemon.pool_stats("bench")["pool_max"] == max_size
