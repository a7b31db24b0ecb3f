"""What is called in the benchmarks, by elsewhere and by the pipe loop alike.

Owns: the classes at the far end. Must not know: who calls them. It imports nothing, because what it imports would
count into the start and the memory of every process that holds a target.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self, TypeVar

    from contenders.contender import Bytes

    AnyBytes = TypeVar("AnyBytes", Bytes, bytes)


class Order:
    """A small value of a class of the user's own, which others pickle."""

    def __init__(self, number: int, item: str, price: float) -> None:
        self.number = number
        self.item = item
        self.price = price


class Counter:
    """The end of the chain `target.a.b.c.add(1)`."""

    def __init__(self) -> None:
        self.total = 0

    def add(self, number: int) -> int:
        """Add to the total and give the new one."""
        self.total += number
        return self.total


class Inner:
    """The third object of the chain."""

    def __init__(self) -> None:
        self.c = Counter()


class Outer:
    """The second object of the chain."""

    def __init__(self) -> None:
        self.b = Inner()


class Target:
    """One object with methods, an attribute and a chain of objects below it."""

    def __init__(self) -> None:
        self.value = 7
        self.total = 0
        self.a = Outer()

    def add(self, number: int) -> int:
        """Add to the total and give the new one."""
        self.total += number
        return self.total

    def work(self, seconds: float) -> int:
        """Be busy for so long."""
        import time  # noqa: PLC0415 - only this method needs it

        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            pass
        return self.value

    def next_order(self, order: Order) -> Order:
        """Take an order and give the one after it."""
        return Order(order.number + 1, order.item, order.price)

    def numbers(self, count: int) -> Iterator[int]:
        """So many numbers, one by one."""
        for number in range(count):  # noqa: UP028 - Ray sends something into each generator, which a range cannot take
            yield number

    def take(self, data: Bytes | bytes) -> int:
        """Look at the last of some bytes: whoever sent them must have sent them all."""
        return int(data[-1])

    def frozen(self, nbytes: int) -> Bytes:
        """Some bytes that nobody may write to."""
        import numpy as np  # noqa: PLC0415 - only this method needs it

        array = np.ones(nbytes, np.uint8)
        array.flags.writeable = False
        return array

    def echo(self, data: AnyBytes) -> AnyBytes:
        """Give back what came."""
        return data


class Standing(Target):
    """Has a call that only an interrupt ends."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = 0
        self.interrupts = 0

    def stand(self) -> None:
        """Stand still."""
        import time  # noqa: PLC0415 - only this method needs it

        self.begun += 1
        try:
            while True:
                time.sleep(0.001)
        finally:
            self.interrupts += 1


class Number:
    """Something to compute with, whose special methods are written in Python."""

    def __init__(self) -> None:
        self.value = 7
        self.total = 0

    def add(self, number: int) -> int:
        """Add to the total and give the new one."""
        self.total += number
        return self.total

    def __add__(self, other: int) -> int:
        return self.value + other

    def __radd__(self, other: int) -> int:
        return other + self.value

    def __iadd__(self, other: int) -> Self:
        self.total += other
        return self

    def __neg__(self) -> int:
        return -self.value

    def __eq__(self, other: object) -> bool:
        return self.value == other

    def __lt__(self, other: int) -> bool:
        return self.value < other

    def __bool__(self) -> bool:
        return bool(self.value)

    def __int__(self) -> int:
        return self.value

    def __round__(self, digits: int = 0) -> float:
        return round(self.value, digits)

    def __divmod__(self, other: int) -> tuple[int, int]:
        return divmod(self.value, other)

    def __len__(self) -> int:
        return self.value

    def __contains__(self, item: object) -> bool:
        return item == self.value

    def __setitem__(self, key: int, value: int) -> None:
        self.total = value

    def __str__(self) -> str:
        return str(self.value)

    def __format__(self, specification: str) -> str:
        return format(self.value, specification)

    def __enter__(self) -> int:
        return self.value

    def __exit__(self, *exception: object) -> None:
        """Leave nothing behind."""

    __hash__ = None  # type: ignore[assignment]  # as for all that compares by value and changes
