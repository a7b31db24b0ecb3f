"""Which threads run in this process beside the calling one, since a fork has that one alone.

Owns: the look at them, and what ends those that end by themselves. Must not know: what is forked, what comes of it.
A zygote imports this before its first fork, so it imports nothing that is not there anyway.
"""

from __future__ import annotations

import _thread
import posix
import sys
import time

from . import _core

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    T = TypeVar("T")

WATCH_THREAD = "elsewhere-watch"
"""What the system calls the engine's thread, which is stopped by the hooks of forks."""

MOMENT = 0.05
"""Seconds that a thread which has ended may take to be gone."""

GLANCE = 0.0001
"""Seconds between two looks whether it is."""

IS_WARNED: bool = sys.version_info >= (3, 12)
"""Whether CPython warns of forks beside threads."""

POOL_SETTINGS = ("OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "OMP_NUM_THREADS")
"""Variables that give the pool of OpenBLAS another size than one thread for each core."""


def others(*, but_pool: bool = False) -> list[str]:
    """The names of the threads that run beside this one, Python's own or else those of libraries.

    With `but_pool` none of the pool that numpy brings, which the fork will end: who forks looks again.
    """
    names = of_python()
    if names:
        return names
    seen = _seen()
    if seen and but_pool and len(seen) == _pool_size():
        return []
    if seen and "numpy" not in sys.modules:
        seen = of_libraries()  # no pool that is known: most of these are on their way out
    if seen:
        probe()
    return of_libraries()


def _pool_size() -> int:
    """The threads that OpenBLAS starts when numpy is imported; 0 where that cannot be told."""
    if "numpy" not in sys.modules or any(name.encode() in posix.environ for name in POOL_SETTINGS):
        return 0
    return len(posix.sched_getaffinity(0)) - 1


def of_python() -> list[str]:
    """The names of Python's threads beside this one."""
    threading = sys.modules.get("threading")
    if threading is None:
        return []
    this = _thread.get_ident()
    return [thread.name for thread in threading.enumerate() if thread.ident != this]


def of_libraries() -> list[str]:
    """The threads that stay: one that was joined a moment ago may still be on its way out of the system."""
    names = _seen()
    end = time.monotonic() + MOMENT if names else 0.0
    while names and time.monotonic() < end:
        time.sleep(GLANCE)
        names = _seen()
    return names


def _seen() -> list[str]:
    threads = _core._other_threads()
    return [f"{name}, thread {task} of a library" for task, name in threads if name != WATCH_THREAD]


def probe() -> None:
    """End the threads that end with any fork."""
    quietly(_core._fork_for_nothing)


def quietly(fork: Callable[[], T]) -> T:
    """Fork without CPython's warning of forks beside threads: it counts those that the fork itself ends."""
    if not IS_WARNED:
        return fork()
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return fork()
