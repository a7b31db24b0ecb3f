"""W5: from nothing to the first result: a host by exec or by a zygote, and a child of multiprocessing's spawn or fork.

Owns: this workload. Must not know: the other workloads, the report. Ending the processes is not timed.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Literal

import elsewhere
from measure import Effort, interleave
from pipe_loop import PipeLoop
from placement import Placement, placed
from rows import Aim, Row
from targets import Target

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def measure(effort: Effort) -> Iterator[Row]:
    """Start, construct, call once; a child inherits the cores of its parent, so two cores are not a case of its own."""
    for placement in (Placement.ONE_CORE, Placement.UNPINNED):
        with placed(placement, []):
            contenders = {
                "exec": partial(host_milliseconds, "exec"),
                "zygote": partial(host_milliseconds, "zygote", ("targets",)),
                "spawn": partial(pipe_milliseconds, "spawn"),
                "fork": partial(pipe_milliseconds, "fork"),
            }
            for measure_once in contenders.values():
                measure_once()  # the first of a zygote starts it, which is once in the life of a program
            figures = interleave(contenders, effort.starts)
            executed, warm, spawned, forked = (figures[name] for name in contenders)
            what = "start by exec, first call"
            yield Row("W5", what, "ms", executed, placement, "Pipe, spawn", spawned, Aim(0.5))
            what = "start by a zygote, first call"
            yield Row("W5", what, "ms", warm, placement, aim=Aim(2))
            yield Row("W5", what, "ms", warm, placement, "Pipe, fork", forked, Aim(1.3))


def host_milliseconds(start: Literal["exec", "zygote"], preload: Sequence[str] = ()) -> float:
    """A host, an object in it, one call. What a fork has of the parent, a zygote has preloaded."""
    began = time.perf_counter()
    with elsewhere.Host(start=start, preload=preload) as host:
        target = host.spawn(Target)
        assert target.add(1) == 1
        return (time.perf_counter() - began) * 1e3


def pipe_milliseconds(start: Literal["spawn", "fork"]) -> float:
    """A child with an object, one call."""
    began = time.perf_counter()
    with PipeLoop(start=start) as pipe:
        pipe.connection.send(("add", (1,)))
        assert pipe.connection.recv() == 1
        return (time.perf_counter() - began) * 1e3
