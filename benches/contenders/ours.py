"""elsewhere itself, as its documents show it.

Owns: what is written with elsewhere for each operation. Must not know: what is measured.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import elsewhere
from contenders.contender import IN_FLIGHT, Contender
from rows import OURS
from targets import Order, Target

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from contenders.contender import Bytes
    from measure import Operation, Run


class Ours(Contender):
    """A host with a target."""

    name = OURS
    note = "a host as it is by default"

    def __init__(self, start: Literal["auto", "zygote", "exec"] = "auto", preload: Sequence[str] = ()) -> None:
        self.host = elsewhere.Host(start=start, preload=preload)
        self.target = self.host.spawn(Target)

    def close(self) -> None:
        self.host.close()

    @property
    def pids(self) -> list[int]:
        return [self.host.pid or 0]

    def call(self) -> Operation:
        target = self.target
        return lambda: target.add(1)

    def pickled_call(self, order: Order) -> Operation:
        target = self.target
        return lambda: target.next_order(order)

    def attribute(self) -> Operation:
        target = self.target
        return lambda: elsewhere.get(target.value)

    def chain(self) -> Operation:
        target = self.target
        return lambda: target.a.b.c.add(1)

    def take(self, array: Bytes) -> Operation:
        target = self.target
        return lambda: target.take(array)

    def echo(self, array: Bytes) -> Operation:
        target = self.target
        return lambda: target.echo(array)

    def take_shared(self, array: Bytes) -> Operation | None:
        target, shared = self.target, shared_copy(array)
        return None if shared is None else lambda: target.take(shared)

    def echo_shared(self, array: Bytes) -> Operation | None:
        target, shared = self.target, shared_copy(array)
        return None if shared is None else lambda: target.echo(shared)

    def echo_read_only(self, array: Bytes) -> Operation | None:
        if not hasattr(elsewhere, "shared_array"):
            return None
        target, frozen = self.target, self.target.frozen(array.nbytes)
        return lambda: target.echo(frozen)

    def pipelined(self) -> Mapping[str, Run]:
        target = self.target
        return {self.name: partial(_submit_calls, lambda: elsewhere.submit(target.add, 1))}

    def pipelined_pickled(self, order: Order) -> Mapping[str, Run]:
        target = self.target
        return {self.name: partial(_submit_calls, lambda: elsewhere.submit(target.next_order, order))}

    def items(self) -> Run:
        target = self.target

        def consume(count: int) -> None:
            taken = 0
            for _ in elsewhere.stream(target.numbers, count):
                taken += 1
            assert taken == count

        return consume

    @classmethod
    def ways_to_start(cls) -> Mapping[str, Callable[[], Contender]]:
        # What the fork of this process has by itself, the zygote is told.
        return {OURS: partial(cls, "zygote", ("targets",)), f"{OURS}, exec": partial(cls, "exec")}


def shared_copy(array: Bytes) -> Any:
    """The same bytes in memory that hosts can map; None as long as elsewhere has none."""
    make: Any = getattr(elsewhere, "shared_array", None)
    if make is None:
        return None
    shared = make(array.shape, array.dtype)
    shared[:] = array
    return shared


def _submit_calls(submit: Callable[[], elsewhere.Future[Any]], count: int) -> None:
    """Make `count` calls, between half of IN_FLIGHT and all of them under way."""
    waiting: deque[elsewhere.Future[Any]] = deque()
    for _ in range(count):
        if len(waiting) == IN_FLIGHT:
            for _ in range(IN_FLIGHT // 2):
                waiting.popleft().result()
        waiting.append(submit())
    for future in waiting:
        future.result()
