"""An `async def` given to a verb is awaited over there, as its type says."""

from __future__ import annotations

import asyncio
import tempfile

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


def test_spawn_gives_a_proxy_of_what_a_coroutine_function_gives(host):
    dog = host.spawn(adopt, "rex")

    assert elsewhere.is_proxy(dog)
    assert elsewhere.get(dog.name) == "rex"


def test_spawn_into_a_host_of_its_own_awaits_a_coroutine_function():
    dog = elsewhere.spawn(adopt, "rex")

    assert elsewhere.get(dog.name) == "rex"


def test_run_gives_what_a_coroutine_function_gives(host):
    assert host.run(lengths, "a", "bc") == [1, 2]


def test_stream_iterates_over_what_a_coroutine_function_gives(host):
    counter = host.spawn(Counter)

    assert list(elsewhere.stream(counter.up_to, 3)) == [0, 1, 2]


def test_using_gives_what_entering_the_object_gave(host):
    folder = host.spawn(tempfile.TemporaryDirectory)

    with elsewhere.using(folder) as name:
        assert type(name) is str
