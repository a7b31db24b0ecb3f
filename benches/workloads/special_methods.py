"""Operators and built-in functions on a proxy, beside a call of a method: each is one trip of the same length.

Owns: this workload. Must not know: the other workloads, the report. Where the object is costs the same as a method's
own Python code, so the object's special methods are written in Python, as its method `add` is.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import elsewhere
from measure import interleave, per_call_microseconds
from placement import available, placed
from rows import OURS, Aim, Row
from targets import Number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from contenders.contender import Contender
    from measure import Effort

CALL = "elsewhere, a method"


def in_place(number: Any, other: int) -> object:
    """What `number += other` stores."""
    number += other
    return number


def operations(number: Any) -> dict[str, Callable[[], object]]:
    """One of each kind: plain, reflected and in place; comparison, conversion, container, text, context."""
    return {
        "number + 1": lambda: number + 1,
        "1 + number": lambda: 1 + number,
        "number += 1": lambda: in_place(number, 1),
        "-number": lambda: -number,
        "number == 1": lambda: number == 1,
        "number < 1": lambda: number < 1,
        "bool(number)": lambda: bool(number),
        "int(number)": lambda: int(number),
        "round(number, 1)": lambda: round(number, 1),
        "divmod(number, 2)": lambda: divmod(number, 2),
        "len(number)": lambda: len(number),
        "1 in number": lambda: 1 in number,
        "number[1] = 2": lambda: operator.setitem(number, 1, 2),
        "number.value = 2": lambda: setattr(number, "value", 2),
        "str(number)": lambda: str(number),
        "format(number, 'x')": lambda: format(number, "x"),
        "number.__enter__()": number.__enter__,
    }


def measure(effort: Effort, _kinds: Sequence[type[Contender]]) -> Iterator[Row]:
    """Each operation beside `number.add(1)`, in every placement."""
    with elsewhere.Host() as host:
        number = host.spawn(Number)
        for placement in available():
            with placed(placement, [host.pid or 0]):
                samples = {
                    "call": per_call_microseconds(lambda: number.add(1), effort),
                    **{name: per_call_microseconds(made, effort) for name, made in operations(number).items()},
                }
                figures = interleave(samples, effort.rounds)
                call = figures.pop("call")
                for name, taken in figures.items():
                    beside = {OURS: taken, CALL: call}
                    yield Row("special", name, "µs", beside, placement, aims=(Aim(1.3, CALL),))
