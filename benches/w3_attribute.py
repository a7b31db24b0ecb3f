"""W3: the value of an attribute, one at a time.

Owns: this workload. Must not know: the other workloads, the report.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import elsewhere
import pipe_server
from measure import Effort, interleave, per_call_microseconds
from pipe_loop import PipeLoop
from placement import Placement, available, placed
from rows import Aim, Row
from targets import Target

if TYPE_CHECKING:
    from collections.abc import Iterator


def measure(effort: Effort) -> Iterator[Row]:
    """`get(target.value)` in every placement."""
    with elsewhere.Host() as host, PipeLoop(pipe_server.serve_attributes) as pipe:
        target = host.spawn(Target)
        send, receive = pipe.connection.send, pipe.connection.recv

        def pipe_value() -> object:
            send("value")
            return receive()

        for placement in available():
            with placed(placement, [host.pid or 0, pipe.pid]):
                samples = {
                    "elsewhere": per_call_microseconds(lambda: elsewhere.get(target.value), effort),
                    "pipe": per_call_microseconds(pipe_value, effort),
                }
                figures = interleave(samples, effort.rounds)
                aim = Aim(0.8) if placement is Placement.ONE_CORE else None
                yield Row("W3", "attribute get", "µs", figures["elsewhere"], placement, "Pipe", figures["pipe"], aim)
