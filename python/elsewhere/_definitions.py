"""Parts of definitions that travel by value and that cloudpickle cannot take along, or makes otherwise.

Owns: how each is rebuilt. Must not know: picklers, connections.
A class or function of `__main__` consists of more than code: caches, descriptors with a lock inside, slots.
"""

from __future__ import annotations

import abc
import functools
import sys
import types
import weakref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_CACHES: Any = type(functools.lru_cache(len))
_WEAK_TABLES = (weakref.WeakKeyDictionary, weakref.WeakValueDictionary)


def reduce(obj: Any) -> Any:
    """What `obj` is rebuilt from; NotImplemented where that is not for here to say."""
    kind = type(obj)
    if kind is _CACHES:
        return NotImplemented if _is_importable(obj) else (_cache, (obj.__wrapped__, obj.cache_parameters()))
    if kind is functools.cached_property:  # until CPython 3.12 it has a lock
        return _cached_property, (obj.func, obj.attrname)
    if kind in _WEAK_TABLES:  # the cache of functools.singledispatch is one
        return kind, (dict(obj),)
    return NotImplemented


def keep_slots(cls: type, reduced: Any) -> None:
    """Have a class be made with its `__slots__`; cloudpickle, which made `reduced`, sets them afterwards, in vain."""
    slots = vars(cls).get("__slots__")
    if _is_named_tuple(cls):
        return  # it makes its own, and takes none
    if slots is not None and isinstance(reduced, tuple) and reduced[0].__name__ == "_make_skeleton_class":
        namespace = reduced[1][3]
        namespace["__slots__"] = slots if isinstance(slots, str | dict) else tuple(slots)


def _is_named_tuple(cls: type) -> bool:
    typing = sys.modules.get("typing")
    return typing is not None and typing.NamedTuple in vars(cls).get("__orig_bases__", ())


def _is_importable(function: Any) -> bool:
    if function.__module__ in ("__main__", "__mp_main__"):
        return False
    found: Any = sys.modules.get(function.__module__)
    for name in function.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is function


def _cache(function: Callable[..., Any], parameters: dict[str, Any]) -> Any:
    return functools.lru_cache(**parameters)(function)


def _cached_property(function: Callable[[Any], Any], name: str | None) -> functools.cached_property[Any]:
    made = functools.cached_property(function)
    made.attrname = name
    return made


_STATIC = frozenset(
    {
        *("__dict__", "__weakref__", "__annotations__", "__dataclass_fields__", "__dataclass_params__"),
        *("__abstractmethods__", "_abc_impl", "__orig_bases__", "__parameters__"),
    }
)
"""Entries of a class that nobody changes once it is made."""

_CONSTANT = (
    *(type(None), bool, int, float, complex, str, bytes, range, type(...), type(NotImplemented), types.CodeType),
    *(types.WrapperDescriptorType, types.MethodDescriptorType, types.GetSetDescriptorType, types.GenericAlias),
)
"""Types of what never changes."""


def parts_of(cls: type) -> list[Any] | None:
    """Give what the definition of a class that travels by value is made of; None where that may change without a trace.

    Each part is a namespace and how many names it has, a name in one and what it stands for, or an attribute: as long
    as all of them are as they were, so is the definition.
    """
    made = _Parts()
    return made.parts if made.has(cls) else None


class _Parts:
    """What a definition is made of, as far as it was looked through."""

    def __init__(self) -> None:
        self.parts: list[Any] = []
        self.seen: set[int] = set()

    def has(self, value: Any) -> bool:
        """Whether it was looked through, and every change of it would show."""
        if id(value) in self.seen or type(value) in _CONSTANT:
            return True
        self.seen.add(id(value))
        if isinstance(value, type):
            return self.has_class(value)
        if type(value) is types.FunctionType:
            return self.has_function(value)
        inside = _inside(value)
        return _goes_by_name(value) if inside is None else all(map(self.has, inside))

    def has_class(self, cls: type) -> bool:
        if _is_by_reference(cls):
            return True
        if type(cls) not in (type, abc.ABCMeta):
            return False
        self.parts.append(("attribute", cls, "__bases__", [cls.__bases__]))
        namespace = vars(cls)
        fields = namespace.get("__dataclass_fields__", {}).values()
        factories = [part for field in fields for part in (field.default, field.default_factory)]
        changing = {name: value for name, value in namespace.items() if name not in _STATIC}
        return self.has_names(namespace, changing) and all(map(self.has, (*cls.__bases__, *factories)))

    def has_names(self, namespace: Any, names: dict[str, Any]) -> bool:
        self.parts.append(("size", namespace, len(namespace), []))
        self.parts += [("name", namespace, name, [value]) for name, value in names.items()]
        return all(map(self.has, names.values()))

    def has_function(self, function: types.FunctionType) -> bool:
        if _is_by_reference(function):
            return True
        for name in ("__code__", "__defaults__", "__kwdefaults__", "__closure__"):
            self.parts.append(("attribute", function, name, [getattr(function, name)]))
        cells = [(cell, cell.cell_contents) for cell in function.__closure__ or ()]  # of an empty one: ValueError
        self.parts += [("attribute", cell, "cell_contents", [value]) for cell, value in cells]
        space, names = function.__globals__, _globals_read(function)
        read = {name: [space[name]] if name in space else [] for name in names}
        self.parts += [("name", space, name, value) for name, value in read.items()]
        defaults = (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values())
        values = (*defaults, *(value for _, value in cells), *(value for found in read.values() for value in found))
        return self.has_names(vars(function), dict(vars(function))) and all(map(self.has, values))


def _inside(value: Any) -> tuple[Any, ...] | None:
    """What a value consists of that cannot be changed itself; None of any other."""
    kind = type(value)
    if kind in (tuple, frozenset):
        return (*value,)
    if kind in (staticmethod, classmethod):
        return (value.__func__,)
    if kind is property:
        return value.fget, value.fset, value.fdel
    return (value.func,) if kind is functools.cached_property else None


def _is_by_reference(definition: Any) -> bool:
    from cloudpickle import cloudpickle

    return bool(cloudpickle._should_pickle_by_reference(definition))


def _globals_read(function: types.FunctionType) -> list[str]:
    from cloudpickle import cloudpickle

    return [*cloudpickle._extract_code_globals(function.__code__)]


def _goes_by_name(value: Any) -> bool:
    """Whether nothing but its name travels, of what is no function or class."""
    kind = type(value)
    if kind is types.ModuleType:
        return sys.modules.get(value.__name__) is value
    if kind is types.BuiltinFunctionType:
        return isinstance(value.__self__, (types.ModuleType, type))
    enum = sys.modules.get("enum")
    if enum is not None and isinstance(value, enum.Enum):
        return _is_by_reference(kind)
    return kind.__module__ == "typing" or (kind.__module__, kind.__name__) in _BY_NAME


_BY_NAME = frozenset({("logging", "Logger"), ("logging", "RootLogger"), ("dataclasses", "_MISSING_TYPE")})


def globals_of(function: types.FunctionType) -> dict[str, Any]:
    """The globals that a function names, also in functions inside of it: cloudpickle takes them along."""
    codes, names = [function.__code__], set[str]()
    while codes:
        code = codes.pop()
        names.update(code.co_names)
        codes += [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
    space = function.__globals__
    return {name: space[name] for name in sorted(names) if name in space}
