"""Rounds: every contender in turn, again and again, and what is made of their figures.

Owns: interleaving, medians and spreads. Must not know: what is measured.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Sample = Callable[[], float]


@dataclass(frozen=True)
class Effort:
    """How much is measured: `rounds` of every contender, batches of about `batch_seconds`."""

    rounds: int
    batch_seconds: float
    starts: int

    @property
    def warm_up_seconds(self) -> float:
        """How long a contender runs before its first figure counts."""
        return self.batch_seconds


FULL = Effort(rounds=15, batch_seconds=0.15, starts=15)
QUICK = Effort(rounds=3, batch_seconds=0.02, starts=3)


@dataclass(frozen=True)
class Spread:
    """The median of some figures with their quartiles and extremes."""

    median: float
    low: float
    high: float
    least: float
    most: float

    @classmethod
    def of(cls, figures: list[float]) -> Spread:
        """Summarise figures; there must be at least one."""
        if len(figures) == 1:
            return cls(*figures * 5)
        low, median, high = statistics.quantiles(figures, n=4, method="inclusive")
        return cls(median, low, high, min(figures), max(figures))


def interleave(samples: Mapping[str, Sample], rounds: int) -> dict[str, list[float]]:
    """Take one figure of every contender in each round; who begins changes from round to round."""
    figures: dict[str, list[float]] = {name: [] for name in samples}
    names = list(samples)
    for number in range(rounds):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            figures[name].append(samples[name]())
    return figures


def ratios(numerators: list[float], denominators: list[float]) -> list[float]:
    """The ratio within each round."""
    return [top / bottom for top, bottom in zip(numerators, denominators, strict=True)]


def per_call_microseconds(
    operation: Callable[[], object], effort: Effort, clock: Callable[[], float] = time.perf_counter
) -> Sample:
    """A sample that repeats `operation` for about a batch and gives microseconds per call. Warms up first.

    What waits for nobody may be measured by `time.thread_time`, which leaves out what other programs take.
    """
    count = _count_for(operation, effort)

    def sample() -> float:
        repeat = range(count)
        began = clock()
        for _ in repeat:
            operation()
        return (clock() - began) / count * 1e6

    return sample


def _count_for(operation: Callable[[], object], effort: Effort) -> int:
    """How many calls make a batch, found while warming up."""
    done = 0
    began = time.perf_counter()
    while (passed := time.perf_counter() - began) < effort.warm_up_seconds or done < 10:
        operation()
        done += 1
    return max(10, int(done / passed * effort.batch_seconds))
