"""pgjdbc without a pool, over TCP: the cases of tests/clients/java."""

import pytest
from programs import CASES, cases_of, run_case

pytestmark = pytest.mark.timeout(400)       # by hand, the first one builds the program

MORE = ["a_query_timeout"]


@pytest.mark.parametrize("case", CASES + MORE)
def test_pgjdbc(target, case):
    run_case("java", case, target)


def test_every_case_of_the_program_is_run():
    assert sorted(cases_of("java")) == sorted(CASES + MORE)
