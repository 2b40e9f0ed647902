"""Clients in Go, Java, Node and Rust, without pools of their own: the cases of the programs in tests/clients/LANGUAGE."""

from contextlib import nullcontext

import pytest
from harness.most_backends import MostBackends
from programs import built, cases_of, run

pytestmark = pytest.mark.timeout(400)       # by hand, the first one of a language builds its program

# What each program has a case of. It prints "ok NAME", or "FAILED NAME: why" and ends with 1.
CASES = ["many_short_connections", "simple_and_prepared_queries", "transactions_and_their_rollback", "an_error_and_the_session_goes_on",
         "copy_in_and_out", "a_cursor_read_in_pieces", "listen_and_notify", "a_cancel_ends_one_query", "many_requests_in_one_go",
         "startup_settings_hold_for_their_session", "nothing_is_left_to_the_next", "large_values_both_ways", "a_password_over_tcp"]
# And those that it has besides: pgx 5 and database/sql, pgjdbc (over TCP), pg, tokio-postgres.
MORE = {
    "go": ["a_context_that_ends_in_mid_query", "database_sql_keeps_no_connection"],
    "java": ["a_query_timeout"],
    "node": ["a_pool_that_keeps_no_connection"],
    "rust": ["an_answer_that_nobody_waits_for"],
}


@pytest.mark.parametrize("language, case", [(language, case) for language in MORE for case in CASES + MORE[language]])
def test_a_client_of_another_language(target, language, case):
    program = built(language)
    sampled = case == "many_short_connections"
    with MostBackends(target.postgres, target.database, target.user, pause=0.002) if sampled else nullcontext() as backends:
        done = run(program, [*program.command, case], target.environment)
    assert (done.returncode, done.stdout) == (0, f"ok {case}\n"), done.stdout + done.stderr
    if backends and not target.direct:
        assert 0 < backends.most <= target.daemon.pool_stats("bench")["pool_max"]


@pytest.mark.parametrize("language", MORE)
def test_every_case_of_a_program_is_run(language):
    assert sorted(cases_of(language)) == sorted(CASES + MORE[language])
