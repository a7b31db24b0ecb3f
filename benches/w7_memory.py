"""W7: memory that an idle host has for itself, beside a child of forkserver and one of spawn.

Owns: this workload. Must not know: the other workloads, the report. Memory is Private_Clean + Private_Dirty of
smaps_rollup, after one call was answered. Several processes of a kind live at once, so that what they share is shared.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import elsewhere
from pipe_loop import PipeLoop
from rows import Aim, Row
from targets import Target

if TYPE_CHECKING:
    from collections.abc import Iterator

    from measure import Effort


def measure(effort: Effort) -> Iterator[Row]:
    """One row against each of multiprocessing's start methods."""
    warm = host_mebibytes(effort.rounds, "zygote")
    yield Row("W7", "private memory of an idle host of a zygote", "MiB", warm, aim=Aim(3))
    hosts = host_mebibytes(effort.rounds, "exec")
    what = "private memory of an idle host"
    yield Row("W7", what, "MiB", hosts, aim=Aim(5))
    for start in ("forkserver", "spawn"):
        with ExitStack() as stack:
            pipes = [stack.enter_context(PipeLoop(start=start)) for _ in range(effort.rounds)]
            for pipe in pipes:
                pipe.connection.send(("add", (1,)))
                pipe.connection.recv()
            children = [private_mebibytes(pipe.pid) for pipe in pipes]
        yield Row("W7", what, "MiB", hosts, reference=f"Pipe, {start}", reference_figures=children)


def host_mebibytes(number: int, start: Literal["exec", "zygote"]) -> list[float]:
    """The private memory of each of several hosts."""
    with ExitStack() as stack:
        hosts = [stack.enter_context(elsewhere.Host(start=start)) for _ in range(number)]
        targets = [host.spawn(Target) for host in hosts]
        for target in targets:
            target.add(1)
        return [private_mebibytes(host.pid or 0) for host in hosts]


def private_mebibytes(pid: int) -> float:
    """Memory of one process that no other process shares."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(("Private_Clean:", "Private_Dirty:"))) / 1024
