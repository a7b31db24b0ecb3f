"""W8: the items of a generator that runs over there, as a rate.

Owns: this workload and its aims. Must not know: the other workloads, the report. The pipe's far end sends item after
item without being asked; what is not read fills the pipe and holds it back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from contenders.contender import opened
from measure import interleave, rate
from placement import available, placed
from rows import Aim, Row

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from contenders.contender import Contender
    from measure import Effort

AIMS = (Aim(1e6, at_least=True), Aim(3, "Pipe", at_least=True), Aim(30, "managers", at_least=True))


def measure(effort: Effort, kinds: Sequence[type[Contender]]) -> Iterator[Row]:
    """Numbers, in every placement."""
    with opened(kinds) as contenders:
        ways = {one.name: items for one in contenders if (items := one.items()) is not None}
        far_ends = [pid for contender in contenders for pid in contender.pids]
        for placement in available():
            with placed(placement, far_ends):
                samples = {name: rate(way, effort, least=100) for name, way in ways.items()}
                taken = interleave(samples, effort.rounds)
                yield Row("W8", "items of a generator", "items/s", taken, placement, aims=AIMS)
