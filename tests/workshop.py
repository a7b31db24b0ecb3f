"""More objects that tests put elsewhere, and a way to keep a host busy while a test looks at what is sent to it."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import elsewhere

if TYPE_CHECKING:
    from collections.abc import Iterator


class Node:
    """One of a ring of nodes that is as long as a path wants it; counts how often it is passed."""

    def __init__(self) -> None:
        self.passed = 0
        self.b = [self]

    @property
    def next(self) -> Node:
        self.passed += 1
        return self

    def c(self, value: object) -> object:
        return ("c", value)


class Book:
    """A list of what happened, in the order it happened."""

    def __init__(self) -> None:
        self.lines: list[object] = []

    def write(self, line: object) -> None:
        self.lines.append(line)

    def read(self) -> list[object]:
        return list(self.lines)

    def clear(self) -> None:
        self.lines.clear()

    def entries(self):
        """A generator that writes down when it is advanced, resumed and closed."""
        number = 0
        try:
            while True:
                number += 1
                self.lines.append(f"made {number}")
                sent = yield number
                if sent is not None:
                    self.lines.append(f"got {sent}")
        except KeyError as error:
            self.lines.append(f"caught {error.args[0]}")
            yield "after"
        finally:
            self.lines.append("closed")


class Keeper:
    """Keeps what it is given."""

    def __init__(self, thing: object = None) -> None:
        self.thing = thing

    def keep(self, thing: object) -> None:
        self.thing = thing

    def give(self) -> object:
        return self.thing

    def kind(self, thing: object) -> str:
        return type(thing).__qualname__

    def module(self, thing: object) -> str:
        return type(thing).__module__

    def is_kept(self, thing: object) -> bool:
        return thing is self.thing

    def same(self, one: object, other: object = None) -> bool:
        return one is other

    def path_of(self, thing: object) -> object:
        return thing

    def open(self, path: str, name: str = "", **rest: object) -> tuple[object, ...]:
        return (path, name, rest)

    def call(self, function, *args, **kwargs):
        return function(*args, **kwargs)

    def take(self, iterable, count: int) -> list[object]:
        iterator = iter(iterable)
        return [next(iterator) for _ in range(count)]

    def wait(self, path: str) -> str:
        """Block until somebody writes to the named pipe."""
        with open(path, "rb", buffering=0) as pipe:
            pipe.read(1)
        return "waited"


class Door:
    """A context manager that writes down what happens to it."""

    def __init__(self, *, swallows: bool = False, jams: bool = False) -> None:
        self.events: list[str] = []
        self.swallows = swallows
        self.jams = jams

    def __enter__(self) -> str:
        self.events.append("enter")
        return "inside"

    def __exit__(self, kind, error, traceback) -> bool:
        name = "nothing" if kind is None else kind.__name__
        self.events.append(f"exit {name} {error!r} {traceback!r}")
        if self.jams:
            raise OSError("the door jams")
        return self.swallows


class AsyncDoor(Door):
    """The same for `async with` only."""

    __enter__ = None
    __exit__ = None

    async def __aenter__(self) -> str:
        self.events.append("enter")
        return "inside"

    async def __aexit__(self, kind, error, traceback) -> bool:
        name = "nothing" if kind is None else kind.__name__
        self.events.append(f"exit {name}")
        if self.jams:
            raise OSError("the door jams")
        return self.swallows


class SelfDoor(Door):
    """A door that gives itself."""

    def __enter__(self) -> SelfDoor:
        self.events.append("enter")
        return self


class Locked:
    """Cannot be copied: it holds a lock, inside."""

    def __init__(self) -> None:
        self.name = "locked"
        self.inner = {"deep": [threading.Lock()]}


@contextlib.contextmanager
def kept_busy(host: elsewhere.Host) -> Iterator[None]:
    """Keep the one thread of a host in a call, so that no call that is made within the block can be answered.

    A local host has no thread: its queue does not move while nobody waits.
    """
    keeper = host.spawn(Keeper)
    with tempfile.TemporaryDirectory() as directory:
        pipe = str(Path(directory, "pipe"))
        os.mkfifo(pipe)
        own_end = os.open(pipe, os.O_RDWR)
        try:
            waiting = elsewhere.submit(keeper.wait, pipe)
            try:
                yield
            finally:
                os.write(own_end, b"!")
            assert waiting.result() == "waited"
        finally:
            os.close(own_end)


def count_eventfds() -> int:
    """How many descriptors of this process are eventfds: those of its threads, and of loops that it wakes elsewhere."""
    kinds = []
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # that of the listing itself
            kinds.append(os.readlink(f"/proc/self/fd/{descriptor}"))
    return kinds.count("anon_inode:[eventfd]")


def submit_until_refused(function) -> tuple[list[elsewhere.Future[int]], str | None]:
    """Submit `function(0)`, `function(1)` and so on until the window is full; gives the outcome of what was refused."""
    futures: list[elsewhere.Future[int]] = []
    while True:
        try:
            futures.append(elsewhere.submit(function, len(futures)))
        except elsewhere.Overloaded as refused:
            return futures, refused.outcome
