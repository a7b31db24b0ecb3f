"""What lives in the hosts while the compiler's profile is taken.

Owns: the classes at the far end, and what hosts are told to run. Must not know: who calls them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import elsewhere

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Point(NamedTuple):
    """A value that is a tuple, too."""

    x: int
    y: int


class Colour(Enum):
    """A value that is sent as its name."""

    RED = 1
    GREEN = 2


@dataclass
class Reading:
    """What an instrument gives."""

    number: int
    value: float
    unit: str
    flags: list[str]


class Order:
    """A small value of a plain class."""

    def __init__(self, number: int, item: str, price: float) -> None:
        self.number = number
        self.item = item
        self.price = price


class Part:
    """An object of which others have one, so that there are chains."""

    def __init__(self, depth: int) -> None:
        self.total = 0
        self.part = Part(depth - 1) if depth else None

    def add(self, number: int) -> int:
        """Add to the total and give the new one."""
        self.total += number
        return self.total


class Piece(Part):
    """One object with whatever is called on objects."""

    def __init__(self) -> None:
        super().__init__(3)
        self.value = 7
        self.kept: dict[Any, Any] = {}

    def echo(self, value: Any) -> Any:
        """Give back what came."""
        return value

    def take(self, *values: Any, **named: Any) -> int:
        """Count what came."""
        return len(values) + len(named)

    def fail(self, text: str) -> None:
        """Raise an error."""
        raise ValueError(text)

    def numbers(self, count: int) -> Iterator[int]:
        """Yield numbers."""
        yield from range(count)

    def orders(self, count: int) -> Iterator[Order]:
        """Yield values of a class."""
        for number in range(count):
            yield Order(number, "lamp", 9.5)

    def ask(self, back: Callable[[int], int], count: int) -> int:
        """Call back, one call after another."""
        return sum(back(number) for number in range(count))

    def other(self) -> Part:
        """A part, which the caller may want to stay here."""
        return Part(0)

    async def later(self, value: Any) -> Any:
        """Give back what came, in a coroutine."""
        return value

    def __len__(self) -> int:
        return len(self.kept)

    def __getitem__(self, key: Any) -> Any:
        return self.kept[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        self.kept[key] = value

    def __delitem__(self, key: Any) -> None:
        del self.kept[key]

    def __contains__(self, key: object) -> bool:
        return key in self.kept

    def __iter__(self) -> Iterator[Any]:
        return iter(list(self.kept))

    def __add__(self, other: int) -> int:
        return self.value + other

    def __iadd__(self, other: int) -> Self:
        self.total += other
        return self

    def __lt__(self, other: int) -> bool:
        return self.value < other

    def __bool__(self) -> bool:
        return True

    def __int__(self) -> int:
        return self.value

    def __str__(self) -> str:
        return str(self.value)

    def __enter__(self) -> int:
        return self.value

    def __exit__(self, *exception: object) -> None:
        """Leave nothing behind."""

    def __call__(self, value: Any) -> Any:
        """Give back what came."""
        return value


def visit(address: elsewhere.Address, key: bytes | None, count: int) -> int:
    """Call what another process serves, from the host where this runs."""
    served = elsewhere.connect(address, Piece, authkey=key)
    for number in range(count):
        served.add(number)
        served.echo(Order(number, "lamp", 9.5))
    for _ in range(10):
        served.take(bytes(1 << 20))
    total = sum(elsewhere.stream(served.numbers, count))
    elsewhere.close(served)
    return total


def use(piece: Piece, count: int) -> int:
    """Call an object of another host, from the host where this runs."""
    return [piece.add(number) for number in range(count)][-1]
