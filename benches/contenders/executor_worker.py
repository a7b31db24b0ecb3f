"""What the worker of a ProcessPoolExecutor runs.

Owns: the target in the worker. Must not know: elsewhere, and what is measured.
"""

from __future__ import annotations

from targets import Order, Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contenders.contender import Bytes

_targets: list[Target] = []


def make_target() -> None:
    """Called once, when the worker starts."""
    _targets.append(Target())


def add(number: int) -> int:
    """Call the target's method."""
    return _targets[0].add(number)


def next_order(order: Order) -> Order:
    """Call the target's method."""
    return _targets[0].next_order(order)


def value() -> int:
    """Give the target's attribute."""
    return _targets[0].value


def chain(number: int) -> int:
    """Call the method at the end of the chain."""
    return _targets[0].a.b.c.add(number)


def take(array: Bytes) -> int:
    """Call the target's method."""
    return _targets[0].take(array)


def echo(array: Bytes) -> Bytes:
    """Call the target's method."""
    return _targets[0].echo(array)
