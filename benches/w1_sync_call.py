"""W1: one call at a time, waiting for each result; plain numbers, and values of a class of the user's own.

Owns: this workload. Must not know: the other workloads, the report.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import elsewhere
from measure import Effort, interleave, per_call_microseconds
from pipe_loop import PipeLoop
from placement import Placement, available, placed
from rows import Aim, Row
from targets import Order, Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def measure(effort: Effort) -> Iterator[Row]:
    """Both variants in every placement."""
    order = Order(1, "lamp", 9.5)
    with elsewhere.Host() as host, PipeLoop() as pipe:
        target = host.spawn(Target)
        send, receive = pipe.connection.send, pipe.connection.recv

        def pipe_add() -> object:
            send(("add", (1,)))
            return receive()

        def pipe_order() -> object:
            send(("next_order", (order,)))
            return receive()

        for placement in available():
            aim = Aim(0.8) if placement is Placement.ONE_CORE else None
            with placed(placement, [host.pid or 0, pipe.pid]):
                figures = in_turns(lambda: target.add(1), pipe_add, effort)
                yield row("sync call, int", placement, figures, aim)
                figures = in_turns(lambda: target.next_order(order), pipe_order, effort)
                yield row("sync call, own class", placement, figures, None)


def in_turns(ours: Callable[[], object], pipe: Callable[[], object], effort: Effort) -> dict[str, list[float]]:
    """Microseconds per call of both, in the present placement."""
    samples = {"elsewhere": per_call_microseconds(ours, effort), "pipe": per_call_microseconds(pipe, effort)}
    return interleave(samples, effort.rounds)


def row(what: str, placement: Placement, figures: dict[str, list[float]], aim: Aim | None) -> Row:
    """One variant in one placement."""
    return Row("W1", what, "µs", figures["elsewhere"], placement, "Pipe", figures["pipe"], aim)
