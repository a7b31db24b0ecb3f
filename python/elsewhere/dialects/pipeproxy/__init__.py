"""The names of pipe-proxy 0.7: `from elsewhere.dialects.pipeproxy import proxy` for `from pipeproxy import proxy`.

Owns: what pipe-proxy's names mean in ours. Must not know: anything of elsewhere but its public names.

The object stays in its process, which answers in `listen()`; whoever has the proxy calls its methods. Different is what
was a fault: an answer that comes late never goes to another call, each proxy has the methods of its own object alone,
any number of processes and threads share one, it goes to processes that are forked and to those that are spawned,
keyword arguments work, and a result that cannot be pickled is a proxy.

Long because a call is three steps here: it is left at the listener, waited for at most 2 s, and run by `listen()`.
"""

from __future__ import annotations

import concurrent.futures
import functools
import inspect
import io
import os
import pickle
import select
import threading
import time
import types
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any, NoReturn

import elsewhere

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["MissingFunctionError", "ObjectProxy", "ProxyListener", "WrongArgumentsError", "createProxy"]

REPLY_TIMEOUT = 2.0
"""Seconds that a call waits for its answer."""

LISTEN_TIMEOUT = 0.2
"""Seconds that `listen()` waits for somebody to ask."""


class MissingFunctionError(AttributeError):
    """The object has no method of this name any more. Raised by `listen()`."""


class WrongArgumentsError(TypeError):
    """The method does not take such arguments. Raised by `listen()`."""


class ProxyListener:
    """Answers what is asked of an object, in the process where that lives."""

    def __init__(self, obj: object) -> None:
        """Listen for `obj`, on a socket of its own. Nothing is answered before `listen()`."""
        self._desk = _Desk(obj)
        self._server = elsewhere.serve(self._desk.call)
        self._address = self._server.address
        self._look: select.poll | None = None
        self._end = weakref.finalize(self, _close, self._server, self._desk)
        _here[self._address] = self

    def close(self) -> None:
        """Answer nobody any more: whoever asks from now on gets `elsewhere.ConnectionLost`."""
        self._end()

    def listen(self) -> None:
        """Answer one call, if one comes within 0.2 s.

        Raises:
            MissingFunctionError: the object has no such method; who asked gets None.
            WrongArgumentsError: the method does not take such arguments; likewise.
            BaseException: what the method raised; likewise.
        """
        desk = self._desk
        count = desk.count
        if desk.is_closed:
            return
        if not desk.is_rung:
            while self._server.poll(1, LISTEN_TIMEOUT) and desk.count == count:
                pass  # somebody came in, and is about to ask
        if desk.is_rung and desk.count == count:
            self._listen_to_both(desk, count)
        if desk.errors:
            raise desk.errors.popleft()

    def _listen_to_both(self, desk: _Desk, count: int) -> None:
        """Listen to other processes and to this one, which takes a look at two descriptors for each call."""
        if self._look is None:
            self._look = select.poll()
            self._look.register(self._server.fileno(), select.POLLIN)
            self._look.register(desk.bell, select.POLLIN)
        end = time.monotonic() + LISTEN_TIMEOUT
        while desk.is_waiting(count) and self._look.poll(max(0.0, end - time.monotonic()) * 1000):
            if desk.requests:
                desk.answer()
            elif self._server.poll(1) and desk.is_waiting(count):
                end = time.monotonic() + LISTEN_TIMEOUT  # somebody came in, and is about to ask


class ObjectProxy:
    """The methods of an object that lives in another process, or in another thread of this one."""

    def __init__(self, address: elsewhere.Address, names: frozenset[str]) -> None:
        """Name the methods `names` of what is listened for at `address`; `createProxy` does that."""
        self._way = _Way(address, names)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """Give a method of the object. Costs no I/O."""
        if name == "_way" or name not in self._way.names:
            text = f"the object has no method {name!r}"
            raise AttributeError(text)
        method = self.__dict__[name] = functools.partial(_ask, self._way, name)  # looked up once
        return method

    def __dir__(self) -> list[str]:
        """List the methods."""
        return [*super().__dir__(), *self._way.names]

    def __reduce__(self) -> tuple[Any, ...]:
        return ObjectProxy, (self._way.address, self._way.names)


class _Way:
    """From a proxy to the process that listens."""

    def __init__(self, address: elsewhere.Address, names: frozenset[str]) -> None:
        self.address = address
        self.names = names
        self.call: Any = None
        self.pid = 0  # the process that it leads from

    def __reduce__(self) -> tuple[Any, ...]:
        return _Way, (self.address, self.names)

    def begin(self, name: str, args: Any, kwargs: Any) -> Any:
        """Ask in this process, or for the first time from it."""
        listener = _here.get(self.address)
        if listener is not None and listener._desk.pid == _pid and not listener._desk.is_closed:
            return listener._desk.request(name, args, kwargs)
        self.call = elsewhere.connect(self.address, timeout=REPLY_TIMEOUT)
        self.pid = _pid
        return elsewhere.submit(self.call, name, *args, **kwargs)


def _ask(way: _Way, name: str, /, *args: Any, **kwargs: Any) -> Any:
    """Call a method; None, and a printed warning, where no answer comes within 2 s or the method raises."""
    left, why = REPLY_TIMEOUT, ""
    if way.pid == _pid:
        future = _submit(way.call, name, *args, **kwargs) if kwargs else _submit(way.call, name, *args)
    else:
        end = time.monotonic() + REPLY_TIMEOUT
        try:
            future = way.begin(name, args, kwargs)
        except elsewhere.CallTimeout:
            return _tell(name, args)  # nobody has listened since this process began to connect
        left = max(0.0, end - time.monotonic())
    try:
        return future.result(left)
    except elsewhere.ConnectionLost:
        raise
    except Exception as error:  # noqa: BLE001 - the method's; raised where the object lives
        if isinstance(error, TimeoutError) and not future.done():
            return _tell(name, args)
        why = f": {type(error).__name__}: {error}"
    return _tell(name, args, why)


_submit: Any = elsewhere.submit


def _tell(name: str, args: tuple[Any, ...], why: str = "") -> None:
    print(f"Warning: no reply received for request ({name}, {args}){why}")


def createProxy(obj: object) -> tuple[Any, ProxyListener]:  # noqa: N802 - pipe-proxy's name
    """Give a proxy of `obj`, for other processes and threads, and what answers for it here.

    The proxy has the methods that `obj` has now, but those whose names begin with two underscores. `obj` itself is
    never pickled.
    """
    listener = ProxyListener(obj)
    return ObjectProxy(listener._address, _methods(obj)), listener


def _methods(obj: object) -> frozenset[str]:
    def is_method(name: str) -> bool:
        found = inspect.getattr_static(obj, name, None)
        is_computed = isinstance(found, (property, functools.cached_property))
        return not is_computed and callable(getattr(obj, name, None))

    return frozenset(name for name in dir(obj) if not name.startswith("__") and is_method(name))


class _Desk:
    """Where calls come in: those of other processes as calls of this object, those of this process as requests."""

    def __init__(self, obj: object) -> None:
        self.obj = obj
        self.pid = _pid
        self.bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_SEMAPHORE)
        self.requests: deque[tuple[concurrent.futures.Future[Any], _Copy]] = deque()
        self.errors: deque[BaseException] = deque()
        self.count = 0
        self.is_closed = False
        self._bell_lock = threading.Lock()
        self.is_rung = False
        """Whether somebody in this process ever asked for something. Before that, nobody looks at the bell."""

    def request(self, name: str, args: Any, kwargs: Any) -> concurrent.futures.Future[Any]:
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        request = _Copy((name, args, kwargs))
        with self._bell_lock:
            if self.is_closed:
                future.set_exception(_closed())
                return future
            self.requests.append((future, request))
            self.is_rung = True
            os.eventfd_write(self.bell, 1)
        return future

    def close(self) -> None:
        """Nobody is answered any more, and no descriptor is used whose number may be another's by then."""
        with self._bell_lock:
            self.is_closed = True
            os.close(self.bell)
        while self.requests:
            self.requests.popleft()[0].set_exception(_closed())

    def is_waiting(self, count: int) -> bool:
        """Whether nothing was asked since there were `count` calls, and something may be."""
        return self.count == count and not self.is_closed

    def answer(self) -> None:
        with self._bell_lock:
            if self.is_closed:
                return
            os.eventfd_read(self.bell)
            future, request = self.requests.popleft()
        try:
            name, args, kwargs = request.made()
            result = self.call(name, *args, **kwargs)
        except Exception as error:  # noqa: BLE001 - listen() raises it
            future.set_exception(error)
        except BaseException as error:  # noqa: BLE001 - likewise; it must not end who asked
            future.set_exception(RuntimeError(repr(error)))
        else:
            future.set_result(result)

    def call(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        self.count += 1
        method: Any = None
        try:
            method = getattr(self.obj, name, None) or _missing(self.obj, name)
            return method(*args, **kwargs) if kwargs else method(*args)
        except BaseException as error:
            wrong = _wrong_arguments(method, args, kwargs, error) if isinstance(error, TypeError) else None
            self.errors.append(wrong or error)
            if wrong is not None:
                raise wrong from None
            raise


def _missing(obj: object, name: str) -> NoReturn:
    text = f"{type(obj).__qualname__} has no method {name!r}"
    raise MissingFunctionError(text)


def _wrong_arguments(method: Any, args: Any, kwargs: Any, error: TypeError) -> WrongArgumentsError | None:
    """What `error` means, if it is that the method does not take such arguments."""
    try:
        expected = inspect.signature(method)
    except (TypeError, ValueError):
        return None  # nobody can say what it takes
    try:
        expected.bind(*args, **kwargs)
    except TypeError:
        return WrongArgumentsError(f"{error}; expected are {expected}")
    return None


def _close(server: elsewhere.Server, desk: _Desk) -> None:
    if desk.pid == _pid:
        server.close()
        desk.close()


def _closed() -> elsewhere.ConnectionLost:
    return elsewhere.ConnectionLost("the listener of this proxy was closed")


class _Copy:
    """What is asked, copied as for another process; functions, lambdas too, are themselves."""

    def __init__(self, request: Any) -> None:
        self._functions: list[Any] = []
        file = io.BytesIO()
        _Pickler(file, self._functions).dump(request)
        self._data = file.getvalue()

    def made(self) -> Any:
        return _Unpickler(io.BytesIO(self._data), self._functions).load()


class _Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO, functions: list[Any]) -> None:
        super().__init__(file)
        self._functions = functions

    def persistent_id(self, obj: Any) -> int | None:
        if not isinstance(obj, types.FunctionType):
            return None
        self._functions.append(obj)
        return len(self._functions) - 1


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, functions: list[Any]) -> None:
        super().__init__(file)
        self._functions = functions

    def persistent_load(self, number: Any) -> Any:
        return self._functions[number]


_pid = os.getpid()


def _note_process() -> None:
    global _pid
    _pid = os.getpid()


os.register_at_fork(after_in_child=_note_process)

_here: weakref.WeakValueDictionary[elsewhere.Address, ProxyListener] = weakref.WeakValueDictionary()
