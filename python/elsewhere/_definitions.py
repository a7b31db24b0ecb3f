"""Parts of definitions that travel by value and that cloudpickle cannot take along, or makes otherwise.

Owns: how each is rebuilt. Must not know: picklers, connections.
A class or function of `__main__` consists of more than code: caches, descriptors with a lock inside, slots.
"""

from __future__ import annotations

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
    if slots is not None and isinstance(reduced, tuple) and reduced[0].__name__ == "_make_skeleton_class":
        namespace = reduced[1][3]
        namespace["__slots__"] = slots if isinstance(slots, str | dict) else tuple(slots)


def _is_importable(function: Any) -> bool:
    if function.__module__ == "__main__":
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


def globals_of(function: types.FunctionType) -> dict[str, Any]:
    """The globals that a function names, also in functions inside of it: cloudpickle takes them along."""
    codes, names = [function.__code__], set[str]()
    while codes:
        code = codes.pop()
        names.update(code.co_names)
        codes += [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
    space = function.__globals__
    return {name: space[name] for name in sorted(names) if name in space}
