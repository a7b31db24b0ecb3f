"""W6: eight threads that call through one proxy, as a rate of all together.

Owns: this workload and its aims. Must not know: the other workloads, the report.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING

from contenders.contender import offered, opened
from measure import interleave, rate
from placement import available, placed
from rows import Aim, Row

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from contenders.contender import Contender
    from measure import Effort, Operation

THREADS = 8
AIMS = (Aim(2e5, at_least=True), Aim(7, "Pipe", at_least=True), Aim(3, "managers", at_least=True))


def measure(effort: Effort, kinds: Sequence[type[Contender]]) -> Iterator[Row]:
    """The call of W1, made by all threads at once, in every placement."""
    with opened(kinds) as contenders:
        operations = offered(contenders, lambda one: one.shared_call())
        far_ends = [pid for contender in contenders for pid in contender.pids]
        for placement in available():
            with placed(placement, far_ends):
                samples = {
                    name: rate(partial(by_threads, call), effort, 10 * THREADS) for name, call in operations.items()
                }
                taken = interleave(samples, effort.rounds)
                yield Row("W6", f"{THREADS} threads, one proxy", "calls/s", taken, placement, aims=AIMS)


def by_threads(call: Operation, count: int) -> None:
    """Make `count` calls, shared out among the threads."""

    def work() -> None:
        for _ in range(count // THREADS):
            call()

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
