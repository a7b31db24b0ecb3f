"""What runs in a zygote: a process that is ready to be a host, and forks one whenever its owner wants one.

Owns: what is imported before the forks, when there may be one, what a fork has to renew and can do beforehand. Must not
know: how it is asked (`_core.ZygoteSeat`), which hosts come from it (`_warm`).

A fork has one thread, the one that forked, so a zygote has no other. It never runs what an object does: after `preload`
it only waits, and everything else happens in the forks. The first of them is waited for while this starts, so until
then nothing is imported that a host may do without.

Where hosts follow each other a fork is there before it is wanted, a spare, which has done what a fork has to do that
does not depend on who wants it.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found] # `signal` would cost 4 ms of imports
import atexit
import gc
import marshal
import posix  # built in; `os` would be an import
import sys
from _frozen_importlib_external import FileFinder

from . import _core, _host_main, _threads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

LET_GO = (_signal.SIGTERM, _signal.SIGHUP)
"""What ends a process group. A zygote outlives its hosts, since nobody else is told how they end."""


def main(settings: dict[str, Any]) -> None:
    """Be a zygote until its owner wants no more hosts; in each fork, be a host until its owner is done with it.

    `settings` is what a host is configured with, as far as the preloaded modules may see it, and their directory.
    """
    _host_main._close_inherited()
    _host_main._handle_signals()
    if sys.stdout is not None:
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr] # as in a host that was executed
    seat = _core.ZygoteSeat()
    reason = _preload(seat.fileno(), settings) if settings else None
    _settle()
    fork = _wait_for_fork(seat, reason)
    setting = None if fork is None else _become_ready(seat, *fork)
    if setting is None:
        posix._exit(0)  # what the preloaded modules mean to do at the end is for the hosts to do
    _be_a_host(seat, setting)
    _end()


def _preload(pipe: int, settings: dict[str, Any]) -> str | None:
    """Make everything ready that the hosts have in common. Gives why there can be no forks.

    Nothing waits for the end of the owner meanwhile, which breaks `pipe`, so that ends this process by SIGIO.
    """
    import fcntl
    import os

    flags = fcntl.fcntl(pipe, fcntl.F_GETFL)
    fcntl.fcntl(pipe, fcntl.F_SETOWN, posix.getpid())
    fcntl.fcntl(pipe, fcntl.F_SETFL, flags | os.O_ASYNC)
    reason = None
    try:
        posix.chdir(settings["directory"])
        _host_main.BOOTSTRAP.configure({key: value for key, value in settings.items() if key != "directory"})
        if _core._other_threads() and not _threads.of_python():
            _threads.probe()
    except BaseException as error:  # noqa: BLE001 - the host that is executed instead tells it, whatever it is
        reason = f"it cannot be made ready ({type(error).__name__}: {error})"
    finally:
        fcntl.fcntl(pipe, fcntl.F_SETFL, flags)
    gc.collect()
    return reason


def _settle() -> None:
    """Let go of what belongs to the first host, and keep what is there by now shared: no collection writes to it."""
    _flush()
    posix.chdir("/")  # no directory is kept busy by who only waits
    null = posix.open("/dev/null", posix.O_RDWR)
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        _renew_stream(descriptor, name)
        posix.dup2(null, descriptor)
    posix.close(null)
    gc.freeze()


def _renew_stream(descriptor: int, name: str) -> None:
    """Make a standard stream for whatever hosts get: one of a file knows its position, and a pipe has none."""
    stream = getattr(sys, name)
    if stream is None or stream is not getattr(sys, f"__{name}__"):
        return  # there is none, or a preload knows better
    reading, writing = posix.pipe()
    posix.dup2(writing, descriptor)
    anew = open(descriptor, "w", 1, stream.encoding, stream.errors, closefd=False)  # noqa: SIM115 - it stays
    anew.buffer.raw.name = stream.name  # type: ignore[attr-defined]
    setattr(sys, name, anew)
    setattr(sys, f"__{name}__", anew)
    posix.close(reading)
    posix.close(writing)


def _wait_for_fork(seat: _core.ZygoteSeat, reason: str | None) -> tuple[bool, list[Any]] | None:
    """Fork hosts. Returns in each of them, with whether it is a spare, and the import path of the host before.

    In the zygote it returns at the end, with None.
    """
    handlers = _let_go_by_signals(seat)
    imported = set()
    path: list[Any] = []
    while (setting := seat.wait()) is not None:
        told = _read(setting) if setting else None
        place = told["place"] if told else None
        if place and "cloudpickle" not in imported:
            imported.add("cloudpickle")
            seat.dismiss()  # it lacks what follows
            _import_also("cloudpickle", place)
        path = told["configuration"].get("path", path) if told else path
        if setting and seat.employ():
            continue
        reason = reason or _reason_against_fork()
        if reason is not None:
            seat.refuse(reason)
            continue
        mask = _signal.pthread_sigmask(_signal.SIG_BLOCK, _signal.valid_signals())
        try:
            pid = posix.fork()
            if pid == 0:
                seat.leave()
                for number, handler in handlers.items():
                    _signal.signal(number, handler)
                return not setting, path
            seat.adopt(pid)
        except OSError as error:
            seat.fail(f"it cannot be forked: {error}")
        finally:
            _signal.pthread_sigmask(_signal.SIG_SETMASK, mask)
        if "_pickle" not in imported:
            imported.add("_pickle")
            _import_also("elsewhere._pickle")
    return None


def _let_go_by_signals(seat: _core.ZygoteSeat) -> dict[int, Callable[..., object] | int]:
    """Let polite signals have this process end with its last host. Gives what hosts do at them instead."""
    handlers = {number: _signal.getsignal(number) for number in LET_GO}
    handled = {number: handler for number, handler in handlers.items() if handler not in (_signal.SIG_IGN, None)}
    for number in handled:
        _signal.signal(number, lambda *_: seat.retire())
    return handled


def _import_also(name: str, *places: str) -> None:
    """Import what hosts to come need, from the import path or `places`."""
    path = list(sys.path)
    sys.path.extend(places)
    try:
        __import__(name)
    except Exception:  # noqa: BLE001 - whatever it is, hosts meet it themselves
        return
    finally:
        sys.path[:] = path
    gc.freeze()


def _reason_against_fork() -> str | None:
    threads = _threads.of_python() or _threads.of_libraries()
    return f"threads run in it after its imports ({', '.join(threads)})" if threads else None


def _become_ready(seat: _core.ZygoteSeat, is_spare: bool, path: list[Any]) -> bytes | None:
    """Do in a fork what does not depend on who wants it. Gives what the owner says then; None if nobody wants it.

    A spare expects an import path like `path`.
    """
    random = sys.modules.get("numpy.random")  # the standard one does so by itself
    if random is not None:
        random.seed()
    if is_spare:
        try:
            _find_finders(path)
            _rehearse_import()
            _core.rehearse({"path": list(sys.path), "arguments": list(sys.argv)})
        except Exception:  # noqa: BLE001, S110 - what it lacks, if it still does, is told when it is needed
            pass
    return seat.stand_by()


def _find_finders(path: list[Any]) -> None:
    """Have who looks for modules in the directories that every import of a module which is not here looks into first.

    Those are the ones before the first that this process has as well: behind it nobody may ever look. What they contain
    is not read before somebody does.
    """
    for directory in path:
        if directory in sys.path:
            break
        if isinstance(directory, str) and directory.startswith("/") and directory not in sys.path_importer_cache:
            finder = _finder_of(directory)
            if isinstance(finder, FileFinder):
                sys.path_importer_cache[directory] = finder


def _finder_of(directory: str) -> Any:
    """Who looks for modules there; None if nobody does."""
    for hook in sys.path_hooks:
        try:
            return hook(directory)
        except ImportError:
            pass
    return None


def _rehearse_import() -> None:
    """Import something as anything is imported, and forget it."""
    __import__("elsewhere._rehearsed")
    del sys.modules["elsewhere._rehearsed"]
    delattr(sys.modules["elsewhere"], "_rehearsed")


def _read(setting: bytes) -> dict[str, Any]:
    return marshal.loads(setting)  # type: ignore[no-any-return] # noqa: S302 - it comes from the owner, by its own socket


def _be_a_host(seat: _core.ZygoteSeat, setting: bytes) -> None:
    told = _read(setting)
    seat.become_host()
    _core.adopt_owner(told["concurrency"])
    _host_main.BOOTSTRAP.configure(told["configuration"])  # by now the owner wakes up
    _host_main.serve()


def _end() -> None:
    """End as the forks of multiprocessing do: all that is to be done at the end is done, and nothing is taken apart.

    To take an interpreter apart is to write to every page of it that is shared with the zygote: most of the time that
    ending a host takes.
    """
    threading = sys.modules.get("threading")
    if threading is not None:
        threading._shutdown()
    atexit._run_exitfuncs()
    _flush()
    posix._exit(0)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:  # noqa: SIM105 - contextlib would be an import
            stream.flush()  # what lies there would be written by each fork
        except (OSError, ValueError, AttributeError):
            pass
