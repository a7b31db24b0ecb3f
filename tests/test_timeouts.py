"""Deadlines that pass: CallTimeout here, the method goes on there, and every later answer is the right one."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

import elsewhere
from kennel import Dog


class Sleeper:
    def __init__(self) -> None:
        self.runs = 0

    def nap(self, seconds: float) -> str:
        self.runs += 1
        time.sleep(seconds)
        return "nap"

    def nap_and_bring(self, seconds: float) -> object:
        time.sleep(seconds)
        return threading.Lock()

    def echo(self, value):
        return value

    def items(self, seconds: float):
        yield 1
        time.sleep(seconds)
        yield 2


@pytest.fixture
def sleeper(process_host):
    return process_host.spawn(Sleeper)


def assert_right_answers(sleeper, number: int = 100) -> None:
    assert [sleeper.echo(n) for n in range(number)] == list(range(number))


def test_answers_after_a_timeout_are_the_right_ones(sleeper) -> None:
    with pytest.raises(elsewhere.CallTimeout) as caught:
        elsewhere.options(sleeper, timeout=0.02).nap(0.1)

    assert caught.value.outcome == "unknown"
    assert isinstance(caught.value, TimeoutError)
    assert "Sleeper.nap" in str(caught.value)
    assert_right_answers(sleeper)


def test_timeout_is_never_early(sleeper) -> None:
    for limit in (0.01, 0.05, 0.1):
        begin = time.monotonic()
        with pytest.raises(elsewhere.CallTimeout), elsewhere.deadline(limit):
            sleeper.nap(0.15)

        assert time.monotonic() - begin >= limit


def test_table_sizes_are_back_after_many_timeouts(process_host, sleeper) -> None:
    before = process_host.stats()
    quick = elsewhere.options(sleeper, timeout=0.0002)
    timeouts = 0

    for number in range(2000):
        try:
            assert quick.echo(number) == number
        except elsewhere.CallTimeout:
            timeouts += 1
    for _ in range(20):
        with pytest.raises(elsewhere.CallTimeout):
            elsewhere.options(sleeper, timeout=0.001).nap_and_bring(0.005)
        timeouts += 1

    assert_right_answers(sleeper)
    assert timeouts >= 20
    assert process_host.stats() == before


def test_call_whose_time_is_over_before_its_turn_never_runs(process_host, sleeper) -> None:
    blocker = elsewhere.submit(sleeper.nap, 0.2)

    with pytest.raises(elsewhere.CallTimeout):
        elsewhere.options(sleeper, timeout=0.02).nap(0)

    assert blocker.result() == "nap"
    assert elsewhere.get(sleeper.runs) == 1


def test_timeout_of_one_thread_leaves_the_calls_of_others_alone(sleeper) -> None:
    answers: list[object] = []
    others = [threading.Thread(target=lambda n=n: answers.append(sleeper.echo(n))) for n in range(8)]

    future = elsewhere.submit(sleeper.nap, 2)
    for other in others:
        other.start()
    with pytest.raises(elsewhere.CallTimeout):
        elsewhere.options(sleeper, timeout=0.02).echo(1)
    for other in others:
        other.join()

    assert sorted(answers) == list(range(8))
    assert future.result() == "nap"


def test_future_result_that_times_out_leaves_the_call_going(sleeper) -> None:
    future = elsewhere.submit(sleeper.nap, 0.1)

    with pytest.raises(TimeoutError) as caught:
        future.result(0.01)

    assert not isinstance(caught.value, elsewhere.CallTimeout)
    assert future.result() == "nap"


def test_timeout_covers_operators_get_and_setting(sleeper) -> None:
    blocker = elsewhere.submit(sleeper.nap, 0.3)
    quick = elsewhere.options(sleeper, timeout=0.01)

    for use in (
        lambda: elsewhere.get(quick.runs),
        lambda: quick.runs + 1,
        lambda: setattr(quick, "runs", 5),
        lambda: elsewhere.submit(quick.echo, 1).result(),
        lambda: elsewhere.ref(quick.runs),
    ):
        with pytest.raises(elsewhere.CallTimeout):
            use()

    assert blocker.result() == "nap"


def test_deadline_holds_for_an_awaited_call(sleeper) -> None:
    async def main() -> None:
        with elsewhere.deadline(0.02):
            await elsewhere.submit(sleeper.nap, 0.2)

    with pytest.raises(elsewhere.CallTimeout):
        asyncio.run(main())

    assert_right_answers(sleeper)


def test_wait_for_that_times_out_cancels_the_call(process_host, sleeper) -> None:
    async def main() -> None:
        await asyncio.wait_for(elsewhere.submit(sleeper.nap, 0.1), 0.02)

    with pytest.raises(TimeoutError):
        asyncio.run(main())

    assert_right_answers(sleeper)
    assert process_host.stats()["calls"] == 0


def test_stream_whose_time_is_over_ends(process_host, sleeper) -> None:
    with elsewhere.deadline(0.05):
        items = elsewhere.stream(sleeper.items, 0.2)

    with pytest.raises(elsewhere.CallTimeout):
        list(items)

    assert_right_answers(sleeper)


def test_zero_seconds_are_over_at_once(process_host) -> None:
    dog = process_host.spawn(Dog, "rex")

    for _ in range(20):
        with pytest.raises(elsewhere.CallTimeout), elsewhere.deadline(0):
            dog.grow()

    assert dog.bark() == "woof"
