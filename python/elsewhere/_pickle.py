"""Pickling across a connection: references inside pickles, and what only exists in `__main__`, by value.

Owns: which pickler is used, and finding the culprit when none can. Must not know: connections, the wire.
References (proxies, `ref(x)`) inside a pickle are kept in a table beside it: while a value is being pickled for a peer,
the objects reduce themselves to `(_core._reference, (index,))`; outside they refuse.
"""

from __future__ import annotations

import _pickle as pickle  # what `pickle` is made of: that would import `re` and `enum`, and takes longer than a host
import copyreg
import io
import sys
import types
from _pickle import PickleBuffer

from . import _class_numbers, _core, _shared
from ._class_numbers import MAIN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Any

HEAP_TYPE = 1 << 9
"""The flag of a class that was made while the program ran, `Py_TPFLAGS_HEAPTYPE`."""

GENERATORS = (types.GeneratorType, types.AsyncGeneratorType)


def _travels_by_reference(obj: Any) -> bool:
    kind = type(obj)
    if kind is types.MethodType:
        return not isinstance(obj.__self__, (type, types.ModuleType))
    return kind in GENERATORS


def _reduce_method(method: types.MethodType) -> Any:
    return _core._offer(method) if _travels_by_reference(method) else method.__reduce__()


def _reduce_view(view: memoryview) -> Any:
    """A view travels as one: pickle has no form for it, and cloudpickle makes bytes of it."""
    if view.c_contiguous:
        return _make_view, (PickleBuffer(view), view.format, view.shape)
    data = view.tobytes() if view.readonly else bytearray(view.tobytes())
    return _make_view, (PickleBuffer(data), view.format, view.shape)


def _reduce_view_whole(view: memoryview) -> Any:
    """The same for interpreters that know no buffers beside a pickle."""
    data = view.tobytes() if view.readonly else bytearray(view.tobytes())
    return _make_view, (data, view.format, view.shape)


def _make_view(data: bytes | bytearray, form: str, shape: tuple[int, ...]) -> memoryview:
    flat = memoryview(data)
    return flat if form == "B" and len(shape) == 1 else flat.cast(form, shape)  # type: ignore[call-overload]


def reducers_of(is_argument: bool, is_sharing: bool) -> dict[type, Callable[[Any], Any]]:
    """Give what values are reduced with, by type: copyreg's table, views and, in arguments, references.

    A table costs nothing where it does not apply; a `reducer_override` would be called for each object. Where the peer
    takes memory, arrays are told as well.
    """
    reducers: dict[type, Callable[[Any], Any]] = {**copyreg.dispatch_table, memoryview: _reduce_view}
    if is_argument:
        reducers[types.MethodType] = _reduce_method
        reducers.update(dict.fromkeys(GENERATORS, _core._offer))
    if is_sharing:
        reducers.update(_shared.reducers())
    return reducers


def dumps_argument(
    value: Any,
    buffer_callback: Callable[[PickleBuffer], Any] | None = None,
    kept: Any = None,
    inherited: dict[int, int] | None = None,
    protocol: int = 5,
) -> bytes:
    """Pickle `value`; bound methods and generators go by reference, all but `kept`.

    `inherited`: the numbers, by `id()`, of objects that the peer has by the fork that made it; these go as numbers.
    """
    file = io.BytesIO()
    if protocol < 5:
        buffer_callback = None
    pickler: Any  # one, and of the class without a call for each object where nothing was inherited
    if inherited:
        pickler = _Inheriting(file, protocol, buffer_callback=buffer_callback)
        pickler.inherited = inherited
    else:
        pickler = pickle.Pickler(file, protocol, buffer_callback=buffer_callback)
    reducers = reducers_of(True, protocol >= 5 and _core._is_passing_memory())
    if protocol < 5:
        reducers[memoryview] = _reduce_view_whole
    if type(kept) is types.MethodType:
        reducers[types.MethodType] = lambda method: _reduce_unless(method, kept)
    pickler.dispatch_table = reducers
    pickler.dump(value)
    return file.getvalue()


def dumps_result(value: Any, _buffer_callback: Any, protocol: int) -> bytes:
    """Pickle a result for a peer of an older version, which knows no buffers beside a pickle."""
    file = io.BytesIO()
    pickler = pickle.Pickler(file, protocol)
    pickler.dispatch_table = {**reducers_of(False, False), memoryview: _reduce_view_whole}
    pickler.dump(value)
    return file.getvalue()


class _Inherited:
    """The part of a pickler that writes the numbers of inherited objects."""

    inherited: dict[int, int]

    def persistent_id(self, obj: Any) -> Any:
        return self.inherited.get(id(obj))


class _Inheriting(_Inherited, pickle.Pickler):
    """pickle's own, with them."""


def _reduce_unless(method: types.MethodType, kept: types.MethodType) -> Any:
    return method.__reduce__() if method is kept else _reduce_method(method)


class _Checked(pickle.Pickler):
    """Refuses classes and functions of modules that no peer can import."""

    def reducer_override(self, obj: Any) -> Any:
        _refuse_if_only_here(obj)
        return NotImplemented


def _refuse_if_only_here(obj: Any) -> None:
    if isinstance(obj, (type, types.FunctionType)):
        from . import _namespaces

        if _namespaces.is_only_here(obj.__module__):
            text = f"{obj.__qualname__} exists only there, in {obj.__module__}"
            raise TypeError(text)


def dumps_checked(value: Any, buffer_callback: Callable[[PickleBuffer], Any] | None = None, protocol: int = 5) -> bytes:
    """Pickle a result; TypeError where it names what the peer cannot import."""
    file = io.BytesIO()
    pickler = _Checked(file, protocol, buffer_callback=buffer_callback if protocol >= 5 else None)
    arrays = _shared.reducers() if protocol >= 5 and _core._is_passing_memory() else {}
    pickler.dispatch_table = {**copyreg.dispatch_table, **arrays}
    pickler.dump(value)
    return file.getvalue()


class _Guarded(pickle.Pickler):
    """Puts references in the place of objects that the peer is shown only through a list."""

    def reducer_override(self, obj: Any) -> Any:
        if _core._is_guarded(obj):
            return _core._offer(obj)
        if not _core._is_pickling_argument():
            _refuse_if_only_here(obj)
        return NotImplemented


def dumps_guarded(value: Any, buffer_callback: Callable[[PickleBuffer], Any] | None = None, protocol: int = 5) -> bytes:
    """Pickle an argument or a result for a client of a server that exposes lists of names."""
    reducers = reducers_of(_core._is_pickling_argument(), protocol >= 5 and _core._is_passing_memory())
    return _dumps_with(_Guarded, reducers, value, buffer_callback, protocol)


def _dumps_with(
    kind: type[pickle.Pickler],
    reducers: dict[type, Any],
    value: Any,
    buffer_callback: Callable[[PickleBuffer], Any] | None,
    protocol: int,
) -> bytes:
    """Pickle with a class of picklers and a dispatch table, for whoever reads `protocol`."""
    file = io.BytesIO()
    pickler = kind(file, protocol, buffer_callback=buffer_callback if protocol >= 5 else None)
    if protocol < 5:
        reducers[memoryview] = _reduce_view_whole
    pickler.dispatch_table = reducers
    pickler.dump(value)
    return file.getvalue()


def dumps_by_value(
    value: Any,
    buffer_callback: Callable[[PickleBuffer], Any] | None = None,
    kept: Any = None,
    inherited: dict[int, int] | None = None,
    _protocol: int = 5,
) -> bytes:
    """Pickle `value` with cloudpickle: classes and functions of `__main__`, lambdas and closures travel by value."""
    file = io.BytesIO()
    kind = _by_value_pickler()
    if inherited is not None:
        kind = type(kind.__name__, (_Inherited, kind), {"inherited": inherited})
    pickler = kind(file, 5, buffer_callback=buffer_callback)
    pickler.kept = kept
    pickler.dump(value)
    return file.getvalue()


def definition_of(cls: type) -> tuple[str, bytes, list[Any]] | None:
    """Give a number of the class, its definition by cloudpickle and what that was made of; None where nobody can tell.

    Nobody can where it holds what may change without a trace, such as a list.
    """
    _by_value_pickler()
    from cloudpickle import cloudpickle

    from . import _definitions

    try:
        parts = _definitions.parts_of(cls)
        return None if parts is None else (cloudpickle._get_or_create_tracker_id(cls), dumps_by_value(cls), parts)
    except Exception:  # noqa: BLE001 - whoever pickles it with its instance raises that again
        return None


class HasReferences(Exception):
    """A reference stands in what was to be pickled without the table of a message."""


class _AlonePickler(pickle.Pickler):
    """Stops where a reference would have to be put into a table."""

    def reducer_override(self, obj: Any) -> Any:
        if type(obj) in (_core.Proxy, _core.Ref, _core.Stream) or _core._is_guarded(obj):
            raise HasReferences
        return NotImplemented


def dumps_alone(value: Any) -> bytes:
    """Pickle `value` for no message in particular; raises HasReferences where it cannot be told without one."""
    file = io.BytesIO()
    try:
        _AlonePickler(file, 4).dump(value)  # which every peer can read
    except HasReferences:
        raise
    except Exception:  # noqa: BLE001 - pickling may raise anything
        return dumps_by_value(value)
    data = file.getvalue()
    return dumps_by_value(value) if any(name.encode() in data for name in MAIN) else data


def _keep_main_here(cloudpickle: Any) -> None:
    """Have cloudpickle, which knows one name of the program, take its classes along under the other one, too."""
    if (main := sys.modules.get("__mp_main__")) is not None:
        cloudpickle.register_pickle_by_value(main)


def _reduced_in_message(obj: Any, kept: Any) -> Any:
    """What `obj` becomes in a message whichever pickler writes it; NotImplemented for most."""
    if _core._is_guarded(obj):
        return _core._offer(obj)
    if not _core._is_pickling_argument():
        _refuse_if_only_here(obj)
    elif _travels_by_reference(obj) and obj is not kept:
        return _core._offer(obj)
    if type(obj) is memoryview:
        return _reduce_view(obj)
    if _core._is_passing_memory() and (reduce := _shared.reducers().get(type(obj))) is not None:
        return reduce(obj)
    if isinstance(obj, io.TextIOWrapper):  # cloudpickle would send what it contains
        text = f"cannot pickle '{type(obj).__name__}' object"
        raise TypeError(text)
    return NotImplemented


_ByValuePickler: Any = None


def _by_value_pickler() -> Any:
    global _ByValuePickler
    if _ByValuePickler is None:
        import cloudpickle

        from . import _definitions

        _keep_main_here(cloudpickle)
        _class_numbers.number_known()

        class ByValuePickler(cloudpickle.Pickler):  # type: ignore[misc] # cloudpickle has no types
            """cloudpickle with the same references as `dumps_argument`."""

            kept: Any = None

            def reducer_override(self, obj: Any) -> Any:
                reduced = _reduced_in_message(obj, self.kept)
                if reduced is NotImplemented:
                    reduced = _definitions.reduce(obj)
                if reduced is NotImplemented:
                    reduced = super().reducer_override(obj)
                if isinstance(obj, type):
                    _refuse_if_static(obj, reduced)
                    _definitions.keep_slots(obj, reduced)
                return reduced

        _ByValuePickler = ByValuePickler
    return _ByValuePickler


def _refuse_if_static(cls: type, reduced: Any) -> None:
    """Refuse to take apart a class made in C, such as that of `sys.version_info`, which no module has by its name."""
    is_taken_apart = reduced is not NotImplemented and len(reduced) > 2
    if is_taken_apart and not cls.__flags__ & HEAP_TYPE:
        text = f"Can't pickle {cls!r}: it is made in C, and {cls.__module__} has no such class"
        raise pickle.PicklingError(text)


inherited: Sequence[object] = ()
"""What this process has by the fork that made it a host, by the numbers that its owner sends."""


def inherit(objects: list[object]) -> None:
    """From now on read their numbers as these objects."""
    global inherited
    inherited = objects
    _core._read_inherited(objects)


class _Unpickler(pickle.Unpickler):
    """Unpickles what cloudpickle made, and the numbers of inherited objects.

    A class that is at home here is never changed by its copy coming back.
    """

    def persistent_load(self, number: Any) -> Any:
        return inherited[number]

    def find_class(self, module: str, name: str) -> Any:
        found = super().find_class(module, name)
        if module == "cloudpickle.cloudpickle":
            return _guards().get(name, found)
        return found


_guard_table: dict[str, Any] = {}


def _guards() -> dict[str, Any]:
    if _guard_table:
        return _guard_table
    import weakref

    from cloudpickle import cloudpickle

    _class_numbers.number_known()
    received: weakref.WeakSet[type] = weakref.WeakSet()
    at_home = cloudpickle._DYNAMIC_CLASS_TRACKER_BY_ID

    def make_skeleton_class(type_constructor: Any, name: str, bases: Any, kwargs: Any, tracker: Any, extra: Any) -> Any:
        own = tracker is not None and at_home.get(tracker)
        cls = cloudpickle._make_skeleton_class(type_constructor, name, bases, kwargs, tracker, extra)
        if cls is not own:
            received.add(cls)
        return cls

    def class_setstate(cls: type, state: Any) -> type:
        return cloudpickle._class_setstate(cls, state) if cls in received else cls

    _guard_table.update(_make_skeleton_class=make_skeleton_class, _class_setstate=class_setstate)
    return _guard_table


def loads(data: bytes | memoryview, buffers: Iterator[Any] | None = None) -> Any:
    """Unpickle `data`, which the peer of an authenticated connection sent."""
    if inherited or (type(data) is bytes and b"cloudpickle.cloudpickle" in data):
        return _Unpickler(io.BytesIO(data), buffers=buffers).load()
    return pickle.loads(data, buffers=buffers)  # bytes come from an authenticated peer


_MOVED = (("pathlib._local", "pathlib"), ("numpy._core", "numpy.core"), ("numpy.core", "numpy._core"))
"""Modules whose names in pickles depend on the version that wrote them."""


class _Foreign(pickle.Unpickler):
    """Knows where other versions have their classes."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return super().find_class(module, name)
        except ImportError:
            for theirs, ours in _MOVED:
                if module == theirs or module.startswith(f"{theirs}."):
                    return super().find_class(ours + module[len(theirs) :], name)
            raise


def loads_foreign(data: bytes | memoryview, buffers: Iterator[Any] | None = None) -> Any:
    """Unpickle `data`, which another version of Python sent."""
    return _Foreign(io.BytesIO(data), buffers=buffers).load()


class _WithoutCode(pickle.Pickler):
    """Stops at code of `__main__`."""

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, (type, types.FunctionType)) and obj.__module__ in MAIN:
            text = f"{obj.__qualname__} is code of {obj.__module__}"
            raise TypeError(text)
        return _core._offer(obj) if _core._is_guarded(obj) else NotImplemented


def dumps_without_code(
    value: Any,
    buffer_callback: Callable[[PickleBuffer], Any] | None = None,
    kept: Any = None,
    _inherited: dict[int, int] | None = None,
    protocol: int = 5,
) -> bytes:
    """Pickle `value`; TypeError where a class or function of `__main__` stands in it."""
    reducers = reducers_of(_core._is_pickling_argument(), False)
    if type(kept) is types.MethodType:
        reducers[types.MethodType] = lambda method: _reduce_unless(method, kept)
    return _dumps_with(_WithoutCode, reducers, value, buffer_callback, protocol)


DEPTH_LIMIT = 200
"""Parts within parts that are looked at: what is nested deeper fails because of that."""

_GLOBAL = ", a global)"

PATH_LIMIT = 80
"""Characters of the path to something nested too deeply that are shown."""


def culprit(value: Any, path: str) -> tuple[str, bool]:
    """The path, from `path`, of the innermost part of `value` that cannot be pickled, with its type's name.

    Also whether it belongs to a definition that travels by value, as a class attribute or a global. Some paths stand
    for the arguments of a call, see `_CALLS`.
    """
    seen: set[int] = set()
    is_of_code = False
    parts = _CALLS[path](*value) if path in _CALLS else _parts(value, path)
    while True:
        if len(seen) == DEPTH_LIMIT:
            return f"{path[:PATH_LIMIT]}…, nested too deeply", False
        seen.add(id(value))
        for part, name in parts:
            if id(part) not in seen and not _core._pickles(part):
                is_of_code = isinstance(value, type) or name.endswith(_GLOBAL) or is_of_code
                value, path = part, name
                parts = _parts(value, path)
                break
        else:
            return f"{path}, a {type(value).__module__}.{type(value).__qualname__}", is_of_code


def _argument_parts(args: Iterable[Any], kwargs: dict[str, Any]) -> Iterator[tuple[Any, str]]:
    yield from ((part, f"args[{index}]") for index, part in enumerate(args))
    yield from ((part, f"kwargs[{name!r}]") for name, part in kwargs.items())


def _headed_parts(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[tuple[Any, str]]:
    first = args[0]
    yield first, getattr(first, "__qualname__", "the function" if callable(first) else "args[0]")
    yield from _argument_parts(args[1:], kwargs)


_CALLS: dict[str, Callable[..., Iterator[tuple[Any, str]]]] = {
    "arguments": _argument_parts,
    "function and arguments": _headed_parts,
    "path and arguments": lambda args, _: _argument_parts(*args[1:]),
}
"""The parts of (args, kwargs), as the caller names them, by what was written: a call; one to `run`, `construct`
or `receive` of a host, whose first argument is a function or the object that is sent; one to its `construct_named`."""


def _parts(value: Any, path: str) -> Iterator[tuple[Any, str]]:
    """What `value` consists of, with the path of each part."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield part, f"{path}[{key!r}]" if isinstance(key, (str, int)) else f"{path}[…]"
            yield key, f"{path} (a key)"
    elif isinstance(value, (list, tuple)):
        yield from ((part, f"{path}[{index}]") for index, part in enumerate(value))
    elif isinstance(value, (set, frozenset)):
        yield from ((part, f"{path} (an element)") for part in value)
    elif isinstance(value, types.FunctionType):
        names = value.__code__.co_freevars
        for name, cell in zip(names, value.__closure__ or (), strict=False):
            yield cell.cell_contents, f"{path} (its variable {name})"
        from . import _definitions

        for name, part in _definitions.globals_of(value).items():
            yield part, f"{path} ({name}{_GLOBAL}"
    elif hasattr(value, "__dict__"):
        yield from ((part, f"{path}.{name}") for name, part in vars(value).items())
