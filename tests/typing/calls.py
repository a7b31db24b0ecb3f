"""What the type checkers make of calls that do not wait: `submit`, `post`, `Future`, and `async def` methods."""

import asyncio
import concurrent.futures
import functools
import operator
from collections.abc import AsyncIterator, Generator, Iterator
from typing import Any, assert_type

from tests.typing.objects import Box, Dog, litter, names, score, score_later

from elsewhere import Future, Host, get, post, spawn, submit


def methods(dog: Dog, box: Box[int]) -> None:
    assert_type(submit(dog.bark), Future[str])
    assert_type(submit(dog.bark, loud=True), Future[str])
    assert_type(submit(dog.open, "x", mode="w"), Future[bytes])
    assert_type(submit(dog.open, path="x"), Future[bytes])
    assert_type(submit(dog.friends[0].bark), Future[str])
    assert_type(submit(dog.eat, "bone", "meat", water=3), Future[None])
    assert_type(submit(dog.chew, 1.0), Future[list[float]])
    assert_type(submit(box.take), Future[int])
    assert_type(submit(box.put, 5), Future[None])
    assert_type(submit(dog, "sit"), Future[bool])
    assert_type(submit(dog.from_pound, 1), Future[Dog])
    assert_type(submit(dog.count), Future[int])


def functions_in_a_host(host: Host) -> None:
    assert_type(submit(host.run, score, Dog("rex"), 2), Future[int])
    later: Future[int] = submit(host.run, score_later, Dog("rex"))  # for mypy a Future[Any]
    later.result()
    post(host.run, score, Dog("rex"), 2)


def overloaded_methods(dog: Dog, counts: dict[str, int]) -> None:
    assert_type(submit(dog.weigh), Future[int])
    assert_type(submit(dog.weigh, "kg"), Future[float])
    assert_type(submit(counts.get, "a"), Future[int | None])
    assert_type(submit(counts.get, "a", 0), Future[int])


def async_methods(dog: Dog) -> None:
    assert_type(submit(dog.fetch, "stick"), Future[float])
    assert_type(submit(dog.track, what="hare"), Future[list[bytes]])


def generators(dog: Dog) -> None:
    assert_type(submit(dog.sniff, 3), Future[Iterator[str]])
    assert_type(submit(dog.echo), Future[Generator[int, str, bool]])
    assert_type(submit(dog.smells), Future[AsyncIterator[str]])
    assert_type(dog.sniff(3), Iterator[str])
    assert_type(dog.echo().send("x"), int)


def plain_functions(dog: Dog, numbers: list[int]) -> None:
    assert_type(submit(score, dog, 2, extra=1), Future[int])
    assert_type(submit(score_later, dog), Future[int])
    assert_type(submit(names, dog.friends), Future[list[str]])
    assert_type(submit(litter, dog, 2), Future[Iterator[Dog]])
    assert_type(submit(len, dog), Future[int])
    assert_type(submit(sorted, numbers), Future[list[int]])
    assert_type(submit(setattr, dog, "age", 3), Future[None])
    assert_type(submit(operator.contains, numbers, 3), Future[bool])
    assert_type(submit(functools.partial(score, factor=3), dog), Future[int])
    assert_type(submit(Dog.bark, dog, loud=True), Future[str])


def verbs_as_functions(dog: Dog) -> None:
    assert_type(submit(get, dog.age), Future[int])
    assert_type(submit(get, dog.age, default=None), Future[int | None])


def what_is_not_typed(anything: Any, dog: Dog) -> None:
    assert_type(submit(anything.method, 1, a=2), Future[Any])
    assert_type(submit(score, anything, 2), Future[int])
    assert_type(submit(score_later, anything), Future[int])
    assert_type(submit(dog.fetch, anything), Future[float])


def posting(dog: Dog) -> None:
    assert_type(post(dog.bark, loud=True), None)
    assert_type(post(dog.fetch, "stick"), None)
    assert_type(post(dog.sniff, number=3), None)
    assert_type(post(score, dog, 2), None)
    assert_type(post(dog.weigh, "kg"), None)


def futures_of_calls(future: Future[str]) -> None:
    assert_type(future.result(), str)
    assert_type(future.result(1.0), str)
    assert_type(future.result(timeout=None), str)
    assert_type(future.exception(), BaseException | None)
    assert_type(future.exception(timeout=1.0), BaseException | None)
    assert_type(future.done(), bool)
    assert_type(future.running(), bool)
    assert_type(future.cancel(), bool)
    assert_type(future.cancelled(), bool)
    assert_type(future.add_done_callback(lambda ended: assert_type(ended, Future[str])), None)


def futures_in_concurrent_futures(future: Future[str]) -> None:
    plain: concurrent.futures.Future[str] = future
    assert_type(plain.result(), str)
    assert_type(concurrent.futures.wait([future], timeout=1.0).done, set[concurrent.futures.Future[str]])
    for ended in concurrent.futures.as_completed([future]):
        assert_type(ended.result(), str)


async def awaiting(dog: Dog) -> None:
    assert_type(await submit(dog.bark), str)
    assert_type(await submit(dog.fetch, "stick"), float)
    assert_type(await dog.fetch("stick"), float)
    assert_type(await submit(score_later, dog), int)
    assert_type(await submit(get, dog.age), int)


async def awaiting_in_asyncio(dog: Dog) -> None:
    assert_type(await asyncio.gather(submit(dog.bark), dog.fetch("x"), submit(score, dog, 2)), tuple[str, float, int])
    assert_type(await asyncio.wait_for(submit(dog.bark), 1.0), str)
    assert_type(await asyncio.shield(submit(dog.bark)), str)
    assert_type(asyncio.wrap_future(submit(dog.bark)), asyncio.Future[str])
    async with asyncio.timeout(1.0):
        assert_type(await submit(dog.bark), str)
    assert_type(asyncio.create_task(submit(dog.bark)), asyncio.Task[str])
    assert_type(asyncio.create_task(dog.fetch("x")), asyncio.Task[float])
    async with asyncio.TaskGroup() as group:
        assert_type(group.create_task(submit(dog.bark)), asyncio.Task[str])


def futures_as_coroutines(future: Future[str], dog: Dog) -> None:
    assert_type(asyncio.run(future), str)
    assert_type(asyncio.run(dog.fetch("x")), float)
    assert_type(future.send(None), Any)
    assert_type(future.throw(ValueError()), Any)
    assert_type(future.close(), None)


def generic_callers(boxes: list[Box[str]]) -> None:
    assert_type([submit(box.take) for box in boxes], list[Future[str]])
    assert_type([future.result() for future in [submit(spawn(Box, 1).take)]], list[int])
