"""What the type checkers make of blocks and of views: `using`, `deadline`, `options`, `futures`, `lazy`."""

import sqlite3
import tempfile
from typing import Any, assert_type

from tests.typing.objects import Box, Dog, Opened, OpenedAsync, OpenedBoth, Plain

from elsewhere import Future, deadline, futures, get, lazy, options, spawn, submit, using


def used(dog: Dog, opened: Opened, both: OpenedBoth, plain: Plain, anything: Any) -> None:
    with using(dog) as same:
        assert_type(same, Dog)
    with using(opened) as entered:
        assert_type(entered, bytes)
    with using(both) as entered:
        assert_type(entered, bytes)
    with using(plain) as same_plain:
        assert_type(same_plain, Plain)
    with using(anything) as what:
        assert_type(what, Any)
    with using(spawn(tempfile.TemporaryDirectory)) as folder:
        assert_type(folder, str)
    with using(spawn(sqlite3.connect, ":memory:")) as database:
        assert_type(database, sqlite3.Connection)


async def used_async(dog: Dog, opened: OpenedAsync, both: OpenedBoth, plain: Plain, sync: Opened) -> None:
    async with using(opened) as entered:
        assert_type(entered, int)
    async with using(both) as entered:
        assert_type(entered, int)
    async with using(sync) as in_a_thread:
        assert_type(in_a_thread, bytes)
    async with using(dog) as same:
        assert_type(same, Dog)
    async with using(plain) as same_plain:
        assert_type(same_plain, Plain)


def using_by_name(dog: Dog) -> None:
    assert_type(using(dog), using[Dog, Dog])


def returns_from_using(dog: Dog) -> str:
    with using(dog):
        return dog.bark()


async def returns_from_using_async(dog: Dog) -> str:
    async with using(dog):
        return await submit(dog.bark)


def contexts_of_objects(dog: Dog, opened: Opened) -> None:
    with dog as entered:
        assert_type(entered, Dog)
    with opened as data:
        assert_type(data, bytes)


def returns_before_a_deadline(dog: Dog) -> str:
    with deadline(2.0) as nothing:
        assert_type(nothing, None)
        return dog.bark()


def deadlines() -> None:
    assert_type(deadline(2), deadline)
    assert_type(deadline(0.5), deadline)


def with_options(dog: Dog) -> None:
    assert_type(options(dog), Dog)
    assert_type(options(dog, timeout=1), Dog)
    assert_type(options(dog, timeout=None), Dog)
    assert_type(options(dog, result="auto"), Dog)
    assert_type(options(dog, result="value"), Dog)
    assert_type(options(dog, timeout=1.5, result="proxy").friends, list[Dog])
    assert_type(options(dog.bark, timeout=1.0)(loud=True), str)
    assert_type(submit(options(dog, timeout=1.0).bark), Future[str])


def views_of_futures(dog: Dog) -> None:
    assert_type(futures(dog), Any)
    assert_type(futures(dog).bark(), Any)
    assert_type(futures(dog.friends).append(dog), Any)


def lazy_views(dog: Dog, box: Box[int]) -> None:
    assert_type(lazy(dog), Dog)
    assert_type(get(lazy(dog).friends[0].bark(loud=True)), str)
    assert_type(get(lazy(box).take()), int)
    assert_type(submit(lazy(dog).open("x").decode), Future[str])


def pipelined(dog: Dog, future: Future[str], friend: Future[Dog]) -> None:
    assert_type(lazy(future), str)
    assert_type(lazy(friend).name, str)
    assert_type(submit(dog.eat, lazy(future)), Future[None])
    assert_type(submit(lazy(friend).bark, loud=True), Future[str])
    assert_type(get(lazy(submit(dog.chew, 1))[0]), int)
