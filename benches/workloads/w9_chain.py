"""W9: a chain of attributes that ends in a call, `target.a.b.c.add(1)`.

Owns: this workload and its aims. Must not know: the other workloads, the report. It is compared with our call without a
chain, which shows whether the chain is one trip, and with pipes and pools whose far end knows the chain beforehand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from contenders.contender import opened
from contenders.ours import Ours
from placement import Placement
from rows import Aim
from workloads.calls_beside import rows_of_calls

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from contenders.contender import Contender
    from measure import Effort
    from rows import Row

CALL = "elsewhere, no chain"
ALWAYS = (Aim(1.3, CALL), Aim(0.003, "RPyC"))
AIMS = {Placement.ONE_CORE: ALWAYS, Placement.TWO_CORES: (*ALWAYS, Aim(0.03, "Pipe"))}


def measure(effort: Effort, kinds: Sequence[type[Contender]]) -> Iterator[Row]:
    """The chain in every placement."""
    with opened(kinds) as contenders:
        ours = next(one for one in contenders if isinstance(one, Ours))
        more = {CALL: ours.call()}
        yield from rows_of_calls("W9", {"a.b.c.add(1)": (lambda one: one.chain(), AIMS)}, contenders, effort, more)
