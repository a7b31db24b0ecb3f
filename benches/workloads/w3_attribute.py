"""W3: the value of an attribute, one at a time.

Owns: this workload and its aims. Must not know: the other workloads, the report.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from contenders.contender import opened
from workloads.calls_beside import rows_of_calls
from workloads.w1_sync_call import NUMBERS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from contenders.contender import Contender
    from measure import Effort
    from rows import Row
    from workloads.calls_beside import Aims, Ask


def measure(effort: Effort, kinds: Sequence[type[Contender]]) -> Iterator[Row]:
    """In every placement, with the aims of a call: it is one trip, too."""
    with opened(kinds) as contenders:
        variants: Mapping[str, tuple[Ask, Aims]] = {"value of an attribute": (lambda one: one.attribute(), NUMBERS)}
        yield from rows_of_calls("W3", variants, contenders, effort)
