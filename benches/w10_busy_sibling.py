"""W10: one call at a time while another Python thread of the caller computes.

Owns: this workload. Must not know: the other workloads, the report. Who lets go of the interpreter to wait gets it back
only when the computing thread gives it up, up to five milliseconds later: that is what is measured here.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import elsewhere
from measure import Effort, interleave, per_call_microseconds
from pipe_loop import PipeLoop
from placement import available, placed
from rows import Row
from targets import Target

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator


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


def measure(effort: Effort) -> Iterator[Row]:
    """The call in every placement."""
    with elsewhere.Host() as host, PipeLoop() as pipe:
        target = host.spawn(Target)
        send, receive = pipe.connection.send, pipe.connection.recv

        def pipe_add() -> object:
            send(("add", (1,)))
            return receive()

        for placement in available():
            with placed(placement, [host.pid or 0, pipe.pid]), busy_sibling():
                samples = {
                    "elsewhere": per_call_microseconds(lambda: target.add(1), effort),
                    "pipe": per_call_microseconds(pipe_add, effort),
                }
                figures = interleave(samples, effort.rounds)
                yield Row(
                    "W10", "sync call, busy thread", "µs", figures["elsewhere"], placement, "Pipe", figures["pipe"]
                )
