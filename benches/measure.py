"""Rounds: every contender in turn, again and again, and what is made of their figures.

Owns: interleaving, the timing of calls, medians and spreads. Must not know: what is measured.
"""

from __future__ import annotations

import operator
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Operation = Callable[[], object]
    """Does it once."""
    Run = Callable[[int], object]
    """Does it so many times."""

    Figure = TypeVar("Figure")


@dataclass(frozen=True)
class Effort:
    """How much is measured: `rounds` of every contender in batches of about `batch_seconds`, `starts` of processes."""

    name: str
    rounds: int
    batch_seconds: float
    starts: int
    least_calls: int
    """Calls in a batch, however long they take."""
    objects: tuple[int, ...] = (1, 100, 10_000)
    hosts: tuple[int, ...] = (1, 10, 200)
    sizes: tuple[int, ...] = tuple(kibibytes << 10 for kibibytes in (1, 16, 64, 1 << 10, 8 << 10, 64 << 10, 512 << 10))
    quiet_seconds: float = 1.0


FULL = Effort("full", rounds=11, batch_seconds=0.05, starts=11, least_calls=20)
QUICK = Effort(
    "quick",
    rounds=3,
    batch_seconds=0.01,
    starts=3,
    least_calls=5,
    hosts=(1, 10, 50),
    sizes=tuple(kibibytes << 10 for kibibytes in (1, 64, 1 << 10, 64 << 10)),
    quiet_seconds=0.3,
)
SMOKE = Effort(
    "smoke",
    rounds=1,
    batch_seconds=0.0,
    starts=1,
    least_calls=2,
    objects=(1, 10),
    hosts=(1, 3),
    sizes=(1 << 10, 1 << 17),
    quiet_seconds=0.05,
)
EFFORTS = {effort.name: effort for effort in (FULL, QUICK, SMOKE)}


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


@dataclass(frozen=True)
class Calls:
    """One batch of calls: what the median call took, and what all but one in a hundred stay below, in microseconds."""

    median: float
    tail: float


def interleave(samples: Mapping[str, Callable[[], Figure]], rounds: int) -> dict[str, list[Figure]]:
    """Take one figure of every contender in each round; who begins changes from round to round."""
    figures: dict[str, list[Figure]] = {name: [] for name in samples}
    names = list(samples)
    for number in range(rounds):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            figures[name].append(samples[name]())
    return figures


def ratios(numerators: list[float], denominators: list[float]) -> list[float]:
    """The ratio within each round."""
    return [top / bottom for top, bottom in zip(numerators, denominators, strict=True)]


def calls(operation: Operation, effort: Effort) -> Callable[[], Calls]:
    """A sample that times each call of a batch by itself. Warms up first.

    A look at the clock lies between a call and the next, less than 0.1 µs, which nobody is spared.
    """
    count = _count_for(operation, effort)

    def sample() -> Calls:
        clock = time.perf_counter_ns
        stamps = [0] * (count + 1)
        stamps[0] = clock()
        for number in range(1, count + 1):
            operation()
            stamps[number] = clock()
        taken = sorted(map(operator.sub, stamps[1:], stamps))
        return Calls(statistics.median(taken) / 1e3, taken[count * 99 // 100] / 1e3)

    return sample


def per_call_microseconds(
    operation: Operation, effort: Effort, clock: Callable[[], float] = time.perf_counter
) -> Callable[[], float]:
    """A sample that repeats `operation` for about a batch and gives the mean. Warms up first.

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


def rate(run: Run, effort: Effort, least: int = 1) -> Callable[[], float]:
    """A sample that gives how often a second `run` does it, over about a batch of `least` or more. Warms up first."""
    count = least
    while (seconds := seconds_of(run, count)) < effort.batch_seconds / 2:
        count *= 2
    count = max(least, int(count / seconds * effort.batch_seconds))
    return lambda: count / seconds_of(run, count)


def seconds_of(run: Run, count: int) -> float:
    """Seconds that `count` of them take."""
    began = time.perf_counter()
    run(count)
    return time.perf_counter() - began


def _count_for(operation: Operation, effort: Effort) -> int:
    """How many calls make a batch, found while warming up."""
    done = 0
    began = time.perf_counter()
    while (passed := time.perf_counter() - began) < effort.batch_seconds or done < effort.least_calls:
        operation()
        done += 1
    return max(effort.least_calls, int(done / passed * effort.batch_seconds))
