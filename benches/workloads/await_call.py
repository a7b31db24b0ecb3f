"""One call at a time on an event loop: `await` of each answer, beside `.result()` and a pipe that a loop reads by hand.

Owns: this workload and its aims. Must not know: the other workloads, the report. An answer that is there by then is
given without a turn of the loop, so the far end also works for a while, for which the loop sleeps in its poll.
"""

from __future__ import annotations

import asyncio
import operator
import statistics
import time
from typing import TYPE_CHECKING

import elsewhere
from contenders.ours import Ours
from contenders.pipe import Pipe
from measure import Calls, calls
from placement import available, placed
from rows import OURS, Aim, Row, medians_and_tails

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from contenders.contender import Contender
    from measure import Effort

WORK = 0.0005
"""Seconds that the far end works at each call: longer than anybody looks for an answer without sleeping."""
BY_RESULT = f"{OURS}, .result()"
BY_HAND = "Pipe, read by the loop"


def measure(effort: Effort, _kinds: Sequence[type[Contender]]) -> Iterator[Row]:
    """What is left of a call's time when the far end's work is taken off, in every placement."""
    with Ours() as ours, Pipe() as pipe:
        target, connection = ours.target, pipe.connection
        far_ends = [*ours.pids, *pipe.pids]

        async def trip_by_hand() -> None:
            loop = asyncio.get_running_loop()
            arrived = loop.create_future()
            loop.add_reader(connection.fileno(), arrived.set_result, None)
            connection.send(("work", (WORK,)))
            await arrived
            loop.remove_reader(connection.fileno())
            connection.recv()

        async def call() -> None:
            await elsewhere.submit(target.work, WORK)

        with asyncio.Runner() as runner:
            samples: dict[str, Callable[[], Calls]] = {
                OURS: awaits(runner, call, effort),
                BY_RESULT: calls(lambda: elsewhere.submit(target.work, WORK).result(), effort),
                BY_HAND: awaits(runner, trip_by_hand, effort),
            }
            for placement in available():
                with placed(placement, far_ends):
                    taken: dict[str, list[Calls]] = {name: [] for name in samples}
                    for _ in range(effort.rounds):
                        for name, sample in samples.items():
                            taken[name].append(without_work(sample()))
                figures, tails = medians_and_tails(taken)
                aims = (Aim(3, BY_RESULT), Aim(1.5, BY_HAND))
                yield Row(
                    "await", "await of a call, but for the work over there", "µs", figures, placement, tails, aims=aims
                )


def without_work(batch: Calls) -> Calls:
    """What the way there and back took."""
    return Calls(batch.median - WORK * 1e6, batch.tail - WORK * 1e6)


def awaits(runner: asyncio.Runner, trip: Callable[[], Awaitable[None]], effort: Effort) -> Callable[[], Calls]:
    """A sample that times each of a batch of awaits by itself, as `measure.calls` does."""
    count = max(effort.least_calls, int(effort.batch_seconds / WORK))

    async def batch() -> Calls:
        stamps = [time.perf_counter_ns()]
        for _ in range(count):
            await trip()
            stamps.append(time.perf_counter_ns())
        taken = sorted(map(operator.sub, stamps[1:], stamps))
        return Calls(statistics.median(taken) / 1e3, taken[count * 99 // 100] / 1e3)

    return lambda: runner.run(batch())
