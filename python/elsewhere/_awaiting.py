"""What `await` means: which library's loop this thread runs at the moment, and what waits in its way.

Owns: the choice between asyncio and trio. Must not know: how either of them waits (`_loop` and `_trio` do). Neither is
imported before it runs here; under anyio one of the two runs.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator
    from typing import Any, ParamSpec, TypeVar

    from ._core import Future, ReadAhead

    P = ParamSpec("P")
    T = TypeVar("T")


def wait(future: Future[T]) -> Generator[Any, None, T]:
    """What `await future` iterates."""
    if _is_trio():
        from . import _trio

        return _trio.wait(future).__await__()
    if not _is_asyncio():
        raise _nothing_runs()
    from . import _loop

    return _loop.wait(future)


def advance(stream: ReadAhead[T]) -> Coroutine[Any, Any, T]:
    """The next item of `async for`."""
    if _is_trio():
        from . import _trio

        return _trio.advance(stream)
    if not _is_asyncio():
        raise _nothing_runs()
    from . import _loop

    return _loop.advance(stream)


async def in_thread(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function that blocks in a thread of the library that runs here, and wait for it."""
    if _is_trio():
        from . import _trio

        return await _trio.in_thread(function, *args, **kwargs)
    import asyncio

    return await asyncio.to_thread(function, *args, **kwargs)


def is_loop_running() -> bool:
    """Whether this thread runs a loop at this moment, which must not be blocked."""
    return _is_trio() or _is_asyncio()


def _is_asyncio() -> bool:
    asyncio = sys.modules.get("asyncio.events")
    return asyncio is not None and asyncio._get_running_loop() is not None


def _is_trio() -> bool:
    """Whether this thread runs a task of trio, also where trio is a guest of another loop."""
    trio = sys.modules.get("trio.lowlevel")
    if trio is None:
        return False
    try:
        trio.current_task()
    except RuntimeError:
        return False
    return True


def _nothing_runs() -> RuntimeError:
    return RuntimeError(
        "a Future is awaited under asyncio, trio or anyio, and none of them runs here; under another library call "
        "`future.result` in one of its threads"
    )
