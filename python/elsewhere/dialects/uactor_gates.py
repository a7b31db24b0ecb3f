"""How a proxy of uactor's dialect reaches its object: both ends, and what is between them. Part of `uactor`.

Owns: proxies as such, the process of an actor, the gates in it, connections to it. Must not know: classes of actors.

An actor lives in a host, which serves it at an address: its maker reaches it by the host, everybody else by the
address, each directly. Nobody reaches an object itself: a gate stands before it, in its process, and lets through what
is exposed.

Long because both ends stand here, which are changed together.
"""

from __future__ import annotations

import functools
import itertools
import os
import threading
import time
import weakref
from multiprocessing import process
from typing import TYPE_CHECKING, Any, NoReturn

import elsewhere
from elsewhere.dialects.uactor_carried import Owned, Stopped
from elsewhere.dialects.uactor_words import ActorGoneError, AuthkeyError, ProxyError, checked_key, secret, tell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

HELD = 60.0
"""Seconds that what stands in a pickle is kept for who loads it."""


class ProxyMethod:
    """A method of a class of proxies that calls the method of the object. Bound to a proxy it can be passed on."""

    def __init__(self, name: str) -> None:
        """Call the method `name`."""
        self._name = name
        self.__name__: str = name

    def __call__(self, proxy: BaseProxy, /, *args: Any, **kwargs: Any) -> Any:
        """Call it by the class, as in `map(A.proxy_class.method, proxies)`."""
        return self.__get__(proxy, type(proxy))(*args, **kwargs)

    def __get__(self, proxy: BaseProxy | None, cls: type[BaseProxy]) -> Any:
        """Give what calls it: a partial and no method, so that it is pickled with its proxy."""
        if proxy is None:
            return self
        name = self._name
        if not cls._is_direct:
            return _named(functools.partial(_call_as_written, proxy, name), name)
        method = _named(functools.partial(_call, proxy._way, name), name)
        if getattr(cls, name) is self:
            proxy.__dict__[name] = method  # looked up once; it has the way and not the proxy, which would have itself
        return method


class ProxyAttribute:
    """An attribute of a class of proxies that is the object's."""

    def __init__(self, name: str) -> None:
        """Read and set the attribute `name`."""
        self._name = name

    def __get__(self, proxy: BaseProxy | None, cls: type[BaseProxy]) -> Any:
        """Read it."""
        if proxy is None:
            return self
        way = proxy._way
        try:
            if _is_fork:
                way.reach()
            result = way.get(self._name)
        except elsewhere.ElsewhereError as error:
            tell(error)
        return result if type(result) in COPIED else way.take(result)

    def __set__(self, proxy: BaseProxy, value: Any) -> None:
        """Set it."""
        proxy._ask("set", self._name, value)

    def __delete__(self, proxy: BaseProxy) -> NoReturn:
        """Refuse."""
        text = f"{self._name!r} of a {type(proxy).__name__!r} object cannot be deleted by its proxy"
        raise AttributeError(text)


def _named(method: Any, name: str) -> Any:
    method.__name__ = name
    return method


def _call(way: Way, /, *args: Any, **kwargs: Any) -> Any:
    """Call a method of the object, its name and then its arguments: its result, or a proxy where the actor says so."""
    try:
        if _is_fork:
            way.reach()
        result = way.call(*args, **kwargs) if kwargs else way.call(*args)
    except elsewhere.ElsewhereError as error:
        tell(error)
    return result if type(result) in COPIED else way.take(result)


def _call_as_written(proxy: BaseProxy, name: str, /, *args: Any, **kwargs: Any) -> Any:
    return proxy._callmethod(name, args, kwargs)


class BaseProxy:
    """Names an object in an actor's process. Two of one object are equal."""

    _exposed_: tuple[str, ...] | None = None
    """The methods that can be called by it; None for all public ones."""
    _attributes_: tuple[str, ...] = ()
    """The attributes that can be read and set by it."""
    _method_to_typeid_: Mapping[str, str | None] = {}
    _names: tuple[str, ...] | None = None
    """What a dynamic proxy has found to be exposed."""
    _is_direct: bool = True
    """Whether methods are called without `_callmethod`."""
    _is_first: bool = False
    """Whether calling a class of actors gave it: with it the actor's process ends, others come and go."""
    _is_strict: bool = True
    """Whether nothing else is kept in it: what is set and not exposed would stay here unnoticed."""
    _way: Way

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Keep to a `_callmethod` of its own."""
        super().__init_subclass__(**kwargs)
        cls._is_direct = cls._callmethod is BaseProxy._callmethod
        cls._is_strict = vars(cls).get("_is_strict", cls.__module__.startswith("elsewhere."))

    def _callmethod(self, methodname: str, args: Iterable[Any] = (), kwds: Mapping[str, Any] | None = None) -> Any:
        """Call a method of the object: its result, or a proxy of that where the actor says so."""
        return _call(self._way, methodname, *args, **(kwds or {}))

    def _getvalue(self) -> Any:
        """Give a copy of the object."""
        return self._ask("copy")

    def _ask(self, what: str, /, *args: Any, **kwargs: Any) -> Any:
        try:
            return getattr(self._way.reach(), what)(*args, **kwargs)
        except elsewhere.ElsewhereError as error:
            tell(error)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set what the class has; what is not exposed stays nowhere, but in classes of the user's own."""
        if self._is_strict and not name.startswith("_") and not hasattr(type(self), name):
            text = f"{type(self).__name__!r} object has no attribute {name!r} to set"
            raise AttributeError(text)
        super().__setattr__(name, value)

    def __reduce__(self) -> tuple[Any, ...]:
        """Leave the address of the actor and the number of the object, which is kept for who loads this."""
        return _load, self._way.written()

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """Give a copy of the object."""
        return self._getvalue()

    def __eq__(self, other: object) -> bool:
        """Whether it names the same object."""
        if not isinstance(other, BaseProxy):
            return NotImplemented
        own, its = self._way, other._way
        return (own.link.uid, own.ident) == (its.link.uid, its.ident)

    def __hash__(self) -> int:
        """Be the same for proxies of one object."""
        return hash((self._way.link.uid, self._way.ident))

    def __repr__(self) -> str:
        """Say what it is. Costs no I/O."""
        return f"<{type(self).__name__} object, typeid {self._way.typeid!r} at {id(self):#x}>"

    def __str__(self) -> str:
        """Give what the object says of itself; `repr` where it cannot be asked."""
        try:
            return str(self._ask("text"))
        except ActorGoneError:
            return repr(self)


class Way:
    """From a proxy to its object, by what reaches the gate before that."""

    ident: int
    typeid: str
    gate: Any
    call: Any
    get: Any
    keeper: Any = None

    def __init__(self, kind: type[BaseProxy], link: Link | Home, gate: Any, ident: int, typeid: str) -> None:
        self._kind, self.link, self.ident, self.typeid = kind, link, ident, typeid
        self.proxy: Callable[[], Any] = lambda: None
        self._set_gate(gate)

    def _set_gate(self, gate: Any) -> None:
        self.gate, self.call, self.get = gate, gate.call, gate.get

    def reach(self) -> Any:
        """The gate; in a fork of the process that had it one of a connection of its own."""
        if self.link.pid != _pid:
            self.link = _link_to(self.link.uid, self.link.place, self.link.key, is_explicit=True)
            self._set_gate(self.link.find(self.ident))
        return self.gate

    def take(self, result: Any) -> Any:
        """What a result stands for: it may be a proxy, the same one for the same object."""
        if not isinstance(result, CARRIED):
            return result
        if type(result) is Sent:
            gate = elsewhere.options(result.gate, result="value") if elsewhere.is_proxy(result.gate) else result.gate
            return make_proxy(result.kind, result.names, self.link, gate, result.ident, result.typeid)
        if type(result) is Stopped:
            raise result.kind(*result.args)
        if type(result) is Owned:
            result.proxy._way.keeper = result.keeper
            return result.proxy
        proxy = self.proxy()
        return proxy if result == proxy and not proxy._is_first else result

    def written(self) -> tuple[Any, ...]:
        """What leads to the object from elsewhere, which is kept for who comes by that."""
        if self.ident:
            try:
                self.reach().hold()
            except elsewhere.ElsewhereError as error:
                tell(error)
        link, kind = self.link, self._kind
        return _plain(kind), kind._names, self.typeid, self.ident, link.uid, link.place, link.is_explicit

    def __reduce__(self) -> tuple[Any, ...]:
        return _load_way, self.written()


class Sent:
    """A proxy as a result of the process that its object is in: it goes with a reference to its gate."""

    kind: type[BaseProxy]
    names: tuple[str, ...] | None
    gate: Any
    ident: int
    typeid: str

    def __init__(self, kind: type[BaseProxy], names: Any, gate: Any, ident: int, typeid: str) -> None:
        self.kind, self.names, self.gate, self.ident, self.typeid = kind, names, gate, ident, typeid

    def __reduce__(self) -> tuple[Any, ...]:
        return Sent, (_plain(self.kind), self.names, elsewhere.ref(self.gate), self.ident, self.typeid)


class Gate:
    """Stands before one object of an actor, in its process, and lets through what is exposed."""

    ident: int
    typeid: str
    names: tuple[str, ...] | None

    def __init__(self, home: Home, obj: Any, ident: int, typeid: str, kind: type[BaseProxy]) -> None:
        self.ident, self.typeid, self.names = ident, typeid, None
        self._home, self._obj, self._kind = home, obj, kind
        exposed = kind._exposed_
        if exposed is None:
            exposed = tuple(name for name in dir(obj) if not name.startswith("_") and _is_method(obj, name))
            self.names = exposed if kind is BaseProxy else None
        self._methods = frozenset(exposed)
        self._returns = kind._method_to_typeid_
        self._plain = self._methods - ANY - self._returns.keys()

    def call(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        """Call a method; a proxy of its result where that is declared."""
        is_plain = name in self._plain
        if not is_plain:
            self._check(name, args)
        try:
            method = getattr(self._obj, name)
            result = method(*args, **kwargs) if kwargs else method(*args)
        except (StopIteration, StopAsyncIteration) as end:
            return Stopped(type(end), end.args)
        return result if is_plain and type(result) in COPIED else self._give(name, result)

    def get(self, name: str) -> Any:
        """Read an attribute."""
        if name not in self._kind._attributes_:
            self._refuse(name)
        result = getattr(self._obj, name)
        return result if type(result) in COPIED and name not in self._returns else self._give(name, result)

    def set(self, name: str, value: Any) -> None:
        """Set an attribute."""
        if name not in self._kind._attributes_:
            self._refuse(name)
        setattr(self._obj, name, value)

    def copy(self) -> Any:
        """Give the object, which is copied on its way."""
        return self._obj

    def text(self) -> str:
        """Give what the object says of itself."""
        return str(self._obj)

    def hold(self) -> None:
        """Keep it for who loads a pickle of its proxy."""
        self._home.hold(self)

    def __enter__(self) -> Any:
        return self.call("__enter__")

    def __exit__(self, kind: object, error: object, traceback: object) -> Any:
        return self.call("__exit__", kind, error, traceback)

    def _check(self, name: str, args: tuple[Any, ...]) -> None:
        """Refuse what is not exposed."""
        if name not in self._methods:
            self._refuse(name)
        if name in ANY and args[0].startswith("__"):
            self._refuse(args[0])

    def _refuse(self, name: str) -> NoReturn:
        text = f"{self._kind.__name__!r} object has no attribute {name!r}"
        raise AttributeError(text)

    def _give(self, name: str, result: Any) -> Any:
        kind = self._returns.get(name)
        if kind is not None:
            result = self._home.proxy(result, kind)
        if isinstance(result, VIEWS):
            return list(result)
        if isinstance(result, BaseProxy) and (way := result._way).link is self._home:
            return Sent(type(result), result._names, way.gate, way.ident, way.typeid)
        if isinstance(result, BaseProxy) and result._way.link.is_owner:
            return Owned(result, elsewhere.ref(result._way.link))
        return result


class Home:
    """An actor's process, there: the actor, and the gates before what it gives by reference."""

    is_owner: bool = False
    pid: int
    uid: str
    """What tells this actor from others, whatever the address is that it is reached by."""
    key: bytes
    is_explicit: bool
    """Whether it has a key of its own."""
    place: str

    def __init__(self, name: str, place: str, inherited: bytes, authkey: bytes | None, keys: dict[str, bytes]) -> None:
        global _home, _is_fork
        this = process.current_process()
        this.name, this.authkey = name, inherited  # as in every child of multiprocessing
        known_keys.update(keys)
        _is_fork = _is_linked  # a fork of a process that had proxies has those, too, and must reach them anew
        self.pid = _pid
        self.uid = os.urandom(16).hex()
        self.key = authkey or inherited
        self.is_explicit = authkey is not None
        self.kinds: Mapping[str, type[BaseProxy]] = {}
        self.actor: Any = None
        self.awaits: type | None = None
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._gates: weakref.WeakValueDictionary[int, Gate] = weakref.WeakValueDictionary()
        self._known: weakref.WeakValueDictionary[tuple[int, str], Gate] = weakref.WeakValueDictionary()
        self._held: list[tuple[float, Gate]] = []
        self._is_tidied = False
        there = elsewhere.Address(place, authkey=secret(self.key))
        self._server = elsewhere.serve(self, there, expose=REACHED, concurrency="caller").start()
        self.place = str(self._server.address)
        _home = self

    def begin(self, cls: Any, /, *args: Any, **kwargs: Any) -> tuple[str, str, Any]:
        """Make the actor. Gives what its maker would ask for next: `about()` and `find(0)`."""
        self.kinds = cls.manager_class._kinds_
        self.awaits = cls
        cls(*args, **kwargs)
        return *self.about(), self.find(0)

    def adopt(self, actor: Any, kind: type[BaseProxy]) -> Any:
        """Take what is to be the actor; from now on it may give proxies of itself."""
        self.awaits, self.actor = None, actor
        self._root = self.gate(actor, "actor", kind)
        return actor

    def about(self) -> tuple[str, str]:
        """Give what tells this actor from others, and where it is served."""
        return self.uid, self.place

    def find(self, ident: int) -> Any:
        """Give the gate of a number to who asks from outside."""
        return elsewhere.ref(self.loaded(ident))

    def loaded(self, ident: int) -> Gate:
        """The gate of a number; it is let go of as often as it was held."""
        with self._lock:
            gate = self._gates.get(ident)
            if gate is None:
                text = f"the object of this proxy is gone: nobody used it, and it was not loaded within {HELD:.0f} s"
                raise ProxyError(text)
            held = next((pair for pair in self._held if pair[1] is gate), None)
            if held is not None:
                self._held.remove(held)
            return gate

    def gate(self, obj: Any, typeid: str, kind: type[BaseProxy]) -> Gate:
        """The gate before an object, the same as long as somebody has it."""
        with self._lock:
            gate = self._known.get((id(obj), typeid))
            if gate is None:
                ident = 0 if typeid == "actor" else next(self._numbers)
                gate = self._known[id(obj), typeid] = self._gates[ident] = Gate(self, obj, ident, typeid, kind)
            return gate

    def proxy(self, value: Any, typeid: str) -> Any:
        """A proxy of an object, made here."""
        kind = self.kinds.get(typeid)
        if kind is None:
            text = f"No proxy is registered with typeid {typeid!r}"
            raise ProxyError(text)
        if typeid == "actor" and value is not self.actor:
            text = f"Proxy {typeid!r} cannot be used with foreign actor references"
            raise ProxyError(text)
        gate = self.gate(value, typeid, kind)
        return make_proxy(kind, gate.names, self, gate, gate.ident, typeid)

    def hold(self, gate: Gate) -> None:
        """Keep what stands in a pickle, until it is loaded or nobody seems to want it."""
        with self._lock:
            self._held.append((time.monotonic() + HELD, gate))
            if not self._is_tidied:
                self._tidy_after(HELD)

    def _tidy_after(self, seconds: float) -> None:
        self._is_tidied = True
        timer = threading.Timer(seconds, self._tidy)
        timer.daemon = True
        timer.start()

    def _tidy(self) -> None:
        now = time.monotonic()
        with self._lock:
            gone = [held for held in self._held if held[0] <= now]
            self._held = [held for held in self._held if held[0] > now]
            self._is_tidied = False
            if self._held:
                self._tidy_after(self._held[0][0] - now)
        del gone  # after the lock: it may run code of the user's

    def end(self) -> None:
        """Leave the process to its owner."""


def begin(about: tuple[Any, ...], cls: Any, /, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
    """Be an actor's process. Gives its Home, and what that gives when it begins."""
    home = Home(*about)
    return elsewhere.ref(home), home.begin(cls, *args, **kwargs)


ANY = frozenset(("__getattribute__", "__setattr__", "__delattr__"))
"""The methods that reach every attribute, where a kind of proxies exposes them."""

VIEWS: Any = (type({}.keys()), type({}.values()), type({}.items()))
"""Results that are copied as lists."""

CARRIED = (Sent, Owned, Stopped, BaseProxy)
"""Results that are not what the caller gets."""

COPIED = frozenset({bool, bytes, complex, dict, float, int, list, set, str, tuple, type(None)})
"""Types whose values are what goes to the caller, and what the caller gets."""

REACHED = {Home: ["about", "find"], Gate: ["call", "get", "set", "copy", "text", "hold", "__enter__", "__exit__"]}
"""What those may use who connect."""

_home: Home | None = None
_pid = os.getpid()
_is_fork = False
"""Whether a proxy here may be one of the process that this is a fork of."""

_is_linked = False
"""Whether this process, or one that it is a fork of, had proxies of others' objects."""


def _note_process() -> None:
    global _pid, _is_fork
    _pid, _is_fork = os.getpid(), True


os.register_at_fork(after_in_child=_note_process)


class Link:
    """A way from this process to an actor's: by its host, or by a connection."""

    key: bytes
    is_explicit: bool
    uid: str
    place: str
    pid: int

    def __init__(
        self, home: Any, key: bytes, *, is_explicit: bool, begun: Any = None, place: Any = None, owned_for: Any = None
    ) -> None:
        global _is_linked
        _is_linked = True
        self._there = home
        self.key = key
        self.is_explicit = is_explicit
        self.uid, there, root = begun or (*home.about(), home.find(0))
        self.place = place or there
        self.pid = _pid
        self._owned_for = owned_for
        """Seconds that the process may take to end, if this one started it."""
        self._root = elsewhere.options(root, result="value")

    @property
    def is_owner(self) -> bool:
        """Whether this process started it."""
        return self._owned_for is not None and self.pid == _pid

    def find(self, ident: int) -> Any:
        """Give the gate of a number."""
        return elsewhere.options(self._there.find(ident), result="value") if ident else self._root

    def end(self) -> None:
        """End the process, if this one started it."""
        if self._owned_for is not None and self.is_owner:
            elsewhere.host_of(self._there).close(timeout=self._owned_for)


known_keys: dict[str, bytes] = {}
"""By actor, the keys that the maker of this process had."""

links: weakref.WeakValueDictionary[str, Link] = weakref.WeakValueDictionary()
"""By actor, the way that this process has to it."""


def home_here() -> Home | None:
    """Give the actor that this process is."""
    return _home if _home is not None and _home.pid == _pid else None


def make_proxy(kind: type[BaseProxy], names: Any, link: Link | Home, gate: Any, ident: int, typeid: str) -> Any:
    """Make a proxy of an object, by what reaches it."""
    made = object.__new__(_dynamic(names) if names is not None else kind)
    way = made.__dict__["_way"] = Way(type(made), link, gate, ident, typeid)
    way.proxy = weakref.ref(made)
    return made


def _is_method(obj: object, name: str) -> bool:
    """Whether a name is a method's; no property is read for it."""
    return callable(getattr(type(obj), name, None)) or callable(getattr(obj, "__dict__", {}).get(name))


def _plain(kind: type[BaseProxy]) -> type[BaseProxy]:
    """The kind that is pickled: a dynamic one is made anew of its names."""
    return BaseProxy if kind._names is not None else kind


@functools.lru_cache
def _dynamic(names: tuple[str, ...]) -> type[BaseProxy]:
    space = {"_names": names, "_exposed_": names, "__module__": __name__}
    return type("AutoProxy[auto]", (BaseProxy,), {**{name: ProxyMethod(name) for name in names}, **space})


def _load(
    kind: type[BaseProxy],
    names: tuple[str, ...] | None,
    typeid: str,
    ident: int,
    uid: str,
    place: str,
    is_explicit: bool,
) -> Any:
    """What was pickled, in a process that reaches the actor, or in the actor's own."""
    home = home_here()
    try:
        if home is not None and home.uid == uid:
            gate = home.loaded(ident)
            return make_proxy(kind, names, home, gate, ident, typeid)
        link = _link_to(uid, place, None, is_explicit=is_explicit)
        return make_proxy(kind, names, link, link.find(ident), ident, typeid)
    except elsewhere.ElsewhereError as error:
        tell(error)


def _load_way(*written: Any) -> Any:
    return _load(*written)._way


def _link_to(uid: str, place: str, key: bytes | None, *, is_explicit: bool) -> Link:
    link = links.get(uid)
    if link is not None and link.pid == _pid:
        return link
    key = key or keys_here().get(uid)
    if is_explicit and key is None:
        text = f"the actor at {place} has a key of its own: connect to it first"
        raise AuthkeyError(text)
    return connect(place, key or process.current_process().authkey)


def keys_here() -> dict[str, bytes]:
    """The keys of actors that have their own, as far as this process and those before it are connected to them."""
    here = [link for reference in links.valuerefs() if (link := reference()) is not None]
    return known_keys | {link.uid: link.key for link in here if link.is_explicit}


def connect(place: str, key: bytes) -> Link:
    """Connect to an actor."""
    try:
        home = elsewhere.connect(place, authkey=secret(checked_key(key)))
        link = Link(home, key, is_explicit=key != process.current_process().authkey, place=place)
    except elsewhere.ElsewhereError as error:
        tell(error)
    known = links.get(link.uid)
    if known is None or known.pid != _pid:
        links[link.uid] = link
    return link
