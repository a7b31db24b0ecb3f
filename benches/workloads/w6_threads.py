"""W6: eight threads that call through one proxy, as a rate of all together.

Owns: this workload and its aims. Must not know: the other workloads, the report.
"""

from __future__ import annotations

import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from contenders.contender import offered, opened
from limits import THREADS as BATON
from limits import Baton
from measure import interleave, rate
from placement import Placement, available, placed
from rows import Aim, Row

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from contenders.contender import Contender
    from measure import Effort, Operation

THREADS = 8
AIMS = (Aim(2e5, at_least=True), Aim(7, "Pipe", at_least=True), Aim(3, "managers", at_least=True))


def measure(effort: Effort, kinds: Sequence[type[Contender]]) -> Iterator[Row]:
    """The call of W1, made by all threads at once, in every placement."""
    with ExitStack() as stack:
        contenders = stack.enter_context(opened(kinds))
        operations = offered(contenders, lambda one: one.shared_call())
        teams = {name: stack.enter_context(Team(call)) for name, call in operations.items()}
        ways = {name: team.call for name, team in teams.items()}
        baton = stack.enter_context(Baton(THREADS))
        far_ends = [pid for contender in contenders for pid in contender.pids]
        for placement in available():
            with placed(placement, far_ends):
                # Where an answer never comes before its thread sleeps.
                limits = {BATON: baton.hand_on} if placement is Placement.ONE_CORE else {}
                samples = {name: rate(way, effort, 10 * THREADS) for name, way in {**ways, **limits}.items()}
                taken = interleave(samples, effort.rounds)
                yield Row("W6", f"{THREADS} threads, one proxy", "calls/s", taken, placement, aims=AIMS)


class Team:
    """Threads that wait until they are to call. They stay, because some contenders connect each thread anew."""

    def __init__(self, call: Operation) -> None:
        self._call = call
        self._share = 0
        self._turn = threading.Barrier(THREADS + 1)
        self._threads = [threading.Thread(target=self._work) for _ in range(THREADS)]
        for thread in self._threads:
            thread.start()

    def call(self, count: int) -> None:
        """Make `count` calls, shared out among the threads."""
        self._share = count // THREADS
        self._turn.wait()
        self._turn.wait()

    def _work(self) -> None:
        call = self._call
        while True:
            self._turn.wait()
            if self._share == 0:
                return
            for _ in range(self._share):
                call()
            self._turn.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._share = 0
        self._turn.wait()
        for thread in self._threads:
            thread.join()
