"""Which threads run in this process beside the calling one, since a fork has that one alone.

Owns: the look at them, and what ends those that end by themselves. Must not know: what is forked, what comes of it.
A zygote imports this before its first fork, so it imports nothing that is not there anyway.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found] # built in, as `posix` is: `signal` and `os` would be imports
import _thread
import posix
import sys
import time

from . import _core

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

WATCH_THREAD = "elsewhere-watch"
"""What the system calls the engine's thread, which is stopped by the hooks of forks."""

MOMENT = 0.05
"""Seconds that a thread which has ended may take to be gone."""

GLANCE = 0.0001
"""Seconds between two looks whether it is."""

_probes: list[int] = []
"""Forks for nothing that are not reaped yet. What they take to end is time for something else."""


IS_WARNED: bool = sys.version_info >= (3, 12)
"""Whether CPython warns of forks beside threads."""

POOL_SETTINGS = ("OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "OMP_NUM_THREADS")
"""Variables that give the pool of OpenBLAS another size than one thread for each core."""


def others(*, but_pool: bool = False) -> list[str]:
    """The names of the threads that run beside this one, Python's own or else those of libraries.

    With `but_pool` none of the pool that numpy brings, which the fork will end: who forks looks again. `reap()` later.
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
    if threading is not None:
        this = _thread.get_ident()
        return [thread.name for thread in threading.enumerate() if thread.ident != this]
    return []


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
    """Fork once for nothing: pools like OpenBLAS's, which numpy brings, end their threads when their process forks."""
    mask = _signal.pthread_sigmask(_signal.SIG_BLOCK, _signal.valid_signals())
    try:
        pid = quietly(posix.fork)
        if pid == 0:
            posix._exit(0)
        _probes.append(pid)  # whatever came meanwhile
    finally:
        _signal.pthread_sigmask(_signal.SIG_SETMASK, mask)


def reap() -> None:
    """Wait for the forks for nothing, which have had their effect before they began."""
    while _probes:
        try:  # noqa: SIM105 - contextlib would be an import
            posix.waitpid(_probes[-1], 0)
        except ChildProcessError:
            pass  # somebody's handler of SIGCHLD was faster
        _probes.pop()


def quietly(fork: Callable[[], int]) -> int:
    """Fork without CPython's warning of forks beside threads: it counts those that the fork itself ends."""
    if not IS_WARNED:
        return fork()
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return fork()
