"""How bench/run judges a build by an older one (bench/report.py), and how bench/instructions reads what callgrind counted (bench/callgrind.py)."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))
from callgrind import functions, grown  # noqa: E402
from contenders import OLD  # noqa: E402
from report import interval, ratio  # noqa: E402
from rows import NO_SLOWER, Row  # noqa: E402
from terms import Setup  # noqa: E402

COUNTED = """\
positions: line
events: Ir

fl=(1) loop.cc
fn=(1) turn(int)
10 5
cfi=(2) relay.cc
cfn=(2) relay()
calls=3 20
11 900
+1 7
*
fn=(2)
20 800
-3 100
"""


@pytest.mark.parametrize(("count", "first", "last"), [(6, 1, 6), (8, 1, 8), (9, 2, 8), (20, 6, 15)])
def test_of_so_many_pairs_the_interval_goes_from_here_to_there(count, first, last):
    assert interval(range(count, 0, -1)) == (first, last)


def test_too_few_pairs_are_no_verdict():
    assert interval([2.0] * 5) == (0.0, float("inf"))


def test_a_build_is_refused_only_if_it_is_surely_slower():
    row = Row("transaction", Setup(), NO_SLOWER)
    assert not ratio(row, "tidepoold", OLD, "cpu_us", [1.04] * 9)["met"]
    assert ratio(row, "tidepoold", OLD, "cpu_us", [1.02, 1.02, *[1.2] * 7])["met"]
    assert ratio(row, "tidepoold", OLD, "cpu_us", [1.2] * 5)["met"]


def test_what_a_function_runs_itself_is_counted_and_not_what_it_calls(tmp_path):
    (tmp_path / "counted").write_text(COUNTED)
    found = functions(tmp_path / "counted")
    assert found == {"turn(int)": 12, "relay()": 900}
    assert list(grown(found, {"turn(int)": 12, "relay()": 400}, 10)) == ["           +50  relay()"]
