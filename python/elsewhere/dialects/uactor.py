"""The names of uactor 0.1: `from elsewhere.dialects import uactor` for `import uactor`.

Owns: what uactor's names mean in ours: its actors, and what is configured in their classes. Must not know: anything of
elsewhere but its public names.

`uactor_gates` has what a proxy is and how it reaches its object, `uactor_kinds` the nineteen kinds of proxies,
`uactor_words` errors, addresses and keys. Together they are longer than the other dialects, because uactor is
`multiprocessing.managers` with classes in front.
"""

from __future__ import annotations

import itertools
from multiprocessing import process
from typing import TYPE_CHECKING, Any, ClassVar

import elsewhere
from elsewhere.dialects import processes
from elsewhere.dialects import uactor_gates as gates
from elsewhere.dialects.uactor_gates import BaseProxy, ProxyAttribute, ProxyMethod
from elsewhere.dialects.uactor_kinds import KINDS
from elsewhere.dialects.uactor_words import (
    ActorGoneError,
    AuthkeyError,
    ProxyError,
    UActorException,
    checked_key,
    place_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "DEFAULT_SERIALIZER",
    "Actor",
    "ActorGoneError",
    "ActorManager",
    "ActorProxy",
    "AuthKeyError",
    "AuthkeyError",
    "BaseProxy",
    "ProxyAttribute",
    "ProxyError",
    "ProxyMethod",
    "UActorException",
    "proxy",
    "typeid",
]

DEFAULT_SERIALIZER = "pickle"
"""The only one."""

SHUTDOWN_TIMEOUT = 1.0
"""Seconds that an actor may take for the calls that run when it is shut down."""

AuthKeyError = AuthkeyError
"""As uactor's pages spell it."""

_numbers = itertools.count(1)


class ActorProxy(BaseProxy):
    """Names an actor. The classes of actors have classes of their own of it, with their methods."""

    _exposed_ = ("__enter__", "__exit__", "shutdown")

    @property
    def connection_address(self) -> Any:
        """Where it is reached from here: `(host, port)`, or the path of a socket."""
        place = self._way.link.place
        host, _, port = place.removeprefix("tcp://").rpartition(":")
        return (host.strip("[]"), int(port)) if place.startswith("tcp://") else place

    def shutdown(self) -> None:
        """Call the actor's `shutdown`, and end its process if this one started it.

        Raises:
            ActorGoneError: it has ended.
        """
        try:
            self._callmethod("shutdown")
        finally:
            self._way.link.end()

    def __enter__(self) -> Any:
        """Enter the actor's own context: gives what that gives, the actor's proxy if nothing else is said."""
        return self._callmethod("__enter__")

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        """Leave it, and shut the actor down if this is the proxy that started it. The exception of the block stays."""
        is_swallowed = False
        try:
            try:
                is_swallowed = bool(self._ask("__exit__", kind, error, None))
            finally:
                if self._is_first and self._way.link.is_owner:
                    self.shutdown()
        except Exception as failure:
            if error is None:
                raise
            error.add_note(f"leaving the actor's context failed: {type(failure).__name__}: {failure}")
        return is_swallowed


class ActorManager:
    """Knows the kinds of proxies that an actor can give. Each class of actors has one of its own."""

    _kinds_: ClassVar[Mapping[str, type[BaseProxy]]] = KINDS

    @classmethod
    def typeids(cls) -> tuple[str, ...]:
        """Give the names of all kinds."""
        return tuple(cls._kinds_)


class Actor:
    """An object that lives in a process of its own: calling the class makes one, and gives its proxy.

    What is configured is uactor's: `_exposed_`, `_proxies_`, `_method_to_typeid_`, `_options_`, `manager_class` and
    `proxy_class`.
    """

    manager_class: type[ActorManager] = ActorManager
    proxy_class: type[ActorProxy] = ActorProxy
    _options_: Mapping[str, Any] = {}
    _exposed_: tuple[str, ...] | None = ActorProxy._exposed_
    _proxies_: Mapping[str, type[BaseProxy]] = {}
    _method_to_typeid_: Mapping[str, str | None] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Make the classes of its manager and its proxies.

        Raises:
            TypeError: `_proxies_` or `_method_to_typeid_` cannot be.
        """
        super().__init_subclass__(**kwargs)
        _declare(cls)

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Start a process and make it there; gives its proxy. In that process, it is the object."""
        home = gates.home_here()
        if home is None or home.awaits is not cls:
            return _start(cls, args, kwargs)
        return home.adopt(super().__new__(cls), cls.proxy_class)

    def __enter__(self) -> Any:
        """Give itself: who enters it from outside gets a proxy."""
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> Any:
        """Do nothing; for subclasses. It is told of the exception of the block, without the traceback object."""

    def shutdown(self) -> None:
        """Do nothing; for subclasses, which are asked before their process ends."""

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Travel as a proxy."""
        home = gates.home_here()
        if home is not None and self is home.actor:
            return home.proxy(self, "actor").__reduce__()
        return super().__reduce_ex__(protocol)

    @classmethod
    def connect(
        cls,
        address: Any,
        authkey: bytes | None = None,
        serializer: str = DEFAULT_SERIALIZER,  # noqa: ARG003 - uactor's
        capture: Iterable[Any] = (),  # noqa: ARG003 - uactor's
    ) -> Any:
        """Give a proxy of an actor that runs already; without `authkey` by the key of this process and its children.

        `capture` is not needed: whatever the addresses are by which proxies were made, those of this actor use this
        connection.

        Raises:
            AuthkeyError: it has another key.
            ActorGoneError: nobody is there.
        """
        link = gates.connect(place_of(address), process.current_process().authkey if authkey is None else authkey)
        return gates.make_proxy(cls.proxy_class, None, link, link.find(0), 0, "actor")


def proxy(value: Any, typeid: str = "auto", serializer: str = DEFAULT_SERIALIZER) -> Any:  # noqa: ARG001 - uactor's
    """Give a proxy of an object of this actor, for others.

    Raises:
        ProxyError: this is no actor's process, there is no such kind, or "actor" is asked for what is not this actor.
    """
    home = gates.home_here()
    if home is None:
        text = "Proxies can only be created under actor processes"
        raise ProxyError(text)
    return home.proxy(value, typeid)


def typeid(proxy: object) -> str:
    """Give the kind of a proxy.

    Raises:
        ValueError: it is no proxy.
        ProxyError: it is one of nothing.
    """
    if not isinstance(proxy, BaseProxy):
        text = f"Cannot get typeid, {proxy!r} is not a proxy"
        raise ValueError(text)  # noqa: TRY004 - uactor's
    way: gates.Way | None = getattr(proxy, "_way", None)
    if way is None:
        text = "Cannot get typeid of a proxy of nothing"
        raise ProxyError(text)
    return way.typeid


def _declare(cls: type[Actor]) -> None:
    """Put together what the classes of an actor say, and make the classes that follow from it."""
    bases = [vars(base) for base in reversed(cls.__mro__[:-1])]
    proxies = {name: kind for space in bases for name, kind in (space.get("_proxies_") or {}).items()}
    if "actor" in proxies:
        text = "typeid 'actor' is reserved"
        raise TypeError(text)
    returns = {name: kind for space in bases for name, kind in (space.get("_method_to_typeid_") or {}).items()}
    kinds = {"actor": ActorProxy, **cls.manager_class._kinds_, **proxies}
    for name, kind in proxies.items():
        if not (isinstance(kind, type) and issubclass(kind, BaseProxy)):
            text = f"_proxies_ has {kind!r} as {name!r}, which is no subclass of uactor.BaseProxy"
            raise TypeError(text)
    for kind in returns.values():
        if kind is not None and kind not in kinds:
            text = f"typeid {kind!r} is not defined"
            raise TypeError(text)
    names = {name: None for space in bases for name in _exposed(space)} | dict.fromkeys(returns)
    methods = tuple(name for name in names if callable(getattr(cls, name, None)))
    attributes = tuple(name for name in names if name not in methods)
    members: dict[str, Any] = {name: ProxyMethod(name) for name in methods}
    members |= {name: ProxyAttribute(name) for name in attributes}
    for name, made in list(members.items()):  # what the class of its proxies does itself, that does
        if not isinstance(getattr(cls.proxy_class, name, made), (ProxyMethod, ProxyAttribute)):
            del members[name]
    members |= {"_exposed_": methods, "_attributes_": attributes, "_method_to_typeid_": returns}
    members["_is_strict"] = cls.proxy_class._is_strict
    cls.proxy_class = kinds["actor"] = _subclass(cls, cls.proxy_class, "proxy_class", members)
    cls.manager_class = _subclass(cls, cls.manager_class, "manager_class", {"_kinds_": kinds})


def _exposed(space: Mapping[str, Any]) -> Iterable[str]:
    """The names that a class exposes: those that it lists, or its public methods."""
    given = space.get("_exposed_")
    if given is not None:
        return tuple(given)
    return [
        name
        for name, member in space.items()
        if not name.startswith("_")
        and name not in ("manager_class", "proxy_class")
        and (callable(member) or isinstance(member, classmethod))
    ]


def _subclass(cls: type[Actor], base: type, name: str, members: dict[str, Any]) -> Any:
    name = f"{cls.__qualname__}.{name}"
    return type(name, (base,), {**members, "__module__": cls.__module__, "__qualname__": name})


def _start(cls: type[Actor], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    options = {"address": None, "authkey": None, "shutdown_timeout": SHUTDOWN_TIMEOUT, **cls._options_}
    if unknown := set(options) - {"address", "authkey", "shutdown_timeout", "serializer", "ctx"}:
        text = f"_options_ has {', '.join(sorted(unknown))}, which mean nothing"
        raise TypeError(text)
    address, key = options["address"], checked_key(options["authkey"])
    place = str(elsewhere.reserve()) if address is None else place_of(address)
    inherited = bytes(process.current_process().authkey)
    name = f"{cls.__qualname__}.manager_class-{next(_numbers)}"
    about = name, place, inherited, key, gates.keys_here()
    fork = processes.fork(concurrency="caller", name=name)
    host = fork or elsewhere.Host(concurrency="caller", name=name, preload=[__name__])
    try:
        if fork:  # which has the keys already that it may take to load the arguments
            home, begun = host.run(gates.begin, about, cls, *args, **kwargs)
        else:
            home = host.spawn(gates.Home, *about)
            begun = home.begin(cls, *args, **kwargs)
        owned_for = options["shutdown_timeout"]
        link = gates.Link(home, key or inherited, is_explicit=key is not None, begun=begun, owned_for=owned_for)
    except BaseException:
        host.close(timeout=0)
        raise
    gates.links[link.uid] = link
    made = gates.make_proxy(cls.proxy_class, None, link, link.find(0), 0, "actor")
    made._is_first = True
    return made


_declare(Actor)
