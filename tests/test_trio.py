"""Futures and streams under trio, and under anyio on either of its backends."""

from __future__ import annotations

import asyncio
import threading

import anyio
import anyio.to_thread
import pytest
import trio
import trio.testing

import elsewhere
from elsewhere import submit
from kennel import Dog
from workers import Asker
from workshop import AsyncDoor, Book, kept_busy, submit_until_refused

BACKENDS = ("asyncio", "trio")


class Numbers:
    def count(self, number: int):
        yield from range(number)

    async def count_slowly(self, number: int):
        for each in range(number):
            yield each

    def broken(self):
        yield 1
        raise ValueError("broken")


@pytest.fixture(autouse=True)
def _idle_threads_of_trio_end(monkeypatch):
    """Trio keeps threads that are done for ten seconds, which looks like a leak."""
    monkeypatch.setattr(trio._core._thread_cache, "IDLE_TIMEOUT", 0.01)


@pytest.fixture
def dog(host):
    return host.spawn(Dog, "rex")


@pytest.fixture
def distant_dog(process_host):
    return process_host.spawn(Dog, "rex")


@pytest.fixture(params=BACKENDS)
def backend(request):
    """The library that anyio runs on."""
    return request.param


def test_await_under_trio_gives_the_value(dog):
    async def play() -> str:
        return await submit(dog.bark)

    assert trio.run(play) == "woof"


def test_await_under_trio_raises_what_the_call_raised(dog):
    async def play() -> None:
        await submit(dog.fail, KeyError("no"))

    with pytest.raises(KeyError, match="no"):
        trio.run(play)


def test_coroutine_of_an_object_here_runs_in_the_trio_that_it_was_offered_from(process_host) -> None:
    threads: list[int] = []

    class Home:
        async def fetch(self, value: str) -> str:
            await trio.lowlevel.checkpoint()
            threads.append(threading.get_ident())
            return value

    async def play() -> str:
        return await submit(process_host.spawn(Asker).ask, Home().fetch, "value")

    assert trio.run(play) == "value"
    assert threads == [threading.get_ident()]


def test_coroutine_of_an_object_here_that_blocks_its_trio_is_refused(process_host) -> None:
    asker = process_host.spawn(Asker)

    class Home:
        async def fetch(self, value: str) -> str:
            return value

    async def play() -> None:
        with pytest.raises(elsewhere.DeadlockError):
            asker.ask(Home().fetch, "value")

    trio.run(play)


def test_coroutine_of_an_object_here_is_cancelled_in_trio_with_its_call(process_host) -> None:
    asker = process_host.spawn(Asker)
    ended = trio.Event()

    class Home:
        async def fetch(self, value: str) -> None:
            try:
                await trio.sleep_forever()
            finally:
                ended.set()

    async def play() -> None:
        with elsewhere.deadline(0.2):
            future = submit(asker.ask, Home().fetch, "value")
        with pytest.raises(elsewhere.CallTimeout):
            await future
        await ended.wait()

    trio.run(play)


def test_await_under_trio_gives_an_async_method_its_value(dog):
    async def play() -> str:
        return await dog.fetch("stick")

    assert trio.run(play) == "stick"


def test_thousand_tasks_of_trio_share_one_proxy(dog):
    answers: list[int] = []

    async def call(number: int) -> None:
        answers.append(await submit(dog.echo, number))

    async def play() -> None:
        async with trio.open_nursery() as nursery:
            for number in range(1000):
                nursery.start_soon(call, number)

    trio.run(play)

    assert sorted(answers) == list(range(1000))


def test_trio_goes_on_while_a_call_runs(process_host, distant_dog):
    events: list[str] = []

    async def call() -> None:
        await submit(distant_dog.bark)
        events.append("answered")

    async def play() -> None:
        async with trio.open_nursery() as nursery:
            with kept_busy(process_host):
                nursery.start_soon(call)
                await trio.testing.wait_all_tasks_blocked()
                events.append("went on")

    trio.run(play)

    assert events == ["went on", "answered"]


def test_timeout_of_trio_cancels_the_call(process_host):
    book = process_host.spawn(Book)

    async def play() -> bool:
        with kept_busy(process_host), trio.move_on_after(0.01) as scope:
            await submit(book.write, 1)
        return scope.cancelled_caught

    assert trio.run(play)
    assert book.read() == []


def test_await_under_trio_is_a_checkpoint_also_of_a_finished_future(dog):
    future = submit(dog.bark)
    future.result()

    async def play() -> bool:
        with trio.CancelScope() as scope:
            scope.cancel()
            await future
        return scope.cancelled_caught

    assert trio.run(play)
    assert future.result() == "woof"


def test_future_that_is_cancelled_ends_its_awaiter_under_trio(process_host, distant_dog):
    async def play() -> None:
        with kept_busy(process_host):
            future = submit(distant_dog.bark)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(expect_cancelled, future)
                await trio.testing.wait_all_tasks_blocked()
                future.cancel()

    async def expect_cancelled(future: elsewhere.Future[str]) -> None:
        with pytest.raises(elsewhere.CallCancelled):
            await future

    trio.run(play)


def test_run_of_trio_after_another_works(dog):
    async def play(number: int) -> int:
        return await submit(dog.echo, number)

    assert [trio.run(play, 1), trio.run(play, 2)] == [1, 2]


def test_call_beyond_the_window_is_refused_under_trio(process_host, distant_dog):
    async def play() -> str | None:
        with kept_busy(process_host):
            futures, outcome = submit_until_refused(distant_dog.echo)
        for future in futures:
            await future
        return outcome

    assert trio.run(play) == "not_started"


def test_awaiter_under_trio_hears_of_the_death_of_the_host(process_host, distant_dog):
    async def play() -> None:
        await submit(distant_dog.exit, 3)

    with pytest.raises(elsewhere.HostDied):
        trio.run(play)


def test_trio_as_a_guest_of_asyncio_and_asyncio_beside_it_both_await(process_host, distant_dog):
    async def under_trio() -> str:
        return await submit(distant_dog.bark)

    async def under_asyncio() -> tuple[str, str]:
        loop = asyncio.get_running_loop()
        guest_done: asyncio.Future[str] = loop.create_future()
        trio.lowlevel.start_guest_run(
            under_trio,
            run_sync_soon_threadsafe=loop.call_soon_threadsafe,
            done_callback=lambda outcome: guest_done.set_result(outcome.unwrap()),
        )
        return await submit(distant_dog.bark, loud=True), await guest_done

    assert asyncio.run(under_asyncio()) == ("WOOF", "woof")


def test_async_for_under_anyio_gives_every_item(host, backend):
    numbers = host.spawn(Numbers)

    async def collect() -> list[int]:
        return [number async for number in elsewhere.stream(numbers.count, 1000)]

    assert anyio.run(collect, backend=backend) == list(range(1000))


def test_async_for_under_anyio_raises_what_the_generator_raised(host, backend):
    numbers = host.spawn(Numbers)

    async def collect() -> list[int]:
        return [number async for number in elsewhere.stream(numbers.broken)]

    with pytest.raises(ValueError, match="broken"):
        anyio.run(collect, backend=backend)


def test_async_generator_is_iterated_under_anyio(host, backend):
    numbers = host.spawn(Numbers)

    async def collect() -> list[int]:
        return [number async for number in numbers.count_slowly(3)]

    assert anyio.run(collect, backend=backend) == [0, 1, 2]


def test_task_group_of_anyio_waits_for_its_calls(dog, backend):
    answers: list[int] = []

    async def call(number: int) -> None:
        answers.append(await submit(dog.echo, number))

    async def play() -> None:
        async with anyio.create_task_group() as group:
            for number in range(100):
                group.start_soon(call, number)

    anyio.run(play, backend=backend)

    assert sorted(answers) == list(range(100))


def test_cancel_scope_of_anyio_cancels_the_call(process_host, backend):
    book = process_host.spawn(Book)

    async def play() -> bool:
        with kept_busy(process_host), anyio.move_on_after(0.01) as scope:
            await submit(book.write, 1)
        return scope.cancelled_caught

    assert anyio.run(play, backend=backend)
    assert book.read() == []


def test_blocking_call_in_a_thread_of_anyio_works(dog, backend):
    async def play() -> str:
        return await anyio.to_thread.run_sync(dog.bark)

    assert anyio.run(play, backend=backend) == "woof"


def test_async_context_of_an_object_works_under_anyio(host, backend):
    door = host.spawn(AsyncDoor)

    async def enter() -> str:
        async with door as inside:
            return inside

    assert anyio.run(enter, backend=backend) == "inside"


def test_using_closes_its_object_under_anyio(backend):
    async def play() -> elsewhere.Host:
        dog = elsewhere.spawn(Dog, "rex")
        async with elsewhere.using(dog):
            await submit(dog.bark)
        return elsewhere.host_of(dog)

    assert not anyio.run(play, backend=backend).alive


def test_host_is_used_with_async_with_under_anyio(backend):
    async def play() -> elsewhere.Host:
        async with elsewhere.Host() as host:
            await submit(host.spawn(Dog, "tom").bark)
        return host

    assert not anyio.run(play, backend=backend).alive


def test_two_backends_of_anyio_run_beside_each_other(distant_dog):
    answers: list[str] = []

    async def play() -> None:
        answers.append(await submit(distant_dog.bark))

    threads = [threading.Thread(target=anyio.run, args=(play,), kwargs={"backend": backend}) for backend in BACKENDS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert answers == ["woof", "woof"]
