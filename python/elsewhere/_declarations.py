"""What may be reached of a class, and which of its results go by reference: names by class.

Owns: how that is said, and the checks of it. Must not know: who reaches what (`_core` decides that).
"""

from __future__ import annotations

from _collections_abc import Iterable, Mapping  # what `collections.abc` is: that would import `collections`, 2 ms

from . import _core

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    Method = TypeVar("Method", bound="Callable[..., Any] | classmethod[Any, ..., Any]")

MARK = "__by_reference__"
"""The attribute that a function carries its declaration in."""


def by_reference(method: Method, /) -> Method:
    """Declare that the results of a method or function go by reference: whoever calls it through a proxy gets proxies.

    A decorator, best the outermost. Calls within the process are what they were. None, numbers, texts and bytes are
    copied all the same, and so is whatever `options(p, result="value")` asks for. Of an `async def` it means what that
    gives in the end; of a generator, each item. What overrides the method in a subclass is declared with it.
    """
    function = getattr(method, "__func__", method)
    if isinstance(method, type):
        text = (
            f"by_reference belongs to methods and functions; {method.__qualname__} is a class. Objects of a class that "
            f"cannot be pickled go by reference without being asked"
        )
        raise TypeError(text)
    if not callable(function):
        kind = type(method).__qualname__
        text = f"by_reference belongs to methods and functions, not to objects of type {kind}"
        if kind == "property":
            text += "; ref(p.name) gives a proxy of what a property gives"
        raise TypeError(text)
    try:
        setattr(function, MARK, _core._return_mark())
    except (AttributeError, TypeError) as error:
        text = f"{function!r} cannot carry a declaration: say Host(returns={{cls: [name]}}), or serve(…, returns=…)"
        raise TypeError(text) from error
    return method


def returned(returns: Any, default: type | None) -> dict[type, frozenset[str]] | None:
    """By class, the names of methods whose results go by reference; None where there are none."""
    if returns is None:
        return None
    table = _by_class("returns", returns, default)
    for cls, names in table.items():
        for name in names:
            _check_method(cls, name)
    return table or None


def exposed(expose: Any, default: type) -> dict[type, frozenset[str]] | None:
    """By class, the names that may be reached; None for all."""
    if expose is None:
        return None
    table = _by_class("expose", expose, default)
    for names in table.values():
        for name in names:
            if not name.removesuffix("=").isidentifier():
                text = f"expose holds {name!r}, which is not the name of an attribute"
                raise TypeError(text)
    return table


def _by_class(option: str, given: Any, default: type | None) -> dict[type, frozenset[str]]:
    if not isinstance(given, Mapping):
        if default is None:
            text = f"{option} maps classes to names, as in {{Shop: ['orders']}}; it is no {type(given).__qualname__}"
            raise TypeError(text)
        given = {default: given}
    table = {}
    for cls, names in given.items():
        if not isinstance(cls, type):
            text = f"{option} maps classes to names; {cls!r} is no class"
            raise TypeError(text)
        if isinstance(names, (str, bytes)) or not isinstance(names, Iterable):
            text = f"{option} takes the names as an iterable of str, not {names!r}"
            raise TypeError(text)
        listed = frozenset(names)
        for name in listed:
            if not isinstance(name, str):
                text = f"{option} holds {name!r}, which is not the name of an attribute"
                raise TypeError(text)
        table[cls] = listed
    return table


def _check_method(cls: type, name: str) -> None:
    missing = object()
    method = getattr(cls, name, missing)
    if method is missing and not hasattr(cls, "__getattr__"):
        text = f"returns holds {name!r}, and {cls.__qualname__} has no method of that name"
        raise ValueError(text)
    if method is not missing and not callable(method):
        text = (
            f"returns holds {name!r}, which is no method of {cls.__qualname__}; ref(p.{name}) gives a proxy of a value"
        )
        raise TypeError(text)


by_reference.__module__ = "elsewhere"
