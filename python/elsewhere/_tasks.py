"""Coroutines of calls that came in, as tasks of the loop that they belong to.

Owns: how such a task is started and cancelled under asyncio and trio. Must not know: which loop a call belongs to, how
its answer is sent (`_core` does).
"""

from __future__ import annotations

import sys

from . import _awaiting

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Callable, Coroutine
    from typing import Any

    from ._core import Running, StreamTurn


def current_loop() -> Callable[[], Any] | None:
    """What leads to the loop that this thread runs now: there the coroutines of objects run that are offered now."""
    if "trio" in sys.modules and _awaiting.is_trio():
        import trio

        token = trio.lowlevel.current_trio_token()
        return lambda: token
    loop = _awaiting.running_loop()
    if loop is None:
        return None
    import weakref

    return weakref.ref(loop)


def hand_over(find: Callable[[], Any], coroutine: Coroutine[Any, Any, Any], running: Running, chain: int) -> str:
    """Have a loop run a coroutine: "started", "stopped" if it does not run, "blocked" if its chain blocks it."""
    loop = find()
    if loop is None:
        return "stopped"
    if not hasattr(loop, "call_soon_threadsafe"):
        return _hand_over_to_trio(loop, coroutine, running)
    if _awaiting.running_loop() is loop or _stands_still(loop, chain):
        return "blocked"
    if not loop.is_running():
        return "stopped"
    import contextvars

    try:
        loop.call_soon_threadsafe(start, loop, coroutine, running, context=contextvars.Context())
    except RuntimeError:  # closed since
        return "stopped"
    return "started"


def _stands_still(loop: asyncio.AbstractEventLoop, chain: int) -> bool:
    local_loop = sys.modules.get("elsewhere._local_loop")  # imported where a local host has run a coroutine
    return local_loop is not None and bool(local_loop.stands_still(loop, chain))


def start(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], running: Running) -> None:
    """Make a task of the loop that this thread runs, or is about to run."""
    import _thread

    thread = _thread.get_ident()
    task = loop.create_task(_run(loop, coroutine, running))

    def cancel() -> None:
        if _thread.get_ident() == thread:
            task.cancel()
        else:
            loop.call_soon_threadsafe(task.cancel)

    def ended(task: asyncio.Task[None]) -> None:
        if task.cancelled():  # before its first step, or while the loop was taken down
            coroutine.close()
            running.never_began()

    running.began(cancel)
    task.add_done_callback(ended)


async def _run(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], running: Running) -> None:
    running.enter()
    try:
        value = await coroutine
    except BaseException as error:
        if isinstance(error, GeneratorExit) and _awaiting.running_loop() is not loop:
            raise  # the loop is gone, and with it whoever could wait for the answer
        running.fail(error)  # whatever it raised is the answer
    else:
        running.finish(value)


def _hand_over_to_trio(token: Any, coroutine: Coroutine[Any, Any, Any], running: Running) -> str:
    import trio

    if _awaiting.is_trio() and trio.lowlevel.current_trio_token() is token:
        return "blocked"

    def begin() -> None:
        trio.lowlevel.spawn_system_task(_run_under_trio, token, coroutine, running)

    try:
        token.run_sync_soon(begin)
    except trio.RunFinishedError:
        return "stopped"
    return "started"


async def _run_under_trio(token: Any, coroutine: Coroutine[Any, Any, Any], running: Running) -> None:
    import trio

    with trio.CancelScope() as scope:
        running.began(lambda: token.run_sync_soon(scope.cancel))
        running.enter()
        try:
            value = await coroutine
        except trio.Cancelled as error:
            running.fail(error)
            raise
        except BaseException as error:  # noqa: BLE001 - whatever it raised is the answer
            running.fail(error)
        else:
            running.finish(value)


async def take(iterator: AsyncIterator[Any], turn: StreamTurn) -> bool:
    """One turn of a stream that is asynchronous: its items until the turn is over; whether they have come to an end."""
    while True:
        try:
            item = await anext(iterator)
        except StopAsyncIteration:
            return True
        if not turn.send(item):
            return False


async def close(iterator: AsyncIterator[Any]) -> None:
    """End an asynchronous iterator as the end of an `async for` does not: its `finally` blocks run."""
    aclose = getattr(iterator, "aclose", None)
    if aclose is not None:
        await aclose()
