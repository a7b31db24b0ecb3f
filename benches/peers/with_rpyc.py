"""RPyC: a service at a Unix socket, in a process that is spawned for it.

Owns: its client. Must not know: elsewhere, and what is measured. As its documentation advises: methods are fetched once
and kept, `async_` for calls without waiting, `buffiter` for iterators. Bytes travel by value and everything else by
reference, so arrays are sent as bytes and objects as a pickle.
"""

from __future__ import annotations

import pickle
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import rpyc
from rpyc.utils.factory import unix_connect
from rpyc.utils.helpers import buffiter

from contenders.contender import IN_FLIGHT, Contender
from peers import rpyc_server
from peers.serving import Served

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from contenders.contender import Bytes
    from measure import Operation, Run
    from targets import Order


class RPyC(Contender):
    """A service with a target."""

    name = "RPyC"
    note = "a service at a Unix socket; methods kept, async_ and buffiter where they help, arrays as bytes"

    def __init__(self) -> None:
        self._served = Served(rpyc_server.serve)
        self._connection: Any = unix_connect(self._served.path)
        self._target: Any = self._connection.root.target

    def close(self) -> None:
        self._connection.close()
        self._served.close()

    @property
    def pids(self) -> list[int]:
        return self._served.pids

    def call(self) -> Operation:
        return partial(self._target.add, 1)

    def pickled_call(self, order: Order) -> Operation:
        next_order = self._connection.root.next_order
        return lambda: pickle.loads(next_order(pickle.dumps(order)))

    def attribute(self) -> Operation:
        target = self._target
        return lambda: target.value

    def chain(self) -> Operation:
        target = self._target
        self._on_the_way = (target.a, target.a.b, target.a.b.c)  # who drops these has RPyC ask anew what each is
        return lambda: target.a.b.c.add(1)

    def take(self, array: Bytes) -> Operation:
        take = self._target.take
        return lambda: take(array.tobytes())

    def echo(self, array: Bytes) -> Operation:
        echo = self._target.echo
        return lambda: np.frombuffer(bytearray(echo(array.tobytes())), np.uint8)

    def pipelined(self) -> Mapping[str, Run]:
        add = rpyc.async_(self._target.add)
        return {self.name: partial(_start_calls, partial(add, 1), lambda result: result.value)}

    def pipelined_pickled(self, order: Order) -> Mapping[str, Run]:
        next_order = rpyc.async_(self._connection.root.next_order)

        def start() -> Any:
            return next_order(pickle.dumps(order))

        return {self.name: partial(_start_calls, start, lambda result: pickle.loads(result.value))}

    def items(self) -> Run:
        numbers = self._target.numbers

        def consume(count: int) -> None:
            deque(buffiter(numbers(count)), maxlen=0)

        return consume


def _start_calls(start: Callable[[], Any], finish: Callable[[Any], object], count: int) -> None:
    """Make `count` calls, between half of IN_FLIGHT and all of them under way."""
    waiting: deque[Any] = deque()
    for _ in range(count):
        if len(waiting) == IN_FLIGHT:
            for _ in range(IN_FLIGHT // 2):
                finish(waiting.popleft())
        waiting.append(start())
    for result in waiting:
        finish(result)
