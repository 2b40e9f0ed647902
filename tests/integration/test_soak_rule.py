"""The rule by which bench/soak judges (bench/flatness.py): it sees what grows, and is not fooled by a warm-up or by noise."""

import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))
from flatness import FEWEST, MEMORY, judge  # noqa: E402

BASE = 10_000_000


def noise(count):
    numbers = random.Random(7)
    return [BASE + numbers.randrange(MEMORY // 4) for _ in range(count)]


@pytest.mark.parametrize("count", [FEWEST, 12, 100, 361])
def test_noise_is_flat(count):
    assert judge(noise(count), MEMORY).is_flat


@pytest.mark.parametrize("count", [FEWEST, 12, 100, 361])
def test_a_warm_up_however_high_is_flat(count):
    risen = [BASE + 50_000_000 * min(1, i / (count // 3)) for i in range(count)]
    assert judge(risen, MEMORY).is_flat


@pytest.mark.parametrize("count", [FEWEST, 12, 100, 361])
def test_what_grows_by_four_tolerances_over_the_run_is_seen_through_noise(count):
    grown = [value + 4 * MEMORY * i / count for i, value in enumerate(noise(count))]
    assert not judge(grown, MEMORY).is_flat


def test_one_descriptor_more_at_the_end_is_seen():
    assert not judge([20] * 8 + [21] * 4, 0).is_flat
    assert judge([20] * 12, 0).is_flat


def test_too_few_samples_are_no_verdict():
    with pytest.raises(AssertionError):
        judge([1] * (FEWEST - 1), 0)
