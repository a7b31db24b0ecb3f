"""The event loops of local hosts, each made for the host's first coroutine.

Owns: those loops. Must not know: who waits, how answers travel.
A local host has no thread. Whoever waits for a coroutine runs the host's loop until it has ended; a loop that this very
thread runs already, the caller's, stands still meanwhile.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import contextvars

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator
    from typing import Any, TypeVar

    T = TypeVar("T")

_runners: dict[int, asyncio.Runner] = {}


_standing_still: list[tuple[asyncio.AbstractEventLoop | None, int]] = []
"""The loops of callers whose threads run the loop of a local host meanwhile, and the chains that they wait in."""


def stands_still(loop: asyncio.AbstractEventLoop, chain: int) -> bool:
    """Whether a loop does not go on before what runs in this chain has ended."""
    return (loop, chain) in _standing_still


def run(host: int, chain: int, coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine of a call in `chain` to its end on the loop of a local host. The loop must not be running."""
    if not _runners:
        atexit.register(_close_all)
    if host not in _runners:
        # With a factory the thread's own loop stays as it is.
        _runners[host] = asyncio.Runner(loop_factory=asyncio.new_event_loop)
    waiting = (asyncio._get_running_loop(), chain)
    _standing_still.append(waiting)
    try:
        with nothing_running():
            return _runners[host].run(coroutine, context=contextvars.copy_context())  # its deadline stands there
    finally:
        _standing_still.remove(waiting)


def is_running(host: int) -> bool:
    """Whether the loop of a local host runs: the call that asks came from inside one of its coroutines."""
    return host in _runners and _runners[host].get_loop().is_running()


def close(host: int) -> None:
    """End the loop of a local host that has ended; what its coroutines left behind is cancelled."""
    runner = _runners.pop(host, None)
    if runner is not None and not runner.get_loop().is_running():
        with nothing_running():
            runner.close()


_forgotten: list[object] = []


def forget() -> None:
    """In a fork: leave the parent's loops alone, whose descriptors it uses."""
    _forgotten.append(dict(_runners))
    _runners.clear()


def _close_all() -> None:
    for host in list(_runners):
        close(host)


@contextlib.contextmanager
def nothing_running() -> Generator[None]:
    """Make this thread look as if it ran no loop and no task."""
    loop = asyncio._get_running_loop()
    if loop is None:
        yield
        return
    swap: Any = getattr(asyncio.tasks, "_swap_current_task", None)  # since 3.12
    task = swap(loop, None) if swap else None
    asyncio._set_running_loop(None)
    try:
        yield
    finally:
        asyncio._set_running_loop(loop)
        if swap:
            swap(loop, task)
