"""The in-place operators of a proxy: `p += 1` runs `operator.iadd` there.

Owns: thirteen methods of `Proxy`. They are set from here because the slots of an extension type can only give back the
operand itself. Must not know: how an operation is carried out.

`q op= v` gives `q` where the operation there gave its operand, else the result, as results travel. Python then does its
own store: `dog.i += 1` is two trips and not atomic, and `x = dog.i; x += 1` leaves the dog alone.
"""

from __future__ import annotations

from ._core import Proxy, _operate_in_place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_OPERATORS = [
    *("add", "sub", "mul", "matmul", "truediv", "floordiv", "mod", "pow"),
    *("lshift", "rshift", "and", "or", "xor"),
]


def _method(name: str) -> Callable[[Proxy, Any], Any]:
    def method(self: Proxy, value: Any, /) -> Any:
        return _operate_in_place(self, name, value)

    method.__name__ = f"__{name}__"
    method.__qualname__ = f"Proxy.__{name}__"
    return method


def install() -> None:
    """Give `Proxy` its in-place operators."""
    for operator in _OPERATORS:
        setattr(Proxy, f"__i{operator}__", _method(f"i{operator}"))
