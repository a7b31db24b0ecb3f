"""What tests have on another machine, which the processes of this one cannot be reached from."""

from __future__ import annotations

import pickle
from typing import Any

import elsewhere
from kennel import Dog, error_of


class Asker(Dog):
    """Calls back."""

    def ask(self, function: Any, number: int) -> int:
        return function(number)


class Outpost:
    """Keeps what it is given, and has a host of its own to give it to."""

    def __init__(self, host: elsewhere.Host | None = None) -> None:
        self._host = host
        self.dog = Asker("of the outpost")
        self.kept: Any = None

    def keep(self, thing: Any) -> None:
        self.kept = thing

    def visit(self, place: str, key: bytes, thing: Any) -> None:
        """Connect to another one, and pass something on to it."""
        self.other: Outpost = elsewhere.connect(place, authkey=key)
        self.other.keep(thing)

    def give(self) -> Any:
        return self.kept

    def grow(self) -> int:
        return self.kept.grow()

    def grow_in_host(self) -> int:
        assert self._host is not None
        return self._host.run(grow, self.kept)

    def ask(self, number: int) -> int:
        """What the object gives that is kept, by way of what lives here."""
        return self.kept.ask(elsewhere.ref(self.double), number)

    def double(self, number: int) -> int:
        return 2 * number

    def fail(self) -> str:
        """What is said of a call that fails, or of an owner that is gone."""
        return text_of(error_of(lambda: self.kept.grow()))

    def load(self, data: bytes) -> str:
        """What is said of a pickle that comes from where no way leads to."""
        return text_of(error_of(lambda: pickle.loads(data)))


def grow(thing: Any) -> int:
    return thing.grow()


def text_of(error: BaseException) -> str:
    return f"{type(error).__name__} {getattr(error, 'outcome', None)}"
