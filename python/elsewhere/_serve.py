"""Objects that stay here, and connecting to them: `reserve`, `serve`, `connect`.

Owns: addresses, the options of a server and their checks, the thread or loop that it runs on. Must not know: sockets,
proofs, who may reach what (`_core.ServerCore` does).
"""

from __future__ import annotations

import os
import sys

from . import _class_numbers, _core, _declarations, _errors
from ._host import Host, _checked_concurrency, _checked_timeout

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    import threading
    from collections.abc import Callable, Iterable, Mapping
    from types import TracebackType
    from typing import Any, Literal, Self, TypeVar, overload

    from ._grants import Grants

    T = TypeVar("T")
else:

    def overload(function):
        """`typing.overload` for the interpreter, which needs none and saves the import."""
        return function


__all__ = ["Address", "Server", "connect", "reserve", "serve"]

CONNECT_TIMEOUT = 10.0
"""Seconds that connecting may take."""

CLOSE_TIMEOUT = 5.0
"""Seconds that a server may take to finish what it accepted."""

DOOR = frozenset({"root", "run", "grant", "redeem", "end_lane"})
"""What every client may reach of the door."""

KEY_MIN = 16
"""Bytes that a key has at least."""

_here: dict[str, Server] = {}
"""The servers of this process by their paths."""


class Address:
    """Where an object is, or will be, served. Made by `reserve`, or found as `Server.address`.

    It can be pickled. One with a key only on its way to processes that this one starts and to its hosts: whoever has
    the key may run code where the object lives. It never shows its key.
    """

    __slots__ = ("_key", "_place")

    def __init__(self, place: str | os.PathLike[str], *, authkey: bytes | None = None) -> None:
        """Name the Unix socket or the port `place`, and the key that both sides must have."""
        self._place = _checked_place(place)
        self._key = _checked_key(authkey)
        _class_numbers.know_main_in_forks()  # which may serve here, or connect

    def wait_ready(self, timeout: float | None = None, process: object = None) -> None:
        """Wait until somebody serves here, at most `timeout` seconds (None: as long as it takes).

        Args:
            timeout: Seconds.
            process: Who is to serve: a `multiprocessing.Process`, a `subprocess.Popen` or a process id. When it ends
                first, there is nothing to wait for.

        Raises:
            TimeoutError: Nobody serves here yet.
            HostStartError: `process` has ended, and nobody serves here.
        """
        if timeout is not None:
            _checked_span("timeout", timeout)
        from . import _ends

        end, is_own = _ends.end_of(process)
        try:
            is_ready = _core._wait_served(self._place, timeout, end)
            has_ended = not is_ready and end is not None and _ends.is_readable(end)
        finally:
            if is_own and end is not None:
                os.close(end)
        if is_ready:
            return
        if has_ended:
            text = f"{process!r} ended before it served at {self}"
            raise _errors.HostStartError(text)
        text = f"nobody serves at {self} after {timeout} s"
        raise TimeoutError(text)

    def __reduce__(self) -> tuple[Any, ...]:
        if self._key is not None and not _goes_to_own_process():
            text = (
                "an address with a key is pickled only for processes that this one starts, and for its hosts: pass "
                "str(address), and the key by a way that you trust"
            )
            raise TypeError(text)
        return _address, (self._place, self._key)

    def __copy__(self) -> Self:
        return self  # nothing in it changes

    def __deepcopy__(self, _memo: object) -> Self:
        return self

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Address):
            return NotImplemented
        return self._place == other._place and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._place)

    def __str__(self) -> str:
        return self._place

    def __fspath__(self) -> str:
        if self._place.startswith("tcp://"):
            text = f"{self} is a port and has no path"
            raise TypeError(text)
        return self._place

    def __repr__(self) -> str:
        return f"<Address {self._place}{', with a key' if self._key is not None else ''}>"


def _address(place: str, key: bytes | None) -> Address:
    return Address(place, authkey=key)


def reserve(address: str | os.PathLike[str] | None = None, *, authkey: bytes | None = None) -> Address:
    """Make an address before it is known who will serve there: this process, a fork of it, or one that it starts.

    Args:
        address: The path of a Unix socket, in a directory that nobody but this user may write to; or a port, as
            "host:port", with port 0 for one that is free. "127.0.0.1" is reached from this machine alone, others from
            wherever their network reaches. None: a new socket, in a directory of mode 700 that is made if need be.
        authkey: At least 16 bytes that both sides must have, such as `secrets.token_bytes(32)`. A port always needs
            one. None: what the kernel proves of the other side is enough, that it belongs to the same user of the same
            machine.

    Raises:
        OSError: There is no directory for a socket, or no free port.
        TypeError, ValueError: A key that is none, or a port without one.
    """
    key = _checked_key(authkey)
    if address is None:
        from . import _places

        address = _places.new_socket()
    reserved = Address(address, authkey=key)
    _demand_key(reserved)
    is_open = reserved._place.startswith("tcp://") and reserved._place.endswith(":0")
    return _with_free_port(reserved) if is_open else reserved


class Server(_core.ServerCore):
    """An object that stays in this process while others use it. Made by `serve`.

    It listens from the beginning; what is asked for waits until somebody runs it: a thread of its own after `start()`,
    this thread in `run()`, or a loop of the program that calls `poll()` whenever `fileno()` is readable. As a context
    manager it is started, and closed at the end of the block.
    """

    address: Address
    """Where it is served."""

    def __init__(
        self,
        obj: object,
        address: Address,
        *,
        expose: Iterable[str] | Mapping[type[Any], Iterable[str]] | None,
        returns: Iterable[str] | Mapping[type[Any], Iterable[str]] | None,
        concurrency: Literal["serial", "async", "caller"] | int,
    ) -> None:
        super().__init__()
        self.address = address
        self._obj = obj
        self._way = _checked_concurrency(concurrency)
        self._threads: list[threading.Thread] = []
        self._at_close: list[Callable[[], object]] = []
        self._host: Host | None = None
        self._pid = os.getpid()
        lists = _declarations.exposed(expose, type(obj))
        if lists is not None:
            lists[Door] = DOOR
        self._door = Door(obj, is_narrowed=lists is not None)
        place = self._listen(
            address._place,
            address._key or b"",
            self._door,
            lists=lists,
            returns=_declarations.returned(returns, type(obj)),
            concurrency=self._way,
            home=_current_loop(),
            make_home=self._make_home,
        )
        if place != address._place:
            self.address = Address(place, authkey=address._key)
        _here[place] = self

    def start(self) -> Self:
        """Run what is asked for in a background thread, from now on. Gives the server."""
        import threading

        if not self._is_open:
            text = "this server is closed"
            raise RuntimeError(text)
        if any(thread.name == "elsewhere-server" and thread.is_alive() for thread in self._threads):
            return self
        thread = threading.Thread(target=self.run, name="elsewhere-server", daemon=True)
        self._threads.append(thread)
        thread.start()
        return self

    def run(self) -> None:
        """Run what is asked for in this thread, until the server is closed from elsewhere."""
        if self._way == "async":
            import asyncio

            asyncio.run(self._run_on_loop())
        else:
            self._serve()

    async def _run_on_loop(self) -> None:
        import asyncio

        loop = asyncio.get_running_loop()
        over = asyncio.Event()
        if not self._is_open:
            return
        # A descriptor of its own: the loop watches it a moment longer than the server has one.
        number = os.dup(self.fileno())
        self._at_close.append(lambda: _tell(loop, over.set))
        loop.add_reader(number, self.poll)
        self._count_server(1)
        try:
            await over.wait()
        finally:
            self._count_server(-1)
            loop.remove_reader(number)
            os.close(number)

    def _make_home(self) -> Callable[[], Any]:
        """Start a loop in a thread, for coroutines of what has threads and no loop. Gives what leads to the loop."""
        import asyncio
        import threading

        loop = asyncio.new_event_loop()

        def run() -> None:
            with asyncio.Runner(loop_factory=lambda: loop) as runner:
                runner.run(over())

        stop = asyncio.Event()

        async def over() -> None:
            await stop.wait()

        thread = threading.Thread(target=run, name="elsewhere-server-loop", daemon=True)
        self._threads.append(thread)
        self._at_close.append(lambda: _tell(loop, stop.set))
        thread.start()
        running = threading.Event()
        loop.call_soon_threadsafe(running.set)
        running.wait()
        return lambda: loop

    def close(self, timeout: float = CLOSE_TIMEOUT, *, drain: bool = True) -> None:
        """Let nobody in any more, and end all connections. A second time does nothing.

        Args:
            timeout: Seconds that what was accepted may take, where it is finished.
            drain: Whether what was accepted is finished and answered; otherwise what has not begun never will, and
                what runs has nobody to answer.

        Calls that were accepted and never begin end with HostClosed, those that were not accepted with ConnectionLost,
        and both with the outcome "not_started". Called from inside a method of the object, it is done in the
        background, after that method has returned.
        """
        _checked_span("timeout", timeout)
        if self._pid != os.getpid():
            return  # it is the parent's
        if self._is_inside():
            import threading

            threading.Thread(target=self._finish, args=(timeout,), kwargs={"drain": drain}, daemon=True).start()
            return
        self._finish(timeout, drain=drain)

    def _finish(self, timeout: float, *, drain: bool) -> None:
        import threading

        if _here.get(self.address._place) is self:
            del _here[self.address._place]
        self._close(timeout, drain=drain)
        for tell in self._at_close:
            tell()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(timeout)
        if self._host is not None:
            self._host.close()
        self._door.close()

    def _proxy_here(self, obj: object) -> Any:
        """A proxy for this very process: its calls run in the thread that makes them, and nothing is copied."""
        if self._host is None:
            host = Host.__new__(Host)
            _core.start_local_host(host, name="here", copies=False)
            _core._go_through(host, self.address._place)
            self._host = host
        return self._host.send(obj)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Server of {type(self._obj).__qualname__} at {self.address}{'' if self._is_open else ', closed'}>"


class Door:
    """What stands for a server at its connections: their object number 0."""

    def __init__(self, obj: object, *, is_narrowed: bool) -> None:
        self._obj = obj
        self._is_narrowed = is_narrowed
        self._grants: Grants | None = None

    def root(self) -> object:
        """Give the object that is served."""
        return self._obj

    def run(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Run a function here, for whoever may reach everything."""
        if self._is_narrowed:
            text = "a server with expose= runs what that lists, and no functions of its clients"
            raise AttributeError(text)
        return function(*args, **kwargs)

    def grant(self, obj: object) -> bytes:
        """Keep an object for whoever shows the word that this gives: see `_grants`."""
        return self._kept().grant(obj)

    def _kept(self) -> Grants:
        if self._grants is None:
            from . import _grants

            self._grants = _grants.Grants()
        return self._grants

    def redeem(self, token: bytes) -> object:
        """Give what was granted under a word, once."""
        return self._kept().redeem(token)

    def close(self) -> None:
        """Let go of what was granted and not asked for."""
        if self._grants is not None:
            self._grants.close()

    def end_lane(self) -> None:
        """The last call of a lane: the thread or task of the client that made its calls has ended."""
        _core.end_lane()


def serve(
    obj: object,
    address: Address | str | os.PathLike[str] | None = None,
    *,
    authkey: bytes | None = None,
    expose: Iterable[str] | Mapping[type[Any], Iterable[str]] | None = None,
    returns: Iterable[str] | Mapping[type[Any], Iterable[str]] | None = None,
    concurrency: Literal["serial", "async", "caller"] | int = "serial",
) -> Server:
    """Let other processes use an object that stays here. Gives its server, which listens but runs nothing yet.

    Args:
        obj: The object. It is never copied and need not be picklable.
        address: Where: what `reserve` gave, the path of a Unix socket, or "host:port". None: a new socket.
        authkey: As for `reserve`. None: the address's own.
        expose: The names that clients may reach, for reading and calling; "name=" for setting and deleting it too;
            operators and other special methods by theirs, such as "__getitem__". They hold for objects of the class of
            `obj`; by a mapping, for those of each class in it. Nothing of any other object may be reached then, and no
            functions of clients are run. None: everything that is public.
        returns: The names of methods whose results go by reference, as if they were declared with `by_reference`: of
            the class of `obj`; by a mapping, of each class in it. What may be reached of such a result, `expose` says
            for its class.
        concurrency: How calls run, as for `Host`: "serial", a number of threads, "async" or "caller".

    Raises:
        OSError: Something else is served there, or stands there, or others may write to the directory.
        TypeError, ValueError: An option that means nothing.
    """
    if address is None:
        address = reserve(authkey=authkey)
    place = _with_key(address if isinstance(address, Address) else Address(address), authkey)
    _demand_key(place)
    return Server(obj, place, expose=expose, returns=returns, concurrency=concurrency)


@overload
def connect(
    address: Address | str | os.PathLike[str],
    cls: type[T],
    /,
    *,
    authkey: bytes | None = None,
    timeout: float = CONNECT_TIMEOUT,
) -> T: ...
@overload
def connect(
    address: Address | str | os.PathLike[str],
    cls: None = None,
    /,
    *,
    authkey: bytes | None = None,
    timeout: float = CONNECT_TIMEOUT,
) -> Any: ...
def connect(
    address: Address | str | os.PathLike[str],
    cls: object = None,  # noqa: ARG001 - for type checkers
    /,
    *,
    authkey: bytes | None = None,
    timeout: float = CONNECT_TIMEOUT,
) -> Any:
    """Connect to an object that is served. Gives its proxy.

    Args:
        address: What `reserve` gave, `Server.address`, the path of the socket, or "host:port".
        cls: The class of the object, for type checkers; without it the proxy is of type Any.
        authkey: The key of the server. None: the address's own.
        timeout: Seconds that it may take.

    The connection ends with the last proxy of it. In the process that serves the object, calls of the proxy run in the
    thread that makes them, and nothing is copied; calls of those to whom it is passed go through the server.

    Raises:
        ConnectionLost: Nobody serves there. `Address.wait_ready` waits for somebody.
        AuthenticationError: One side has another key, or belongs to another user.
        CallTimeout: It took too long.
        ProtocolError: What is there speaks another language.
    """
    place = _with_key(address if isinstance(address, Address) else Address(address), authkey)
    _demand_key(place)
    seconds = _checked_timeout("timeout", timeout)
    here = _server_here(place._place)
    if here is not None:
        if here.address._key != place._key:
            text = f"authentication failed at {place}"
            raise _errors.AuthenticationError(text, outcome="not_started")
        return here._proxy_here(here._obj)
    return _core._connect(place._place, place._key or b"", seconds)


def _server_here(place: str) -> Server | None:
    """The server of this process at a place."""
    server = _here.get(place)
    return server if server is not None and server._pid == os.getpid() and server._is_open else None


def _reach(place: str, obj: object) -> Any:
    """A proxy by a connection to a server of this process, as others have one."""
    server = _server_here(place)
    if server is None:
        text = f"nobody serves at {place} any more"
        raise _errors.ConnectionLost(text, outcome="not_started")
    return _core._redeem(place, server.address._key or b"", server._door.grant(obj), CONNECT_TIMEOUT)


def _server_behind(proxy: object) -> Server | None:
    """The server of this process that a proxy for this process came from."""
    host = _core.host_of(proxy)
    return next((server for server in _here.values() if server._host is host), None)


def _with_key(address: Address, authkey: bytes | None) -> Address:
    key = _checked_key(authkey)
    if key is None or key == address._key:
        return address
    if address._key is not None:
        text = "the address has another key"
        raise ValueError(text)
    return Address(address._place, authkey=key)


def _checked_key(key: object) -> bytes | None:
    if key is None:
        return None
    if not isinstance(key, bytes):
        text = f"a key is bytes, not {type(key).__qualname__}"
        raise TypeError(text)
    if len(key) < KEY_MIN:
        text = f"a key has at least {KEY_MIN} bytes, such as secrets.token_bytes(32); this one has {len(key)}"
        raise ValueError(text)
    return bytes(key)


def _checked_place(place: object) -> str:
    """The absolute path of a socket, or "tcp://host:port"."""
    if not isinstance(place, (str, os.PathLike)):
        text = f"an address is the path of a Unix socket or 'host:port', not {type(place).__qualname__}"
        raise TypeError(text)
    name = os.fsdecode(place)
    if not name or "\0" in name:
        text = f"{name!r} is not the path of a socket; there are none without a path"
        raise ValueError(text)
    is_port = isinstance(place, str) and "/" not in name.removeprefix("tcp://") and ":" in name
    if not is_port:
        return os.path.abspath(name)
    host, _, port = name.removeprefix("tcp://").rpartition(":")
    if not (host and port.isascii() and port.isdigit() and int(port) < 65536):
        text = f"{name!r} is not 'host:port'"
        raise ValueError(text)
    return f"tcp://{host}:{int(port)}"


def _demand_key(address: Address) -> None:
    if address._key is None and address._place.startswith("tcp://"):
        text = f"{address} can be reached by others: both sides need the same authkey, such as secrets.token_bytes(32)"
        raise ValueError(text)


def _with_free_port(address: Address) -> Address:
    """The same with a port that is free at this moment."""
    import socket

    host = address._place.removeprefix("tcp://").rpartition(":")[0]
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    with socket.socket(family) as probe:
        probe.bind((host.strip("[]"), 0))
        return Address(f"tcp://{host}:{probe.getsockname()[1]}", authkey=address._key)


def _checked_span(option: str, seconds: object) -> None:
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        text = f"{option} must be a number of seconds, not {type(seconds).__qualname__}"
        raise TypeError(text)
    if not seconds >= 0:
        text = f"{option} must be 0 seconds or more, not {seconds!r}"
        raise ValueError(text)


def _goes_to_own_process() -> bool:
    if _core._is_pickling_for_own():
        return True
    context = sys.modules.get("multiprocessing.context")
    return context is not None and context.get_spawning_popen() is not None


def _current_loop() -> Callable[[], Any] | None:
    """What leads to the event loop that this thread runs, if it runs one."""
    if "asyncio.events" not in sys.modules and "trio.lowlevel" not in sys.modules:
        return None
    from . import _tasks

    return _tasks.current_loop()


def _tell(loop: asyncio.AbstractEventLoop, what: Callable[[], object]) -> None:
    import contextlib

    with contextlib.suppress(RuntimeError):  # closed already
        loop.call_soon_threadsafe(what)


for _name in __all__:
    globals()[_name].__module__ = "elsewhere"
