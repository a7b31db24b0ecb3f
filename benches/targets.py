"""What is called in the benchmarks, by elsewhere and by the pipe loop alike.

Owns: the classes at the far end. Must not know: who calls them. It imports nothing, because what it imports would
count into the start and the memory of every process that holds a target.
"""

from __future__ import annotations


class Order:
    """A small value of a class of the user's own, which travels by pickle."""

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

    def next_order(self, order: Order) -> Order:
        """Take an order and give the one after it."""
        return Order(order.number + 1, order.item, order.price)
