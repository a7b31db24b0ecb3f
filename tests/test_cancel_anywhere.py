"""A task that is cancelled at any await of its calls: as it goes to sleep there, and as it is about to go on."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

import elsewhere
from elsewhere import submit
from workers import Gate
from workshop import AsyncDoor

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Generator

AWAITS_MAX = 6
"""As many as any of the programs here has; fewer where an answer is there before it is awaited."""
ROUNDS = 8


class Watched:
    """Awaits a coroutine and tells `on_await` of each future that it goes to sleep for, with its number from 0."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], on_await: Callable[[int, Any], None]) -> None:
        self.coroutine = coroutine
        self.on_await = on_await

    def __await__(self) -> Generator[Any, Any, Any]:
        step: Callable[[], Any] = partial(self.coroutine.send, None)
        for number in itertools.count():
            try:
                future = step()
            except StopIteration as end:
                return end.value
            self.on_await(number, future)
            try:
                yield future
            except BaseException as error:
                step = partial(self.coroutine.throw, error)
            else:
                step = partial(self.coroutine.send, None)


async def awaiting(gate) -> list[object]:
    return [await gate.fetch(1), await submit(gate.fetch, 2), await submit(gate.read)]


async def iterating(gate) -> list[object]:
    return [each async for each in gate.count_slowly(3)]


async def reading_ahead(gate) -> list[object]:
    return [each async for each in elsewhere.stream(gate.count_slowly, 40)]


async def gathering(gate) -> list[object]:
    return await asyncio.gather(*(submit(gate.fetch, number) for number in range(5)), gate.fetch(5))


async def waiting_for(gate) -> list[object]:
    return [await asyncio.wait_for(gate.fetch(1), 20), await asyncio.wait_for(submit(gate.read), 20)]


async def shielding(gate) -> list[object]:
    return [await asyncio.shield(gate.fetch(1))]


async def grouping(gate) -> list[object]:
    async def one(number: int) -> object:
        return await gate.fetch(number)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(number)) for number in range(3)]
    return [task.result() for task in tasks]


async def entering(gate) -> list[object]:
    door = elsewhere.host_of(gate).spawn(AsyncDoor)
    async with door as inside:
        return [inside, await gate.fetch(1)]


async def using(gate) -> list[object]:
    async with elsewhere.using(elsewhere.host_of(gate).spawn(AsyncDoor)) as inside:
        return [inside, await gate.fetch(2)]


PROGRAMS: dict[Callable[[Any], Awaitable[list[object]]], list[object]] = {
    awaiting: [1, 2, []],
    iterating: [0, 1, 2],
    reading_ahead: list(range(40)),
    gathering: [0, 1, 2, 3, 4, 5],
    waiting_for: [1, []],
    shielding: [1],
    grouping: [0, 1, 2],
    entering: ["inside", 1],
    using: ["inside", 2],
}


def going_to_sleep(task: asyncio.Task[Any], _: Any) -> None:
    task.cancel()


def about_to_go_on(task: asyncio.Task[Any], future: Any) -> None:
    if future is None:  # it only lets others run
        task.get_loop().call_soon(task.cancel)
    else:
        future.add_done_callback(lambda _: task.cancel())  # called before the one that makes the task go on


@pytest.fixture(params=["serial", "async"])
def gate(request):
    with elsewhere.Host(concurrency=request.param) as host:
        yield host.spawn(Gate)


@pytest.mark.parametrize("moment", [going_to_sleep, about_to_go_on], ids=lambda moment: moment.__name__)
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_task_that_is_cancelled_at_any_await_leaves_right_answers(gate, program, moment) -> None:
    host = elsewhere.host_of(gate)

    async def cancelled_at(number: int) -> bool:
        """Whether the program had an await of that number."""
        met: list[int] = []

        def on_await(at: int, future: Any) -> None:
            if at == number:
                met.append(at)
                moment(task, future)

        async def watch() -> list[object]:
            return await Watched(program(gate), on_await)

        task = asyncio.get_running_loop().create_task(watch())
        with contextlib.suppress(asyncio.CancelledError):
            assert await task == PROGRAMS[program]
            assert not met or moment is about_to_go_on or program is waiting_for  # which may swallow it, in 3.11
        assert await submit(gate.fetch, "after") == "after"
        return bool(met)

    async def play() -> int:
        return sum([await cancelled_at(number) for number in range(AWAITS_MAX) for _ in range(ROUNDS)])

    assert asyncio.run(play()) > 0
    assert gate.read() == []
    while host.stats()["calls"]:  # of what was given up, the answers may still come
        assert submit(gate.fetch, "after").result() == "after"
