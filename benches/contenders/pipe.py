"""The reference: a request-reply loop over multiprocessing.Pipe, written by hand.

Owns: the children and our ends of their pipes. Must not know: elsewhere, and what is measured. No errors are carried
and nothing is checked; that would only slow the reference down.
"""

from __future__ import annotations

import multiprocessing
import threading
import warnings
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Self

from contenders import pipe_server
from contenders.contender import IN_FLIGHT, Contender
from contenders.starting import main_module_hidden
from measure import interleave, seconds_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

    from contenders.contender import Bytes
    from measure import Operation, Run
    from targets import Order

    Server = Callable[..., None]
    StartMethod = Literal["spawn", "forkserver", "fork"]

WINDOWS = (4, 16, 64, IN_FLIGHT)
TRIAL_CALLS = 2 * IN_FLIGHT


class PipeLoop:
    """A child process that runs a function of `pipe_server`; `connection` is our end of its pipe."""

    def __init__(self, server: Server = pipe_server.serve_calls, start: StartMethod = "spawn", *more: object) -> None:
        context = multiprocessing.get_context(start)
        self.connection, theirs = context.Pipe()
        make_process: Callable[..., BaseProcess] = getattr(context, "Process")  # noqa: B009 - typeshed's base of contexts lacks it
        if start == "fork":  # the child has our end, too, and would never see it close
            self._process = make_process(target=pipe_server.serve_forked, args=(server, self.connection, theirs))
        else:
            self._process = make_process(target=server, args=(theirs, *more), daemon=True)
        with main_module_hidden(), warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", DeprecationWarning
            )  # fork beside threads: the child uses none of their locks
            self._process.start()
        theirs.close()

    @property
    def pid(self) -> int:
        """The child's process id."""
        pid: int | None = self._process.pid
        assert pid is not None
        return pid

    def close(self) -> None:
        """End the child and wait for it."""
        self.connection.close()
        self._process.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class Pipe(Contender):
    """A loop for calls; for what would cost calls a look at the request, a second child with a loop of its own."""

    name = "Pipe"
    note = "a hand-written loop over multiprocessing.Pipe: send, recv"

    def __init__(self, start: StartMethod = "spawn") -> None:
        self._loops = ExitStack()
        self._pids: list[int] = []
        self._calls = self._loop(pipe_server.serve_calls, start)

    def _loop(self, server: Server, start: StartMethod = "spawn") -> Connection[Any, Any]:
        loop = self._loops.enter_context(PipeLoop(server, start))
        self._pids.append(loop.pid)
        return loop.connection

    def close(self) -> None:
        self._loops.close()

    @property
    def pids(self) -> list[int]:
        return self._pids

    @property
    def connection(self) -> Connection[Any, Any]:
        """Our end of the pipe of the loop for calls."""
        return self._calls

    def call(self) -> Operation:
        return _trip(self._calls, ("add", (1,)))

    def shared_call(self) -> Operation:
        lock = threading.Lock()
        call = self.call()

        def locked() -> object:
            with lock:
                return call()

        return locked

    def pickled_call(self, order: Order) -> Operation:
        return _trip(self._calls, ("next_order", (order,)))

    def attribute(self) -> Operation:
        return _trip(self._loop(pipe_server.serve_attributes), "value")

    def chain(self) -> Operation:
        return _trip(self._loop(pipe_server.serve_chain), 1)

    def take(self, array: Bytes) -> Operation:
        return _trip(self._calls, ("take", (array,)))

    def echo(self, array: Bytes) -> Operation:
        return _trip(self._calls, ("echo", (array,)))

    def pipelined(self) -> Mapping[str, Run]:
        return {self.name: _in_best_window(self._calls, ("add", (1,)))}

    def pipelined_pickled(self, order: Order) -> Mapping[str, Run]:
        return {self.name: _in_best_window(self._calls, ("next_order", (order,)))}

    def items(self) -> Run:
        connection = self._loop(pipe_server.serve_numbers)

        def consume(count: int) -> None:
            connection.send(count)
            receive = connection.recv
            for _ in range(count):
                receive()

        return consume

    @classmethod
    def ways_to_start(cls) -> Mapping[str, Callable[[], Contender]]:
        methods: tuple[StartMethod, ...] = ("fork", "forkserver", "spawn")
        return {f"Pipe, {method}": partial(cls, method) for method in methods}


def _trip(connection: Connection[Any, Any], request: object) -> Operation:
    """Send a request and take its answer."""
    send, receive = connection.send, connection.recv

    def trip() -> object:
        send(request)
        return receive()

    return trip


def _in_best_window(connection: Connection[Any, Any], request: object) -> Run:
    """So many requests with as many under way as is fastest here, which is tried out first."""
    ways = {window: partial(_run_in_window, connection, request, window) for window in WINDOWS}
    trials = {window: partial(seconds_of, way, TRIAL_CALLS) for window, way in ways.items()}
    seconds = interleave({str(window): trial for window, trial in trials.items()}, 5)
    return ways[min(WINDOWS, key=lambda window: sorted(seconds[str(window)])[2])]


def _run_in_window(connection: Connection[Any, Any], request: object, window: int, count: int) -> None:
    """Make `count` requests with `window` of them under way."""
    send, receive = connection.send, connection.recv
    waiting = 0
    for _ in range(count):
        if waiting == window:
            for _ in range(window // 2):
                receive()
            waiting -= window // 2
        send(request)
        waiting += 1
    for _ in range(waiting):
        receive()
