"""`async for` over a stream that is read ahead."""

from __future__ import annotations

import asyncio
import threading

import pytest

import elsewhere


class Source:
    def __init__(self) -> None:
        self.gate = threading.Event()

    def numbers(self, count: int):
        yield from range(count)

    def after_gate(self):
        self.gate.wait()
        yield "open"

    def broken(self):
        yield 1
        raise ValueError("broken")


async def collect(stream: elsewhere._core.ReadAhead[int]) -> list[int]:
    return [item async for item in stream]


@pytest.mark.parametrize("count", [0, 1, 1000])
def test_async_for_gives_every_item_in_order(host: elsewhere.Host, count: int) -> None:
    source = host.spawn(Source)

    assert asyncio.run(collect(elsewhere.stream(source.numbers, count))) == list(range(count))


def test_async_for_raises_what_the_generator_raised(host: elsewhere.Host) -> None:
    source = host.spawn(Source)

    with pytest.raises(ValueError, match="broken"):
        asyncio.run(collect(elsewhere.stream(source.broken)))


def test_loop_goes_on_while_a_stream_is_waited_for(process_host: elsewhere.Host) -> None:
    with elsewhere.Host() as other:
        slow, fast = process_host.spawn(Source), other.spawn(Source)

        async def first_of_both() -> tuple[str, int]:
            waiting = asyncio.ensure_future(anext(elsewhere.stream(slow.after_gate)))
            number = await anext(elsewhere.stream(fast.numbers, 3))
            assert not waiting.done()
            waiting.cancel()
            return "cancelled", number

        assert asyncio.run(first_of_both()) == ("cancelled", 0)
        process_host.kill()


def test_stream_goes_on_after_a_waiter_gave_up(host: elsewhere.Host) -> None:
    stream = elsewhere.stream(host.spawn(Source).numbers, 3)

    async def give_up_once() -> list[int]:
        waiting = asyncio.ensure_future(anext(stream))
        waiting.cancel()
        await asyncio.wait([waiting])
        return await collect(stream)

    assert asyncio.run(give_up_once()) == [0, 1, 2]


def test_async_for_ends_with_the_death_of_the_host(process_host: elsewhere.Host) -> None:
    stream = elsewhere.stream(process_host.spawn(Source).after_gate)
    process_host.kill()

    with pytest.raises(elsewhere.HostDied):
        asyncio.run(collect(stream))
