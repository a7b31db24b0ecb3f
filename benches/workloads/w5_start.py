"""W5: from nothing to the first result.

Owns: this workload and its aims. Must not know: the other workloads, the report. Ending the processes is not timed.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

import limits
from measure import interleave
from placement import Placement, placed
from rows import OURS, Aim, Row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from contenders.contender import Contender
    from measure import Effort

WARM = (Aim(2), Aim(1.3, "Pipe, fork"), Aim(0.15, "Pipe, forkserver"), Aim(0.06, "Pipe, spawn"))
CLEAN = (Aim(15), Aim(0.5, "Pipe, spawn"))
EXECUTED = f"{OURS}, exec"
SETTLING = 0.01
"""Seconds after each start: a zygote forks the next host then, which takes a core for some three milliseconds."""


def measure(effort: Effort, kinds: Sequence[type[Contender]]) -> Iterator[Row]:
    """Start, construct, call once; a child inherits the cores of its parent, so two cores are not a case of its own."""
    ways = {name: way for kind in kinds for name, way in kind.ways_to_start().items()}
    for placement in (Placement.ONE_CORE, Placement.UNPINNED):
        with placed(placement), limits.forks() as fork:
            samples = {name: partial(milliseconds, way) for name, way in ways.items()} | {limits.FORK: fork}
            for sample in samples.values():
                sample()  # the first of a zygote or a fork server starts that, which is once in the life of a program
            taken = interleave(samples, effort.starts)
            executed = taken[EXECUTED]
            yield Row("W5", "start to the first answer", "ms", taken, placement, aims=WARM)
            yield Row("W5", "start by exec to the first answer", "ms", clean(executed, taken), placement, aims=CLEAN)


def clean(executed: list[float], taken: Mapping[str, list[float]]) -> dict[str, list[float]]:
    """Those that start an interpreter of their own: what is forked or shares a server is not comparable."""
    return {OURS: executed} | {name: figures for name, figures in taken.items() if name == "Pipe, spawn"}


def milliseconds(start: Callable[[], Contender]) -> float:
    """A process with a target, one call. What is done when it has ended is over before anybody else is measured."""
    began = time.perf_counter()
    with start() as contender:
        call = contender.call()
        assert call is not None
        call()
        taken = time.perf_counter() - began
    time.sleep(SETTLING)
    return taken * 1e3
