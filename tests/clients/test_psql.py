"""psql, and what libpq takes from the environment."""

import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
from harness.waiting import wait_until


def psql(target, *arguments, stdin=None, **environment):
    done = subprocess.run(["psql", "-XAt", "-v", "ON_ERROR_STOP=1", *arguments], input=stdin, capture_output=True,
                          text=True, timeout=50, env={**target.environment, **environment})
    return done.returncode, done.stdout, done.stderr


def test_select_42(target):
    assert psql(target, "-c", "select 42") == (0, "42\n", "")


def test_many_in_parallel(target):
    with ThreadPoolExecutor(16) as threads:
        results = list(threads.map(lambda number: psql(target, "-c", f"select {number}"), range(100)))
    assert results == [(0, f"{number}\n", "") for number in range(100)]


def test_libpqs_environment_takes_effect_and_ends_with_the_session(target):
    shown = ["-c", "show datestyle", "-c", "show timezone", "-c", "show work_mem", "-c", "show application_name"]
    code, out, _ = psql(target, *shown, PGDATESTYLE="german", PGTZ="Asia/Tokyo", PGOPTIONS="-c work_mem=7MB --geqo=off",
                        PGAPPNAME="report")
    assert (code, out) == (0, "German, DMY\nAsia/Tokyo\n7MB\nreport\n")
    code, out, _ = psql(target, "-c", "reset all", *shown[:-2], PGDATESTYLE="german", PGTZ="Asia/Tokyo",
                        PGOPTIONS="-c work_mem=7MB")
    assert (code, out) == (0, "RESET\nGerman, DMY\nAsia/Tokyo\n7MB\n")
    for _ in range(10):
        code, out, _ = psql(target, *shown)
        assert code == 0 and out.splitlines()[0] == "ISO, MDY" and out.splitlines()[2:] == ["4MB", "psql"]


@pytest.mark.parametrize("environment, words", [
    ({"PGOPTIONS": "-c no_such_setting=1"}, 'unrecognized configuration parameter "no_such_setting"'),
    ({"PGOPTIONS": "-c work_mem=much"}, 'invalid value for parameter "work_mem": "much"'),
    ({"PGTZ": "Nowhere/Land"}, 'invalid value for parameter "TimeZone": "Nowhere/Land"'),
])
def test_a_bad_value_is_fatal_at_login(target, environment, words):
    code, _, err = psql(target, "-c", "select 1", **environment)
    assert code == 2 and "FATAL" in err and words in err


def test_backslash_commands(target, table):
    script = f"create table {table} (id int primary key, body text);\n\\d {table}\n\\dt {table}\n\\conninfo\n"
    code, out, err = psql(target, stdin=script)
    assert code == 0, err
    assert "id|integer" in out and table in out


def test_copy_through_psql(target, table, tmp_path):
    file = tmp_path / "rows"
    file.write_text("".join(f"{number}\n" for number in range(10000)))
    code, out, err = psql(target, stdin=f"create table {table} (id int);\n\\copy {table} from '{file}'\n"
                                        f"select sum(id) from {table};\n\\copy {table} to stdout\n")
    assert code == 0, err
    assert out.splitlines()[:3] == ["CREATE TABLE", "COPY 10000", "49995000"] and len(out.splitlines()) == 10003


def test_large_objects(target, tmp_path):
    file = tmp_path / "content"
    file.write_bytes(b"content " * 100000)
    code, out, err = psql(target, stdin=f"\\lo_import {file}\n\\lo_export :LASTOID {file}.back\n\\lo_unlink :LASTOID\n")
    assert code == 0, err
    assert (tmp_path / "content.back").read_bytes() == file.read_bytes()


def test_several_statements_in_one_query_are_one_transaction(target, table):
    code, _, err = psql(target, "-c", f"create table {table} (id int); select 1 / 0")
    assert code == 1 and "division by zero" in err
    assert psql(target, "-c", f"select to_regclass('{table}') is null")[1] == "t\n"


def test_control_c_cancels(target):
    running = subprocess.Popen(["psql", "-XAt", "-c", "select pg_sleep(50) /* control c */"], env=target.environment,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: any("control c" in row["query"] and row["state"] == "active" for row in target.backends()),
               "the query runs")
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=30)
    assert "canceling statement due to user request" in err
    wait_until(lambda: not any("pg_sleep" in row["query"] and row["state"] == "active" for row in target.backends()),
               "PostgreSQL has ended the query as well")


def test_listen_in_psql(target, table):
    code, out, err = psql(target, stdin=f"listen {table};\nnotify {table}, 'hello';\nselect 1;\n")
    assert code == 0, err
    assert f'Asynchronous notification "{table}" with payload "hello"' in out
