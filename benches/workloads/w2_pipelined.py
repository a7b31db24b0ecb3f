"""W2: many calls under way, as a rate.

Owns: this workload and its aims. Must not know: the other workloads, the report. Everybody has up to 256 calls under
way; the Pipe has as many, up to that, as are fastest for it in the placement at hand, which it tries out first.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from contenders.contender import IN_FLIGHT, opened
from limits import PICKLE, pickling
from measure import interleave, rate
from placement import Placement, available, placed
from rows import Aim, Row
from targets import Order

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from contenders.contender import Contender
    from measure import Effort, Run

NUMBERS = (
    Aim(1e6, at_least=True),
    *(Aim(*ratio, at_least=True) for ratio in ((6, "Pipe"), (60, "executor"), (150, "Ray"))),
)
PICKLES = (Aim(6e5, at_least=True),)


def measure(effort: Effort, kinds: Sequence[type[Contender]]) -> Iterator[Row]:
    """Both variants in every placement."""
    order = Order(1, "lamp", 9.5)
    objects = "calls without waiting, the user's class"
    variants: dict[str, tuple[Callable[[Contender], Mapping[str, Run]], tuple[Aim, ...]]] = {
        "calls without waiting, numbers": (lambda one: one.pipelined(), NUMBERS),
        objects: (lambda one: one.pipelined_pickled(order), PICKLES),
    }
    with opened(kinds) as contenders:
        far_ends = [pid for contender in contenders for pid in contender.pids]
        for placement in available():
            with placed(placement, far_ends):
                for what, (ask, aims) in variants.items():
                    ways = {name: way for contender in contenders for name, way in ask(contender).items()}
                    if what == objects:
                        ways[PICKLE] = partial(_repeat, pickling(order, 2 if placement is Placement.ONE_CORE else 1))
                    samples = {name: rate(way, effort, least=IN_FLIGHT) for name, way in ways.items()}
                    yield Row("W2", what, "calls/s", interleave(samples, effort.rounds), placement, aims=aims)


def _repeat(operation: Callable[[], None], count: int) -> None:
    """Do it so many times; the two ends of a call pickle at the same time where each has a core."""
    for _ in range(count):
        operation()
