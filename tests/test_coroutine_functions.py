"""An `async def` given to a verb is awaited over there, as its type says."""

from __future__ import annotations

import asyncio
import tempfile

import pytest

import elsewhere
from kennel import Dog


async def adopt(name: str) -> Dog:
    await asyncio.sleep(0)
    return Dog(name)


async def lengths(*words: str) -> list[int]:
    await asyncio.sleep(0)
    return [len(word) for word in words]


class Counter:
    async def up_to(self, number: int) -> list[int]:
        await asyncio.sleep(0)
        return list(range(number))


@pytest.fixture
def counter(host):
    return host.spawn(Counter)


def test_spawn_gives_a_proxy_of_what_a_coroutine_function_gives(host):
    dog = host.spawn(adopt, "rex")

    assert elsewhere.is_proxy(dog)
    assert elsewhere.get(dog.name) == "rex"


def test_spawn_into_a_host_of_its_own_awaits_a_coroutine_function():
    dog = elsewhere.spawn(adopt, "rex")

    assert elsewhere.get(dog.name) == "rex"


def test_run_gives_what_a_coroutine_function_gives(host):
    assert host.run(lengths, "a", "bc") == [1, 2]


def test_stream_iterates_over_what_a_coroutine_function_gives(counter):
    assert list(elsewhere.stream(counter.up_to, 3)) == [0, 1, 2]


def test_using_gives_what_entering_the_object_gave(host):
    folder = host.spawn(tempfile.TemporaryDirectory)

    with elsewhere.using(folder) as name:
        assert type(name) is str


def test_call_of_an_async_method_is_awaited_like_a_coroutine(counter):
    async def main() -> list[list[int]]:
        by_future = await asyncio.ensure_future(counter.up_to(1))
        in_time = await asyncio.wait_for(counter.up_to(2), None)
        return [by_future, in_time, *await asyncio.gather(counter.up_to(3), counter.up_to(0))]

    assert asyncio.run(main()) == [[0], [0, 1], [0, 1, 2], []]


def test_call_of_an_async_method_is_no_coroutine_for_create_task(counter):
    async def main() -> None:
        called = counter.up_to(1)
        with pytest.raises(TypeError, match="a coroutine was expected"):
            asyncio.create_task(called)  # noqa: RUF006 - none is made
        assert await called == [0]

    asyncio.run(main())
