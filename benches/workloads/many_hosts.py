"""What a call takes, a host's memory and idle processor time, with 1, 10 and 200 hosts: nothing may get slower.

Owns: this workload and its aims. Must not know: the other workloads, the report. The hosts become more from point to
point, so the points are not in the same rounds; as many Pipe loops beside them show how the machine was.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import ExitStack
from itertools import cycle
from typing import TYPE_CHECKING

from contenders.ours import Ours
from contenders.pipe import Pipe
from measure import calls, interleave
from placement import available, placed
from processes import private_mebibytes, processor_milliseconds
from rows import OURS, Aim, Point, Row, medians_and_tails
from workloads.many_objects import SLOWER

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from contenders.contender import Contender
    from measure import Effort, Operation

LOOKED_AT = 10
"""The memory of more hosts than this is not read: reading it takes longer than all the rest."""


def measure(effort: Effort, _kinds: Sequence[type[Contender]]) -> Iterator[Row]:
    """More and more hosts, one target in each."""
    at_first: dict[str, list[float]] = {}
    with ExitStack() as stack:
        pipes: list[Pipe] = []
        hosts: list[Ours] = []
        for count in effort.hosts:
            pipes += [stack.enter_context(Pipe("forkserver")) for _ in range(count - len(pipes))]
            hosts += [stack.enter_context(Ours()) for _ in range(count - len(hosts))]
            for row in at(count, hosts, pipes, effort):
                first = at_first.setdefault(row.what, list(row.figures[OURS]))
                yield row if row.workload != "hosts" or row.unit != "µs" else beside_first(row, first, effort)


def at(count: int, hosts: list[Ours], pipes: list[Pipe], effort: Effort) -> Iterator[Row]:
    """The rows of one number of hosts."""
    placement, point = available()[-1], Point("hosts", count)
    with placed(placement, [pid for one in (*hosts, *pipes) for pid in one.pids]):
        operations = {
            "call to one of the hosts": (hosts[0].call(), pipes[0].call()),
            "call, every host in its turn": (in_turn(hosts), in_turn(pipes)),
        }
        for what, (ours, theirs) in operations.items():
            samples = {OURS: calls(ours, effort), Pipe.name: calls(theirs, effort)}
            figures, tails = medians_and_tails(interleave(samples, effort.rounds))
            yield Row("hosts", what, "µs", figures, placement, tails, point)
    memory = [private_mebibytes(host.pids[0]) for host in hosts[:LOOKED_AT]]
    yield Row("hosts", "private memory of a host", "MiB", {OURS: memory}, point=point)
    quiet = [quiet_milliseconds(hosts, effort) for _ in range(min(effort.rounds, 3))]
    idle = "processor time in a quiet second"
    for whose, taken in (("all hosts", [far for far, _ in quiet]), ("their owner", [near for _, near in quiet])):
        yield Row("idle", f"{idle}, {whose}", "ms", {OURS: taken}, point=point, aims=(Aim(0),))


def in_turn(contenders: Sequence[Ours | Pipe]) -> Operation:
    """One call of the next process, round and round."""
    turn = cycle([one.call() for one in contenders])

    def call() -> object:
        return next(turn)()

    return call


def beside_first(row: Row, first: list[float], effort: Effort) -> Row:
    """The row with the figures of the first point; calls to one host are to be as fast however many there are."""
    if row.point is None or row.point.value == effort.hosts[0]:
        return row
    name = f"{OURS} at {effort.hosts[0]}"
    aims = (Aim(SLOWER, name),) if "one of" in row.what else ()
    return Row(
        row.workload, row.what, row.unit, {**row.figures, name: first}, row.placement, row.tails, row.point, aims
    )


def quiet_milliseconds(hosts: list[Ours], effort: Effort) -> tuple[float, float]:
    """Processor time of all hosts, and of this process, per second in which nothing is asked of anybody.

    Ours is without that of the thread which measures. Nothing counts for the while in which a connection may still look
    whether more comes.
    """
    for host in hosts:
        host.call()()
    time.sleep(effort.quiet_seconds / 2)
    before = far_and_near(hosts)
    time.sleep(effort.quiet_seconds)
    far, near = (later - earlier for later, earlier in zip(far_and_near(hosts), before, strict=True))
    return far / effort.quiet_seconds, near / effort.quiet_seconds


def far_and_near(hosts: list[Ours]) -> tuple[float, float]:
    """Processor time so far."""
    far = sum(processor_milliseconds(pid) for host in hosts for pid in host.pids)
    return far, processor_milliseconds(os.getpid(), without=threading.get_native_id())
