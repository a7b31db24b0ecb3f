"""What tests of networks serve at a port, and how they reach it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import elsewhere
from visitors import KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from chaos import Between


class Ledger:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.lines: list[Any] = []
        self.news = threading.Condition()
        self.entered = threading.Event()
        self.gate = threading.Event()

    def write(self, line: Any) -> int:
        with self.news:
            self.lines.append(line)
            self.news.notify_all()
            return len(self.lines)

    def wait_for_lines(self, count: int) -> None:
        with self.news:
            self.news.wait_for(lambda: len(self.lines) >= count)

    def back(self, what: Any) -> Any:
        return what

    def last(self, what: Any) -> Any:
        return what[-1]

    def ask(self, ask: Callable[[int], Any]) -> Any:
        return ask(1)

    def several(self, count: int) -> Iterator[int]:
        yield from range(count)

    def wait(self) -> None:
        """Until the gate is open."""
        self.entered.set()
        self.gate.wait()


def serve(ledger: Ledger, **options: Any) -> elsewhere.Server:
    return elsewhere.serve(ledger, "127.0.0.1:0", authkey=KEY, **options)


def connect(between: Between) -> Ledger:
    """A connection of its own, although the server is in this process."""
    return elsewhere.connect(between.address, Ledger, authkey=KEY, timeout=5)
