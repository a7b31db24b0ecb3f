"""What the workloads share that make one call at a time: every contender in every placement, as rows.

Owns: the rounds of such a workload. Must not know: what is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import limits
from contenders.contender import offered
from measure import calls, interleave
from placement import available, placed
from rows import Row, medians_and_tails

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from contenders.contender import Contender
    from measure import Effort, Operation
    from placement import Placement
    from rows import Aim

    Ask = Callable[[Contender], Operation | None]
    Aims = Mapping[Placement, tuple[Aim, ...]]


def rows_of_calls(
    workload: str,
    variants: Mapping[str, tuple[Ask, Aims]],
    contenders: Iterable[Contender],
    effort: Effort,
    more: Mapping[str, Operation] | None = None,
) -> Iterator[Row]:
    """A row for each variant in each placement, beside the limits; `more` are further operations of these contenders.

    What is done is prepared before anything is pinned: some start another process for it.
    """
    contenders = list(contenders)
    prepared = {what: offered(contenders, ask) | dict(more or {}) for what, (ask, _) in variants.items()}
    far_ends = [pid for contender in contenders for pid in contender.pids]
    with limits.measurable(effort) as machine:
        for placement in available():
            with placed(placement, far_ends):
                for what, (_, aims) in variants.items():
                    samples = {name: calls(operation, effort) for name, operation in prepared[what].items()}
                    taken = interleave(samples | machine.round_trips(placement), effort.rounds)
                    figures, tails = medians_and_tails(taken)
                    yield Row(workload, what, "µs", figures, placement, tails, aims=aims.get(placement, ()))
