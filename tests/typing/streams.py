"""What the type checkers make of `stream`: with `for`, with `async for`, and closed early."""

from collections.abc import AsyncIterable, Iterable
from typing import assert_type

from tests.typing.objects import Dog, litter, names

from elsewhere import stream


def streaming(dog: Dog) -> None:
    for hit in stream(dog.sniff, 3):
        assert_type(hit, str)
    for hit in stream(dog.friends[0].sniff, number=3):
        assert_type(hit, str)
    for echoed in stream(dog.echo):
        assert_type(echoed, int)
    for puppy in stream(litter, dog, 3):
        assert_type(puppy, Dog)


def streaming_what_is_iterable(dog: Dog, counts: dict[str, int]) -> None:
    for track in stream(dog.tracks):
        assert_type(track, bytes)
    for key, count in stream(counts.items):
        assert_type(key, str)
        assert_type(count, int)
    for index, friend in stream(enumerate, dog.friends):
        assert_type(index, int)
        assert_type(friend, Dog)


def streaming_what_coroutine_functions_give(dog: Dog) -> None:
    for track in stream(dog.track, "hare"):
        assert_type(track, bytes)
    for name in stream(names, dog.friends):
        assert_type(name, str)


async def async_streaming(dog: Dog) -> None:
    async for hit in stream(dog.sniff, 3):
        assert_type(hit, str)
    async for track in stream(dog.track, "hare"):
        assert_type(track, bytes)
    assert_type([hit async for hit in stream(dog.sniff, 3)], list[str])
    async for smell in stream(dog.smells):
        assert_type(smell, str)


async def lockstep(dog: Dog) -> None:
    for hit in dog.sniff(3):
        assert_type(hit, str)
    async for smell in dog.smells():
        assert_type(smell, str)
    assert_type(await dog.hunt().asend("hare"), int)


def a_stream(dog: Dog) -> None:
    hits = stream(dog.sniff, 3)
    assert_type(next(hits), str)
    assert_type(hits.close(), None)
    each: Iterable[str] = hits
    assert_type(list(each), list[str])


async def an_async_stream(dog: Dog) -> None:
    each: AsyncIterable[str] = stream(dog.sniff, 3)
    async for hit in each:
        assert_type(hit, str)
