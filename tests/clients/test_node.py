"""pg (node-postgres) without its pool, pg-cursor and pg-copy-streams: the cases of tests/clients/node."""

import pytest
from programs import CASES, cases_of, run_case

pytestmark = pytest.mark.timeout(400)       # by hand, the first one builds the program

MORE = ["a_pool_that_keeps_no_connection"]


@pytest.mark.parametrize("case", CASES + MORE)
def test_node_postgres(target, case):
    run_case("node", case, target)


def test_every_case_of_the_program_is_run():
    assert sorted(cases_of("node")) == sorted(CASES + MORE)
