"""`AsyncStream`: an async generator elsewhere, advanced one item at a time; `AsyncItems`: any other async iterable.

Owns: the asynchronous iterator protocol over a proxy. Must not know: how calls are made, how items travel.
Nothing runs there before it is asked for.
"""

from __future__ import annotations

from . import _core, _errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Self


class AsyncStream:
    """An async generator elsewhere. `async for`, `asend`, `athrow` and `aclose` work as on one that is here."""

    __slots__ = ("__weakref__", "_proxy")

    def __init__(self, proxy: Any) -> None:
        self._proxy = proxy

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        return await _resume(self._proxy, "anext")

    async def asend(self, value: Any, /) -> Any:
        """Resume the generator with a value; gives its next item."""
        return await _resume(self._proxy, "asend", value)

    async def athrow(self, exception: BaseException | type[BaseException], /) -> Any:
        """Raise an exception where the generator stands; gives its next item."""
        from . import _rebuilt

        if isinstance(exception, type):
            exception = exception()
        try:
            try:
                return await _resume(self._proxy, "athrow", exception)
            except _errors.ArgumentError as refused:
                if not _rebuilt.could_not_travel(refused):
                    raise
            return await _resume(self._proxy, "athrow", _rebuilt.stand_in_for(exception))
        except _errors.RemoteError as error:
            raise _rebuilt.own_again(error, exception) from None

    async def aclose(self) -> None:
        """End the generator: its `finally` blocks run there, before this returns."""
        await _core._operate_async(self._proxy, "aclose")

    def __repr__(self) -> str:
        return repr(self._proxy).replace("<proxy of", "<stream of")

    def __reduce__(self) -> tuple[Any, ...]:
        return _itself, (self._proxy,)


class AsyncItems:
    """What `async for` over a proxy goes through. The object is asked for its iterator when the first item is."""

    __slots__ = ("_iterator", "_proxy")

    def __init__(self, proxy: Any) -> None:
        self._proxy = proxy
        self._iterator: Any = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        if self._iterator is None:
            self._iterator = await _core._aiter(self._proxy)
        return await anext(self._iterator)  # a proxy's is `next_item`

    def __repr__(self) -> str:
        return f"<items of {self._proxy!r}>"


async def next_item(proxy: Any) -> Any:
    """The next item of an asynchronous iterator elsewhere; at its end StopAsyncIteration, as here."""
    return await _resume(proxy, "anext")


async def _resume(proxy: Any, how: str, *operands: Any) -> Any:
    try:
        return await _core._operate_async(proxy, how, *operands)
    except _errors.RemoteError as error:
        if error.type_name != "builtins.StopAsyncIteration":
            raise
    raise StopAsyncIteration


async def awaited(awaitable: Any) -> Any:
    """Await in a coroutine what may be another kind of awaitable: a host runs coroutines."""
    return await awaitable


async def awaited_call(function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """Await in a coroutine what a function gives, which is called then."""
    return await function(*args)


def _itself(generator: Any) -> Any:
    return generator
