"""W5: from nothing to the first result: a host by exec, and a child of multiprocessing's spawn.

Owns: this workload. Must not know: the other workloads, the report. Ending the processes is not timed.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import elsewhere
from measure import Effort, interleave
from pipe_loop import PipeLoop
from placement import Placement, placed
from rows import Aim, Row
from targets import Target

if TYPE_CHECKING:
    from collections.abc import Iterator


def measure(effort: Effort) -> Iterator[Row]:
    """Start, construct, call once; a child inherits the cores of its parent, so two cores are not a case of its own."""
    for placement in (Placement.ONE_CORE, Placement.UNPINNED):
        with placed(placement, []):
            host_milliseconds()
            pipe_milliseconds()
            figures = interleave({"elsewhere": host_milliseconds, "pipe": pipe_milliseconds}, effort.starts)
            yield Row(
                "W5",
                "start by exec, first call",
                "ms",
                figures["elsewhere"],
                placement,
                "Pipe, spawn",
                figures["pipe"],
                Aim(0.5),
            )


def host_milliseconds() -> float:
    """A host, an object in it, one call."""
    began = time.perf_counter()
    with elsewhere.Host(start="exec") as host:
        target = host.spawn(Target)
        assert target.add(1) == 1
        return (time.perf_counter() - began) * 1e3


def pipe_milliseconds() -> float:
    """A spawned child with an object, one call."""
    began = time.perf_counter()
    with PipeLoop() as pipe:
        pipe.connection.send(("add", (1,)))
        assert pipe.connection.recv() == 1
        return (time.perf_counter() - began) * 1e3
