"""Ray: an actor in a cluster of this machine alone.

Owns: the cluster and the actor. Must not know: elsewhere, and what is measured. As its documentation advises: many
calls are started before the first is waited for, a large array is put into the store once, generators stream.
Attributes and chains have no form. The cluster's own processes run beside every measurement from the first actor on,
pinned nowhere; its start takes seconds, and is not compared.
"""

from __future__ import annotations

import atexit
import logging
import os
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import ray

from contenders.contender import IN_FLIGHT, Contender
from targets import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from contenders.contender import Bytes
    from measure import Operation, Run
    from targets import Order


class TargetWithPid(Target):
    """The target, and the process it is in."""

    def pid(self) -> int:
        """Where it is."""
        return os.getpid()


class Ray(Contender):
    """An actor with a target."""

    name = "Ray"
    note = "an actor in a local cluster; many calls before the first ray.get, streaming generators"

    def __init__(self) -> None:
        if not ray.is_initialized():
            os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
            ray.init(num_cpus=1, include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False)
            atexit.register(ray.shutdown)
        self._target: Any = ray.remote(TargetWithPid).remote()
        self._pid: int = ray.get(self._target.pid.remote())

    def close(self) -> None:
        ray.kill(self._target)

    @property
    def pids(self) -> list[int]:
        return [self._pid]

    def call(self) -> Operation:
        add = self._target.add
        return lambda: ray.get(add.remote(1))

    def pickled_call(self, order: Order) -> Operation:
        next_order = self._target.next_order
        return lambda: ray.get(next_order.remote(order))

    def take(self, array: Bytes) -> Operation:
        take = self._target.take
        return lambda: ray.get(take.remote(array))

    def echo(self, array: Bytes) -> Operation:
        echo = self._target.echo
        return lambda: np.array(ray.get(echo.remote(array)))  # what comes back is read-only

    def take_shared(self, array: Bytes) -> Operation:
        take, put = self._target.take, ray.put(array)
        return lambda: ray.get(take.remote(put))

    def pipelined(self) -> Mapping[str, Run]:
        return {self.name: partial(_start_calls, partial(self._target.add.remote, 1))}

    def pipelined_pickled(self, order: Order) -> Mapping[str, Run]:
        return {self.name: partial(_start_calls, partial(self._target.next_order.remote, order))}

    def items(self) -> Run:
        numbers = self._target.numbers.options(num_returns="streaming")

        def consume(count: int) -> None:
            deque(map(ray.get, numbers.remote(count)), maxlen=0)

        return consume

    @classmethod
    def ways_to_start(cls) -> Mapping[str, Callable[[], Contender]]:
        return {}


def _start_calls(start: Callable[[], Any], count: int) -> None:
    """Make `count` calls, up to IN_FLIGHT at once."""
    for begin in range(0, count, IN_FLIGHT):
        ray.get([start() for _ in range(begin, min(begin + IN_FLIGHT, count))])
