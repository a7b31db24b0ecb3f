"""A host in an interpreter without the package: the same calls, answered by plain Python over a socket.

Owns: this workload and its aims. Must not know: the other workloads, the report.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import elsewhere
from contenders.contender import opened
from contenders.ours import Ours
from contenders.pipe import Pipe
from elsewhere import _interpreters
from placement import Placement
from rows import OURS, Aim
from targets import Order, Target
from workloads.calls_beside import rows_of_calls

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from contenders.contender import Contender
    from measure import Effort
    from rows import Row
    from workloads.calls_beside import Aims, Ask

AIMS: Aims = {Placement.ONE_CORE: (Aim(2, "Pipe"),), Placement.TWO_CORES: (Aim(2, "Pipe"),)}


class Bare(Ours):
    """This interpreter as if it did not have the package."""

    name = OURS
    note = "a host in plain Python"

    def __init__(self) -> None:
        _interpreters.is_bare = True
        try:
            self.host = elsewhere.Host(python=sys.executable, path=[str(Path(__file__).parent.parent)])
        finally:
            _interpreters.is_bare = False
        self.target = self.host.spawn(Target)


def measure(effort: Effort, _kinds: Sequence[type[Contender]]) -> Iterator[Row]:
    """Calls and an attribute, in every placement."""
    with opened((Bare, Pipe)) as contenders:
        variants: Mapping[str, tuple[Ask, Aims]] = {
            "call of a bare host": (lambda one: one.call(), AIMS),
            "call of a bare host with an object of the user's class": (
                lambda one: one.pickled_call(Order(1, "lamp", 9.5)),
                {},
            ),
            "attribute in a bare host": (lambda one: one.attribute(), AIMS),
        }
        yield from rows_of_calls("bare", variants, contenders, effort)
