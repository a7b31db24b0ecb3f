"""An `async def` given to a verb is awaited over there, as its type says."""

from __future__ import annotations

import asyncio
import gc
import tempfile
import weakref

import pytest

import elsewhere
from elsewhere import submit
from kennel import Dog
from workshop import kept_busy


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


class OwnCounter(Counter):
    def up_to(self, number: int) -> list[int]:
        return [number]

    @staticmethod
    async def twice(number: int) -> int:
        return 2 * number

    @classmethod
    async def called(cls) -> str:
        return cls.__name__


class LastCounter(OwnCounter):
    called = "not to be called"


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


def test_method_is_async_as_the_first_class_has_it_that_has_the_name(host):
    own, last = host.spawn(OwnCounter), host.spawn(LastCounter)

    async def main() -> list[object]:
        return [await own.twice(2), await own.called(), await last.twice(3)]

    assert asyncio.run(main()) == [4, "OwnCounter", 6]
    assert own.up_to(3) == last.up_to(3) == [3]  # no future
    assert elsewhere.get(last.called) == "not to be called"


def test_call_of_an_async_method_goes_where_a_coroutine_goes(counter):
    async def main() -> list[list[int]]:
        task = asyncio.create_task(counter.up_to(1))
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(counter.up_to(2)), group.create_task(submit(counter.up_to, 3))]
        return [await task, *(task.result() for task in tasks)]

    assert asyncio.run(main()) == [[0], [0, 1], [0, 1, 2]]
    assert asyncio.run(counter.up_to(2)) == [0, 1]
    assert asyncio.iscoroutine(counter.up_to(0))


def test_task_made_of_a_call_raises_what_that_raised(counter):
    async def main() -> None:
        task = asyncio.create_task(counter.up_to("x"))
        with pytest.raises(TypeError):
            await task

    asyncio.run(main())


def test_several_tasks_may_be_made_of_one_call(counter):
    async def main() -> list[list[int]]:
        call = counter.up_to(2)
        return await asyncio.gather(asyncio.create_task(call), asyncio.create_task(call), call, drive(call))

    async def drive(call) -> list[int]:
        return await call

    assert asyncio.run(main()) == [[0, 1]] * 4


def test_cancelled_task_made_of_a_call_cancels_the_call(process_host):
    waiter = process_host.spawn(Waiter)

    async def main(*, has_begun: bool) -> list[str]:
        call = waiter.hang()
        task = asyncio.create_task(call)
        if has_begun:
            while "begun" not in await submit(waiter.read):
                pass
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert call.cancelled()
        while (log := await submit(waiter.read)) and log[-1] != "cancelled":
            pass
        return log

    with elsewhere.Host(concurrency="async") as host:
        waiter = host.spawn(Waiter)
        assert asyncio.run(main(has_begun=True)) == ["begun", "cancelled"]
        waiter = host.spawn(Waiter)
        assert asyncio.run(main(has_begun=False)) in ([], ["begun", "cancelled"])


class Waiter:
    def __init__(self) -> None:
        self.log: list[str] = []

    def read(self) -> list[str]:
        return self.log

    async def hang(self) -> None:
        self.log.append("begun")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.log.append("cancelled")
            raise


def test_call_that_is_closed_like_a_coroutine_goes_on(counter):
    call = counter.up_to(3)

    call.close()

    assert call.result() == [0, 1, 2]
    assert asyncio.run(call) == [0, 1, 2]


def test_loop_that_ends_while_a_task_made_of_a_call_waits_leaves_nothing(process_host):
    waiter = process_host.spawn(Waiter)
    loop = asyncio.new_event_loop()
    call = submit(waiter.hang)

    async def start(call: elsewhere.Future[None]) -> None:
        asyncio.ensure_future(call)  # noqa: RUF006 - the loop ends before it does
        await asyncio.sleep(0)

    loop.run_until_complete(start(call))
    loop.close()
    gone = weakref.ref(call)
    call.cancel()
    del call
    while gone() is not None:
        gc.collect()

    assert submit(waiter.read).result() in ([], ["begun", "cancelled"])  # nor over there


def test_call_whose_task_was_lost_with_its_loop_is_awaited_by_other_tasks(process_host):
    counter = process_host.spawn(Counter)

    async def start(calls: list[elsewhere.Future[list[int]]]) -> None:
        for call in calls:
            asyncio.ensure_future(call)  # noqa: RUF006 - the loop ends before it does
        await asyncio.sleep(0)

    with kept_busy(process_host):
        calls = [submit(counter.up_to, 2) for _ in range(50)]
        loop = asyncio.new_event_loop()
        loop.run_until_complete(start(calls))
        loop.close()
        del loop
        gc.collect()

    async def main() -> list[list[int]]:
        return [await asyncio.create_task(call) for call in calls]

    assert asyncio.run(main()) == [[0, 1]] * 50
