"""Where the object of a proxy is: here, with whoever listens, or nowhere.

Owns: the address of an object, its listener, the way to it. Must not know: what is asked of the object, beside that it
is steps (view).
"""

from __future__ import annotations

import contextlib
import copy
import os
import threading
import weakref
from typing import TYPE_CHECKING, Any

import elsewhere
from elsewhere.dialects.remoteobj.excs import RemoteException, with_cause
from elsewhere.dialects.remoteobj.view import called, sent, take

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from elsewhere.dialects.remoteobj.view import Step

__all__ = ["ABSENT", "Home", "NotListeningError", "home_at", "listening"]

PATIENCE = 1e7
"""Seconds that connecting may take: as long as it takes a listener to have time for it."""

FOLLOW_UP = 0.1
"""Seconds that who has just connected may take to ask for something."""

CLOSE_TIMEOUT = 5.0
"""Seconds that a listener that stops may take to answer what it was asked."""


class ABSENT:
    """Stands for a default that was not given, and for an object that is not here."""


class NotListeningError(RuntimeError):
    """Nobody listens, or nobody does any more; remoteobj raises RuntimeError."""


class CancelledError(Exception):
    """The listener does not answer what it was asked. What a client raises is NotListeningError."""


class Raised:
    """What was raised there and is no Exception, or a StopIteration: they would not travel as themselves."""

    def __init__(self, error: BaseException) -> None:
        self.error: Any = RemoteException(error)  # which becomes the error itself on its way


class Desk:
    """What is served for an object: it takes the steps that clients ask for."""

    def __init__(self, obj: Any, stop: Callable[[], None]) -> None:
        self._obj = obj
        self._stop = stop
        self.is_cancelling: bool = False
        self.is_busy: bool = False
        self.count: int = 0

    def call(self, steps: tuple[Step, ...] | str, /, *args: Any, **kwargs: Any) -> Any:
        """Call what the steps lead to. The object itself is answered by this desk, which the caller has a name for."""
        self.count += 1  # as in `_begin`, without a step of its own
        if self.is_cancelling:
            raise CancelledError
        self.is_busy = True
        try:
            found = getattr(self._obj, steps) if type(steps) is str else take(self._obj, steps)
            result = called(found, args, kwargs) if kwargs else found(*args)
        except BaseException as error:  # noqa: BLE001 - it is the caller's, as with remoteobj
            return _raised(error)
        finally:
            self.is_busy = False
        return result if type(result) in PLAIN else self._given(result)

    def resolve(self, steps: tuple[Step, ...] | str) -> Any:
        """Give what the steps lead to."""
        self._begin()
        self.is_busy = True
        try:
            result = getattr(self._obj, steps) if type(steps) is str else take(self._obj, steps)
        except BaseException as error:  # noqa: BLE001 - likewise
            return _raised(error)
        finally:
            self.is_busy = False
        return result if type(result) in PLAIN else self._given(result)

    def iterate(self, steps: tuple[Step, ...] | str) -> Iterator[Any]:
        """Give the items of what the steps lead to."""
        self._begin()
        yield from take(self._obj, steps)

    def stop(self) -> None:
        """Listen no more, because another process wants that."""
        self.is_busy = True
        try:
            self._stop()
        finally:
            self.is_busy = False

    def _begin(self) -> None:
        self.count += 1
        if self.is_cancelling:
            raise CancelledError

    def _given(self, result: Any) -> Any:
        return self if result is self._obj else sent(result)


def _raised(error: BaseException) -> Raised:
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        raise error
    return Raised(error)


class Line:
    """The way to a desk, and its methods."""

    def __init__(self, desk: Any) -> None:
        self.desk: Any = desk
        self.call: Any = desk.call
        self.resolve: Any = desk.resolve
        self.iterate: Any = desk.iterate


PLAIN = frozenset({bool, bytes, complex, dict, float, int, list, set, str, type(None)})
"""Types whose values are what they are, on both sides."""

listening: dict[str, Home] = {}
"""Who listens in this process, by their places."""

_homes: weakref.WeakValueDictionary[str, Home] = weakref.WeakValueDictionary()
"""All that are known in this process."""

_beginning = threading.Lock()
"""Held from where others find a listener until this process knows of it."""


def _forget() -> None:
    global _beginning
    _beginning = threading.Lock()  # whoever held it is not here
    listening.clear()


os.register_at_fork(after_in_child=_forget)


class Home:
    """One object, and where it is asked for. Goes to other processes with its proxies."""

    def __init__(self, obj: Any, *, default: Any, is_eager: bool, fulfills: bool) -> None:
        self._fill(obj, default, elsewhere.reserve(), is_eager=is_eager, fulfills=fulfills)
        self.maker = os.getpid()

    maker: int | None = None
    """The process that it was made in."""

    def _fill(self, obj: Any, default: Any, address: elsewhere.Address, *, is_eager: bool, fulfills: bool) -> None:
        self.obj: Any = obj
        self.default: Any = default
        self.address: elsewhere.Address = address
        self.is_eager: bool = is_eager
        self._fulfills = fulfills
        self._begin()

    def _begin(self) -> None:
        self.place: str = str(self.address)
        self.line: Line | None = None
        self._here: Desk | None = None
        self._server: elsewhere.Server | None = None
        self.is_background: bool = False
        self.root: Callable[[], Any] = lambda: None
        _homes[self.place] = self

    def __getstate__(self) -> tuple[Any, ...]:
        return self.obj, self.default, self.is_eager, self._fulfills, self.address, self.maker

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        obj, default, is_eager, fulfills, address, self.maker = state
        self._fill(obj, default, address, is_eager=is_eager, fulfills=fulfills)

    def __deepcopy__(self, memo: dict[int, Any]) -> Home:
        """Copy the object: the copy has an address of its own."""
        home: Home = object.__new__(Home)
        memo[id(self)] = home
        home.__init__(  # type: ignore[misc]
            copy.deepcopy(self.obj, memo), default=self.default, is_eager=self.is_eager, fulfills=self._fulfills
        )
        return home

    # ------------------------------------------------------------ who asks
    def ask(self, verb: str, steps: tuple[Step, ...] | str, /, *args: Any, **kwargs: Any) -> Any:
        """Have it done by whoever listens. Where the result is the object itself, it is this home that is given.

        Raises:
            NotListeningError: nobody does.
            Exception: what was raised there.
        """
        line = self.line
        is_new = line is None
        try:
            line = line or self._connect()
            result = getattr(line, verb)(steps, *args, **kwargs)
        except Exception as error:  # noqa: BLE001 - most are raised again
            self.pass_on(error, is_new=is_new)
        else:
            return result if type(result) in PLAIN else self.taken(result, line)
        return self.ask(verb, steps, *args, **kwargs)  # another one may listen by now

    def pass_on(self, error: Exception, *, is_new: bool = False) -> None:
        """Raise what was met while something was asked for. Returns where it may be asked for once more."""
        if isinstance(error, elsewhere.ConnectionLost) and not error.remote:
            self.line = None
            if not is_new and error.outcome == "not_started":
                return
            raise NotListeningError(*error.args) from None
        if isinstance(error, CancelledError):
            text = "the listener stopped before it came to this"
            raise NotListeningError(text) from None
        if not isinstance(error, elsewhere.ConnectionLost):
            with_cause(error)
        raise error

    def taken(self, result: Any, line: Line) -> Any:
        """What a result stands for: the object itself is this home."""
        if type(result) is Raised:
            raise result.error
        return self if result is line.desk else result

    def _connect(self) -> Line:
        """Give the way to the listener's desk."""
        desk = elsewhere.connect(self.address, timeout=PATIENCE)
        self.line = Line(desk)
        return self.line

    def items(self, steps: tuple[Step, ...] | str) -> Iterator[Any]:
        """Give the items of what the steps lead to, each when it is asked for."""
        items = self.ask("iterate", steps)
        try:
            yield from items
        except elsewhere.ConnectionLost as lost:
            if lost.remote:
                raise
            raise NotListeningError(*lost.args) from None
        except Exception as error:
            with_cause(error)
            raise

    def wait(self, process: Any, timeout: float | None) -> None:
        """Wait until somebody listens.

        Raises:
            elsewhere.HostStartError: `process` has ended, and nobody does.
            TimeoutError: nobody does yet.
        """
        if self.place in listening:
            return
        if hasattr(process, "join") and not hasattr(process, "sentinel"):
            with _end_of_thread(process) as end:
                self.address.wait_ready(timeout, end)
        else:
            self.address.wait_ready(timeout, process)

    def is_listening(self) -> bool:
        """Whether anybody does at this moment, in whatever process."""
        try:
            self.wait(None, 0)
        except TimeoutError:
            return False
        return True

    # ------------------------------------------------------------ who listens
    def listen(self, *, in_background: bool) -> None:
        """Answer what is asked for: in a thread, or when `poll` is called.

        Raises:
            OSError: another process listens.
        """
        if self._server is None or listening.get(self.place) is not self:
            with _beginning:
                self._here = Desk(self.obj, self.stop)
                self._server = elsewhere.serve(self._here, self.address)
                listening[self.place] = self
            self.line = None  # from now on things are done at once
            self.is_background = False
        if in_background and not self.is_background:
            self.is_background = True
            self._server.start()

    def stop(self) -> None:
        """Listen no more; what was asked for is answered before, or cancelled."""
        if listening.get(self.place) is not self:
            return
        server = self._server
        if server is None or self._here is None:
            return  # it stops already: for another thread, or a method that this waits for
        self._here.is_cancelling = not self._fulfills
        try:
            if not self.is_background and not self._here.is_busy:
                self.poll()
            self._server = None
            server.close(CLOSE_TIMEOUT)
        finally:
            if listening.get(self.place) is self:
                del listening[self.place]

    def stop_there(self) -> None:
        """Have whoever listens in another process listen no more, when it has done what it was asked before."""
        with _beginning:
            here = listening.get(self.place)
        if here is not None:
            here.stop()  # another thread has just begun
            return
        if not self.is_listening():
            return
        try:
            elsewhere.post((self.line or self._connect()).desk.stop)
        except elsewhere.ConnectionLost:
            self.line = None  # it has stopped meanwhile

    def run(self) -> None:
        """Answer in this thread until another one stops it."""
        server = self._server
        if server is not None and not self.is_background:
            server.run()

    def poll(self, limit: int | None = None, timeout: float = 0) -> int:
        """Answer what was asked for, in this thread. Gives how many requests that were."""
        server, desk = self._server, self._here
        if server is None or desk is None or self.is_background or listening.get(self.place) is not self:
            return 0
        begin = desk.count
        while limit is None or desk.count < begin + limit:
            before = desk.count
            handled = server.poll(None if limit is None else 1, timeout)
            if not handled:
                break
            # Who has just connected asks for something next.
            timeout = FOLLOW_UP if handled > desk.count - before else 0
        return desk.count - begin

    def cancel(self) -> int:
        """Answer nothing of what was asked for. Gives how many requests that were."""
        if self._here is None:
            return 0
        self._here.is_cancelling = True
        try:
            return self.poll()
        finally:
            self._here.is_cancelling = False


class _End:
    """What has a sentinel, as a process has."""

    def __init__(self, sentinel: int) -> None:
        self.sentinel = sentinel


@contextlib.contextmanager
def _end_of_thread(thread: Any) -> Generator[_End]:
    """Give what is readable when a thread has ended."""
    reader, writer = os.pipe()

    def watch() -> None:
        thread.join()
        os.close(writer)

    threading.Thread(target=watch, name="remoteobj-end", daemon=True).start()
    try:
        yield _End(reader)
    finally:
        os.close(reader)


def home_at(address: elsewhere.Address) -> Home:
    """Give the object of this address as it is known in this process."""
    place = str(address)
    home = listening.get(place) or _homes.get(place)
    if home is None:
        home = object.__new__(Home)
        home.__setstate__((ABSENT, ABSENT, True, True, address, None))
    return home
