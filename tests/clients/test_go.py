"""pgx 5 without pgxpool, and below database/sql: the cases of tests/clients/go."""

import pytest
from programs import CASES, cases_of, run_case

pytestmark = pytest.mark.timeout(400)       # by hand, the first one builds the program

MORE = ["a_context_that_ends_in_mid_query", "database_sql_keeps_no_connection"]


@pytest.mark.parametrize("case", CASES + MORE)
def test_pgx(target, case):
    run_case("go", case, target)


def test_every_case_of_the_program_is_run():
    assert sorted(cases_of("go")) == sorted(CASES + MORE)
