"""Exceptions and results, kept by name and brought home from other processes: `LocalExcept`, `Except`.

Owns: the groups, what a function returned or yielded, the way home. Must not know: how the function is run (util).
"""

from __future__ import annotations

import collections
import contextlib
import functools
import itertools
import logging
import os
import pickle
import threading
import traceback
import weakref
from typing import TYPE_CHECKING, Any

import elsewhere

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from types import EllipsisType, TracebackType
    from typing import Self

__all__ = ["Except", "LocalExcept", "RemoteException", "with_cause"]

_log = logging.getLogger("remoteobj")

_GROUP = "__remoteobj_caught__"
"""The attribute of an exception that says which group has it."""


# ---------------------------------------------------------------- exceptions that travel
class RemoteTraceback(Exception):
    """The cause of an exception that was raised in another process: its traceback there, as text."""

    def __str__(self) -> str:
        return str(self.args[0])


class RemoteException:
    """An exception on its way to another process. What is unpickled there is the exception, the traceback its cause."""

    def __init__(self, exc: BaseException) -> None:
        self.exc: BaseException = exc
        self.tb: str = "".join(traceback.format_exception(exc))

    def __reduce__(self) -> tuple[Any, ...]:
        return _with_traceback, (self.exc, self.tb)


def _with_traceback(error: BaseException, text: str) -> BaseException:
    error.__cause__ = RemoteTraceback(f'\n"""\n{text}"""')
    return error


def with_cause(error: BaseException) -> None:
    """Make what is told from over there, which is a note, the cause of `error`, where that has none of its own.

    What was raised in no code of the program's, such as a KeyError of a dictionary, has no traceback there.
    """
    notes = getattr(error, "__notes__", [])
    told = [note for note in notes if note.lstrip("\n").startswith("raised in ")]
    if told and error.__cause__ is None:
        error.__notes__ = [note for note in notes if note not in told]
        text = "".join(told).lstrip("\n")
        last = "" if "Traceback (most recent call last)" in text else "".join(traceback.format_exception_only(error))
        _with_traceback(error, f"{text}\n{last}")


# ---------------------------------------------------------------- what a function gave
class _Results:
    """What a function returned, or yields."""

    def __init__(self) -> None:
        self._lock = threading.Condition()
        self._bells: list[Callable[[], object]] = []
        self.value: Any = None
        self.items: collections.deque[Any] = collections.deque()
        self.is_stream = False
        self.is_over = False
        self._users = 0
        """Functions that were started and not joined."""

    def begin(self, *, yields: bool) -> None:
        """A function is started whose results come here; of a generator function it is known that they are items."""
        with self._lock:
            if yields:
                self.is_stream, self.is_over = True, False
            self._users += 1

    def leave(self) -> None:
        """One was joined that has ended. After the last one nothing comes any more."""
        with self._lock:
            self._users -= 1
            is_last = self._users == 0
        if is_last:
            self.finish()

    def set(self, value: Any) -> None:
        with self._lock:
            self.value, self.is_over = value, True
            self._tell()

    def add(self, item: Any) -> None:
        with self._lock:
            self.is_stream, self.is_over = True, False
            self.items.append(item)
            self._tell()

    def end(self) -> None:
        with self._lock:
            self.is_stream = self.is_over = True
            self._tell()

    def finish(self) -> None:
        """Nothing comes any more, whether or not it came to its end."""
        with self._lock:
            self.is_over = True
            self._tell()

    def clear(self) -> None:
        with self._lock:
            self.value = None
            self.items.clear()

    def _tell(self) -> None:
        self._lock.notify_all()
        for ring in self._bells:
            ring()

    def is_ready(self) -> bool:
        """Whether there is an item, or there will be none."""
        return bool(self.items) or self.is_over

    def stream(self, wait: Callable[[], bool]) -> Iterator[Any]:
        """Give the items, waiting for each; `wait` gives whether there can be more."""
        while True:
            with self._lock:
                item = self.items.popleft() if self.items else _NOTHING
                is_over = self.is_over
            if item is not _NOTHING:
                yield item
            elif is_over or not wait():
                return

    def wait(self) -> bool:
        with self._lock:
            return self._lock.wait_for(self.is_ready)

    @contextlib.contextmanager
    def bell(self, ring: Callable[[], object]) -> Generator[None]:
        """Have `ring` called whenever something comes."""
        with self._lock:
            self._bells.append(ring)
        try:
            yield
        finally:
            with self._lock:
                self._bells.remove(ring)


_NOTHING = object()


class LocalExcept:
    """Keeps exceptions that were raised in blocks, in groups by name, and what functions returned or yielded.

    `with exc("init"): …` keeps what the block raises in the group "init"; `with exc: …` in the group None.
    """

    def __init__(
        self,
        *types: type[BaseException],
        raises: bool = True,
        catch_once: bool = True,
        log: bool | logging.Logger = False,
        log_tb: bool = False,
    ) -> None:
        """Keep exceptions of `types`; of Exception if none is given.

        Args:
            types: Classes of exceptions.
            raises: Whether they go on to whoever called; otherwise they end with the block.
            catch_once: Whether an exception that passes several blocks belongs to the innermost alone. Otherwise it
                goes on and belongs to all.
            log: Whether, or by which logger, each is logged.
            log_tb: Whether with its traceback.
        """
        self.types: tuple[type[BaseException], ...] = types or (Exception,)
        self.raises: bool = raises
        self.catch_once: bool = catch_once
        self.log: bool | logging.Logger = log
        self.log_tb: bool = log_tb
        self._begin()

    def _begin(self) -> None:
        self.first: BaseException | None = None
        self.last: BaseException | None = None
        self._groups: dict[str | None, list[BaseException]] = {}
        self._results = _Results()

    # ------------------------------------------------------------ blocks
    def __call__(
        self,
        name: str | None = None,
        raises: bool | None = None,
        types: type[BaseException] | tuple[type[BaseException], ...] | None = None,
        catch_once: bool | None = None,
        log: bool | logging.Logger | None = None,
        log_tb: bool | None = None,
    ) -> _Block:
        """Give a block for the group `name`; what is not None holds instead of what the constructor was given."""
        return _Block(
            self,
            name,
            raises=self.raises if raises is None else raises,
            types=self.types if types is None else types,
            catches_once=self.catch_once if catch_once is None else catch_once,
            logger=_logger(log, self.log),
            logs_traceback=self.log_tb if log_tb is None else log_tb,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        return self().__exit__(kind, error, traceback)

    def wrap(self, func: Callable[..., Any], result: bool = True) -> Callable[..., Any]:
        """Give `func` so that what it raises is kept, and with `result` also what it returns or yields."""

        @functools.wraps(func)
        def run(*args: Any, **kwargs: Any) -> Any:
            with self(raises=False):
                value = func(*args, **kwargs)
                if result:
                    self.set_result(value)
                return value
            return None

        return run

    # ------------------------------------------------------------ exceptions
    def set(self, exc: BaseException, name: str | None = None, mark: bool = True) -> None:
        """Keep an exception, unless it belongs to another group already; with `mark` it belongs to this one."""
        if getattr(exc, _GROUP, name) != name:
            return
        self._groups.setdefault(name, []).append(exc)
        self.first = self.first or exc
        self.last = exc
        if mark:
            _mark(exc, name)

    def get(self, name: str | EllipsisType | None = None, latest: bool = True) -> BaseException | None:
        """Give the last of a group, or the first with `latest=False`; of all, where the name is `...`."""
        self.pull()
        if isinstance(name, str) or name is None:
            group = self.group(name)
            return group[-1 if latest else 0] if group else None
        return self.last if latest else self.first

    def group(self, name: str | None = None) -> list[BaseException]:
        """Give the exceptions of a group."""
        self.pull()
        return list(self._groups.get(name, ()))

    __getitem__ = group

    def all(self) -> list[BaseException]:
        """Give all of all groups."""
        self.pull()
        return [error for group in list(self._groups.values()) for error in group]

    def __iter__(self) -> Iterator[BaseException]:
        return iter(self.all())

    def __bool__(self) -> bool:
        return bool(self.all())

    def raise_any(self, name: str | EllipsisType | None = ..., latest: bool = True) -> None:
        """Raise what `get` gives, if there is one."""
        error = self.get(name, latest)
        if error is not None:
            raise error

    def clear(self) -> None:
        """Forget all that is kept here."""
        self._begin()

    def pull(self) -> None:
        """Take in what came from other processes; it is taken in by itself when it comes."""

    def log_tracebacks(
        self,
        name: str | EllipsisType | None = ...,
        logger: logging.Logger = _log,
        all: bool = True,
        latest: bool = True,
    ) -> None:
        """Log all exceptions with their tracebacks, or with `all=False` the one that `get` gives."""
        self._log_each(name, logger, every=all, latest=latest, with_traceback=True)

    def log_error(
        self,
        name: str | EllipsisType | None = ...,
        logger: logging.Logger = _log,
        all: bool = True,
        latest: bool = True,
    ) -> None:
        """Log all exceptions in a line each, or with `all=False` the one that `get` gives."""
        self._log_each(name, logger, every=all, latest=latest, with_traceback=False)

    def _log_each(
        self,
        name: str | EllipsisType | None,
        logger: logging.Logger,
        *,
        every: bool,
        latest: bool,
        with_traceback: bool,
    ) -> None:
        if every:
            errors = self.group(name) if isinstance(name, str) or name is None else self.all()
        else:
            error = self.get(name, latest)
            errors = [] if error is None else [error]
        for error in errors:
            _log_one(error, logger, with_traceback=with_traceback)

    # ------------------------------------------------------------ results
    def set_result(self, x: Any) -> None:
        """Keep what a function returned; where that is an iterator, run it, and keep its items one by one."""
        if hasattr(x, "__iter__") and not hasattr(x, "__len__"):
            try:
                for item in x:
                    self._keep("add", item)
            finally:
                self._keep("end")
        else:
            self._keep("set", x)

    def _keep(self, verb: str, *values: Any) -> None:
        getattr(self._results, verb)(*values)

    def get_result(self, delay: float = 0) -> Any:  # noqa: ARG002 - remoteobj polls
        """Give what a function returned, None as long as it has not; of one that yields, a generator of its items."""
        results = self._results
        return results.stream(results.wait) if results.is_stream else results.value

    def clear_result(self) -> None:
        """Forget what the function returned or yielded so far."""
        self._results.clear()

    def pop_result(self) -> Any:
        """Give what `get_result` gives, and forget it."""
        results = self._results
        if results.is_stream:
            kept = list(results.items)
            results.clear()
            return iter(kept)
        value = results.value
        results.clear()
        return value

    def __str__(self) -> str:
        results = self._results
        given = "result=None" if results.value is None else f"result type={type(results.value)}"
        given = "yield" if results.is_stream else given
        lines = [
            f"\n{'*default*' if name is None else name:>16} [{len(group)} raised]"
            f" - last: ({type(group[-1]).__name__}: {str(group[-1])!r})"
            for name, group in self._groups.items()
        ]
        raised = "".join(lines) or " - No exceptions raised."
        return f"<{type(self).__name__} raises={self.raises} types={self.types} {given}{raised}>"


def _mark(error: BaseException, name: str | None) -> None:
    with contextlib.suppress(AttributeError, TypeError):  # a class with slots has no room for it
        setattr(error, _GROUP, name)


def _logger(own: bool | logging.Logger | None, general: bool | logging.Logger) -> logging.Logger | None:
    chosen = general if own is None else own
    if chosen is True:
        chosen = general
    return chosen if isinstance(chosen, logging.Logger) else _log if chosen or own else None


def _log_one(error: BaseException, logger: logging.Logger, *, with_traceback: bool) -> None:
    if with_traceback:
        logger.error("%s", error, exc_info=error)
    else:
        logger.error("(%s) %s", type(error).__name__, error)


class _Block:
    """One block, and what becomes of what it raises."""

    def __init__(
        self,
        book: LocalExcept,
        name: str | None,
        *,
        raises: bool,
        types: type[BaseException] | tuple[type[BaseException], ...],
        catches_once: bool,
        logger: logging.Logger | None,
        logs_traceback: bool,
    ) -> None:
        self._book = book
        self._name = name
        self._raises = raises or not catches_once
        self._types = types
        self._catches_once = catches_once
        self._logger = logger
        self._logs_traceback = logs_traceback

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        if error is None or not isinstance(error, self._types):
            return False
        self._book.set(error, self._name, self._catches_once)
        if self._logger is not None:
            _log_one(error, self._logger, with_traceback=self._logs_traceback)
        return not self._raises


# ---------------------------------------------------------------- the way home
class _Collector:
    """What all `Except` of a process are served by: it takes in what is kept for them in other processes."""

    def __init__(self) -> None:
        self.books: weakref.WeakValueDictionary[int, Except] = weakref.WeakValueDictionary()
        self.count = 0
        self.server = elsewhere.serve(self).start()

    def set(self, number: int, exc: Any, name: str | None, mark: bool) -> None:
        """Keep an exception, which was a RemoteException when it left."""
        book = self.books.get(number)
        if book is not None:
            LocalExcept.set(book, exc, name, mark)

    def fetch(self, number: int, throw: Callable[[], None], name: str | None, mark: bool) -> None:
        """Keep what `throw` raises, which cannot be pickled: it comes as whatever stands for it here."""
        try:
            throw()
        except elsewhere.ElsewhereError as error:
            if error.remote or isinstance(error, elsewhere.RemoteError):
                with_cause(error)
                self.set(number, error, name, mark)
        except Exception as error:  # noqa: BLE001 - it is kept
            with_cause(error)
            self.set(number, error, name, mark)

    def keep(self, number: int, verb: str, *values: Any) -> None:
        """Keep a result."""
        book = self.books.get(number)
        if book is not None:
            LocalExcept._keep(book, verb, *values)


_lock = threading.RLock()
_collector: _Collector | None = None
_numbers = itertools.count(1)
_desks: dict[elsewhere.Address, Any] = {}
"""The collectors of other processes, as far as they were needed."""


def _forget() -> None:
    """Be another process."""
    global _lock, _collector
    _lock = threading.RLock()
    _collector = None
    _desks.clear()


os.register_at_fork(after_in_child=_forget)


def _enter(book: Except) -> tuple[elsewhere.Address, int]:
    global _collector
    with _lock:
        if _collector is None:
            _collector = _Collector()
        _collector.count += 1
        number = next(_numbers)
        _collector.books[number] = book
        weakref.finalize(book, _leave, _collector).atexit = False
        return _collector.server.address, number


def _leave(collector: _Collector) -> None:
    global _collector
    with _lock:
        collector.count -= 1
        if collector.count or collector is not _collector:
            return
        _collector = None
    collector.server.close()


class _Thrower:
    """An exception that stays where it was raised."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def throw(self) -> None:
        raise self._error


class Except(LocalExcept):
    """A `LocalExcept` whose copies in other processes send what they keep to the process that made it.

    It goes to them by a fork, or as an argument. What one of them keeps is here before the block over there has ended.
    """

    def __init__(
        self,
        *types: type[BaseException],
        store_remote: bool = True,
        manager: object = None,  # noqa: ARG002 - of remoteobj's queue
        **options: Any,
    ) -> None:
        """Keep exceptions as `LocalExcept` does, in all processes; those of others also there with `store_remote`."""
        super().__init__(*types, **options)
        self._store_remote = store_remote
        self._pid = os.getpid()
        self._address, self._number = _enter(self)

    def __reduce__(self) -> tuple[Any, ...]:
        options = {name: getattr(self, name) for name in ("types", "raises", "catch_once", "log", "log_tb")}
        return _arrived, (type(self), self._pid, self._address, self._number, self._store_remote, options)

    def set(self, exc: BaseException, name: str | None = None, mark: bool = True) -> None:
        """Keep an exception where this was made, and here too."""
        if self._pid == os.getpid():
            super().set(exc, name, mark)
            return
        if getattr(exc, _GROUP, name) != name:
            return
        if mark:
            _mark(exc, name)
        with contextlib.suppress(elsewhere.ConnectionLost):  # nobody is at home any more
            try:
                self._home().set(self._number, RemoteException(exc), name, mark)
            except (elsewhere.ArgumentError, pickle.PicklingError):
                self._home().fetch(self._number, _Thrower(exc).throw, name, mark)
        if self._store_remote:
            super().set(exc, name, mark)

    def _keep(self, verb: str, *values: Any) -> None:
        if self._pid == os.getpid():
            super()._keep(verb, *values)
            return
        try:
            self._home().keep(self._number, verb, *values)
        except elsewhere.ArgumentError as error:
            text = f"what the function gave cannot be sent home: {error}"
            raise elsewhere.ResultError(text, outcome="finished") from None
        except elsewhere.ConnectionLost:
            pass  # nobody is at home any more

    def _home(self) -> Any:
        desk = _desks.get(self._address)
        if desk is None:
            desk = _desks[self._address] = elsewhere.connect(self._address)
        return desk


def _arrived(
    cls: type[Except], pid: int, address: elsewhere.Address, number: int, store_remote: bool, options: dict[str, Any]
) -> Except:
    """Give the copy of an `Except` in this process; where that is the one that made it, the very same."""
    with _lock:
        known = _collector.books.get(number) if _collector is not None and pid == os.getpid() else None
    if known is not None:
        return known
    book = object.__new__(cls)
    book.__dict__.update(options, _pid=pid, _address=address, _number=number, _store_remote=store_remote)
    book._begin()
    return book
