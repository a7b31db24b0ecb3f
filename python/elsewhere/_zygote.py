"""What runs in a zygote: a process that is ready to be a host, and forks one whenever its owner wants one.

Owns: what is imported before the forks, when there may be one, what a fork has to renew. Must not know: how it is asked
(`_core.ZygoteSeat`), which hosts come from it (`_warm`).

A fork has one thread, the one that forked, so a zygote has no other. It never runs what an object does: after `preload`
it only waits, and everything else happens in the forks.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found] # `signal` would cost 4 ms of imports
import contextlib
import fcntl
import gc
import os
import sys

from . import _core, _fork, _host_main

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any


def main(settings: dict[str, Any]) -> None:
    """Be a zygote until its owner wants no more hosts; in each fork, be a host until its owner is done with it.

    `settings` is what a host is configured with, as far as the preloaded modules may see it, and their directory.
    """
    _host_main._close_inherited()
    _host_main._handle_signals()
    if sys.stdout is not None:
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr] # as in a host that was executed
    seat = _core.ZygoteSeat()
    with _ended_with_owner(seat.fileno()):
        reason = _preload(settings)
    concurrency = _wait_for_fork(seat, reason)
    if concurrency is None:
        os._exit(0)  # what the preloaded modules mean to do at the end is for the hosts to do
    _be_a_host(seat, concurrency)


@contextlib.contextmanager
def _ended_with_owner(pipe: int) -> Generator[None]:
    """A block in which this process is ended by SIGIO when its owner is gone: nothing waits for that meanwhile."""
    flags = fcntl.fcntl(pipe, fcntl.F_GETFL)
    fcntl.fcntl(pipe, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(pipe, fcntl.F_SETFL, flags | os.O_ASYNC)
    try:
        yield
    finally:
        fcntl.fcntl(pipe, fcntl.F_SETFL, flags)


def _preload(settings: dict[str, Any]) -> str | None:
    """Make everything ready that the hosts have in common. Gives why there can be no forks."""
    reason = None
    try:
        if settings.get("directory"):
            os.chdir(settings["directory"])
        _host_main.BOOTSTRAP.configure({key: value for key, value in settings.items() if key != "directory"})
        _fork._probe()
    except BaseException as error:  # noqa: BLE001 - the host that is executed instead tells it, whatever it is
        reason = f"it cannot be made ready ({type(error).__name__}: {error})"
    with contextlib.suppress(OSError):
        os.chdir("/")  # no directory is kept busy by who only waits
    _flush()
    null = os.open("/dev/null", os.O_RDWR)
    os.dup2(null, 1)
    os.dup2(null, 2)
    os.close(null)
    gc.collect()
    gc.freeze()  # the pages of what is there by now stay shared: no collection writes to them
    return reason


def _wait_for_fork(seat: _core.ZygoteSeat, reason: str | None) -> str | None:
    """Fork hosts. Returns in each of them, with its way to run calls; in the zygote at the end, with None."""
    while (concurrency := seat.wait()) is not None:
        reason = reason or _reason_against_fork()
        if reason is not None:
            seat.refuse(reason)
            continue
        mask = _signal.pthread_sigmask(_signal.SIG_BLOCK, _signal.valid_signals())
        try:
            pid = os.fork()
            if pid == 0:
                return concurrency
            seat.adopt(pid)
        except OSError as error:
            seat.fail(f"it cannot be forked: {error}")
        finally:
            _signal.pthread_sigmask(_signal.SIG_SETMASK, mask)
    return None


def _reason_against_fork() -> str | None:
    threads = _fork._python_threads() or _fork._foreign_threads_after_a_moment()
    return f"threads run in it after its imports ({', '.join(threads)})" if threads else None


def _be_a_host(seat: _core.ZygoteSeat, concurrency: str) -> None:
    seat.become_host()
    random = sys.modules.get("numpy.random")  # the standard one does so by itself
    if random is not None:
        random.seed()
    _core.adopt_owner(int(concurrency) if concurrency.isdecimal() else concurrency)
    _host_main.serve()


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()  # what lies there would be written by each fork
