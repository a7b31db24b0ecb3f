"""concurrent.futures.ProcessPoolExecutor with one worker, which keeps a target.

Owns: the pool. Must not know: elsewhere, and what is measured.
"""

from __future__ import annotations

import multiprocessing
from collections import deque
from concurrent.futures import Future, ProcessPoolExecutor
from functools import partial
from itertools import repeat
from typing import TYPE_CHECKING, Any

from contenders import executor_worker
from contenders.contender import IN_FLIGHT, Contender
from contenders.starting import main_module_hidden

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from contenders.contender import Bytes
    from measure import Operation, Run
    from targets import Order


class Executor(Contender):
    """One worker: functions of its own module find the target that its initializer made."""

    name = "executor"
    note = "ProcessPoolExecutor with one worker, spawned, its target in a global variable"

    def __init__(self) -> None:
        self._pool = ProcessPoolExecutor(
            1, multiprocessing.get_context("spawn"), initializer=executor_worker.make_target
        )
        with main_module_hidden():  # the worker starts with the first call
            self._pool.submit(executor_worker.add, 1).result()

    def close(self) -> None:
        self._pool.shutdown()

    @property
    def pids(self) -> list[int]:
        return list(self._pool._processes)

    def call(self) -> Operation:
        return self._waited_for(executor_worker.add, 1)

    def pickled_call(self, order: Order) -> Operation:
        return self._waited_for(executor_worker.next_order, order)

    def attribute(self) -> Operation:
        return self._waited_for(executor_worker.value)

    def chain(self) -> Operation:
        return self._waited_for(executor_worker.chain, 1)

    def take(self, array: Bytes) -> Operation:
        return self._waited_for(executor_worker.take, array)

    def echo(self, array: Bytes) -> Operation:
        return self._waited_for(executor_worker.echo, array)

    def _waited_for(self, function: Callable[..., Any], *arguments: object) -> Operation:
        submit = self._pool.submit
        return lambda: submit(function, *arguments).result()

    def pipelined(self) -> Mapping[str, Run]:
        submitted = partial(self._submit_calls, executor_worker.add, 1)
        return {self.name: submitted, "executor, map in chunks": partial(self._map_calls, executor_worker.add, 1)}

    def pipelined_pickled(self, order: Order) -> Mapping[str, Run]:
        submitted = partial(self._submit_calls, executor_worker.next_order, order)
        chunks = partial(self._map_calls, executor_worker.next_order, order)
        return {self.name: submitted, "executor, map in chunks": chunks}

    def _submit_calls(self, function: Callable[..., Any], argument: object, count: int) -> None:
        """Make `count` calls, between half of IN_FLIGHT and all of them under way."""
        waiting: deque[Future[Any]] = deque()
        for _ in range(count):
            if len(waiting) == IN_FLIGHT:
                for _ in range(IN_FLIGHT // 2):
                    waiting.popleft().result()
            waiting.append(self._pool.submit(function, argument))
        for future in waiting:
            future.result()

    def _map_calls(self, function: Callable[..., Any], argument: object, count: int) -> None:
        """Make `count` calls in messages of IN_FLIGHT each: it is known beforehand that they are to be made."""
        deque(self._pool.map(function, repeat(argument, count), chunksize=IN_FLIGHT), maxlen=0)
