"""W1: one call at a time, waiting for each result; plain numbers, and values of a class of the user's own.

Owns: this workload and its aims. Must not know: the other workloads, the report.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from contenders.contender import opened
from limits import FUTEX, PICKLE, SPIN, pickling
from placement import Placement
from rows import Aim, Of
from targets import Order
from workloads.calls_beside import rows_of_calls

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from contenders.contender import Contender
    from measure import Effort
    from rows import Row
    from workloads.calls_beside import Aims, Ask

NUMBERS = {
    Placement.ONE_CORE: (Aim(0.35, "Pipe"), Aim(1.7, FUTEX), Aim(6)),
    Placement.TWO_CORES: (Aim(0.03, "Pipe"), Aim(8, SPIN), Aim(0.8), Aim(5, of=Of.TAIL)),
}
PICKLES = {
    Placement.ONE_CORE: (Aim(8),),
    Placement.TWO_CORES: (Aim(0.08, "Pipe"), Aim(2.5)),
}


def measure(effort: Effort, kinds: Sequence[type[Contender]]) -> Iterator[Row]:
    """Both variants in every placement."""
    order = Order(1, "lamp", 9.5)
    numbers: Mapping[str, tuple[Ask, Aims]] = {"call with a number": (lambda one: one.call(), NUMBERS)}
    objects: Mapping[str, tuple[Ask, Aims]] = {
        "call with an object of the user's class": (lambda one: one.pickled_call(order), PICKLES)
    }
    with opened(kinds) as contenders:
        yield from rows_of_calls("W1", numbers, contenders, effort)
        yield from rows_of_calls("W1", objects, contenders, effort, {PICKLE: pickling(order, 2)})
