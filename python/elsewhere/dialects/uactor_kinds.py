"""The kinds of proxies that uactor's dialect has for objects of the standard library. Part of `uactor`.

Owns: what can be done with each kind. Must not know: how it is done.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Self

from elsewhere.dialects.uactor_gates import BaseProxy, ProxyAttribute, ProxyMethod

if TYPE_CHECKING:
    from collections.abc import Callable


def exposing(methods: str, attributes: str = "", **returns: str) -> Callable[[type[BaseProxy]], type[BaseProxy]]:
    """Give a class of proxies its methods and attributes, and say which results are proxies themselves."""

    def expose(cls: type[BaseProxy]) -> type[BaseProxy]:
        cls._exposed_, cls._attributes_ = tuple(methods.split()), tuple(attributes.split())
        cls._method_to_typeid_ = returns
        members = {name: ProxyMethod(name) for name in cls._exposed_}
        for name, member in {**members, **{name: ProxyAttribute(name) for name in cls._attributes_}}.items():
            setattr(cls, name, member)
        return cls

    return expose


@exposing("is_set set clear wait")
class EventProxy(BaseProxy):
    """An event."""


@exposing("acquire release")
class LockProxy(BaseProxy):
    """A lock or a semaphore, also for `with`."""

    def __enter__(self) -> Any:
        """Acquire it."""
        return self._callmethod("acquire")

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        """Release it."""
        self._callmethod("release")


@exposing("acquire release wait notify notify_all")
class ConditionProxy(LockProxy):
    """A condition; what is waited for is looked at here."""

    def wait_for(self, predicate: Callable[[], Any], timeout: float | None = None) -> Any:
        """Wait until `predicate()` is true here, at most `timeout` seconds, and give what it gave."""
        end = None if timeout is None else time.monotonic() + timeout
        while not (result := predicate()):
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                break
            self._callmethod("wait", (left,))
        return result


@exposing("abort reset wait", "broken n_waiting parties")
class BarrierProxy(BaseProxy):
    """A barrier."""


@exposing("empty full get get_nowait join put put_nowait qsize task_done")
class QueueProxy(BaseProxy):
    """A queue, whether it can be joined or not."""


@exposing(
    "__add__ __contains__ __delitem__ __getitem__ __len__ __mul__ __reversed__ __rmul__ __setitem__ append clear "
    "copy count extend index insert pop remove reverse sort",
    __reversed__="Iterator",
)
class ListProxy(BaseProxy):
    """A list."""

    def __iadd__(self, values: Any) -> Self:
        """Extend it."""
        self._callmethod("extend", (values,))
        return self

    def __imul__(self, number: int) -> Self:
        """Repeat it."""
        self._callmethod("__setitem__", (slice(None), self._getvalue() * number))
        return self


@exposing(
    "__contains__ __delitem__ __getitem__ __iter__ __len__ __or__ __ror__ __setitem__ clear copy get items keys pop "
    "popitem setdefault update values",
    __iter__="Iterator",
)
class DictProxy(BaseProxy):
    """A dict."""

    def __ior__(self, values: Any) -> Self:
        """Update it."""
        self._callmethod("update", (values,))
        return self


@exposing("__next__ next send throw close")
class IteratorProxy(BaseProxy):
    """An iterator or a generator."""

    def __iter__(self) -> Self:
        """Give itself."""
        return self


@exposing(
    "apply apply_async close imap imap_unordered join map map_async starmap starmap_async terminate",
    **dict.fromkeys(("apply_async", "map_async", "starmap_async"), "AsyncResult"),
    **dict.fromkeys(("imap", "imap_unordered"), "Iterator"),
)
class PoolProxy(BaseProxy):
    """A pool of threads or processes."""

    def __enter__(self) -> Self:
        """Give itself."""
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        """Terminate the pool."""
        self._callmethod("terminate")


@exposing("get ready successful wait")
class AsyncResultProxy(BaseProxy):
    """What a pool will give."""


@exposing("", "value")
class ValueProxy(BaseProxy):
    """A value."""

    value: Any

    def get(self) -> Any:
        """Give the value."""
        return self.value

    def set(self, value: Any) -> None:
        """Set the value."""
        self.value = value


@exposing("__getitem__ __len__ __setitem__")
class ArrayProxy(BaseProxy):
    """An array."""


ANY = ("__getattribute__", "__setattr__", "__delattr__")
"""What reaches all public attributes of an object."""


class NamespaceProxy(BaseProxy):
    """An object whose public attributes are all there is to it."""

    _exposed_ = ANY

    def __getattr__(self, name: str) -> Any:
        """Read an attribute."""
        if name.startswith("_"):
            raise AttributeError(name)
        return self._callmethod("__getattribute__", (name,))

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute."""
        if name.startswith("_"):
            super().__setattr__(name, value)
        else:
            self._callmethod("__setattr__", (name, value))

    def __delattr__(self, name: str) -> None:
        """Delete an attribute."""
        self._callmethod("__delattr__", (name,))


KINDS: dict[str, type[BaseProxy]] = {
    **dict.fromkeys(("Queue", "JoinableQueue"), QueueProxy),
    "Event": EventProxy,
    **dict.fromkeys(("Lock", "RLock", "Semaphore", "BoundedSemaphore"), LockProxy),
    "Condition": ConditionProxy,
    "Barrier": BarrierProxy,
    "Pool": PoolProxy,
    "list": ListProxy,
    "dict": DictProxy,
    "Value": ValueProxy,
    "Array": ArrayProxy,
    "Namespace": NamespaceProxy,
    "Iterator": IteratorProxy,
    "AsyncResult": AsyncResultProxy,
    "auto": BaseProxy,
}
"""The kinds that every actor can give, by typeid."""
