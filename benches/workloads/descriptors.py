"""How many file descriptors a host costs its owner.

Owns: this workload and its aim. Must not know: the other workloads, the report. The first host is not counted: it
brings what the process has once.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from contenders.ours import Ours
from rows import OURS, Aim, Row

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from contenders.contender import Contender
    from measure import Effort


def measure(effort: Effort, _kinds: Sequence[type[Contender]]) -> Iterator[Row]:
    """The descriptors that each further host adds, after a call."""
    added: list[float] = []
    with ExitStack() as stack:
        before = add_host(stack)
        for _ in range(effort.rounds):
            after = add_host(stack)
            added.append(after - before)
            before = after
    yield Row("fds", "descriptors per host in the owner", "fds", {OURS: added}, aims=(Aim(3),))


def add_host(stack: ExitStack) -> int:
    """Start one more host, call into it, and count all open descriptors."""
    stack.enter_context(Ours()).call()()
    return sum(1 for _ in Path("/proc/self/fd").iterdir())
