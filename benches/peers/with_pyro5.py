"""Pyro5: an exposed object at a Unix socket, in a process that is spawned for it.

Owns: its client. Must not know: elsewhere, and what is measured. As its documentation advises: marshal as the fastest
serializer (msgpack for attributes and batches, at which marshal fails), batches for many calls, a proxy for each
thread. marshal carries plain data, so arrays are sent as bytes and objects as a pickle made by hand; a chain of
attributes has no form without exposing every object on the way.
"""

from __future__ import annotations

import pickle
import threading
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import Pyro5.api

from contenders.contender import IN_FLIGHT, Contender
from peers import pyro5_server
from peers.serving import Served

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from contenders.contender import Bytes
    from measure import Operation, Run
    from targets import Order


class Pyro(Contender):
    """A daemon with a target."""

    name = "Pyro5"
    note = "a daemon at a Unix socket; marshal, and msgpack for attributes and batches; arrays as bytes"

    def __init__(self) -> None:
        self._served = Served(pyro5_server.serve)
        Pyro5.api.config.SERIALIZER = "marshal"
        self._target: Any = Pyro5.api.Proxy(self._served.told)
        self._by_msgpack: Any = Pyro5.api.Proxy(self._served.told)
        self._by_msgpack._pyroSerializer = "msgpack"

    def close(self) -> None:
        self._target._pyroRelease()
        self._by_msgpack._pyroRelease()
        self._served.close()

    @property
    def pids(self) -> list[int]:
        return self._served.pids

    def call(self) -> Operation:
        target = self._target
        return lambda: target.add(1)

    def shared_call(self) -> Operation:
        uri, own = self._served.told, threading.local()

        def call() -> object:
            try:
                target = own.target
            except AttributeError:
                target = own.target = Pyro5.api.Proxy(uri)
            return target.add(1)

        return call

    def pickled_call(self, order: Order) -> Operation:
        target = self._target
        return lambda: pickle.loads(target.next_order(pickle.dumps(order)))

    def attribute(self) -> Operation:
        target = self._by_msgpack
        return lambda: target.value

    def take(self, array: Bytes) -> Operation:
        target = self._target
        return lambda: target.take(array.tobytes())

    def echo(self, array: Bytes) -> Operation:
        target = self._target
        return lambda: np.frombuffer(bytearray(target.echo(array.tobytes())), np.uint8)

    def pipelined(self) -> Mapping[str, Run]:
        return {self.name: partial(self._in_batches, lambda batch: batch.add(1), lambda result: result)}

    def pipelined_pickled(self, order: Order) -> Mapping[str, Run]:
        add_call = partial(_add_order, order)
        return {self.name: partial(self._in_batches, add_call, pickle.loads)}

    def _in_batches(self, add_call: Callable[[Any], object], finish: Callable[[Any], object], count: int) -> None:
        """Make `count` calls in messages of IN_FLIGHT each: it is known beforehand that they are to be made."""
        for begin in range(0, count, IN_FLIGHT):
            batch = Pyro5.api.BatchProxy(self._by_msgpack)
            for _ in range(begin, min(begin + IN_FLIGHT, count)):
                add_call(batch)
            for result in batch():
                finish(result)

    def items(self) -> Run:
        target = self._target

        def consume(count: int) -> None:
            deque(target.numbers(count), maxlen=0)

        return consume


def _add_order(order: Order, batch: Any) -> None:
    batch.next_order(pickle.dumps(order))
