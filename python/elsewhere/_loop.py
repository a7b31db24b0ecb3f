"""Futures and streams under asyncio.

Owns: one watcher per running loop. Must not know: connections, threads.
A watcher is one descriptor in the loop's selector; whoever routes an answer puts the future's key into its queue.
"""

from __future__ import annotations

import asyncio
import contextlib
import weakref

from . import _core, _errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any, TypeVar

    from ._core import Future, ReadAhead

    T = TypeVar("T")

_watchers: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Watcher] = weakref.WeakKeyDictionary()


_CALLS = 0
"""The key that tells of calls to run, and of no future."""


class _Waiting(dict[int, "tuple[Future[Any] | _Turn, asyncio.Future[Any]]"]):
    """Who waits, by key. A waiter leads to its loop, so nothing but the loop may hold this: what waits goes with it."""

    __slots__ = ("__weakref__",)


class _Watcher:
    """Wakes one loop when answers arrive."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = weakref.ref(loop)
        self._queue = _core.LoopQueue()
        self._waiting_ref: weakref.ref[_Waiting] | None = None
        self._next_key = 0

    def add(self, future: Future[Any] | _Turn) -> asyncio.Future[Any]:
        """The loop's own future for `future`; cancelling it cancels the call."""
        loop = self._loop()
        assert loop is not None, "the watcher is used by its running loop"
        waiter: asyncio.Future[Any] = loop.create_future()
        self._next_key += 1
        key = self._next_key
        waiting = self._waiting()
        if waiting is None:
            waiting = _Waiting()
            self._waiting_ref = weakref.ref(waiting)
            # Until the loop is closed: to begin and to end it with each wait would be two system calls.
            loop.add_reader(self._queue.fileno(), self._wake, waiting)
        waiting[key] = (future, waiter)
        waiter.add_done_callback(lambda waiter: self._cancelled(key) if waiter.cancelled() else None)
        if future._observe(self._queue, key):
            self._settle(key)
        return waiter

    def _waiting(self) -> _Waiting | None:
        return None if self._waiting_ref is None else self._waiting_ref()

    def _wake(self, waiting: _Waiting) -> None:
        try:
            for key in self._queue.drain():
                if key == _CALLS:
                    self._run_calls()
                else:
                    self._settle(key)
        except _errors.CallCancelled as interrupt:
            # The call that runs the loop is to be broken off, and that came in here. The loop would log it and go on.
            for key in tuple(waiting):
                _, waiter = self._forget(key)
                if waiter is not None and not waiter.done():
                    waiter.set_exception(interrupt)

    def _run_calls(self) -> None:
        """Run what calls back here in a chain that a task of this loop waits in."""
        from . import _local_loop

        hidden = contextlib.nullcontext() if _core.is_loop_shared() else _local_loop.nothing_running()
        with hidden:
            self._queue.run_calls()

    def _settle(self, key: int) -> None:
        waiting = self._waiting()
        future, waiter = (None, None) if waiting is None else waiting.get(key, (None, None))
        if future is not None and waiter is not None and not waiter.done():
            try:
                value = future.result()
            except StopIteration as error:  # asyncio's futures refuse it
                waiter.set_exception(RuntimeError(f"the call raised StopIteration: {error}"))
            except BaseException as error:  # noqa: BLE001 - whatever the call raised belongs to the waiter
                waiter.set_exception(error)
            else:
                waiter.set_result(value)
        self._forget(key)  # not before: an interrupt that comes in between is for those who wait

    def _cancelled(self, key: int) -> None:
        future, _ = self._forget(key)
        if future is not None:
            future.cancel()

    def _forget(self, key: int) -> tuple[Future[Any] | _Turn | None, asyncio.Future[Any] | None]:
        waiting = self._waiting()
        if waiting is None:
            return None, None
        return waiting.pop(key, (None, None))


def wait(future: Future[T]) -> Generator[Any, None, T]:
    """What `await future` iterates under asyncio."""
    if future._comes_at_once():
        return _finished(future)
    if future.done():
        return _after_a_turn(future)  # asyncio gives no turn to others where a future is done already
    return _watcher(asyncio.get_running_loop()).add(future).__await__()


def _after_a_turn(future: Future[T]) -> Generator[Any, None, T]:
    yield
    return future.result()


def _watcher(loop: asyncio.AbstractEventLoop) -> _Watcher:
    watcher = _watchers.get(loop)
    if watcher is None:
        watcher = _watchers[loop] = _Watcher(loop)
    return watcher


def _finished(future: Future[T]) -> Generator[Any, None, T]:
    yield from ()  # makes it a generator
    return future.result()


class _Turn:
    """The moment when a stream's next item is here, as a watcher waits for it."""

    def __init__(self, stream: ReadAhead[Any]) -> None:
        self._observe = stream._observe

    def result(self) -> None:
        """Nothing: the item is taken from the stream."""

    def cancel(self) -> None:
        """Nothing: a stream that one waiter gave up goes on."""


async def advance(stream: ReadAhead[T]) -> T:
    """The next item of `async for`."""
    if not stream._is_ready():
        await _watcher(asyncio.get_running_loop()).add(_Turn(stream))
    try:
        return next(stream)
    except StopIteration:
        raise StopAsyncIteration from None


_forgotten: list[object] = []


def forget() -> None:
    """In a fork: leave the parent's watchers alone, whose descriptors it uses."""
    _forgotten.append(dict(_watchers))
    _watchers.clear()
