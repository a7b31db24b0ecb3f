"""W5: from nothing to the first result.

Owns: this workload and its aims. Must not know: the other workloads, the report. Ending the processes is not timed.
"""

from __future__ import annotations

import statistics
import sys
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import limits
from measure import interleave
from placement import Placement, placed
from rows import OURS, Aim, Row

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

    from contenders.contender import Contender
    from measure import Effort

FORK = "Pipe, fork"
WARM = (Aim(2), Aim(1.3, FORK), Aim(0.15, "Pipe, forkserver"), Aim(0.06, "Pipe, spawn"))
IN_A_ROW = (Aim(4), Aim(1.3, FORK))
CLEAN = (Aim(15), Aim(0.5, "Pipe, spawn"))
EXECUTED = f"{OURS}, exec"
SETTLING = 0.01
"""Seconds after each start: a zygote forks the next host then, which takes a core for some three milliseconds."""
ROW = 8
"""Starts without that pause, one after another: the zygote has none in stock, and forks while it is waited for."""


def measure(effort: Effort, kinds: Sequence[type[Contender]]) -> Iterator[Row]:
    """Start, construct, call once; a child inherits the cores of its parent, so two cores are not a case of its own."""
    ways = {name: way for kind in kinds for name, way in kind.ways_to_start().items()}
    for placement in (Placement.ONE_CORE, Placement.UNPINNED):
        with placed(placement), limits.forks() as fork, fork_starter() as forked:
            samples: dict[str, Callable[[], float]] = {name: partial(milliseconds, way) for name, way in ways.items()}
            # Not a fork of this process, which has imported more than a program that does nothing else.
            samples |= {FORK: partial(forked, 1, SETTLING), limits.FORK: fork}
            for sample in samples.values():
                sample()  # the first of a zygote or a fork server starts that, which is once in the life of a program
            taken = interleave(samples, effort.starts)
            executed = taken[EXECUTED]
            yield Row("W5", "start to the first answer", "ms", taken, placement, aims=WARM)
            rows = {name: partial(in_a_row, ways[name]) for name in (OURS, "Pipe, forkserver")}
            rows[FORK] = partial(forked, ROW, 0.0)
            without_pause = interleave(rows, effort.starts)
            what = f"start to the first answer, {ROW} without a pause"
            yield Row("W5", what, "ms", without_pause, placement, aims=IN_A_ROW)
            yield Row("W5", "start by exec to the first answer", "ms", clean(executed, taken), placement, aims=CLEAN)


def clean(executed: list[float], taken: Mapping[str, list[float]]) -> dict[str, list[float]]:
    """Those that start an interpreter of their own: what is forked or shares a server is not comparable."""
    return {OURS: executed} | {name: figures for name, figures in taken.items() if name == "Pipe, spawn"}


@contextmanager
def fork_starter() -> Generator[Callable[[int, float], float]]:
    """What starts so many pipe loops by fork, with a pause after each, in a process that has imported little."""
    with limits.Answering(sys.executable, limits.ROOT / "benches" / "fork_starter.py") as starter:
        yield lambda count, pause: starter.ask(count, pause)[0]


def in_a_row(start: Callable[[], Contender]) -> float:
    """The mean of several that follow one another, each ended before the next begins."""
    return statistics.mean(milliseconds(start, 0.0) for _ in range(ROW))


def milliseconds(start: Callable[[], Contender], pause: float = SETTLING) -> float:
    """A process with a target, one call. What is done when it has ended is over before anybody else is measured."""
    began = time.perf_counter()
    with start() as contender:
        call = contender.call()
        assert call is not None
        call()
        taken = time.perf_counter() - began
    time.sleep(pause)
    return taken * 1e3
