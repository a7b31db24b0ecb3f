"""Functions in a process or thread of their own, and what tests of such programs need: `process`, `thread`, `listener`.

Owns: starting and joining them, what they are called. Must not know: how results come home (excs).
"""

from __future__ import annotations

import abc
import contextlib
import ctypes
import faulthandler
import fcntl
import functools
import inspect
import itertools
import multiprocessing as mp
import os
import signal
import threading
import time
from multiprocessing import connection
from typing import TYPE_CHECKING, Any

from elsewhere.dialects.remoteobj.excs import Except, LocalExcept

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from types import TracebackType
    from typing import Self

__all__ = [
    "dummy_listener",
    "find_thread",
    "job",
    "listener",
    "listener_func",
    "mprint",
    "process",
    "raise_thread",
    "segfault",
    "set_faulthandler",
    "thread",
]

CALLBACK_DELAY = 0.001
"""Seconds between two calls of a listener's callback."""

LAST_SECOND = 1.0
"""Seconds from SIGTERM to SIGKILL for a process whose parent has ended."""


class _Background(abc.ABC):
    """What processes and threads have in common: a base beside `mp.Process` or `threading.Thread`."""

    is_alive: Callable[[], bool]
    name: str
    _book: type[LocalExcept]
    """What keeps exceptions and results, where nobody says."""

    def __init__(
        self,
        func: Callable[..., Any],
        *args: Any,
        results_: bool = True,
        timeout_: float | None = None,
        raises_: bool = True,
        name_: str | None = None,
        group_: None = None,
        daemon_: bool = True,
        exc_: LocalExcept | None = None,
        close_: Callable[[], object] | None = None,
        **kwargs: Any,
    ) -> None:
        """Name a function, its arguments, and how it is run.

        Args:
            func: The function.
            args: Its arguments.
            results_: Whether what it returns or yields is sent home.
            timeout_: Seconds that joining waits at most.
            raises_: Whether joining raises what it raised.
            name_: The name of the process or thread: that of the function and a number, if there is none.
            group_: None.
            daemon_: Whether it ends with this process.
            exc_: What keeps its exceptions and results: of a process an `Except`.
            close_: Called before it is waited for.
            kwargs: The function's other arguments.

        Raises TypeError for an `exc_` that brings nothing home.
        """
        super().__init__(group=group_, name=name_, daemon=daemon_)  # type: ignore[call-arg]
        if exc_ is not None and not isinstance(exc_, self._book):
            kinds = self._book.__name__, type(exc_).__name__
            text = "exc_ must be of the class {}: a {} brings nothing home from a process".format(*kinds)
            raise TypeError(text)
        self.exc: LocalExcept = self._book() if exc_ is None else exc_
        self._is_counted = False
        self._closing, self._timeout, self._raises, self._wants_result = close_, timeout_, raises_, results_
        self._work = functools.partial(func, *args, **kwargs)
        if name_ is None:
            self.name = "-".join(part for part in (getattr(func, "__name__", None), *self._numbered()) if part)

    @abc.abstractmethod
    def _numbered(self) -> tuple[str, str]:
        """What it is, and which one."""

    @abc.abstractmethod
    def _wait(self) -> bool:
        """Wait for an item, or for the end. Gives whether there is an item, or the end of the function."""

    def start(self) -> Self:
        """Start it. Gives it."""
        self.exc._results.begin(yields=self._wants_result and inspect.isgeneratorfunction(self._work))
        self._is_counted = True
        super().start()  # type: ignore[misc]
        return self

    def __enter__(self) -> Self:
        """Start it."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Wait for its end, and raise what it raised."""
        self.join()

    def join(self, timeout: float | None = None, raises: bool | None = None) -> None:
        """Wait for its end, at most `timeout` seconds, and raise what it raised unless `raises` is False."""
        if self._closing is not None:
            self._closing()
        super().join(self._timeout if timeout is None else timeout)  # type: ignore[misc]
        if self._is_counted and not self.is_alive():
            self._is_counted = False
            self.exc._results.leave()
        if self._raises if raises is None else raises:
            self.exc.raise_any()

    def raise_any(self) -> None:
        """Raise what it raised, if it has."""
        self.exc.raise_any()

    @property
    def result(self) -> Any:
        """What the function returned, None as long as it has not; of one that yields, a generator of its items.

        Of a generator function from its start on, of another that returns an iterator from its first item on.
        """
        results = self.exc._results
        return results.stream(self._wait) if results.is_stream else results.value


class process(_Background, mp.Process):  # type: ignore[misc]  # noqa: N801 - remoteobj's name
    """A function in a process of its own, which is joined at the end of a `with`.

    What it raises is raised by `join`; what it returns or yields is `result`. It ends with the process that started it.
    """

    _book = Except

    def _numbered(self) -> tuple[str, str]:
        return "process", ":".join(map(str, self._identity))

    def __getstate__(self) -> dict[str, Any]:
        """Leave here what is only for who joins."""
        return {**self.__dict__, "_closing": None}

    def run(self) -> None:
        """Run the function, in the process."""
        if self.daemon:
            _end_with_parent()
        self.exc.wrap(self._work, self._wants_result)()

    def _wait(self) -> bool:
        """Wait for an item, or for the end of the process: whoever was killed yields no more."""
        results = self.exc._results
        reader, writer = os.pipe()
        try:
            with results.bell(lambda: os.write(writer, b"x")):
                if not results.is_ready():
                    connection.wait([self.sentinel, reader])
        finally:
            os.close(reader)
            os.close(writer)
        return results.is_ready()


class thread(_Background, threading.Thread):  # type: ignore[misc]  # noqa: N801 - remoteobj's name
    """A function in a thread of its own, as `process` is in a process."""

    _book = LocalExcept
    _numbers = itertools.count(1)

    def _numbered(self) -> tuple[str, str]:
        return "thread", str(next(self._numbers))

    def run(self) -> None:
        """Run the function, in the thread."""
        try:
            self.exc.wrap(self._work, self._wants_result)()
        finally:
            self.exc._results.finish()

    def throw(self, exc: BaseException | type[BaseException]) -> None:
        """Raise an exception in the thread, at its next bytecode."""
        raise_thread(exc, self)

    def _wait(self) -> bool:
        return self.exc._results.wait()


def job(*args: Any, threaded_: bool = True, **options: Any) -> process | thread:
    """Make a `thread`, or with `threaded_=False` a `process`."""
    return thread(*args, **options) if threaded_ else process(*args, **options)


def _end_with_parent() -> None:
    """End this process when the one that started it has ended, however that was.

    The kernel sends SIGTERM then, whatever runs here; a second later a thread ends who goes on all the same.
    """
    parent = mp.parent_process()
    if parent is None:
        return
    with contextlib.suppress(OSError, TypeError):  # a sentinel that is no pipe
        fcntl.fcntl(parent.sentinel, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(parent.sentinel, fcntl.F_SETSIG, signal.SIGTERM)
        fcntl.fcntl(parent.sentinel, fcntl.F_SETFL, fcntl.fcntl(parent.sentinel, fcntl.F_GETFL) | os.O_ASYNC)

    def watch() -> None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(LAST_SECOND)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="remoteobj-parent", daemon=True).start()


# ---------------------------------------------------------------- an object that listens in a process of its own
class _Signal:
    """What `threading.Event` is, for one process that waits; one that was killed meanwhile harms nobody."""

    def __init__(self) -> None:
        self._reader, self._writer = mp.Pipe(duplex=False)

    def set(self) -> None:
        with contextlib.suppress(OSError):
            self._writer.send_bytes(b"x")

    def is_set(self) -> bool:
        return self.wait(0)

    def wait(self, timeout: float | None = None) -> bool:
        return self._reader.poll(timeout)

    def close(self) -> None:
        self._reader.close()
        self._writer.close()


@contextlib.contextmanager
def listener(
    obj: Any,
    bg: bool | Callable[..., Any] | None = None,
    wait: bool = True,
    callback: Callable[[Any], object] | None = None,
    wait_timeout: float | None = 10,
    join_timeout: float | None = 10,
    **options: Any,
) -> Generator[process]:
    """Have `obj`, whose proxy is `obj.remote`, listen in a process of its own during the block. Gives that process.

    Args:
        obj: The object.
        bg: Whether it listens in a thread there; by default where there is a callback. Or a function that is run there
            instead, with the object, an event that says when to end, and `callback=`.
        wait: Whether to wait until it listens.
        callback: Called there again and again, with the object.
        wait_timeout: Seconds to wait for that at most.
        join_timeout: Seconds to wait at most for the end of the process.
        options: Those of `process`.
    """
    if bg is None:
        bg = callback is not None
    work = bg if callable(bg) else _listen_beside if bg else _listen
    end = _Signal()
    try:
        with process(work, obj, end, callback=callback, timeout_=join_timeout, **options) as started:
            try:
                if wait:
                    obj.remote.wait_until_listening(started, timeout=wait_timeout)
                yield started
            finally:
                end.set()
    finally:
        end.close()


dummy_listener = listener


def listener_func(func: Callable[[Any], object]) -> Callable[..., contextlib.AbstractContextManager[process]]:
    """Make a listener of a function: it is called again and again with the object that listens."""

    @functools.wraps(func)
    def inner(
        obj: Any, bg: bool | Callable[..., Any] | None = None, wait: bool = True, **options: Any
    ) -> contextlib.AbstractContextManager[process]:
        return listener(obj, bg, wait, func, **options)

    return inner


def _listen(
    obj: Any, end: _Signal, callback: Callable[[Any], object] | None = None, delay: float = CALLBACK_DELAY
) -> None:
    """Answer in this thread, and call the callback in between."""
    if callback is None:
        with obj.remote.listen_():
            threading.Thread(target=lambda: end.wait() and obj.remote.stop_listen_(), daemon=True).start()
            obj.remote._home.run()
        return
    with obj.remote:
        while not end.is_set():
            obj.remote.process_requests(delay)
            callback(obj)


def _listen_beside(
    obj: Any, end: _Signal, callback: Callable[[Any], object] | None = None, delay: float = CALLBACK_DELAY
) -> None:
    """Answer in a thread, and call the callback in this one."""
    with obj.remote.listen_(bg=True):
        while not end.wait(None if callback is None else delay):
            if callback is not None:
                callback(obj)


# ---------------------------------------------------------------- threads, and what else tests need
def find_thread(name: str | threading.Thread, require: bool = False) -> threading.Thread | None:
    """Give the thread of this name, or None; with `require` that is a ValueError."""
    if isinstance(name, threading.Thread):
        return name
    found = next((one for one in threading.enumerate() if one.name == name), None)
    if found is None and require:
        text = f"Couldn't find thread matching: {name}"
        raise ValueError(text)
    return found


def raise_thread(exc: BaseException | type[BaseException], name: str | threading.Thread = "MainThread") -> None:
    """Raise an exception in a thread, at its next bytecode: not while it waits in C code.

    Raises:
        ValueError: there is no such thread, or it does not run.
    """
    found = find_thread(name, require=True)
    number = None if found is None else found.ident
    raised = ctypes.py_object(exc if isinstance(exc, type) else _class_of(exc))
    if number is None or not ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(number), raised):
        text = f"the thread {name} does not run"
        raise ValueError(text)


def _class_of(error: BaseException) -> type[BaseException]:
    """Give a class that makes just this exception: a thread is told a class, and makes the exception itself."""
    return type(type(error).__name__, (type(error),), {"__new__": lambda _: error})


def mprint(*args: Any, end: str = "\n", **options: Any) -> None:
    """Print in one piece, which other processes do not print into."""
    print(" ".join(map(str, args)) + (end or ""), end="", **options)


def set_faulthandler(dumps: bool | None = None) -> None:
    """Have a crash show the tracebacks of all threads, or not; None leaves it as it is."""
    if dumps:
        faulthandler.enable()
    elif dumps is not None:
        faulthandler.disable()


def segfault(dumps: bool | None = None) -> None:
    """Crash this process, to see what becomes of that."""
    set_faulthandler(dumps)
    os.kill(os.getpid(), signal.SIGSEGV)
