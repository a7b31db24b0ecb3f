"""W7: memory that an idle process at the far end has for itself.

Owns: this workload and its aims. Must not know: the other workloads, the report. Memory is Private_Clean +
Private_Dirty of smaps_rollup, after one call was answered. Several processes of a kind live at once, so that what they
share is shared.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from processes import private_mebibytes
from rows import OURS, Aim, Row
from workloads.w5_start import EXECUTED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from contenders.contender import Contender
    from measure import Effort

FORKED = (Aim(3), Aim(0.5, "Pipe, forkserver"))


def measure(effort: Effort, kinds: Sequence[type[Contender]]) -> Iterator[Row]:
    """Whoever can be started in several ways has a figure for each."""
    taken = {name: mebibytes(way, effort.starts) for kind in kinds for name, way in kind.ways_to_start().items()}
    executed = taken[EXECUTED]
    what = "private memory of an idle process"
    yield Row("W7", what, "MiB", taken, aims=FORKED)
    yield Row("W7", f"{what}, by exec", "MiB", {OURS: executed, "Pipe, spawn": taken["Pipe, spawn"]}, aims=(Aim(5),))


def mebibytes(start: Callable[[], Contender], number: int) -> list[float]:
    """The private memory of each of several, without what serves them all."""
    with ExitStack() as stack:
        contenders = [stack.enter_context(start()) for _ in range(max(2, number))]
        for contender in contenders:
            call = contender.call()
            assert call is not None
            call()
        return [sum(map(private_mebibytes, contender.pids)) for contender in contenders[:number]]
