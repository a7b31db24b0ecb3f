"""The names of spawny 2.1: `from elsewhere.dialects.spawny import run_script` for `from spawny import run_script`.

Owns: what spawny's names mean in ours. Must not know: anything of elsewhere but its public names.

What is different, because it was a fault: threads get their own answers, attributes are set there, no name of a
keyword argument is taken, `python_exe` is the daemon's alone and any Python, a daemon that died is told, and ends with
its owner.

Long because its proxies have a line for each special method, and because definitions, interpreters, logs and errors are
names of spawny's.
"""

from __future__ import annotations

import builtins
import contextlib
import copy
import functools
import logging
import math
import operator
import os
import shutil
import sys
import sysconfig
import warnings
import weakref
from abc import ABC, abstractmethod
from importlib.util import decode_source
from pickle import PicklingError
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

import elsewhere
from elsewhere.dialects import processes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Special = Callable[..., Any]

__all__ = [
    "DaemonCouldNotSendMsgError",
    "DaemonProxy",
    "InstanceDefinition",
    "ModuleDefinition",
    "ObjectProxy",
    "ScriptDefinition",
    "UnknownException",
    "run_module",
    "run_object",
    "run_script",
]


class ToStdout(logging.StreamHandler[Any]):
    """Writes to `sys.stdout` as it is when something is written."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)  # the one between would keep the stream of now

    @property
    def stream(self) -> Any:
        """Standard output, wherever it goes."""
        return sys.stdout


default_logger: logging.Logger = logging.getLogger("spawny")
default_logger.setLevel(logging.INFO)
default_logger.addHandler(ToStdout())


class DaemonNotStartedError(AttributeError):
    """The daemon was terminated."""


class UnknownException(Exception):
    """What was raised over there is no Exception: SystemExit, KeyboardInterrupt and the like."""

    def __init__(self, use_sys: bool = True) -> None:
        super().__init__(use_sys)
        self.info: Any = sys.exc_info()[0] if use_sys else "<unknown>"

    def __str__(self) -> str:
        return f"Unknown exception happened on the daemon side: {self.info}"


class DaemonCouldNotSendMsgError(PicklingError):
    """A result or an exception cannot be copied to this process; `exc` says why. The daemon goes on."""

    def __init__(self, flag_str: str, contents_str: str, exc: BaseException) -> None:
        super().__init__(flag_str, contents_str, exc)
        self.flag: str = flag_str
        self.contents: str = contents_str
        self.exc: BaseException = exc

    def __str__(self) -> str:
        return f"the daemon could not send [{self.flag}] {self.contents}\n{type(self.exc).__name__}: {self.exc}"

    @staticmethod
    def create_from(flag: object, contents: object, exc: BaseException) -> DaemonCouldNotSendMsgError:
        """Make it of what was to be sent: True stands for a result, False for an exception."""
        name = {True: "OK", False: "ERR"}[flag] if isinstance(flag, bool) else flag
        return DaemonCouldNotSendMsgError(f"{name}_FLAG", str(contents), exc)


class Definition(ABC):
    """What a daemon is to make for itself."""

    @abstractmethod
    def get_type(self) -> Any:
        """Give the class of what will be made."""

    @abstractmethod
    def is_multi_object(self) -> bool:
        """Whether it is a namespace, whose parts are used by themselves."""


class InstanceDefinition(Definition):
    """An instance of a class that the daemon imports; without a module, of a builtin or of one of `__main__`."""

    def __init__(self, module_name: str | None, clazz_name: str, *args: Any, **kwargs: Any) -> None:
        self.module_name: str | None = module_name
        self.clazz_name: str = clazz_name
        self.args: tuple[Any, ...] = args
        self.kwargs: dict[str, Any] = kwargs

    def __str__(self) -> str:
        return f"{self.module_name or ''}.{self.clazz_name}({self.args};{self.kwargs})"

    def get_type(self) -> Any:
        """Import the class here, which the daemon does not need."""
        if self.module_name:
            __import__(self.module_name)
            return getattr(sys.modules[self.module_name], self.clazz_name)
        return getattr(builtins, self.clazz_name, None) or getattr(sys.modules["__main__"], self.clazz_name)

    def instantiate(self) -> Any:
        """Make the instance here."""
        return self.get_type()(*self.args, **self.kwargs)

    def is_multi_object(self) -> bool:
        """Tell that it is one object."""
        return False


class _Namespace(Definition):
    def get_type(self) -> Any:
        return ModuleType

    def is_multi_object(self) -> bool:
        return True


class ScriptDefinition(_Namespace):
    """A namespace that a script makes. Bytes are decoded as the interpreter decodes a file."""

    def __init__(self, script_as_str: str | bytes) -> None:
        self.script: str = script_as_str if isinstance(script_as_str, str) else decode_source(script_as_str)


class ModuleDefinition(_Namespace):
    """A module that the daemon imports, from the file `module_path` where one is named."""

    def __init__(self, module_name: str, module_path: str | None = None) -> None:
        self.module_name: str = module_name
        self.module_path: str | None = module_path


class Process:
    """The process of a daemon, with names of `multiprocessing.Process`."""

    daemon = True

    def __init__(self, host: elsewhere.Host, name: str) -> None:
        self._host = host
        self.name: str = name
        self.pid: int | None = host.pid
        self.join: Callable[..., object] = host.wait
        self.kill: Callable[[], None] = host.kill
        self.terminate: Callable[[], None] = host.kill

    @property
    def exitcode(self) -> int | None:
        """How it ended, or None."""
        return self._host.exitcode

    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._host.alive


class DaemonProxy:
    """A process with one object, one script or one module.

    What making it raises is raised here; what is no Exception is an UnknownException.
    """

    look: str = (
        "lambda thing, name, is_whole: (lambda found: (True, False, None)"
        " if type(found).__name__ == 'function' or hasattr(found, '__self__')"
        " else (False, True, None) if is_whole else (False, False, found))(getattr(thing, name))"
    )
    """Run there, in one trip: whether a name is one of a method, whether it stays there, else the value."""

    def __init__(
        self, obj_instance_or_definition: Any, python_exe: str | None = None, logger: Any = default_logger
    ) -> None:
        what = obj_instance_or_definition
        self.started: bool = False
        self.logger: Any = logger or default_logger
        self.is_told: Callable[[int], bool] = getattr(self.logger, "isEnabledFor", lambda _level: True)
        self.python_exe: str | None = _interpreter(python_exe)
        self.name: str = python_exe or f"python-{type(what).__name__}"
        self.is_multi_object: bool = isinstance(what, Definition) and what.is_multi_object()
        self._parts: weakref.WeakValueDictionary[int, Part] = weakref.WeakValueDictionary()
        self._looker: Callable[..., Any] | None = None  # what a fork has for `look`
        self.tell("spawning child process...")
        try:
            self._host, self._namespace = self._start(what)
        except Exception as error:  # noqa: BLE001 - it is raised again
            self.pass_on(error)
        self.place: Any = elsewhere.options(self._namespace, result="value")
        self._look: Any = None  # made when a name is looked up
        self.started = True
        self.tell(f"spawning child process... DONE. PID={self._host.pid}")

    def _start(self, what: Any) -> tuple[elsewhere.Host, Any]:
        looker = _looker(self.look)
        host = None
        if self.python_exe:
            host = elsewhere.Host(name=self.name, python=self.python_exe, path=_own_directories())
        elif not isinstance(what, ModuleDefinition) or not (what.module_path or what.module_name in sys.modules):
            host = processes.fork(name=self.name, inherit=[looker])
            self._looker = looker if host else None
        # Otherwise a fork would have modules of the program's where others are meant.
        host = host or elsewhere.Host(name=self.name)
        try:
            return host, _kept(host, _made(host, what))
        except BaseException as error:
            host.close()
            if not isinstance(error, elsewhere.ArgumentError) or isinstance(what, Definition) or self.python_exe:
                raise
            with contextlib.suppress(elsewhere.HostStartError):  # a fork has also what cannot be copied
                host = elsewhere.Host(name=self.name, start="fork", inherit=[what, looker])
                self._looker = looker
                return host, _kept(host, host.send(what))
            raise

    def __repr__(self) -> str:
        return f"DaemonProxy<{self._host.pid if self.started else 'not started'}>"

    @property
    def obj_proxy(self) -> ObjectProxy:
        """The proxy of what the daemon has."""
        return ObjectProxy(self)

    @property
    def p(self) -> Process:
        """The process."""
        return Process(self._host, self.name)

    def is_started(self) -> bool:
        """Whether it was started, and not terminated."""
        return self.started

    def tell(self, text: str) -> None:
        """Log what happens to the process."""
        self.logger.info("[DaemonProxy] %s", text)

    def tell_call(self, method: Any, name: str) -> None:
        """Log a call."""
        del name
        self.logger.debug(f"[{self!r}] asking daemon to execute {method!r}")  # noqa: G004 - keeps no daemon

    def tell_end(self) -> None:
        """Log that the process is asked to end."""
        self.tell(f"{self!r} is asked to exit")

    def append(self, script_str: str) -> None:
        """Run more source in the script or module; what it defines is found by every proxy of it."""
        self.check()
        try:
            self._host.script(script_str, into=self._namespace)
        except Exception as error:  # noqa: BLE001 - it is raised again
            self.pass_on(error)
        finally:
            for part in list(self._parts.values()):
                _forget(part)

    def terminate_daemon(self) -> None:
        """End the process after what it was asked to do; what takes longer than some seconds is broken off."""
        self.check()
        self.tell_end()
        self.started = False
        self._host.close()
        self.tell("terminated successfully")

    def check(self) -> None:
        """Refuse what can no longer be done."""
        if not self.started:
            text = f"[{self!r}] Cannot perform remote calls - daemon is not started"
            raise DaemonNotStartedError(text)

    def find(self, part: Part, name: str) -> Any:
        """Give what a name stands for, there: a method, which the part keeps, a value or a proxy."""
        self.check()
        place, names = part._place_, part._names_
        if self._look is None:
            inherited = self._looker and _later(self._looker)  # by its number
            self._look = inherited or elsewhere.options(self._host.spawn(eval, self.look), result="value")
        try:
            is_method, is_part, value = self._look(place, name, self.is_multi_object and not names)
        except elsewhere.ResultError as error:
            return self.stand_in(error, [*names, name])
        except Exception as error:
            self.logger.debug("[%s] Received error from daemon: %s", repr(self), str(error))
            raise
        if is_method:
            value = part.__dict__[name] = _caller(self, elsewhere.attribute(place, name), name)
            self._parts[id(part)] = part
        elif not is_part:
            part._values_[name] = elsewhere.attribute(place, name)
        return self.stand_in(None, [*names, name]) if is_part else value

    def stand_in(self, error: Exception | None, names: list[str]) -> Any:
        """Give what stands for an object that stays there; with `error`, because it cannot be copied."""
        del error
        return ObjectProxy(self, names)

    def pass_on(self, error: Exception) -> NoReturn:
        """Raise what was raised there, in spawny's classes where it has some."""
        if isinstance(error, elsewhere.HostClosed):
            self.check()
        self.logger.warning("[%s] Received error from daemon: %s", repr(self), str(error))
        if isinstance(error, elsewhere.ResultError):
            raise DaemonCouldNotSendMsgError.create_from(True, error, PicklingError(str(error))) from error
        if not isinstance(error, elsewhere.RemoteError):
            raise error
        raise_end(error)
        name = error.type_name.rpartition(".")[2]
        if type(error).__name__ == name:
            why = PicklingError(f"the class {error.type_name} cannot be imported here")
            raise DaemonCouldNotSendMsgError.create_from(False, error.message, why) from error
        unknown = UnknownException(use_sys=False)
        unknown.info = name
        raise unknown from error


ObjectDaemonProxy: type[DaemonProxy] = DaemonProxy


def raise_end(error: Exception) -> None:
    """Raise what ends an iteration as itself, which nothing else does: in a generator it would end that."""
    for kind in (StopIteration, StopAsyncIteration):
        if isinstance(error, elsewhere.RemoteError) and error.type_name == f"builtins.{kind.__name__}":
            value = getattr(error, "value", None)
            raise kind(*([] if value is None else [value])) from error


def _caller(daemon: DaemonProxy, method: Any, name: str) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        if daemon.is_told(logging.DEBUG):
            daemon.tell_call(method, name)
        try:
            return method(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - it is raised again
            daemon.pass_on(error)

    return call


def _ask(part: Part, function: Callable[..., Any], *args: Any) -> Any:
    """`function(object, *args)` there. Parts of the same daemon are there already, others are copied."""
    daemon = part._daemon_
    daemon.check()
    there = [arg._place_ if isinstance(arg, Part) and arg._daemon_ is daemon else arg for arg in args]
    return _caller(daemon, function, function.__name__)(part._place_, *there)


def _later(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args: elsewhere.submit(function, *args).result()


def _swapped(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda place, other: function(other, place)


def _in_place_or(place: Any, other: Any) -> Any:
    place = elsewhere.options(place, result="auto")  # which tells the object itself from a copy
    place |= other
    return place


def _item(place: Any, key: Any) -> Any:
    return elsewhere.get(place[key])


def _item_or_place(place: Any, key: Any) -> Any:
    try:
        return elsewhere.get(place[key])
    except elsewhere.ResultError:
        return place[key]  # it cannot be copied, and can be used where it is


def _there(function: Callable[..., Any]) -> Callable[..., Any]:
    """A special method that is done there, by the function that stands for it in Python."""
    return lambda part, *args: _ask(part, function, *args)


class Part:
    """What stands for an object in a daemon: its methods are called there, what else has a name is copied from there.

    Names are set there. Special methods act on the object; a pickle and a copy are the object's. A name that was one of
    a method is taken for one until it is set here.
    """

    # A line for each, here and in ObjectProxy, and no loop over names: type checkers do not see what a loop sets.
    __eq__: Special = _there(operator.eq)
    __ne__: Special = _there(operator.ne)
    __lt__: Special = _there(operator.lt)
    __le__: Special = _there(operator.le)
    __gt__: Special = _there(operator.gt)
    __ge__: Special = _there(operator.ge)
    __hash__: Special = _there(_later(hash))
    __str__: Special = _there(str)
    __format__: Special = _there(format)
    __bool__: Special = _there(bool)
    __len__: Special = _there(len)
    __iter__: Special = _there(iter)
    __reversed__: Special = _there(reversed)
    __contains__: Special = _there(operator.contains)
    __getitem__: Special = _there(_item)
    __setitem__: Special = _there(operator.setitem)
    __delitem__: Special = _there(operator.delitem)
    __or__: Special = _there(operator.or_)
    __ror__: Special = _there(_swapped(operator.or_))
    __sizeof__: Special = _there(lambda place: elsewhere.attribute(place, "__sizeof__")())

    _daemon_: DaemonProxy
    _names_: tuple[str, ...]
    _place_: Any
    _values_: dict[str, Any]
    """By name, the places of what was a value when it was asked for."""

    def __init__(self, daemon: DaemonProxy, names: Iterable[str] = ()) -> None:
        place, path = daemon.place, tuple(names)
        for name in path:
            place = elsewhere.attribute(place, name)
        self.__dict__.update(_daemon_=daemon, _names_=path, _place_=place, _values_={})

    def __getattr__(self, name: str) -> Any:
        if name in _OWN:
            raise AttributeError(name)  # there was no __init__ yet
        daemon = self._daemon_
        value_there = self._values_.get(name)
        if value_there is not None and daemon.started:  # it was a value the last time
            try:
                value = elsewhere.get(value_there)
            except elsewhere.ResultError:
                value = daemon.find  # it is something else by now
            if not callable(value):
                return value
        return daemon.find(self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _OWN or hasattr(type(self), name):
            object.__setattr__(self, name, value)
        else:
            self.__dict__.pop(name, None)
            _ask(self, _later(setattr), name, value)

    def __delattr__(self, name: str) -> None:
        self.__dict__.pop(name, None)
        _ask(self, _later(delattr), name)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return copy.copy, (_ask(self, elsewhere.get),)

    def __ior__(self, other: Any) -> Any:  # type: ignore[misc] # what `or` gives is of any class
        result = _ask(self, _in_place_or, other)
        return self if elsewhere.is_proxy(result) else result

    def __repr__(self) -> str:
        return str(_ask(self, _later(repr))) if self._daemon_.started else f"{type(self).__name__}<not started>"


_OWN = frozenset({"_daemon_", "_names_", "_place_", "_values_"})


def _forget(part: Part) -> None:
    for name in part.__dict__.keys() - _OWN:
        part.__dict__.pop(name, None)


class ObjectProxy(Part):
    """What stands for a script, a module, one of its parts, or for an object, which can be called and counted with."""

    __getitem__: Special = _there(_item_or_place)
    __add__: Special = _there(operator.add)
    __radd__: Special = _there(_swapped(operator.add))
    __sub__: Special = _there(operator.sub)
    __rsub__: Special = _there(_swapped(operator.sub))
    __mul__: Special = _there(operator.mul)
    __rmul__: Special = _there(_swapped(operator.mul))
    __truediv__: Special = _there(operator.truediv)
    __rtruediv__: Special = _there(_swapped(operator.truediv))
    __floordiv__: Special = _there(operator.floordiv)
    __rfloordiv__: Special = _there(_swapped(operator.floordiv))
    __mod__: Special = _there(operator.mod)
    __rmod__: Special = _there(_swapped(operator.mod))
    __divmod__: Special = _there(divmod)
    __rdivmod__: Special = _there(_swapped(divmod))
    __pow__: Special = _there(pow)
    __rpow__: Special = _there(_swapped(pow))
    __neg__: Special = _there(operator.neg)
    __pos__: Special = _there(operator.pos)
    __abs__: Special = _there(abs)
    __int__: Special = _there(int)
    __float__: Special = _there(float)
    __round__: Special = _there(round)
    __trunc__: Special = _there(math.trunc)
    __floor__: Special = _there(math.floor)
    __ceil__: Special = _there(math.ceil)

    @property
    def daemon(self) -> DaemonProxy:
        """The process."""
        return self._daemon_

    @property
    def child_names(self) -> list[str] | None:
        """The names that lead here from what the daemon has."""
        return list(self._names_) or None

    @property
    def is_multi_object(self) -> bool:
        """Whether this is a script or a module, whose parts are proxies."""
        return self._daemon_.is_multi_object and not self._names_

    def terminate_daemon(self) -> None:
        """End the process."""
        self._daemon_.terminate_daemon()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the object."""
        return _caller(self._daemon_, self._place_, "__call__")(*args, **kwargs)


def run_script(script_str: str | bytes, python_exe: str | None = None, logger: Any = default_logger) -> ObjectProxy:
    """Run a script in a process of its own. Gives the proxy of its namespace."""
    return DaemonProxy(ScriptDefinition(script_str), python_exe, logger).obj_proxy


def run_module(
    module_name: str, module_path: str | None = None, python_exe: str | None = None, logger: Any = default_logger
) -> ObjectProxy:
    """Import a module in a process of its own. Gives its proxy."""
    return DaemonProxy(ModuleDefinition(module_name, module_path), python_exe, logger).obj_proxy


def run_object(
    object_instance_or_definition: Any, python_exe: str | None = None, logger: Any = default_logger
) -> ObjectProxy:
    """Put an object into a process of its own, or have it made there. Gives its proxy."""
    return DaemonProxy(object_instance_or_definition, python_exe, logger).obj_proxy


def _made(host: elsewhere.Host, what: Any) -> Any:
    if isinstance(what, ScriptDefinition):
        return host.script(what.script)
    if isinstance(what, ModuleDefinition):
        return host.module(what.module_name, what.module_path)
    if not isinstance(what, InstanceDefinition):
        return host.send(what)
    if not what.module_name and not hasattr(builtins, what.clazz_name):
        return host.spawn(what.get_type(), *what.args, **what.kwargs)
    module = elsewhere.options(host.module(what.module_name or "builtins"), result="proxy")
    return elsewhere.attribute(module, what.clazz_name)(*what.args, **what.kwargs)


def _kept(host: elsewhere.Host, made: Any) -> Any:
    """What has the names of the object: an iterator arrives as a stream, which has none."""
    if elsewhere.is_proxy(made):
        return made
    keeper: Any = host.script("")
    keeper.kept = made
    return keeper.kept


@functools.cache
def _looker(text: str) -> Any:
    """What a fork has for a `look`: compiled once, and not in each of them."""
    return eval(text)  # noqa: S307 - our own text


def _interpreter(python_exe: str | None) -> str | None:
    """The interpreter to start, or None for this one."""
    if python_exe is None or python_exe == sys.executable:
        return None
    if os.path.exists(python_exe) or shutil.which(python_exe):
        return python_exe
    text = f"there is no python_exe {python_exe!r}; the daemon runs in {sys.executable}"
    warnings.warn(text, RuntimeWarning, stacklevel=4)
    return None


def _own_directories() -> list[str]:
    """Where this program's own modules are: the import path without what belongs to this interpreter."""
    paths = sysconfig.get_paths()
    library = (paths["stdlib"] + os.sep, paths["platstdlib"] + os.sep)
    places = [os.path.join(os.path.abspath(entry), "") for entry in sys.path if not entry.endswith(".zip")]
    return [place for place in places if not place.startswith(library) and "-packages/" not in place]
