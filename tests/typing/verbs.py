"""What the type checker makes of each verb. Checked by mypy --strict, never run."""

# mypy: disable-error-code="empty-body"

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any, Generic, TypeVar, assert_type, overload

import elsewhere
from elsewhere import (
    Future,
    Host,
    attribute,
    close,
    deadline,
    get,
    host_of,
    is_proxy,
    options,
    post,
    ref,
    send,
    spawn,
    stream,
    submit,
    using,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Generator, Iterator

T = TypeVar("T")


class Dog:
    name: str
    age: int
    friends: list[Dog]

    def __init__(self, name: str, age: int = 0) -> None: ...
    def __len__(self) -> int: ...
    def __enter__(self) -> Dog: ...
    def __exit__(self, *exception: object) -> None: ...
    def bark(self, *, loud: bool = False) -> str: ...
    def open(self, path: str, mode: str = "r") -> bytes: ...
    async def fetch(self, what: str) -> float: ...
    def sniff(self, number: int) -> Iterator[str]: ...
    def echo(self) -> Generator[int, str, bool]: ...
    def tracks(self) -> list[bytes]: ...
    async def smells(self) -> AsyncIterator[str]:
        yield ""

    @overload
    def weigh(self, unit: None = None) -> int: ...
    @overload
    def weigh(self, unit: str) -> float: ...
    def weigh(self, unit: str | None = None) -> float: ...


class Box(Generic[T]):
    def __init__(self, content: T) -> None: ...
    def take(self) -> T: ...


def score(dog: Dog, factor: int, *, extra: int = 0) -> int: ...


async def score_later(dog: Dog) -> int: ...


def count(dog: Dog, number: int) -> Iterator[int]: ...


def constructing() -> None:
    assert_type(spawn(Dog, "rex"), Dog)
    assert_type(spawn(Dog, "rex", age=3), Dog)
    assert_type(spawn(Box, 5), Box[int])
    assert_type(spawn(sqlite3.connect, ":memory:"), sqlite3.Connection)
    assert_type(send(Dog("rex")), Dog)
    assert_type(send([1]), list[int])


def hosts() -> None:
    assert_type(Host(start="local", copy=False), Host)
    with Host(name="kennel", cwd="/tmp", env={"A": "b"}, preload=["json"]) as host:
        assert_type(host, Host)
        assert_type(host.spawn(Dog, "rex"), Dog)
        assert_type(host.send([1]), list[int])
        assert_type(host.run(score, Dog("rex"), 2, extra=1), int)
        assert_type(host.run(score_later, Dog("rex")), int)
        assert_type(host.module("json"), Any)
        assert_type(host.module("json", "/tmp"), Any)
        assert_type(host.script("x = 1"), Any)
        assert_type(host.script("y = x", into=host.script("x = 1")), Any)
        assert_type(host.pid, int | None)
        assert_type(host.alive, bool)
        assert_type(host.exitcode, int | None)
        assert_type(host.wait(1.0), bool)
        assert_type(host.stats(), dict[str, Any])
        host.on_death(lambda dead: assert_type(dead, Host))


def values(dog: Dog) -> None:
    assert_type(dog.bark(loud=True), str)
    assert_type(get(dog.age), int)
    assert_type(get(dog.age, default=None), int | None)
    assert_type(get(dog.age, default="none"), int | str)
    assert_type(get(dog.friends[0].name), str)
    assert_type(get(dog), Dog)
    assert_type(dog.age + 1, int)
    assert_type(len(dog), int)
    assert_type(ref(dog.friends), list[Dog])
    assert_type(ref(Dog("tom")), Dog)
    assert_type(attribute(dog, "_secret"), Any)
    assert_type(is_proxy(dog), bool)
    assert_type(host_of(dog), Host)
    assert_type(close(dog), None)
    assert_type(close(dog, timeout=1.0), None)


def calls(dog: Dog) -> None:
    assert_type(submit(dog.bark, loud=True), Future[str])
    assert_type(submit(dog.open, path="x"), Future[bytes])
    assert_type(submit(dog.fetch, "stick"), Future[float])
    assert_type(submit(score, dog, 2, extra=1), Future[int])
    assert_type(submit(score_later, dog), Future[int])
    assert_type(submit(len, dog), Future[int])
    assert_type(submit(setattr, dog, "age", 3), Future[None])
    assert_type(submit(dog.bark).result(), str)
    assert_type(submit(dog.bark).result(timeout=1.0), str)
    assert_type(submit(dog.bark).exception(), BaseException | None)
    assert_type(submit(dog.bark).cancel(), bool)
    submit(dog.bark).add_done_callback(lambda future: assert_type(future.result(), str))
    assert_type(post(dog.bark, loud=True), None)
    assert_type(post(score, dog, 2), None)


async def awaiting(dog: Dog) -> None:
    assert_type(await submit(dog.bark), str)
    assert_type(await dog.fetch("stick"), float)
    assert_type(await submit(dog.fetch, "stick"), float)
    assert_type(await submit(get, dog.age), int)
    async for smell in dog.smells():
        assert_type(smell, str)
    async for hit in stream(dog.sniff, 3):
        assert_type(hit, str)
    async with using(dog) as same:
        assert_type(same, Dog)
    async with Host() as host:
        assert_type(host, Host)


def streams(dog: Dog) -> None:
    for hit in stream(dog.sniff, 3):
        assert_type(hit, str)
    for track in stream(dog.tracks):
        assert_type(track, bytes)
    for number in stream(count, dog, 3):
        assert_type(number, int)
    for echoed in stream(dog.echo):
        assert_type(echoed, int)
    assert_type(dog.echo().send("x"), int)
    assert_type(stream(dog.sniff, 3).close(), None)


def options_and_blocks(dog: Dog) -> None:
    assert_type(options(dog, timeout=1.0), Dog)
    assert_type(options(dog, timeout=None), Dog)
    assert_type(options(dog.bark, timeout=1.0)(loud=True), str)
    with deadline(2.0) as nothing:
        assert_type(nothing, None)
    with using(dog) as same:
        assert_type(same, Dog)
    with dog as entered:
        assert_type(entered, Dog)


def errors(error: elsewhere.HostDied) -> None:
    assert_type(error.exitcode, int | None)
    assert_type(error.signal, int | None)
    assert_type(error.stderr_tail, str)
    assert_type(error.host, str | None)
    assert_type(error.method, str | None)


def callbacks(dog: Dog, call: Callable[[Callable[[int], None]], str]) -> None:
    heard: list[int] = []
    assert_type(submit(call, heard.append), Future[str])
