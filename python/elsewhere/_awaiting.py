"""What `await` means: which library's loop this thread runs at the moment, and what waits in its way.

Owns: the choice between asyncio and trio. Must not know: how either of them waits (`_loop` and `_trio` do). Neither is
imported before it runs here; under anyio one of the two runs.
"""

from __future__ import annotations

import sys

from . import _core

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator
    from typing import Any, ParamSpec, TypeVar

    from ._core import Future, ReadAhead

    P = ParamSpec("P")
    T = TypeVar("T")


def wait(future: Future[T]) -> Generator[Any, None, T]:
    """What `await future` iterates."""
    if is_trio():
        from . import _trio

        return _trio.wait(future).__await__()
    if not _is_asyncio():
        raise _nothing_runs()
    from . import _loop

    return _loop.wait(future)


def advance(stream: ReadAhead[T]) -> Coroutine[Any, Any, T]:
    """The next item of `async for`."""
    if is_trio():
        from . import _trio

        return _trio.advance(stream)
    if not _is_asyncio():
        raise _nothing_runs()
    from . import _loop

    return _loop.advance(stream)


async def in_thread(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function that blocks in a thread of the library that runs here, and wait for it."""
    if is_trio():
        from . import _trio

        return await _trio.in_thread(function, *args, **kwargs)
    import asyncio

    return await asyncio.to_thread(function, *args, **kwargs)


def is_loop_running() -> bool:
    """Whether this thread runs a loop at this moment, which must not be blocked."""
    return is_trio() or _is_asyncio()


def running_loop() -> Any:
    """The loop of asyncio that this thread runs at this moment, or None."""
    asyncio = sys.modules.get("asyncio.events")
    return None if asyncio is None else asyncio._get_running_loop()


def _is_asyncio() -> bool:
    return running_loop() is not None


def is_trio() -> bool:
    """Whether this thread runs a task of trio, also where trio is a guest of another loop."""
    trio = sys.modules.get("trio.lowlevel")
    if trio is None:
        return False
    try:
        trio.current_task()
    except RuntimeError:
        return False
    return True


def task_lane() -> _core.TaskLane | None:
    """The lane of the task that this thread runs at this moment; None outside of tasks.

    It is kept in the task's context, beside the task itself: those that are made by this one inherit the context.
    """
    global _lane_variable
    task = _current_task()
    if task is None:
        return None
    if _lane_variable is None:
        import contextvars

        _lane_variable = contextvars.ContextVar("elsewhere_lane")
    held: tuple[Callable[[], object], _core.TaskLane] | None = _lane_variable.get(None)
    if held is not None and held[0]() is task:
        return held[1]
    import weakref

    lane = _core.TaskLane()
    _lane_variable.set((weakref.ref(task), lane))
    return lane


_lane_variable: Any = None


def _current_task() -> Any:
    if is_trio():
        return sys.modules["trio.lowlevel"].current_task()
    loop = running_loop()
    return None if loop is None else sys.modules["asyncio"].current_task(loop)


def _nothing_runs() -> RuntimeError:
    return RuntimeError(
        "a Future is awaited under asyncio, trio or anyio, and none of them runs here; under another library call "
        "`future.result` in one of its threads"
    )
