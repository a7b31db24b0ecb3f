"""The Rust half of elsewhere: proxies, futures, streams, and the verbs over them.

Long because one compiled module has one stub.
"""

import concurrent.futures
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Callable,
    Coroutine,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from types import GenericAlias
from typing import Any, Generic, Never, ParamSpec, Protocol, Self, TypeVar, final, overload, type_check_only

from typing_extensions import disjoint_base  # every type checker has it, whether it is installed or not

from ._host import Host

_P = ParamSpec("_P")
_T = TypeVar("_T")
_Q = ParamSpec("_Q")  # those of a function that is run by `_Run`
_R = TypeVar("_R")

@type_check_only
class _Run(Protocol):
    """`Host.run`, and what runs functions like it."""

    @overload
    def __call__(
        self, function: Callable[_Q, Coroutine[Any, Any, _R]], /, *args: _Q.args, **kwargs: _Q.kwargs
    ) -> _R: ...
    @overload
    def __call__(self, function: Callable[_Q, _R], /, *args: _Q.args, **kwargs: _Q.kwargs) -> _R: ...

_D = TypeVar("_D")
_T_co = TypeVar("_T_co", covariant=True)

__version__: str
"""The version of the package, such as "0.1.0"."""

IS_PROFILED: bool
"""Whether the compiler had a profile of what runs often, as it has for a wheel."""

@final
class Proxy:
    """An object in a host, or a path that starts at one.

    Every public name on a proxy belongs to the object. Operators, item access, `len`, `in`, `str`, comparisons and
    `with` run there. `repr` never does I/O. What the library does with a proxy are functions: `elsewhere.get(p.age)`.
    """

    __array_ufunc__: None
    def __getattribute__(self, name: str, /) -> Any: ...
    def __setattr__(self, name: str, value: Any, /) -> None: ...
    def __delattr__(self, name: str, /) -> None: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...
    def __getitem__(self, key: Any, /) -> Any: ...
    def __setitem__(self, key: Any, value: Any, /) -> None: ...
    def __delitem__(self, key: Any, /) -> None: ...
    def __len__(self) -> int: ...
    def __contains__(self, key: Any, /) -> bool: ...
    def __bool__(self) -> bool: ...
    def __iter__(self) -> Iterator[Any]: ...
    def __next__(self) -> Any: ...
    def __aiter__(self) -> AsyncIterator[Any]: ...
    def __anext__(self) -> Coroutine[Any, Any, Any]: ...
    def __eq__(self, value: object, /) -> Any: ...
    def __ne__(self, value: object, /) -> Any: ...
    def __lt__(self, value: Any, /) -> Any: ...
    def __le__(self, value: Any, /) -> Any: ...
    def __gt__(self, value: Any, /) -> Any: ...
    def __ge__(self, value: Any, /) -> Any: ...
    def __hash__(self) -> int: ...
    def __dir__(self) -> list[str]: ...
    def __format__(self, spec: str, /) -> str: ...
    def __enter__(self) -> Any: ...
    def __exit__(self, kind: Any, value: Any, _traceback: Any, /) -> Any: ...
    def __aenter__(self) -> Future[Any]: ...
    def __aexit__(self, kind: Any, value: Any, _traceback: Any, /) -> Future[Any]: ...
    def _repr_html_(self) -> str: ...
    def __copy__(self) -> Self: ...
    def __deepcopy__(self, _memo: Any) -> Self: ...
    def __array__(self, *_args: Any, **_kwargs: Any) -> Never: ...
    def __int__(self) -> int: ...
    def __float__(self) -> float: ...
    def __index__(self) -> int: ...
    def __complex__(self) -> complex: ...
    def __round__(self, ndigits: Any = None, /) -> Any: ...
    def __trunc__(self) -> Any: ...
    def __floor__(self) -> Any: ...
    def __ceil__(self) -> Any: ...
    def __bytes__(self) -> bytes: ...
    def __length_hint__(self) -> int: ...
    def __reversed__(self) -> Any: ...
    def __neg__(self) -> Any: ...
    def __pos__(self) -> Any: ...
    def __abs__(self) -> Any: ...
    def __invert__(self) -> Any: ...
    def __add__(self, value: Any, /) -> Any: ...
    def __radd__(self, value: Any, /) -> Any: ...
    def __sub__(self, value: Any, /) -> Any: ...
    def __rsub__(self, value: Any, /) -> Any: ...
    def __mul__(self, value: Any, /) -> Any: ...
    def __rmul__(self, value: Any, /) -> Any: ...
    def __matmul__(self, value: Any, /) -> Any: ...
    def __rmatmul__(self, value: Any, /) -> Any: ...
    def __truediv__(self, value: Any, /) -> Any: ...
    def __rtruediv__(self, value: Any, /) -> Any: ...
    def __floordiv__(self, value: Any, /) -> Any: ...
    def __rfloordiv__(self, value: Any, /) -> Any: ...
    def __mod__(self, value: Any, /) -> Any: ...
    def __rmod__(self, value: Any, /) -> Any: ...
    def __divmod__(self, value: Any, /) -> Any: ...
    def __rdivmod__(self, value: Any, /) -> Any: ...
    def __pow__(self, value: Any, mod: Any = ..., /) -> Any: ...
    def __rpow__(self, value: Any, mod: Any = ..., /) -> Any: ...
    def __lshift__(self, value: Any, /) -> Any: ...
    def __rlshift__(self, value: Any, /) -> Any: ...
    def __rshift__(self, value: Any, /) -> Any: ...
    def __rrshift__(self, value: Any, /) -> Any: ...
    def __and__(self, value: Any, /) -> Any: ...
    def __rand__(self, value: Any, /) -> Any: ...
    def __xor__(self, value: Any, /) -> Any: ...
    def __rxor__(self, value: Any, /) -> Any: ...
    def __or__(self, value: Any, /) -> Any: ...
    def __ror__(self, value: Any, /) -> Any: ...
    def __iadd__(self, value: Any, /) -> Any: ...
    def __isub__(self, value: Any, /) -> Any: ...
    def __imul__(self, value: Any, /) -> Any: ...
    def __imatmul__(self, value: Any, /) -> Any: ...
    def __itruediv__(self, value: Any, /) -> Any: ...
    def __ifloordiv__(self, value: Any, /) -> Any: ...
    def __imod__(self, value: Any, /) -> Any: ...
    def __ipow__(self, value: Any, /) -> Any: ...  # type: ignore[misc]  # takes no modulus, as the operator does not
    def __ilshift__(self, value: Any, /) -> Any: ...
    def __irshift__(self, value: Any, /) -> Any: ...
    def __iand__(self, value: Any, /) -> Any: ...
    def __ior__(self, value: Any, /) -> Any: ...
    def __ixor__(self, value: Any, /) -> Any: ...

@final
class Future(concurrent.futures.Future[_T], Coroutine[Any, Any, _T]):
    """The answer of a call that was made with `submit`, once it is here."""

    def __class_getitem__(cls, key: Any) -> GenericAlias: ...  # PyO3 names the parameter
    def result(self, timeout: float | None = None) -> _T:
        """Wait for the value of the call, at most `timeout` seconds (None: as long as it takes), and give it.

        Raises what the call raised. Raises TimeoutError when the time is over; the call goes on.
        """

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """The exception of the call, or None; waits like `result`."""

    def done(self) -> bool:
        """Whether the call has ended, in whatever way. Takes in what has arrived; never waits."""

    def running(self) -> bool:
        """Whether the call has not ended yet. Takes in what has arrived; never waits."""

    def cancelled(self) -> bool:
        """Whether the call was cancelled."""

    def cancel(self, *, interrupt: bool = False) -> bool:
        """Give the call up: it ends here with CallCancelled. False if it had ended already.

        There it is not started any more if it still waits in the queue; if it runs, it goes on and its result is
        dropped. With `interrupt`, CallCancelled is raised in the running method, at its next bytecode: code in C goes
        on until it returns, and a method that catches it goes on as well.
        """

    def add_done_callback(self, fn: Callable[[Future[_T]], object]) -> None:
        """Call `fn(future)` when the call has ended, at once if it has; else on the service thread."""

    def send(self, value: Any, /) -> Any:
        """Go on with an await, as with that of a coroutine; for event loops."""

    def throw(self, *raised: Any) -> Any:
        """Raise an exception at an await, as at that of a coroutine; for event loops."""

    def close(self) -> None:
        """End an await, as that of a coroutine; for event loops. The call goes on."""

    def __await__(self) -> Generator[Any, None, _T]: ...
    def _comes_at_once(self) -> bool: ...
    def _observe(self, queue: LoopQueue, key: int) -> bool: ...

@final
class Stream(Generic[_T_co]):
    """An iterator elsewhere. `next`, `send`, `throw` and `close` work as on a generator."""

    def __iter__(self) -> Self: ...
    def __next__(self) -> _T_co: ...
    def send(self, value: Any, /) -> _T_co:
        """Resume the generator with a value; gives its next item."""

    def throw(self, exception: BaseException, /) -> _T_co:
        """Raise an exception where the generator stands; gives its next item."""

    def close(self) -> None:
        """End the generator: its `finally` blocks run there, before this returns."""

    def __copy__(self) -> Never: ...
    def __deepcopy__(self, *_arguments: Any) -> Never: ...

@final
class ReadAhead(Generic[_T_co]):
    """An iterator elsewhere whose items are fetched ahead. Made by `elsewhere.stream`."""

    def __iter__(self) -> Self: ...
    def __next__(self) -> _T_co: ...
    def __aiter__(self) -> Self: ...
    def __anext__(self) -> Coroutine[Any, Any, _T_co]: ...
    def _is_ready(self) -> bool: ...
    def _observe(self, queue: LoopQueue, key: int) -> bool: ...
    def close(self) -> None:
        """End the stream: the producer is closed there, what was read ahead is dropped."""

@final
class Ref:
    """An object that is to travel by reference and never to be copied. Made by `elsewhere.ref`."""

def _pass_on() -> None:
    """Pass calls on: the body of a thread that does."""

def _end_relays() -> bool:
    """Let the threads that have nothing to do end, before a fork. Gives whether there are any."""

@final
class ReturnMark:
    """What marks a function. Made by `elsewhere.by_reference`, and by reading what that made elsewhere."""

def _return_mark() -> ReturnMark:
    """Give what marks a function whose results go by reference, and look for such marks from now on."""

def _declare_returns(table: dict[type, frozenset[str]]) -> None:
    """Declare names by class, for whoever calls objects of this process."""

@final
class Deadline:
    """A block in which every call has to be over by one moment: `with deadline(2.0):`.

    Args:
        seconds: From the beginning of the block, 0 or more. The shorter of nested blocks and of a proxy's own timeout
            holds. A call that is not over by then ends with CallTimeout; there it may still run.
    """

    def __new__(cls, seconds: float, /) -> Self: ...
    def __enter__(self) -> None: ...
    def __exit__(self, *_exception: Any) -> None: ...

@final
class LoopQueue:
    """Keys of finished calls for one event loop, and a descriptor that is readable while there are any."""

    def __new__(cls) -> Self: ...
    def fileno(self) -> int:
        """The descriptor to watch for reading. It is closed with this object."""

    def drain(self) -> list[int]:
        """Take all keys, oldest first; the descriptor is not readable afterwards."""

    def run_calls(self) -> None:
        """Run the calls that key 0 tells of: those of chains that tasks of this loop wait in."""

@final
class TaskLane:
    """The lane of one task. It ends with the task's context."""

    def __new__(cls) -> Self: ...

@final
class Running:
    """A coroutine that a peer waits for."""

    def began(self, cancel: Callable[[], object]) -> None:
        """The coroutine has a task now; `cancel()` cancels it, from any thread."""

    def enter(self) -> None:
        """Make the context of the running task that of the call."""

    def finish(self, value: Any) -> None:
        """The coroutine has returned."""

    def fail(self, error: BaseException) -> None:
        """The coroutine has raised."""

    def never_began(self) -> None:
        """The task was cancelled before the coroutine began; does nothing if it has ended otherwise."""

@final
class KeptGuard:
    """What calls a function, on another thread, with the lists of the one that made this."""

    def __new__(cls, function: Callable[[], object]) -> Self: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...

@final
class StreamTurn:
    """One turn of a producer."""

    def send(self, item: Any) -> bool:
        """Send an item; whether the turn goes on."""

@final
class HomeQueue:
    """The queue of one host, as `elsewhere._home` takes from it."""

    def __bool__(self) -> bool: ...
    def take(self) -> tuple[Any, ...] | None:
        """Take the oldest piece; None when nothing is left.

        ("output", bytes), ("error", bytes), ("told", arguments) or ("dropped", bytes, messages). A message that cannot
        be read counts as dropped.
        """

    def tell(self, method: str, *args: Any) -> bool:
        """Call `method` of the host's own object with `args`, without waiting and without waiting for room.

        False if it was not sent.
        """

@disjoint_base
class HostCore:
    """The connection of a Host object. `Host` in `_host.py` is made of it."""

    def __new__(cls, *_args: Any, **_kwargs: Any) -> Self: ...
    @property
    def _label(self) -> str: ...
    @property
    def pid(self) -> int | None:
        """The process id; None where the host is no process of ours."""

    @property
    def alive(self) -> bool:
        """Whether calls can still reach the host."""

    @property
    def responsive(self) -> bool:
        """Whether the process answers: False if it is stopped or gone. One whose Python is busy answers.

        Asks it, and waits for the answer at most as long as `Host(heartbeat=)` says. Under a running event loop it does
        not wait: an earlier question counts.
        """

    @property
    def name(self) -> str | None:
        """How texts call the host, beside its process id; None where it was given no name."""

    @property
    def exitcode(self) -> int | None:
        """The exit code, negative for a signal as in `subprocess`; None while the process runs or if not known."""

    def close(self, timeout: float = 5.0) -> None:
        """Close the host: nothing new is accepted, what was accepted is finished within `timeout` seconds.

        The rest ends with HostClosed. After that the process is terminated, and killed a second later.
        """

    def kill(self) -> None:
        """Kill the process at once. Its calls end with HostDied."""

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the process has ended, at most `timeout` seconds; whether it has."""

    def on_death(self, callback: Callable[[Self], object], /) -> None:
        """Call `callback(host)` once, when the host has ended or was closed: on the service thread, or at once."""

    def stats(self) -> dict[str, Any]:
        """The counts of the connection's tables: calls, answers, exports, imports, and exports by type."""

    def _call(
        self,
        method: str,
        first: Any,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        *,
        by_reference: bool,
        timeout: float | None = None,
    ) -> Any: ...
    def _ask(self, method: str, args: tuple[Any, ...], subject: str) -> Any: ...
    def _make_private(self, proxy: object) -> None: ...
    def _calls_made(self) -> int: ...
    def _fds(self) -> list[int]: ...

def share_memory(is_wanted: bool, /) -> None:
    """Say whether hosts that are started from now on are reached through shared memory, where there is such.

    For measurements and tests of what happens where there is none.
    """

def start_host(
    core: HostCore,
    *,
    program: str,
    arguments: Sequence[str],
    environment: Mapping[str, str] | None,
    directory: str | None,
    name: str | None,
    configuration: dict[str, Any],
    timeout: float,
    heartbeat: float,
    output: str,
    logs: bool,
    make_shower: Callable[[HomeQueue, str, str | None, int, bool], object],
    preface: bytes | None = None,
) -> None:
    """Start a host process and configure it; `core` becomes its Host.

    `program` and `arguments` are what is executed, `environment` the whole environment, `configuration` what the host
    is told before anything else. `output` is "inherit", "home" or "discard"; with `logs`, messages come home. What
    comes home is shown by `make_shower`. `preface` is what the program reads from its socket before it speaks the
    protocol.
    """

@final
class HostFork:
    """What this process and its fork share.

    The engine's thread stands still from its making to `start_forked_host`: it need not be told from others, nor be
    started for the host to be stopped for the fork.

    After `fork` the child calls `become_host`, the parent `start_forked_host`.
    """

    def __new__(cls, inherit: list[object], *, output: str, logs: bool, timeout: float) -> Self: ...
    def fork(self) -> bool:
        """Fork with `os.fork`. Gives whether this is the child, which the parent watches by then.

        No step of Python's lies between, in which a signal's handler could raise something and leave a child that
        nobody knows.
        """

    def become_host(self) -> None:
        """In the child: the streams to the parent become stdin, stdout and stderr."""

    def abandon(self) -> None:
        """In the parent: let nothing be left of it."""

def _fork_for_nothing() -> None:
    """Fork for nothing: pools like OpenBLAS's, which numpy brings, end their threads when their process forks."""

def start_forked_host(
    core: HostCore,
    fork: HostFork,
    *,
    name: str | None,
    configuration: dict[str, Any],
    timeout: float,
    heartbeat: float,
    make_shower: Callable[[HomeQueue, str, str | None, int, bool], object],
    inherited: list[object],
) -> None:
    """Wait for a child that was adopted, and ask of it what it has not done by itself; `core` becomes its Host.

    `configuration` is what is left to be asked, `inherited` are the objects that the child has by the fork.
    """

@final
class ZygoteSeat:
    """The place of a zygote, which has its owner's orders as standard input, and of its forks."""

    def __new__(cls) -> Self: ...
    def fileno(self) -> int:
        """A pipe that is broken when the owner is gone."""

    def retire(self) -> None:
        """Take no more orders. It is over when the last child has ended."""

    def wait(self) -> bytes | None:
        """Wait until a fork is wanted, and give what the owner says of the host; None when the owner wants no more.

        It is empty when the fork is to be a spare, which waits for what the owner will say.
        """

    def employ(self) -> bool:
        """Instead of the fork: make the spare the host that is wanted, if there is one. Whether that is done."""

    def dismiss(self) -> None:
        """End the spare, if there is one: what a host is to have has changed since."""

    def adopt(self, pid: int) -> None:
        """After the fork, in the zygote: tell the owner of the child `pid`, and later how it ended. A spare is kept."""

    def leave(self) -> None:
        """After the fork, in the child: let go of what is the zygote's."""

    def stand_by(self) -> bytes | None:
        """In the child: wait, in a spare, until it is wanted. Give what the owner says of the host; None if never."""

    def become_host(self) -> None:
        """In the child: take over the streams, directory and umask of the owner."""

    def refuse(self, reason: str) -> None:
        """Instead of the fork: tell the owner that this process cannot be forked, now and later."""

    def fail(self, reason: str) -> None:
        """Instead of the fork: tell the owner that the system refused it this time."""

def start_warm_host(
    core: HostCore,
    *,
    program: str,
    arguments: list[str],
    environment: dict[str, str] | None,
    key: str,
    setting: bytes,
    directory: str | None,
    name: str | None,
    configuration: dict[str, Any],
    timeout: float,
    heartbeat: float,
    output: str,
    logs: bool,
    make_shower: Callable[[HomeQueue, str, str | None, int, bool], object],
) -> str | None:
    """Let a zygote fork a host and configure it; `core` becomes its Host. If that is not to be had, give why.

    `program` and `arguments` are what is executed to be the zygote of `key`, `environment` the whole environment;
    `setting` is what it is told for this host. With a reason, no host was started.
    """

def _other_threads() -> list[tuple[str, str]]:
    """The ids and names of the threads that this process has beside the calling one."""

def _zygotes() -> list[tuple[int, list[int]]]:
    """The zygotes of this process that are not reaped yet: their process ids, and their descriptors here."""

def _retire_zygotes() -> None:
    """Let every zygote end with its last host. The next host is forked by a new one."""

def start_local_host(
    core: HostCore, *, name: str | None, copies: bool, returns: dict[type, frozenset[str]] | None = None
) -> None:
    """Make a host within this process; `core` becomes its Host. Calls queue, and whoever waits runs them.

    Without `copies` values go there and back as they are. By class, `returns` are the methods whose results go by
    reference.
    """

@disjoint_base
class ServerCore:
    """The connection of a Server object. `Server` in `_serve.py` is made of it."""

    def __new__(cls, *_args: Any, **_kwargs: Any) -> Self: ...
    def poll(self, max: int | None = None, timeout: float | None = 0.0) -> int:
        """Run what has been asked for on this thread, at most `max` requests.

        Waits for the first at most `timeout` seconds. Gives how many were run; 0 too where the server is closed.
        """

    def fileno(self) -> int:
        """A descriptor that is readable while a request waits for `poll()`."""

    def stats(self) -> dict[str, int]:
        """The counts: connections, those not proven yet, requests that wait, and objects that connections hold."""

    @property
    def _is_open(self) -> bool: ...
    def _listen(
        self,
        place: str,
        key: bytes,
        door: object,
        *,
        lists: dict[type, frozenset[str]] | None,
        returns: dict[type, frozenset[str]] | None,
        concurrency: str | int,
        home: Callable[[], Any] | None,
        make_home: Callable[[], Callable[[], Any]],
    ) -> str: ...
    def _serve(self) -> None: ...
    def _count_server(self, change: int) -> None: ...
    def _is_inside(self) -> bool: ...
    def _close(self, timeout: float, *, drain: bool) -> None: ...

def _new_socket_path(temporary: str, /) -> str: ...
def _wait_served(place: str, timeout: float | None, end: int | None, /) -> bool: ...
def _connect(place: str, key: bytes, timeout: float, /) -> Any: ...
def _redeem(place: str, key: bytes, token: bytes, timeout: float, /) -> Any: ...
def _go_through(core: HostCore, place: str, /) -> None: ...
def _grant(proxy: Any, timeout: float, /) -> tuple[str, bool, bytes, bool] | None: ...
def _is_relayed(proxy: Any, /) -> bool: ...
def _redeem_at_host(place: str, token: bytes, timeout: float, /) -> Any: ...
def _may_go_straight(proxy: Any, /) -> str | None: ...
def _take(token: bytes, _handle: Any, /) -> Any: ...
def _take_back(token: bytes, /) -> None: ...
def _end_of(proxy: Any, timeout: float, /) -> Any: ...
def _grant_by_owner(proxy: Any, timeout: float, /) -> Any: ...
def _is_known_link(link: int, /) -> bool: ...
def _note_sibling() -> None: ...
def _ask_to_listen(host: HostCore, timeout: float, /) -> str | None: ...
def _listen_for_guests(place: str, /) -> None: ...
def _dismiss_guests() -> bool: ...
def _add_guest() -> None: ...
def _remove_guest() -> None: ...
def _calling_link() -> int | None: ...
def _held_by(link: int, number: int, /) -> Any: ...
def _known_key(place: str, /) -> bytes | None: ...
def _forget_connections() -> None: ...
def _serve_crew(id: int) -> None: ...
def rehearse(configuration: dict[str, Any]) -> None:
    """Be one's own host for a call, as an owner makes the first one: to configure it so.

    It goes through a ring, as between two processes. What comes after it finds nothing changed but by `configuration`.
    """

def adopt_owner(concurrency: str | int) -> None:
    """Take the connection that this process inherited as standard input: it becomes a host, which runs its calls so."""

def serve_owner() -> bool:
    """Serve the owner of this host until it is done with us, or until a loop is wanted: then true."""

def serve_once(fd: int, timeout: float | None, /) -> bool:
    """Wait for the owner and a descriptor of the loop, and do one piece of work; false when the owner is done.

    It is what the selector of the host's loop does, in at most `timeout` seconds.
    """

def serve_as_worker() -> None:
    """Serve the owner of this host as one of its threads: the body of a worker."""

def end_lane() -> None:
    """End the calling thread after this call: its lane has ended."""

def is_loop_shared() -> bool:
    """Whether methods that are no coroutines are a part of the host's loop."""

@overload
def get(path: _T, /) -> _T: ...
@overload
def get(path: _T, /, *, default: None) -> _T | None: ...
@overload
def get(path: _T, /, *, default: _D) -> _T | _D:
    """The value at a path, copied here; `default` where the path's last step is missing.

    What is no proxy is its own value; of a module or an iterator the value is a proxy. Raises ResultError where the
    value cannot be copied.
    """

@overload
def submit(
    target: _Run, function: Callable[_P, Coroutine[Any, Any, _T]], /, *args: _P.args, **kwargs: _P.kwargs
) -> Future[_T]: ...
@overload
def submit(target: _Run, function: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]: ...
@overload
def submit(target: Callable[_P, Coroutine[Any, Any, _T]], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]: ...
@overload
def submit(target: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
    """Start a call and give its Future. With a plain function, it runs in the host of its first proxy argument.

    With `host.run`, the function that comes next runs in that host.
    """

@overload
def post(target: _Run, function: Callable[_P, object], /, *args: _P.args, **kwargs: _P.kwargs) -> None: ...
@overload
def post(target: Callable[_P, object], /, *args: _P.args, **kwargs: _P.kwargs) -> None:
    """Start a call whose answer nobody wants. What it raises is reported over there."""

def stream(
    target: Callable[_P, Iterable[_T] | AsyncIterable[_T] | Coroutine[Any, Any, Iterable[_T]]],
    /,
    *args: _P.args,
    **kwargs: _P.kwargs,
) -> ReadAhead[_T]:
    """Call a generator function, or anything that gives an iterable, and iterate its items, read ahead."""

def ref(x: _T, /) -> _T:
    """By reference, never copied.

    For an object, a mark that it is to travel so; for a path, a proxy of the object that is there now.
    """

def is_proxy(x: object, /) -> bool:
    """Whether `x` is a proxy: an object elsewhere, or a path that starts at one."""

def shared_memory(nbytes: int, /) -> memoryview:
    """Make memory of zeros that is passed to hosts without a copy: a writable view of bytes.

    Passed as an argument, in one or as a result it is the same memory there, and writes are seen on all sides. So are
    views of it in one piece. Nobody locks it. The memory lives until no process has a view of it.

    Raises MemoryError where there is not so much memory.
    """

def host_of(proxy: object, /) -> Host:
    """The Host that an object lives in: always the same object for the same host."""

def close(proxy: object, /, *, timeout: float = 5.0) -> None:
    """Let go now. Twice is fine.

    A host that was made for this object drains and ends, within `timeout` seconds; of any other only this reference is
    given up. TypeError for a path.
    """

def attribute(proxy: object, name: str, /) -> Any:
    """A path through any name, also one that begins with an underscore."""

def with_options(proxy: _T, /, **options: Any) -> _T:
    """The same object or path, with other options for each call through it: `timeout`, `result`."""

def futures(proxy: object, /) -> Any:
    """A view in which every call and `get` gives a Future at once, and setting and deleting do not wait.

    What a set or delete fails with is logged and raised by the next call or `get` of the view. Reads extend the path;
    operators are a TypeError.
    """

@overload
def lazy(proxy: Future[_T], /) -> _T:
    """A view in which names, keys and calls extend the path; `get` evaluates all of it in one trip.

    Each evaluation runs the whole recipe again. Of a Future: what it will give, as a target or an argument of further
    calls, which need not wait for it here; if it fails, they fail with the same error and do not start.
    """

@overload
def lazy(proxy: _T, /) -> _T:
    """A view in which names, keys and calls extend the path; `get` evaluates all of it in one trip.

    Each evaluation runs the whole recipe again. Of a Future: what it will give, as a target or an argument of further
    calls, which need not wait for it here; if it fails, they fail with the same error and do not start.
    """

def _aiter(proxy: Proxy, /) -> Future[Any]: ...
def _operate_async(proxy: Proxy, name: str, /, *operands: Any) -> Future[Any]: ...
def _operate_in_place(proxy: Proxy, name: str, value: Any, /) -> Any: ...
def _reference(index: int) -> Any: ...
def _check_closable(proxy: Proxy, /) -> None: ...
def _offer(object: Any) -> Any: ...
def _shares() -> bool: ...
def _shared_span(address: int, nbytes: int, needed: int, is_read_only: bool) -> memoryview | None: ...
def _is_passing_memory() -> bool: ...
def _pickles(value: Any) -> bool: ...
def _is_pickling_argument() -> bool: ...
def _is_pickling_for_own() -> bool: ...
def _is_guarded(object: Any) -> bool: ...
def _check_results() -> None: ...
def _read_inherited(objects: list[object]) -> None: ...
def _stop_service() -> None: ...
def _flush_after_calls() -> None: ...
def _tell_owner(*args: Any) -> bool: ...
def _attend(*_signal: Any) -> None: ...
def _serve_process() -> None: ...
def _before_fork() -> None: ...
def _after_fork_in_parent() -> None: ...
def _after_fork_in_child() -> None: ...
def _at_exit() -> None: ...
def _end_solitude() -> None: ...
def _forget_owner() -> None: ...
