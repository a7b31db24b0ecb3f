"""uactor: actors over multiprocessing.managers.

Owns: the actor. Must not know: elsewhere, and what is measured. It starts by spawn, as the others here do: a fork would
inherit their pipes. A chain has no form.
"""

from __future__ import annotations

import multiprocessing
from collections import deque
from typing import TYPE_CHECKING, Any

import uactor

from contenders.contender import Contender
from contenders.starting import main_module_hidden
from targets import Target

if TYPE_CHECKING:
    from contenders.contender import Bytes
    from measure import Operation, Run
    from targets import Order


class TargetActor(Target, uactor.Actor):  # type: ignore[misc]
    """The target as an actor."""

    _exposed_ = ("value",)
    _method_to_typeid_ = {"numbers": "Iterator"}  # noqa: RUF012 - a name of the package's


class UActor(Contender):
    """One actor."""

    name = "uactor"
    note = "an actor, spawned"

    def __init__(self) -> None:
        multiprocessing.set_start_method("spawn", force=True)  # it asks for the default
        with main_module_hidden():
            self._target: Any = TargetActor()

    def close(self) -> None:
        self._target.shutdown()

    @property
    def pids(self) -> list[int]:
        return [self._target._manager.process.pid]

    def call(self) -> Operation:
        target = self._target
        return lambda: target.add(1)

    def pickled_call(self, order: Order) -> Operation:
        target = self._target
        return lambda: target.next_order(order)

    def attribute(self) -> Operation:
        target = self._target
        return lambda: target.value

    def take(self, array: Bytes) -> Operation:
        target = self._target
        return lambda: target.take(array)

    def echo(self, array: Bytes) -> Operation:
        target = self._target
        return lambda: target.echo(array)

    def items(self) -> Run:
        target = self._target

        def consume(count: int) -> None:
            deque(target.numbers(count), maxlen=0)

        return consume
