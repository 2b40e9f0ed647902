"""tokio-postgres without a pool: the cases of tests/clients/rust."""

import pytest
from programs import CASES, cases_of, run_case

pytestmark = pytest.mark.timeout(400)       # by hand, the first one builds the program

MORE = ["an_answer_that_nobody_waits_for"]


@pytest.mark.parametrize("case", CASES + MORE)
def test_tokio_postgres(target, case):
    run_case("rust", case, target)


def test_every_case_of_the_program_is_run():
    assert sorted(cases_of("rust")) == sorted(CASES + MORE)
