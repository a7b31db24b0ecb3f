"""The verbs: what is done with proxies, as functions, because every public name on a proxy belongs to its object.

Owns: the verbs' Python half. Must not know: how they are carried out (`_core` does that).
"""

from __future__ import annotations

from . import _awaiting, _core, _in_place
from ._core import attribute, close, futures, get, host_of, is_proxy, lazy, post, ref, shared_memory, stream, submit
from ._host import Host
from ._shared import shared_array

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from contextlib import AbstractAsyncContextManager, AbstractContextManager
    from types import TracebackType
    from typing import Any, Generic, Literal, ParamSpec, Protocol, TypeVar, overload

    P = ParamSpec("P")
    T = TypeVar("T")
    S = TypeVar("S")
    Entered_co = TypeVar("Entered_co", covariant=True)
    EnteredAsync_co = TypeVar("EnteredAsync_co", covariant=True)

    class _Generic(Generic[Entered_co, EnteredAsync_co]):
        """What `with` and what `async with` gives."""

    class _BothContexts(
        AbstractContextManager[Entered_co, Any],
        AbstractAsyncContextManager[EnteredAsync_co, Any],
        Protocol[Entered_co, EnteredAsync_co],
    ):
        """What can be entered in both ways."""

else:

    class _Generic:
        def __class_getitem__(cls, item):
            return cls

    def overload(function):
        return function


__all__ = [
    "attribute",
    "close",
    "deadline",
    "futures",
    "get",
    "host_of",
    "is_proxy",
    "lazy",
    "options",
    "post",
    "ref",
    "send",
    "shared_array",
    "shared_memory",
    "spawn",
    "stream",
    "submit",
    "using",
]


_in_place.install()


@overload
def spawn(cls: Callable[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs) -> T: ...
@overload
def spawn(cls: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T: ...
def spawn(cls: Callable[P, Any], /, *args: P.args, **kwargs: P.kwargs) -> Any:
    """Construct an object in a new host of its own: `cls(*args, **kwargs)` runs there. Gives its proxy.

    `cls` may be any callable; an `async def` is awaited there. The host ends with its last proxy. Raises what the
    constructor raises, HostStartError, ArgumentError.
    """
    host = Host()
    proxy = host.spawn(cls, *args, **kwargs)
    host._make_private(proxy)
    return proxy


def send(obj: T, /) -> T:
    """Put a copy of an object into a new host of its own. Gives the copy's proxy.

    The host ends with its last proxy. Raises HostStartError; ArgumentError where the object cannot be copied.
    """
    host = Host()
    proxy = host.send(obj)
    host._make_private(proxy)
    return proxy


_UNCHANGED: Any = object()


def options(
    proxy: T,
    /,
    *,
    timeout: float | None = _UNCHANGED,
    result: Literal["auto", "value", "proxy"] = _UNCHANGED,
    interrupt: bool = _UNCHANGED,
) -> T:
    """The same object or path, with options for each call through it and through the paths that start at it.

    They hold as well for a plain function that is run with it as the first proxy, as in `submit(len, options(p, …))`.

    Args:
        proxy: A proxy or path; it is not changed. What is not named here stays as it is.
        timeout: Seconds from the making of a call after which it ends with CallTimeout; None for no limit.
        result: "auto" copies results and gives proxies of what cannot be copied; "value" makes that a ResultError that
            names the culprit; "proxy" always gives proxies.
        interrupt: Whether a call that is given up while it runs (by a timeout, a cancel, Ctrl-C) is broken off there:
            CallCancelled is raised in the method, at its next bytecode. Otherwise it goes on; its result is dropped.
    """
    given = {"timeout": timeout, "result": result, "interrupt": interrupt}
    return _core.with_options(proxy, **{name: value for name, value in given.items() if value is not _UNCHANGED})


deadline = _core.Deadline


class using(_Generic["Entered_co", "EnteredAsync_co"]):  # noqa: N801 - a verb, used like a function
    """A block that an object is used in, and closed after.

    `with using(p) as q`: enters the object's own context if it has one; `q` is what that gave, else `p`. At the end the
    object's context is left and `close(p)` is called. `async with` works too. The block's own exception wins: what
    leaving or closing raises then becomes a note on it.
    """

    @overload
    def __init__(self: using[T, S], proxy: _BothContexts[T, S], /) -> None: ...
    @overload
    def __init__(self: using[T, T], proxy: AbstractContextManager[T, Any], /) -> None: ...
    @overload
    def __init__(self: using[Any, S], proxy: AbstractAsyncContextManager[S, Any], /) -> None: ...
    @overload
    def __init__(self: using[T, T], proxy: T, /) -> None: ...
    def __init__(self, proxy: Any, /) -> None:
        if not is_proxy(proxy):
            text = f"using() takes a proxy, not an object of type {type(proxy).__qualname__}"
            raise TypeError(text)
        _core._check_closable(proxy)
        self._proxy = proxy
        self._is_entered = False

    def __enter__(self) -> Entered_co:
        entered = self._proxy
        if _has(self._proxy, "__enter__"):
            entered = self._guard(self._proxy.__enter__)
            self._is_entered = True
        return entered  # type: ignore[no-any-return]

    def _guard(self, enter: Callable[[], Any]) -> Any:
        try:
            return enter()
        except BaseException:
            close(self._proxy)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        is_swallowed = False
        try:
            try:
                if self._is_entered:
                    is_swallowed = bool(self._proxy.__exit__(kind, error, None))
            finally:
                close(self._proxy)
        except Exception as failure:
            if error is None:
                raise
            error.add_note(f"leaving the object's context failed: {type(failure).__name__}: {failure}")
        return is_swallowed

    async def __aenter__(self) -> EnteredAsync_co:
        if _has(self._proxy, "__aenter__"):
            entered: EnteredAsync_co = await self._proxy.__aenter__()
            self._is_entered = True
            return entered
        same: Any = await _awaiting.in_thread(self.__enter__)
        return same  # type: ignore[no-any-return]

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        if self._is_entered and _has(self._proxy, "__aexit__"):
            try:
                return bool(await self._proxy.__aexit__(kind, error, None))
            except Exception as failure:
                if error is None:
                    raise
                error.add_note(f"leaving the object's context failed: {type(failure).__name__}: {failure}")
                return False
            finally:
                await _awaiting.in_thread(close, self._proxy)
        return await _awaiting.in_thread(self.__exit__, kind, error, traceback)


def _has(proxy: object, name: str) -> bool:
    """Whether the object's type has a special method."""
    return submit(_type_has, proxy, name).result()


def _type_has(obj: object, name: str) -> bool:
    return hasattr(type(obj), name)
