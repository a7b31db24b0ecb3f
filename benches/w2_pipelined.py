"""W2: many calls in flight, as a rate.

Owns: this workload and the pipe's best window. Must not know: the other workloads, the report.

elsewhere runs with 256 calls in flight. The pipe runs with whatever window, up to the same 256, is fastest for it in
the placement at hand; it is tried out first. Both keep their window between half and whole full.
"""

from __future__ import annotations

import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

import elsewhere
from measure import Effort, interleave
from pipe_loop import PipeLoop
from placement import available, placed
from rows import Aim, Row
from targets import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.connection import Connection
    from typing import Any

IN_FLIGHT = 256
PIPE_WINDOWS = (2, 4, 8, 16, 32, 64, 128, 256)


def measure(effort: Effort) -> Iterator[Row]:
    """The rate in every placement."""
    with elsewhere.Host() as host, PipeLoop() as pipe:
        target = host.spawn(Target)
        others = [host.pid or 0, pipe.pid]
        for placement in available():
            with placed(placement, others):
                window = best_window(pipe.connection, effort)
                samples = {
                    "elsewhere": rate(partial(submit_calls, target), effort),
                    "pipe": rate(partial(pipe_calls, pipe.connection, window), effort),
                }
                figures = interleave(samples, effort.rounds)
                yield Row(
                    "W2",
                    f"pipelined, {IN_FLIGHT} in flight",
                    "calls/s",
                    figures["elsewhere"],
                    placement,
                    "Pipe",
                    figures["pipe"],
                    Aim(2, at_least=True),
                    remark=f"Pipe's best window: {window}",
                )


def submit_calls(target: Target, count: int) -> None:
    """Make `count` calls with IN_FLIGHT of them under way."""
    waiting: deque[elsewhere.Future[int]] = deque()
    for _ in range(count):
        if len(waiting) == IN_FLIGHT:
            for _ in range(IN_FLIGHT // 2):
                waiting.popleft().result()
        waiting.append(elsewhere.submit(target.add, 1))
    for future in waiting:
        future.result()


def pipe_calls(connection: Connection[Any, Any], window: int, count: int) -> None:
    """Make `count` calls with `window` of them under way."""
    send, receive = connection.send, connection.recv
    waiting = 0
    for _ in range(count):
        if waiting == window:
            for _ in range(window // 2):
                receive()
            waiting -= window // 2
        send(("add", (1,)))
        waiting += 1
    for _ in range(waiting):
        receive()


def rate(run: Callable[[int], None], effort: Effort) -> Callable[[], float]:
    """A sample that gives calls per second over about a batch. Warms up first."""
    count = IN_FLIGHT
    while (seconds := timed(run, count)) < effort.warm_up_seconds / 2:
        count *= 2
    count = max(IN_FLIGHT, int(count / seconds * effort.batch_seconds))
    return lambda: count / timed(run, count)


def best_window(connection: Connection[Any, Any], effort: Effort) -> int:
    """The window with which the pipe is fastest here: the best median of alternating rounds."""
    samples = {str(window): rate(partial(pipe_calls, connection, window), effort) for window in PIPE_WINDOWS}
    figures = interleave(samples, 3)
    return int(max(figures, key=lambda window: sorted(figures[window])[1]))


def timed(run: Callable[[int], None], count: int) -> float:
    """Seconds that `count` calls take."""
    began = time.perf_counter()
    run(count)
    return time.perf_counter() - began
