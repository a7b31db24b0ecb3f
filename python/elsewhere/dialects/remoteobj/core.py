"""`Proxy`: an object that stays in the process that listens, used in whatever process there is.

Owns: what the names and operators of a proxy do. Must not know: where the object is (home), how steps are taken (view).
"""

from __future__ import annotations

import functools
import operator
import os
import reprlib
import weakref
from typing import TYPE_CHECKING, Any

import elsewhere
from elsewhere.dialects.remoteobj.home import ABSENT, PLAIN, Home, NotListeningError, home_at, listening
from elsewhere.dialects.remoteobj.view import Step, View, all_sent, options_sent, sent, take, takes_default

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType
    from typing import Self

    from elsewhere.dialects.remoteobj.home import Line

__all__ = ["Proxy", "get"]

_OLD_NAMES: dict[str, Callable[[Any], Any]] = {
    "background_listen": lambda proxy: lambda: proxy.listen_(bg=True),
    "background_stop": lambda proxy: proxy.stop_listen_,
    "run_listener": lambda proxy: proxy._run_listener,
    "listening": lambda proxy: proxy.listening_,
    "is_local": lambda proxy: proxy._home.maker == os.getpid(),
    "as_view": lambda proxy: lambda frozen=True: View(*proxy._keys, frozen=frozen),
}
"""The names of remoteobj 0.0.1; the object's own names go before them."""


class Proxy(View):
    """An object, and each part of it, in the process that listens for it.

    Made beside the object, before that goes to a process of its own: `obj.remote = Proxy(obj)`. Whichever process then
    listens answers the others; asked in that one, things are done at once, in the thread that asks.
    """

    def __init__(
        self,
        instance: Any,
        eager_proxy: bool = True,
        *,
        fulfill_final: bool = True,
        default: Any = ABSENT,
        proxy_call: bool = True,
    ) -> None:
        """Name an object.

        Args:
            instance: The object.
            eager_proxy: Whether calls are made; otherwise they give proxies too. `proxy_call` is the old name.
            fulfill_final: Whether a listener that stops answers what was asked before.
            default: What is given while nobody listens; it is called if it can be. Without one that is a RuntimeError.
            proxy_call: See `eager_proxy`.
        """
        super().__init__()
        self._home = Home(instance, default=default, is_eager=eager_proxy and proxy_call, fulfills=fulfill_final)
        self._home.root = weakref.ref(self)

    _call: tuple[Home, Line, Callable[..., Any]] | None = None
    _resolve: tuple[Home, Line, Callable[..., Any]] | None = None
    """Where the steps are to one attribute, what calls it and what gives it, once that was done; while the home has
    this line. Together, since an attribute of a class with `__getattr__` takes long to look up."""

    # ------------------------------------------------------------ what is asked
    def _evaluate(self, default: Any = ABSENT, *, default_local: bool = False) -> Any:
        home, keys = self._home, self._keys
        here = listening.get(home.place)
        if here is not None:
            return take(here.obj, keys)
        try:
            return self._ask("resolve")
        except NotListeningError as error:
            return self._without_listener(error, default, default_local=default_local)

    def _without_listener(self, error: NotListeningError, default: Any, *, default_local: bool = False) -> Any:
        home = self._home
        default = home.default if default is ABSENT else default
        if default is not ABSENT:
            return default() if callable(default) else default
        if default_local and home.obj is not ABSENT:
            return take(home.obj, self._keys)
        text = f"Remote instance is not running for {self!r}: {error}"
        raise NotListeningError(text) from None

    def get_(self, default: Any = ABSENT, *, default_local: bool = False) -> Any:
        """Give the value that is here: a copy, where the object is in another process.

        Args:
            default: What is given while nobody listens, instead of the proxy's own default.
            default_local: Whether the object as it is in this process is asked while nobody listens.

        Raises:
            RuntimeError: nobody listens, and there is no default.
        """
        short = self._resolve
        if short is None or short[0].line is not short[1]:
            return self._evaluate(default, default_local=default_local)
        home, line, resolve = short
        try:
            result = resolve()
        except Exception as error:  # noqa: BLE001 - raised again, if this may not be done again
            try:
                home.pass_on(error)
            except NotListeningError as nobody:
                return self._without_listener(nobody, default, default_local=default_local)
            return self._evaluate(default, default_local=default_local)
        return result if type(result) in PLAIN else self._received(home.taken(result, line))

    @property
    def __(self) -> Any:
        """The same in few characters."""
        try:
            return self._evaluate()
        except AttributeError as error:
            self._lacking = error  # Python asks `__getattr__` next, which would raise another
            raise

    def __call__(self, *args: Any, _default: Any = ABSENT, _proxy: bool | None = None, **kwargs: Any) -> Any:
        """Call what is here; with `_proxy=False` only note that down, and give the proxy of what it will give.

        `default=`, where that is no argument of the method's own, is `_default`, as in remoteobj 0.0.1.
        """
        short = self._call
        if short is not None and not kwargs and _proxy is None:  # at once, as most calls are made
            home, line, call = short
            if home.line is line:
                for value in args:
                    if type(value) not in PLAIN:
                        break
                else:
                    try:
                        result = call(*args)
                    except Exception as error:  # noqa: BLE001 - raised again, if this may not be done again
                        return self._make_call(args, kwargs, _default, _proxy, error)
                    return result if type(result) in PLAIN else self._received(home.taken(result, line))
        return self._make_call(args, kwargs, _default, _proxy)

    def _make_call(
        self, args: Any, kwargs: Any, default: Any, is_eager: bool | None, error: Exception | None = None
    ) -> Any:
        home = self._home
        is_made = not self._frozen and (home.is_eager if is_eager is None else is_eager)
        if error is None and (not is_made or home.place in listening):
            return self._step("()", (args, kwargs), default, is_eager=is_eager)
        try:
            if error is not None:
                home.pass_on(error)
            return self._ask("call", *map(sent, args), **options_sent(kwargs))
        except NotListeningError as nobody:
            if default is ABSENT and "default" in kwargs and not self._takes_default():
                default = kwargs["default"]
            return self._extend(("()", (args, kwargs)))._without_listener(nobody, default)

    def _takes_default(self) -> bool:
        """Whether the method, as far as the object is here to be looked at, has such an argument."""
        obj, keys = self._home.obj, self._keys
        if obj is ABSENT or any(operation not in {".", "[]"} for operation, _ in keys):
            return False
        try:
            return takes_default(take(obj, keys))
        except Exception:  # noqa: BLE001 - the object there may be another one by now
            return False

    def _ask(self, verb: str, /, *args: Any, **kwargs: Any) -> Any:
        home, steps = self._home, all_sent(self._keys)
        result = home.ask(verb, steps, *args, **kwargs)
        line = home.line
        if isinstance(steps, str) and line is not None and home.is_eager:
            self.__dict__[f"_{verb}"] = home, line, functools.partial(getattr(line, verb), steps)
        return self._received(result)

    def _received(self, result: Any) -> Any:
        return self._root() if result is self._home else result

    def passto(
        self, func: Callable[..., Any], *args: Any, _default: Any = ABSENT, _proxy: bool | None = None, **kwargs: Any
    ) -> Any:
        """Have `func(x, *args, **kwargs)` called there, where x is what is here."""
        return self._step("f()", (func, args, kwargs), _default, is_eager=_proxy)

    def _step(self, operation: str, operand: Any, default: Any, *, is_eager: bool | None) -> Any:
        called = self._extend((operation, operand))
        is_eager = self._home.is_eager if is_eager is None else is_eager
        return called._evaluate(default) if is_eager else called

    def _do(self, operation: str, operand: Any) -> Any:
        return self._extend((operation, operand), frozen=True)._evaluate()

    def __getattr__(self, name: str) -> Any:
        """Name a part of the object. Asks nobody; names that begin with an underscore are the proxy's own."""
        if name in _OLD_NAMES and not self._keys and not hasattr(self._home.obj, name):
            return _OLD_NAMES[name](self)
        if name[:1] == "_" or self._frozen:
            raise self.__dict__.pop("_lacking", None) or AttributeError(name)
        part = self.__dict__[name] = self._extend((".", name))  # a name stands for the same steps for ever
        return part

    def _extend(self, *keys: Step, frozen: bool = False) -> Self:
        if self._frozen:
            self._check_open()
        proxy = object.__new__(type(self))
        parts = proxy.__dict__
        parts["_home"], parts["_keys"], parts["_frozen"] = self._home, self._keys + keys, frozen
        return proxy

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute there."""
        if name.startswith("_") or name == "listening_":
            object.__setattr__(self, name, value)
        elif name == "listening" and not self._keys and not hasattr(self._home.obj, name):  # as in 0.0.1
            self.listening_ = value
        else:
            self._do(".=", (name, value))

    def __delattr__(self, name: str) -> None:
        """Delete an attribute there."""
        if name.startswith("_"):
            object.__delattr__(self, name)
        else:
            self._do("del.", name)

    def __setitem__(self, key: Any, value: Any) -> None:
        """Set an item there."""
        self._do("[]=", (key, value))

    def __delitem__(self, key: Any) -> None:
        """Delete an item there."""
        self._do("del[]", key)

    def __contains__(self, key: Any) -> bool:
        """Ask there."""
        return bool(self._do("in", key))

    def __len__(self) -> int:
        """Ask there."""
        return int(self._do("len", None))

    def __bool__(self) -> bool:
        """Ask there."""
        return bool(self._do("f()", (bool, (), {})))

    def __iter__(self) -> Iterator[Any]:
        """Give the items that are there, one after another."""
        here = listening.get(self._home.place)
        if here is not None:
            return iter(take(here.obj, self._keys))
        return self._home.items(all_sent(self._keys))

    def __eq__(self, other: object) -> Any:
        """Compare there; two proxies of one thing are equal anyway."""
        return self._compare(operator.eq, other)

    def __ne__(self, other: object) -> Any:
        """Compare there."""
        return self._compare(operator.ne, other)

    def _compare(self, compare: Callable[[Any, Any], Any], other: object) -> Any:
        if isinstance(other, Proxy):
            if other._home is self._home and other._keys is self._keys:
                return compare is operator.eq
            other = other.get_()
        return self._do("f()", (compare, (other,), {}))

    def __hash__(self) -> int:
        """All proxies of one object have one hash."""
        return hash(self._home.place)

    def __str__(self) -> str:
        """Give `str()` of what is there; while nobody listens, of the proxy."""
        try:
            return str(self._do("f()", (str, (), {})))
        except NotListeningError:
            return repr(self)

    @reprlib.recursive_repr("<Remote ...>")
    def __repr__(self) -> str:
        """Say which object this is, and which part of it. Asks nobody."""
        home = self._home
        obj = home.address if home.obj is ABSENT else home.obj
        return f"<Remote {obj} : {View.__str__(self)}>"

    # ------------------------------------------------------------ who listens
    @property
    def _is_here(self) -> bool:
        return self._home.place in listening

    @property
    def listening_(self) -> bool:
        """Whether anybody listens, in whatever process; setting it begins or ends that in this one."""
        return self._home.is_listening()

    @listening_.setter
    def listening_(self, is_listening: bool) -> None:
        if is_listening:
            self.listen_()
        else:
            self.stop_listen_()

    def listen_(self, *, bg: bool = False) -> Self:
        """Answer in this process from now on: in a thread of its own with `bg`, else when `process_requests` is called.

        Raises:
            OSError: another process listens.
        """
        self._home.listen(in_background=bg)
        return self

    def stop_listen_(self) -> Self:
        """End that, in whatever process. What was asked before is answered, or cancelled with `fulfill_final=False`.

        Another process is told, and not waited for.
        """
        if self._is_here:
            self._home.stop()
        else:
            self._home.stop_there()
        return self

    def __enter__(self) -> Self:
        """Listen, if this process does not yet."""
        return self if self._is_here else self.listen_()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop."""
        self._home.stop()

    def _run_listener(self) -> None:
        with self.listen_():
            self._home.run()

    def process_requests(self, timeout: float = 0) -> int:
        """Answer what was asked for, in this thread, and wait for it at most `timeout` seconds. Gives the count."""
        return self._home.poll(None, timeout)

    def poll(self) -> bool:
        """Answer one request, in this thread, if there is one. Gives whether there was."""
        return bool(self._home.poll(1))

    def cancel_requests(self) -> int:
        """Give those who have asked their defaults, or a RuntimeError. Gives how many there were."""
        return self._home.cancel()

    def wait_until_listening(self, proc: Any = None, fail: bool = True, timeout: float | None = None) -> bool:
        """Wait until somebody listens, at most `timeout` seconds. Gives whether anybody does.

        Args:
            proc: The process or thread that is to listen; when it ends first, there is nothing to wait for. A number
                is the timeout, as in 0.0.1.
            fail: Whether that is an error.
            timeout: Seconds; None for as long as it takes.

        Raises:
            RuntimeError: `proc` has ended, or was not started.
            TimeoutError: nobody listens yet.
        """
        if isinstance(proc, (int, float)):
            proc, timeout = None, proc
        if proc is not None and getattr(proc, "ident", proc) is None and not self._home.is_listening():
            if fail:
                text = f"Remote process has not been started: {proc!r}"
                raise RuntimeError(text)
            return False
        try:
            self._home.wait(proc, timeout)
        except elsewhere.HostStartError as error:
            if fail:
                text = f"Remote process has died: {error}"
                raise RuntimeError(text) from None
            return False
        return True

    # ------------------------------------------------------------ on its way to other processes
    def _root(self) -> Any:
        """Give the proxy of the object itself: always the same, as long as anybody has it."""
        home = self._home
        root = home.root()
        if root is None:
            root = _proxy_at(home, ())
            home.root = weakref.ref(root)
        return root

    def _in_transit(self) -> Any:
        return _Name(self)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the parts that have names here."""
        return {name: self.__dict__[name] for name in ("_home", "_keys", "_frozen")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Arrive in another process."""
        self.__dict__.update(state)
        if not self._keys:
            self._home.root = weakref.ref(self)


def get(view: Any, **options: Any) -> Any:
    """Give the value that is at a proxy, as its `get_` does."""
    return view.get_(**options) if options else view.get_()


class _Name:
    """A proxy on its way to the process of its object: it names that, and takes no copy of it along."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy

    def __reduce__(self) -> tuple[Any, ...]:
        return _named, (self._proxy._home.address, all_sent(self._proxy._keys))


def _named(address: elsewhere.Address, keys: tuple[Step, ...] | str) -> Proxy:
    return _proxy_at(home_at(address), ((".", keys),) if isinstance(keys, str) else keys)


def _proxy_at(home: Home, keys: tuple[Step, ...]) -> Proxy:
    proxy = object.__new__(Proxy)
    proxy.__dict__.update(_home=home, _keys=keys, _frozen=False)
    if not keys:
        known = home.root()
        if known is not None:
            return known  # type: ignore[no-any-return]
        home.root = weakref.ref(proxy)
    return proxy
