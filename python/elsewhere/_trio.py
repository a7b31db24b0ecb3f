"""Futures and streams under trio.

Owns: one watcher per run of trio. Must not know: connections, threads.
A watcher is a system task that waits for one descriptor; whoever routes an answer puts the waiter's key into its queue.
"""

from __future__ import annotations

import functools

import trio

from . import _core

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, ParamSpec, TypeVar

    from ._core import Future, ReadAhead

    P = ParamSpec("P")
    T = TypeVar("T")


class _Watcher:
    """Wakes the tasks of one run when answers arrive."""

    def __init__(self) -> None:
        self._queue = _core.LoopQueue()
        self._tasks: dict[int, trio.lowlevel.Task] = {}
        self._next_key = 0

    async def wait(self, observed: Future[Any] | ReadAhead[Any]) -> None:
        """Return when `observed` has news. A checkpoint in any case."""
        self._next_key += 1
        key = self._next_key
        if observed._observe(self._queue, key):
            await trio.lowlevel.checkpoint()
            return
        self._tasks[key] = trio.lowlevel.current_task()

        def abort(_raise_cancel: object) -> trio.lowlevel.Abort:
            del self._tasks[key]
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)

    async def serve(self) -> None:
        """Wake whom the queue names, until the run ends."""
        while True:
            await trio.lowlevel.wait_readable(self._queue.fileno())
            for key in self._queue.drain():
                if key == 0:  # a call in a chain that a task of this run waits in
                    self._queue.run_calls()
                    continue
                task = self._tasks.pop(key, None)
                if task is not None:
                    trio.lowlevel.reschedule(task)


_watcher_of_run: trio.lowlevel.RunVar[_Watcher] = trio.lowlevel.RunVar("elsewhere")


def _watcher() -> _Watcher:
    try:
        return _watcher_of_run.get()
    except LookupError:
        watcher = _Watcher()
        _watcher_of_run.set(watcher)
        trio.lowlevel.spawn_system_task(watcher.serve, name="elsewhere")
        return watcher


async def wait(future: Future[T]) -> T:
    """The value of `future`. Cancelling the wait cancels the call."""
    if future.done():
        await trio.lowlevel.checkpoint()
        return future.result()
    try:
        await _watcher().wait(future)
    except trio.Cancelled:
        future.cancel()
        raise
    return future.result()


async def advance(stream: ReadAhead[T]) -> T:
    """The next item of `async for`. Cancelling the wait leaves the stream as it is."""
    if stream._is_ready():
        await trio.lowlevel.checkpoint()
    else:
        await _watcher().wait(stream)
    try:
        return next(stream)
    except StopIteration:
        raise StopAsyncIteration from None


async def in_thread(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function that blocks in a thread, and wait for it; it is not abandoned."""
    return await trio.to_thread.run_sync(functools.partial(function, *args, **kwargs))
