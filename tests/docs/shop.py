"""What the lines of the migration guides speak of: `test_migrating.py` runs them with these."""

from __future__ import annotations

import io
import threading
from multiprocessing.pool import ThreadPool

import elsewhere
from elsewhere.dialects import remoteobj, uactor

KEY = b"a key of the tests, long enough"


class Dog:
    def bark(self, loud: bool) -> str:
        return "WOOF-WOOF" if loud else "woof-woof"


class Person:
    def __init__(self) -> None:
        self.dog = Dog()


class Shop:
    """Has what an object may have: methods, attributes, items, an order."""

    def __init__(self, count: int = 1) -> None:
        self.count = count
        self.items: list[int] = []
        self.name = "corner"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Shop) and other.count == self.count

    __hash__ = None  # type: ignore[assignment]

    def method(self, number: int) -> int:
        return self.count + number

    def note(self, number: int) -> None:
        self.items.append(number)

    def pause(self) -> None:
        self.over.wait()

    def setName(self, name: str) -> None:
        self.name = name

    def getName(self) -> str:
        return self.name


class Animal:
    def sound(self) -> str:
        return "..."


class Lamp(Animal):
    """Goes to other processes with its remote."""

    remote: object

    def __init__(self) -> None:
        self.is_on = False
        self.age = 1
        self.tags = {"color": "brown", 0: "first"}
        self._secret = "hot"

    def toggle(self) -> Lamp:
        self.is_on = not self.is_on
        return self

    def open(self) -> io.StringIO:
        return io.StringIO("what stands inside")

    def sound(self) -> str:
        return "click"


def lamp_of_remoteobj(**options: object) -> Lamp:
    lamp = Lamp()
    lamp.remote = remoteobj.Proxy(lamp, **options)
    return lamp


def turn(remote: remoteobj.Proxy) -> bool:
    """Turn a lamp by its proxy of remoteobj."""
    remote.toggle()
    return remote.is_on.__


def turn_at(address: elsewhere.Address) -> bool:
    """Turn it at its address."""
    lamp = elsewhere.connect(address, Lamp)
    lamp.toggle()
    return elsewhere.get(lamp.is_on)


def serve_until(obj: object, over: threading.Event) -> None:
    """Serve what has reserved an address."""
    obj.over = over
    with elsewhere.serve(obj, obj.remote):
        over.wait()


def listen_until(lamp: Lamp, over: threading.Event) -> None:
    """Listen for a lamp that has a proxy of remoteobj."""
    with lamp.remote.listen_(bg=True):
        over.wait()


def note_at(address: elsewhere.Address, number: int) -> None:
    """Have a shop note a number."""
    elsewhere.connect(address, Shop).note(number)


def method_at(address: elsewhere.Address) -> int:
    """Ask an actor for what is not exposed of it."""
    return elsewhere.connect(address, Plain).method()


def brightness(lamp: Lamp | int, factor: int = 1) -> int:
    return (lamp if isinstance(lamp, int) else lamp.age) + factor


def count(number: int):
    yield from range(number)


class Plain:
    """What the actor is with our own names."""

    def __init__(self, number: int = 0) -> None:
        self.number = number
        self.data = [1, 2, 3]
        self.lock = threading.Lock()
        self.meeting = threading.Barrier(2)

    def __enter__(self):
        return self

    def __exit__(self, *reason: object) -> None:
        self.data.append(4)

    def name(self) -> str:
        return f"number {self.number}"

    def m(self) -> list[int]:
        return self.data

    def method(self) -> int:
        return self.number

    def meet(self) -> bool:
        self.meeting.wait(20)
        return True

    def evaluate(self, source: str) -> object:
        return eval(source, {**globals()}, {"self": self})


class Actor(uactor.Actor):
    """An actor of uactor's dialect; the tests call it `A`."""

    _exposed_ = ("data", "name", "m", "begin", "meet", "evaluate")
    _method_to_typeid_ = {"m": "list", "begin": "AsyncResult"}

    def __init__(self, number: int = 0) -> None:
        self.number = number
        self.data = [1, 2, 3]
        self.lock = threading.Lock()
        self.meeting = threading.Barrier(2)
        self.pool = ThreadPool(1)

    name = Plain.name
    m = Plain.m
    method = Plain.method
    meet = Plain.meet
    evaluate = Plain.evaluate

    def begin(self):
        return self.pool.apply_async(self.method)


class Registry(uactor.Actor):
    """An actor at an address that others know."""

    def name(self) -> str:
        return "registry"
