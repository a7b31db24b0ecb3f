"""W9: a chain of attributes that ends in a call, `target.a.b.c.add(1)`.

Owns: this workload. Must not know: the other workloads, the report. It is compared with a call without a chain, which
shows whether the chain is one trip, and with a pipe whose far end knows the chain beforehand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import elsewhere
import pipe_server
from measure import Effort, interleave, per_call_microseconds
from pipe_loop import PipeLoop
from placement import available, placed
from rows import Aim, Row
from targets import Target

if TYPE_CHECKING:
    from collections.abc import Iterator


def measure(effort: Effort) -> Iterator[Row]:
    """The chain in every placement."""
    with elsewhere.Host() as host, PipeLoop(pipe_server.serve_chain) as pipe:
        target = host.spawn(Target)
        send, receive = pipe.connection.send, pipe.connection.recv

        def pipe_chain() -> object:
            send(1)
            return receive()

        for placement in available():
            with placed(placement, [host.pid or 0, pipe.pid]):
                samples = {
                    "chain": per_call_microseconds(lambda: target.a.b.c.add(1), effort),
                    "call": per_call_microseconds(lambda: target.add(1), effort),
                    "pipe": per_call_microseconds(pipe_chain, effort),
                }
                figures = interleave(samples, effort.rounds)
                yield Row(
                    "W9", "chain a.b.c.add(1)", "µs", figures["chain"], placement, "W1", figures["call"], Aim(1.3)
                )
                yield Row("W9", "chain a.b.c.add(1)", "µs", figures["chain"], placement, "Pipe", figures["pipe"])
