"""Python's special methods: which a proxy forwards, which not, and an object that says which of them was called.

Owns: both lists, with the operation that Python calls each method for. Must not know: hosts. The methods are those of
Python 3.11 to 3.14; what a later version adds is found by the test that looks through the interpreter's own types.
"""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any

import elsewhere

if TYPE_CHECKING:
    from collections.abc import Callable


async def enter(thing: Any) -> Any:
    async with thing as inside:
        return inside


async def first_item(thing: Any) -> Any:
    async for item in thing:
        return item
    return None


async def next_item(thing: Any) -> Any:
    return await anext(thing)


def within(thing: Any) -> Any:
    with thing as inside:
        return inside


BINARY = {
    "add": operator.add, "sub": operator.sub, "mul": operator.mul, "matmul": operator.matmul,
    "truediv": operator.truediv, "floordiv": operator.floordiv, "mod": operator.mod, "divmod": divmod,
    "pow": operator.pow, "lshift": operator.lshift, "rshift": operator.rshift, "and": operator.and_,
    "xor": operator.xor, "or": operator.or_,
}  # fmt: skip
COMPARISONS = ("lt", "le", "eq", "ne", "gt", "ge")

FORWARDED: dict[str, Callable[[Any], Any]] = {
    "__str__": str,
    "__bytes__": bytes,
    "__format__": lambda it: format(it, "spec"),
    "__hash__": hash,
    "__bool__": bool,
    "__dir__": dir,
    "__getattribute__": lambda it: elsewhere.get(it.name),
    "__getattr__": lambda it: elsewhere.get(it.not_there),
    "__setattr__": lambda it: setattr(it, "name", 1),
    "__delattr__": lambda it: delattr(it, "name"),
    "__call__": lambda it: it(1, key=2),
    "__len__": len,
    "__length_hint__": operator.length_hint,
    "__getitem__": lambda it: elsewhere.get(it[1]),
    "__setitem__": lambda it: operator.setitem(it, 1, 2),
    "__delitem__": lambda it: operator.delitem(it, 1),
    "__contains__": lambda it: 1 in it,
    "__iter__": lambda it: list(iter(it)),
    "__next__": next,
    "__reversed__": lambda it: list(reversed(it)),
    "__enter__": within,
    "__exit__": within,
    "__aenter__": enter,
    "__aexit__": enter,
    "__aiter__": first_item,
    "__anext__": next_item,
    "__int__": int,
    "__float__": float,
    "__complex__": complex,
    "__index__": operator.index,
    "__round__": lambda it: round(it, 1),
    "__trunc__": math.trunc,
    "__floor__": math.floor,
    "__ceil__": math.ceil,
    "__neg__": operator.neg,
    "__pos__": operator.pos,
    "__abs__": abs,
    "__invert__": operator.invert,
    **{f"__{name}__": (lambda it, name=name: getattr(operator, name)(it, 1)) for name in COMPARISONS},
    **{f"__{name}__": (lambda it, function=function: function(it, 1)) for name, function in BINARY.items()},
    **{f"__r{name}__": (lambda it, function=function: function(1, it)) for name, function in BINARY.items()},
    **{
        f"__i{name}__": (lambda it, name=name: getattr(operator, f"i{name}")(it, 1))
        for name in BINARY
        if name != "divmod"
    },
}
"""By each method, what Python calls it for."""

RESULTS: dict[str, Any] = {
    "__str__": "text", "__bytes__": b"bytes", "__format__": "formatted", "__hash__": 7, "__bool__": False,
    "__dir__": ["name"], "__len__": 3, "__length_hint__": 5, "__contains__": True, "__int__": 8, "__float__": 1.5,
    "__complex__": 1 + 2j, "__index__": 9, "__exit__": None, "__iter__": (1, 2), "__reversed__": (2, 1),
    "__setattr__": None, "__delattr__": None, "__setitem__": None, "__delitem__": None, "__aexit__": None,
}  # fmt: skip
"""What the methods of `Recorder` give where Python does not let them give anything."""


class Bare:
    """Has only what every object has, and less: no hash."""

    __hash__ = None  # type: ignore[assignment]


class Refusal(LookupError):
    """What a method of a refusing object raises."""


calls: list[str] = []
"""The special methods of noting objects that were called in this process."""


def take_calls() -> list[str]:
    taken = calls[:]
    calls.clear()
    return taken


async def one_item() -> Any:
    yield "item"


def _noting(name: str) -> Callable[..., Any]:
    """A method that notes its call and gives something that Python takes from it."""

    async def coroutine(self: Any, *args: Any) -> Any:
        calls.append(name)
        return RESULTS.get(name, f"result of {name}")

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append(name)
        if name == "__aiter__":
            return one_item()
        if name.startswith("__i") and name[3:-2] in BINARY:
            return self
        result = RESULTS.get(name, f"result of {name}")
        return iter(result) if name in ("__iter__", "__reversed__") else result

    return coroutine if name in ("__aenter__", "__aexit__", "__anext__") else method


def _refusing(name: str) -> Callable[..., Any]:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        raise Refusal(name)

    return method


async def _nothing(self: Any, *args: Any) -> None:
    """The other half of `async with`."""


PARTNERS: dict[str, dict[str, Any]] = {
    "__enter__": {"__exit__": lambda self, *args: None},
    "__exit__": {"__enter__": lambda self: None},
    "__aenter__": {"__aexit__": _nothing},
    "__aexit__": {"__aenter__": _nothing},
    "__delattr__": {"name": 1},
}


def _classes(kind: str, make: Callable[[str], Callable[..., Any]]) -> dict[str, type]:
    """By each method, a class that has it and no other that is forwarded; hosts import it by its name."""
    made = {}
    for name in FORWARDED:
        title = f"{kind}{name}"
        names = {"__module__": __name__, **PARTNERS.get(name, {}), name: make(name)}
        made[name] = globals()[title] = type(title, (Bare,), names)
    return made


NOTING = _classes("Noting", _noting)
REFUSING = _classes("Refusing", _refusing)
