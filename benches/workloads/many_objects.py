"""What a call takes, and a host's memory, with 1, 100 and 10,000 objects in the host: nothing may get slower.

Owns: this workload and its aims. Must not know: the other workloads, the report. Every object is called in its turn.
"""

from __future__ import annotations

from contextlib import ExitStack
from itertools import cycle
from typing import TYPE_CHECKING

import elsewhere
from contenders.pipe import Pipe
from measure import calls, interleave
from placement import available, placed
from processes import private_mebibytes
from rows import OURS, Aim, Point, Row, medians_and_tails
from targets import Target

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from contenders.contender import Contender
    from measure import Effort, Operation

SLOWER = 1.2
"""What counts as not slower: less than the quartiles of most rows are apart."""


def measure(effort: Effort, _kinds: Sequence[type[Contender]]) -> Iterator[Row]:
    """A host for each number of objects, in the same rounds."""
    placement = available()[-1]
    with ExitStack() as stack:
        hosts = {count: stack.enter_context(elsewhere.Host()) for count in effort.objects}
        pipe = stack.enter_context(Pipe())
        objects = {count: [host.spawn(Target) for _ in range(count)] for count, host in hosts.items()}
        stack.enter_context(placed(placement, [host.pid or 0 for host in hosts.values()] + pipe.pids))
        samples = {str(count): calls(in_turn(targets), effort) for count, targets in objects.items()}
        taken = interleave(samples | {pipe.name: calls(pipe.call(), effort)}, effort.rounds)
        figures, tails = medians_and_tails(taken)
        first = effort.objects[0]
        for count, host in hosts.items():
            names = {OURS: str(count), f"{OURS} at {first}": str(first), pipe.name: pipe.name}
            yield Row(
                "objects",
                "call, every object in its turn",
                "µs",
                {name: figures[source] for name, source in names.items()},
                placement,
                {name: tails[source] for name, source in names.items()},
                Point("objects", count),
                (Aim(SLOWER, f"{OURS} at {first}"),) if count != first else (),
            )
            memory = {OURS: [private_mebibytes(host.pid or 0)]}
            yield Row("objects", "private memory of the host", "MiB", memory, point=Point("objects", count))


def in_turn(targets: list[Target]) -> Operation:
    """One call of the next object, round and round."""
    turn = cycle(targets)
    return lambda: next(turn).add(1)
