"""Futures at full use under asyncio: many tasks, several loops, loops that end early."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest

import elsewhere
from elsewhere import submit
from kennel import Dog
from workshop import Book, count_eventfds, kept_busy, submit_until_refused


@pytest.fixture
def dog(host):
    return host.spawn(Dog, "rex")


@pytest.fixture
def distant_dog(process_host):
    return process_host.spawn(Dog, "rex")


def test_thousand_tasks_share_one_proxy(dog):
    async def call(number: int) -> int:
        return await submit(dog.echo, number)

    async def play() -> list[int]:
        return await asyncio.gather(*(call(number) for number in range(1000)))

    assert asyncio.run(play()) == list(range(1000))


def test_task_that_awaits_one_answer_after_another_lets_others_run(distant_dog):
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def play() -> None:
        counting = asyncio.create_task(count_turns())
        for number in range(5_000):
            await submit(distant_dog.echo, number)
        counting.cancel()

    asyncio.run(play())

    assert turns >= 100


def test_call_beyond_the_window_is_refused_and_the_loop_goes_on(process_host, distant_dog):
    async def play() -> tuple[str | None, list[int]]:
        with kept_busy(process_host):
            futures, outcome = submit_until_refused(distant_dog.echo)
        return outcome, await asyncio.gather(*futures)

    outcome, values = asyncio.run(play())

    assert outcome == "not_started"
    assert values == list(range(len(values)))


def test_task_group_waits_for_all_its_calls(dog):
    async def play() -> list[str]:
        async def call(*, loud: bool) -> str:
            return await submit(dog.bark, loud=loud)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(call(loud=False)), group.create_task(call(loud=True))]
        return [task.result() for task in tasks]

    assert asyncio.run(play()) == ["woof", "WOOF"]


def test_task_group_cancels_the_calls_beside_a_failed_one(process_host):
    book = process_host.spawn(Book)

    async def write() -> None:
        await submit(book.write, "late")

    async def fail() -> None:
        raise ValueError("no")

    async def play() -> None:
        with kept_busy(process_host):
            async with asyncio.TaskGroup() as group:
                group.create_task(write())
                group.create_task(fail())

    with pytest.raises(ExceptionGroup) as raised:
        asyncio.run(play())

    assert [type(error) for error in raised.value.exceptions] == [ValueError]
    assert book.read() == []


def test_timeout_of_a_block_ends_all_waits_in_it(process_host, distant_dog):
    async def play() -> list[bool]:
        futures = [submit(distant_dog.bark) for _ in range(3)]
        with kept_busy(process_host), pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await asyncio.gather(*(submit(distant_dog.bark) for _ in range(3)))
        await asyncio.gather(*futures)
        return [future.done() for future in futures]

    assert asyncio.run(play()) == [True] * 3


def test_run_twice_in_one_thread_works(dog):
    async def play(number: int) -> int:
        return await submit(dog.echo, number)

    assert [asyncio.run(play(1)), asyncio.run(play(2))] == [1, 2]


def test_call_that_a_first_loop_left_open_is_awaited_in_a_second_one(process_host, distant_dog):
    async def start() -> elsewhere.Future[str]:
        return submit(distant_dog.bark)

    async def finish(future: elsewhere.Future[str]) -> str:
        return await future

    with kept_busy(process_host):
        future = asyncio.run(start())

    assert asyncio.run(finish(future)) == "woof"


def test_one_future_is_awaited_in_two_loops_at_once(process_host, distant_dog):
    both_wait = threading.Barrier(3)

    async def wait_for(future: elsewhere.Future[str]) -> str:
        waiting = asyncio.ensure_future(future)
        await asyncio.sleep(0)
        await asyncio.to_thread(both_wait.wait)
        return await waiting

    with ThreadPoolExecutor(2) as pool:
        with kept_busy(process_host):
            future = submit(distant_dog.bark)
            answers = [pool.submit(asyncio.run, wait_for(future)) for _ in range(2)]
            both_wait.wait()
        assert [answer.result() for answer in answers] == ["woof", "woof"]


def test_loop_that_is_closed_while_a_call_runs_leaves_nothing_behind(process_host, distant_dog):
    loop = asyncio.new_event_loop()

    async def call() -> str:
        return await submit(distant_dog.bark)

    with kept_busy(process_host):
        task = loop.create_task(call())
        loop.run_until_complete(asyncio.sleep(0))
        task._log_destroy_pending = False
        loop.close()
        gone = weakref.ref(loop)
        del loop, task
        gc.collect()
        was_collected = gone() is None

    assert was_collected
    assert distant_dog.bark() == "woof"


def test_loop_that_never_runs_again_does_not_hinder_another(process_host, distant_dog):
    stopped = asyncio.new_event_loop()

    async def call() -> str:
        return await submit(distant_dog.bark)

    try:
        with kept_busy(process_host):
            task = stopped.create_task(call())
            stopped.run_until_complete(asyncio.sleep(0))
            assert not task.done()

        assert asyncio.run(call()) == "woof"
        assert stopped.run_until_complete(task) == "woof"
    finally:
        stopped.close()


async def add_slowly(dog: Dog, times: int) -> list[int]:
    """Await so many answers, each of which takes longer than a loop looks for it before it waits."""
    return [await submit(dog.call, sum, range(30_000)) for _ in range(times)]


SLOW_SUM = sum(range(30_000))


def test_host_keeps_few_of_loops_that_are_no_more(process_host, distant_dog):
    before = process_host.run(count_eventfds)

    for _ in range(40):
        assert asyncio.run(add_slowly(distant_dog, 3)) == [SLOW_SUM] * 3
        gc.collect()

    assert process_host.run(count_eventfds) <= before + 8  # it looks which are gone when it is told of another


def test_more_loops_than_a_host_wakes_itself_get_their_answers(process_host, distant_dog):
    all_run = threading.Barrier(12)

    async def play() -> list[int]:
        await asyncio.to_thread(all_run.wait)
        answers = await add_slowly(distant_dog, 5)
        await asyncio.to_thread(all_run.wait)  # until then all of them are there
        return answers

    with ThreadPoolExecutor(12) as pool:
        runs = [pool.submit(lambda: asyncio.run(play())) for _ in range(12)]
        assert [run.result() for run in runs] == [[SLOW_SUM] * 5] * 12


def test_loop_that_does_not_get_to_its_answers_keeps_none_from_others(process_host, distant_dog):
    called_back = threading.Event()

    async def play() -> int:
        await add_slowly(distant_dog, 3)
        with kept_busy(process_host):
            own = asyncio.ensure_future(add_slowly(distant_dog, 1))
            await asyncio.sleep(0)
            other = submit(distant_dog.echo, 5)
        other.add_done_callback(lambda _: called_back.set())
        called_back.wait()  # this loop's thread reads nothing meanwhile
        answer = await asyncio.to_thread(distant_dog.echo, 6)
        return answer + sum(await own)

    assert asyncio.run(play()) == 6 + SLOW_SUM


def test_waiter_that_nobody_refers_to_is_kept_by_its_loop(process_host, distant_dog):
    answers: list[str] = []

    async def call(done: asyncio.Event) -> None:
        answers.append(await submit(distant_dog.bark))
        done.set()

    async def play() -> None:
        done = asyncio.Event()
        with kept_busy(process_host):
            asyncio.create_task(call(done))  # noqa: RUF006 - that it is not collected is what is tested
            await asyncio.sleep(0)
            gc.collect()
        await done.wait()

    asyncio.run(play())

    assert answers == ["woof"]


def test_host_is_used_with_async_with(dog):
    async def play() -> str:
        async with elsewhere.Host() as host:
            return await submit(host.spawn(Dog, "tom").bark)

    assert asyncio.run(play()) == "woof"


def test_debug_mode_finds_no_fault(dog):
    async def play() -> list[int]:
        return await asyncio.gather(*(submit(dog.echo, number) for number in range(10)))

    assert asyncio.run(play(), debug=True) == list(range(10))
