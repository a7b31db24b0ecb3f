"""Functions that tests run in other processes, to connect to what is served in the test's own."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

import elsewhere

if TYPE_CHECKING:
    from collections.abc import Callable

    from kennel import Dog


KEY = b"sixteen bytes or more"


class Keeper:
    """Keeps in its process what a visitor was given."""

    def __init__(self) -> None:
        self.held: list[Any] = []

    def visit(self, address: Any, key: bytes | None = None) -> int:
        """Connect and keep the proxy; gives the process id."""
        self.held.append(elsewhere.connect(address, authkey=key))
        return os.getpid()

    def hold(self, name: str) -> None:
        """Keep what is at a name of the object."""
        self.held.append(elsewhere.ref(getattr(self.held[0], name)))

    def call(self, name: str, *args: Any) -> Any:
        """Call a method of the object that is served."""
        return getattr(self.held[0], name)(*args)

    def read(self, name: str) -> Any:
        """Read an attribute of it."""
        return elsewhere.get(getattr(self.held[0], name))

    def reach(self, name: str) -> Any:
        """Read any attribute of it."""
        return elsewhere.get(elsewhere.attribute(self.held[0], name))

    def set(self, name: str, value: Any) -> None:
        """Set an attribute of it."""
        setattr(self.held[0], name, value)

    def apply(self, function: Callable[[Any], Any]) -> Any:
        """Run a function of the visitor's where the object lives."""
        return elsewhere.submit(function, self.held[0]).result()

    def use(self, play: Callable[[Any], Any]) -> Any:
        """Do something with the proxy, here."""
        return play(self.held[0])

    def aside(self, play: Callable[[Any], Any]) -> Any:
        """Do something with the proxy in a thread, whose calls belong to nobody who waits."""
        given: list[Any] = []
        thread = threading.Thread(target=lambda: given.append(play(self.held[0])))
        thread.start()
        thread.join()
        return given[0]

    def let_go(self) -> None:
        """Drop everything."""
        self.held.clear()


def echoes_of_threads(address: Any, threads: int, calls: int) -> int:
    """How many answers were not the caller's own."""
    echo: Any = elsewhere.connect(address)
    wrong = []

    def ask(tag: int) -> None:
        for number in range(calls):
            said = echo.say((tag, number))
            if said != (tag, number):
                wrong.append(said)

    running = [threading.Thread(target=ask, args=(tag,)) for tag in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return len(wrong)


def serve_dog(address: Any, age: int) -> None:
    """Serve a dog until somebody asks it to end."""
    from kennel import Dog  # noqa: PLC0415 - only the process that serves needs it

    over = threading.Event()
    dog = Dog("rex", age)
    dog.leave = over.set  # type: ignore[attr-defined]
    with elsewhere.serve(dog, address):
        over.wait()


def use_dog(address: Any, answers: Any) -> None:
    """Tell what the dog says."""
    dog: Dog = elsewhere.connect(address)
    answers.put((dog.bark(loud=True), dog.grow(), os.getpid()))


class Collector:
    """Keeps what it gets, and tells how much that is."""

    thing: Any = None

    def __init__(self) -> None:
        self.kept: list[Any] = []

    def keep(self, thing: Any) -> None:
        self.kept.append(thing)

    def count(self) -> int:
        return len(self.kept) + (self.thing is not None)


class Giver:
    """Gives away what it should not."""

    def give(self, collector: Collector) -> None:
        collector.keep(elsewhere.reserve(authkey=KEY))
