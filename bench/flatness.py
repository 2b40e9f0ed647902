"""Has a figure grown? The rule of bench/soak, for samples that were taken at even distances, each in the same state.

The first third of the samples is not looked at: it is warm-up (first uses of code, the allocator's heaps, buffers that reach their size).
Of the second and of the last third the medians are taken, and the last may be above the second by no more than a tolerance. What is
lost with every connection grows as long as connections come, and shows between these two thirds as well as anywhere; what
is only made once is made in the first.

The tolerance is one for the whole run and not one per hour, so that more work means a sharper eye.
"""

from dataclasses import dataclass
from statistics import median

MEMORY = 512 * 1024
DESCRIPTORS = 0
FEWEST = 9


@dataclass
class Verdict:
    middle: float
    last: float
    tolerance: float

    @property
    def is_flat(self):
        return self.last - self.middle <= self.tolerance


def judge(samples, tolerance):
    assert len(samples) >= FEWEST, f"{len(samples)} samples say nothing; {FEWEST} do"
    third = len(samples) // 3
    return Verdict(median(samples[third:-third]), median(samples[-third:]), tolerance)
