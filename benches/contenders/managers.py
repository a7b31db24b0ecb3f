"""multiprocessing.managers: the standard library's own proxies.

Owns: a manager with a registered target. Must not know: elsewhere, and what is measured. Methods are called through
`_callmethod`, as the proxies that the module makes by itself do; chains have no form here.
"""

from __future__ import annotations

import multiprocessing
from multiprocessing.managers import BaseProxy, SyncManager
from typing import TYPE_CHECKING, Any

from contenders.contender import Contender
from contenders.starting import main_module_hidden
from targets import Order, Target

if TYPE_CHECKING:
    from contenders.contender import Bytes
    from measure import Operation, Run


class TargetProxy(BaseProxy):
    """The proxy that the documentation tells to write: methods that are exposed, and attributes."""

    _exposed_ = ("add", "next_order", "take", "echo", "numbers", "__getattribute__")
    _method_to_typeid_ = {"numbers": "Iterator"}  # noqa: RUF012 - a name of the module's
    _ask: Any = BaseProxy._callmethod

    def add(self, number: int) -> Any:
        """Call it over there."""
        return self._ask("add", (number,))

    @property
    def value(self) -> Any:
        """Read it over there."""
        return self._ask("__getattribute__", ("value",))

    def next_order(self, order: Order) -> Any:
        """Call it over there."""
        return self._ask("next_order", (order,))

    def take(self, array: Bytes) -> Any:
        """Call it over there."""
        return self._ask("take", (array,))

    def echo(self, array: Bytes) -> Any:
        """Call it over there."""
        return self._ask("echo", (array,))

    def numbers(self, count: int) -> Any:
        """A proxy of the generator."""
        return self._ask("numbers", (count,))


class Manager(SyncManager):
    """A manager that makes targets, and knows a proxy for iterators already."""


Manager.register("Target", Target, TargetProxy)


class Managers(Contender):
    """One target in the process of a manager."""

    name = "managers"
    note = "multiprocessing.managers over its Unix socket, spawned"

    def __init__(self) -> None:
        self._manager = Manager(ctx=multiprocessing.get_context("spawn"))
        with main_module_hidden():
            self._manager.start()
        self._target: Any = self._manager.Target()  # type: ignore[attr-defined]  # registered above

    def close(self) -> None:
        self._manager.shutdown()

    @property
    def pids(self) -> list[int]:
        manager: Any = self._manager
        return [manager._process.pid]

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
            taken = 0
            for _ in target.numbers(count):
                taken += 1
            assert taken == count

        return consume
