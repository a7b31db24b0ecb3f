"""Objects that tests put elsewhere."""

from __future__ import annotations

import os
import threading
import time

import elsewhere


class Dog:
    """Something with attributes, methods, items and operators."""

    def __init__(self, name: str, age: int = 0) -> None:
        self.name = name
        self.age = age
        self.friends: list[Dog] = []
        self.tricks: dict[str, int] = {}
        self.lock = threading.Lock()

    def __repr__(self) -> str:
        return f"Dog({self.name!r})"

    def __str__(self) -> str:
        return f"the dog {self.name}"

    def __len__(self) -> int:
        return len(self.friends)

    def __contains__(self, name: object) -> bool:
        return any(friend.name == name for friend in self.friends)

    def __getitem__(self, key: str) -> int:
        return self.tricks[key]

    def __setitem__(self, key: str, value: int) -> None:
        self.tricks[key] = value

    def __delitem__(self, key: str) -> None:
        del self.tricks[key]

    def __iter__(self):
        return iter([friend.name for friend in self.friends])

    def bark(self, *, loud: bool = False) -> str:
        return "WOOF" if loud else "woof"

    def grow(self, years: int = 1) -> int:
        self.age += years
        return self.age

    def befriend(self, other: Dog) -> Dog:
        self.friends.append(other)
        return self

    def itself(self) -> Dog:
        return self

    def first_friend(self) -> Dog:
        return self.friends[0]

    def echo(self, value):
        return value

    def count_to(self, number: int):
        """A generator."""
        yield from range(1, number + 1)

    def fail(self, error: BaseException):
        raise error

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def exit(self, code: int) -> None:
        os._exit(code)

    def pid(self) -> int:
        return os.getpid()

    def make_lock(self):
        return self.lock

    def mixed(self):
        return [1, self.lock, "two"]

    def call(self, function, *args):
        return function(*args)

    def post_each(self, function, count):
        """Call `function` for each number, without waiting."""
        for number in range(count):
            elsewhere.post(function, number)

    async def fetch(self, value):
        return value

    async def fetch_nothing(self):
        raise LookupError("nothing there")


class Awkward(Exception):
    """An exception whose constructor takes two arguments and does not hand them on."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{reason} ({code})")
        self.code = code
        self.reason = reason


class Camera:
    """Cannot be pickled."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.shots = 0

    def shoot(self) -> int:
        with self.lock:
            self.shots += 1
        return self.shots

    def is_it(self, other: object) -> bool:
        return other is self

    def pid(self) -> int:
        return os.getpid()


def error_of(play) -> BaseException:
    """What `play` raises."""
    try:
        play()
    except BaseException as error:
        return error
    raise AssertionError("it raised nothing")
