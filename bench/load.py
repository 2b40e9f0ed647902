"""Work for the contenders: our own load program, pgbench and psql; what it cost the contender, and how fast it went."""

import json
import os
import re
import subprocess
import time

from figures import Calls, cpu_seconds, cpu_seconds_of_children


class Load:
    """bench/load.cc, step by step: begin() when all clients are logged in, result() when all have done their work."""

    def __init__(self, program, socket_path, mode="simple", clients=1, seconds=0, transactions=0, query="select 1", user="app",
                 database="bench"):
        self._process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", program, "--socket", socket_path, "--mode", mode, "--clients", str(clients),
             "--seconds", str(seconds), "--transactions", str(transactions), "--query", query, "--user", user,
             "--database", database],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._line() == "ready\n"

    def begin(self):
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def result(self):
        return json.loads(self._line())

    def leave(self):
        self._process.stdin.close()
        assert self._process.wait(60) == 0, "the load program failed"
        self._process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def _line(self):
        line = self._process.stdout.readline()
        assert line, "the load program has ended"
        return line


def figures(transactions, seconds, cpu):
    found = {"rate": transactions / seconds}
    if cpu is not None:
        found["cpu_us"] = cpu / transactions * 1e6
    return found


def run_load(program, contender, **options):
    """One run of Load: its result, and the CPU seconds of the contender. Logins are not measured (with mode="connect" they are the work)."""
    with Load(program, contender.socket_path, **options) as load:
        before = contender.pid and cpu_seconds(contender.pid)
        load.begin()
        result = load.result()
        cpu = contender.pid and cpu_seconds(contender.pid) - before
        load.leave()
    assert not result["failures"], f"{contender.name}: {result['failures']}"
    return result, cpu


def by_load(program, contender, **options):
    result, cpu = run_load(program, contender, **options)
    return figures(result["transactions"], result["seconds"], cpu)


def with_postgres_by_load(program, contender, postgres_pid, **options):
    """And what the transactions cost PostgreSQL."""
    before = cpu_seconds_of_children(postgres_pid)
    result, cpu = run_load(program, contender, **options)
    found = figures(result["transactions"], result["seconds"], cpu)
    return {**found, "postgres_us": (cpu_seconds_of_children(postgres_pid) - before) / result["transactions"] * 1e6}


def fairness_by_load(program, contender, **options):
    """How long transactions take, the usual one and the slow ones, and how many the most unlucky client has done for one of the median client's."""
    result, cpu = run_load(program, contender, **options)
    return {"p50_ms": result["p50"] * 1e3, "p99_ms": result["p99"] * 1e3, "p99_p50": result["p99"] / result["p50"],
            "unlucky": result["fewest"] / result["median"], **figures(result["transactions"], result["seconds"], cpu)}


def calls_by_load(program, contender, transactions, **options):
    """System calls of the contender per transaction, in all and by name. What strace costs is not the contender's fault."""
    with Load(program, contender.socket_path, transactions=transactions, **options) as load:
        with Calls(contender.pid) as calls:
            load.begin()
            result = load.result()
        load.leave()
    assert not result["failures"], f"{contender.name}: {result['failures']}"
    by_name = {name: count / transactions for name, count in calls.counts.items() if count * 100 > transactions}
    return {"calls": sum(calls.counts.values()) / transactions, "by_name": by_name}


def environment(contender, **others):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {**clean, "PGHOST": str(contender.folder), "PGPORT": str(contender.port), "PGUSER": "app", "PGDATABASE": "bench",
            "PGPASSWORD": "secret", **others}


def by_pgbench(contender, *arguments):
    before = contender.pid and cpu_seconds(contender.pid)
    with _pgbench(contender, arguments) as process:
        output, errors = process.communicate()
    cpu = contender.pid and cpu_seconds(contender.pid) - before
    transactions = _pgbench_transactions(contender, process, output, errors)
    rate = float(re.search(r"tps = ([\d.]+)", output)[1])
    return figures(transactions, transactions / rate, cpu)


def by_running_pgbench(contender, seconds, *arguments):
    """Without its logins and its first second: from the first of its progress reports, which come each second, to the last of `seconds` more."""
    times, cpus, transactions = [], [], []
    with _pgbench(contender, ["-T", seconds + 2, "-P", 1, "--progress-timestamp", *arguments]) as process:
        errors = ""
        for line in process.stderr:
            errors += line
            found = re.match(r"progress: ([\d.]+) s, ([\d.]+) tps", line)
            if found and len(times) <= seconds:
                cpus.append(contender.pid and cpu_seconds(contender.pid))
                times.append(float(found[1]))
                transactions.append(float(found[2]) * (times[-1] - times[-2]) if len(times) > 1 else 0)
        output = process.stdout.read()
    _pgbench_transactions(contender, process, output, errors)
    if len(times) < 2:                      # on a busy machine it leaves reports out
        return by_running_pgbench(contender, seconds, *arguments)
    return figures(sum(transactions), times[-1] - times[0], contender.pid and cpus[-1] - cpus[0])


def _pgbench(contender, arguments):
    return subprocess.Popen(["pgbench", "-n", "-S", *map(str, arguments)], env=environment(contender), stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)


def _pgbench_transactions(contender, process, output, errors):
    assert process.wait() == 0, f"{contender.name}: {errors}"
    failed = re.search(r"failed transactions: (\d+)", output)
    assert not failed or failed[1] == "0", f"{contender.name}: {output}"
    return int(re.search(r"actually processed: (\d+)", output)[1])


def by_shell(contender, command, gigabytes):
    """A command of psql's: what it costs for each GB, and GB per second."""
    before = contender.pid and cpu_seconds(contender.pid)
    begin = time.monotonic()
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], env=environment(contender), capture_output=True, text=True)
    seconds = time.monotonic() - begin
    cpu = contender.pid and cpu_seconds(contender.pid) - before
    assert done.returncode == 0, f"{contender.name}: {done.stderr}"
    found = {"gb_per_s": gigabytes / seconds}
    if cpu is not None:
        found["cpu_s_per_gb"] = cpu / gigabytes
    return found
