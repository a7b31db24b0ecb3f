"""W2: many calls under way, as a rate.

Owns: this workload and its aims. Must not know: the other workloads, the report. Everybody has up to 256 calls under
way; the Pipe has as many, up to that, as are fastest for it in the placement at hand, which it tries out first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from contenders.contender import IN_FLIGHT, opened
from measure import interleave, rate
from placement import available, placed
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
    variants: dict[str, tuple[Callable[[Contender], Mapping[str, Run]], tuple[Aim, ...]]] = {
        "calls without waiting, numbers": (lambda one: one.pipelined(), NUMBERS),
        "calls without waiting, the user's class": (lambda one: one.pipelined_pickled(order), PICKLES),
    }
    with opened(kinds) as contenders:
        far_ends = [pid for contender in contenders for pid in contender.pids]
        for placement in available():
            with placed(placement, far_ends):
                for what, (ask, aims) in variants.items():
                    ways = {name: way for contender in contenders for name, way in ask(contender).items()}
                    samples = {name: rate(way, effort, least=IN_FLIGHT) for name, way in ways.items()}
                    yield Row("W2", what, "calls/s", interleave(samples, effort.rounds), placement, aims=aims)
