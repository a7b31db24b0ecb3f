"""W10: one call at a time while another Python thread of the caller computes.

Owns: this workload and its aims. Must not know: the other workloads, the report. Who lets go of the interpreter to wait
gets it back only when the computing thread gives it up, up to five milliseconds later: that is what is measured here.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from contenders.contender import opened
from placement import Placement
from rows import Aim
from workloads.calls_beside import rows_of_calls

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

    from contenders.contender import Contender
    from measure import Effort
    from rows import Row
    from workloads.calls_beside import Aims, Ask

# On one core the Pipe loop is quick, too: while the far end runs, the computing thread does not.
AIMS = {Placement.ONE_CORE: (Aim(6),), Placement.TWO_CORES: (Aim(6), Aim(0.001, "Pipe"))}


@contextmanager
def busy_sibling() -> Generator[None]:
    """A thread that computes until the end of the block."""
    is_over = threading.Event()

    def compute() -> None:
        number = 0
        while not is_over.is_set():
            for _ in range(1000):
                number = (number * 31 + 7) % 1_000_003

    sibling = threading.Thread(target=compute)
    sibling.start()
    try:
        yield
    finally:
        is_over.set()
        sibling.join()


def measure(effort: Effort, kinds: Sequence[type[Contender]]) -> Iterator[Row]:
    """The call in every placement."""
    with opened(kinds) as contenders, busy_sibling():
        variants: Mapping[str, tuple[Ask, Aims]] = {"call beside a busy thread": (lambda one: one.call(), AIMS)}
        yield from rows_of_calls("W10", variants, contenders, effort)
