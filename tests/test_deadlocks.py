"""Waits for oneself: exactly the call that would close the circle fails, it has not started, all others complete."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import elsewhere
from elsewhere import ref, submit
from workers import Asker, Gate

FUTURES: dict[str, elsewhere.Future[object]] = {}
"""What objects of a local host wait for: they share this module with the test."""


class Waiter:
    """Waits for futures from inside."""

    def __init__(self) -> None:
        self.both = threading.Barrier(2, timeout=10)

    def wait_for(self, name: str) -> object:
        return FUTURES[name].result()

    def wait_and_tell(self, name: str) -> str:
        try:
            return f"got {FUTURES[name].result()}"
        except elsewhere.DeadlockError as error:
            return f"DeadlockError {error.outcome}"

    def plain(self) -> str:
        return "plain"

    def cross(self, other, meeting) -> str:
        """Call the other object, when both threads are inside of one."""
        meeting.wait()
        try:
            return other.plain()
        except elsewhere.DeadlockError as error:
            return f"DeadlockError {error.outcome}"

    async def fetch(self) -> str:
        return "fetched"

    async def await_other(self, other) -> str:
        try:
            return await other.fetch()
        except elsewhere.DeadlockError as error:
            return f"DeadlockError {error.outcome}"


@pytest.fixture
def local():
    with elsewhere.Host(start="local") as host:
        yield host
    FUTURES.clear()


def test_method_of_a_local_host_that_waits_for_its_own_call_is_told_so(local) -> None:
    waiter = local.spawn(Waiter)
    FUTURES["own"] = submit(waiter.wait_and_tell, "own")

    assert FUTURES["own"].result() == "DeadlockError not_started"


def test_wait_for_the_own_call_through_another_one_is_told_so(local) -> None:
    waiter = local.spawn(Waiter)
    FUTURES["outer"] = submit(waiter.wait_and_tell, "inner")
    FUTURES["inner"] = submit(waiter.wait_for, "outer")

    assert FUTURES["outer"].result() == "DeadlockError not_started"
    with pytest.raises(elsewhere.DeadlockError):
        FUTURES["inner"].result()


def test_method_of_a_local_host_waits_for_a_queued_call_of_it(local) -> None:
    waiter = local.spawn(Waiter)
    FUTURES["outer"] = submit(waiter.wait_and_tell, "queued")
    FUTURES["queued"] = submit(waiter.plain)

    assert FUTURES["outer"].result() == "got plain"


def test_coroutine_of_a_local_host_that_awaits_another_of_it_is_told_so(local) -> None:
    waiter = local.spawn(Waiter)

    assert waiter.await_other(waiter).result() == "fetched"
    FUTURES["proxy"] = waiter
    assert local.run(_await_own_host).startswith("DeadlockError not_started")


async def _await_own_host() -> str:
    try:
        return await FUTURES["proxy"].fetch()
    except elsewhere.DeadlockError as error:
        return f"DeadlockError {error.outcome}"


def test_crossed_calls_of_two_local_hosts_end_with_one_deadlock_error() -> None:
    with elsewhere.Host(start="local") as one, elsewhere.Host(start="local") as two, ThreadPoolExecutor(2) as pool:
        first, second = one.spawn(Waiter), two.spawn(Waiter)
        meeting = ref(threading.Barrier(2, timeout=10))

        answers = [pool.submit(first.cross, second, meeting), pool.submit(second.cross, first, meeting)]

        assert sorted(answer.result() for answer in answers) == ["DeadlockError not_started", "plain"]


def test_call_to_a_coroutine_of_a_serial_host_that_waits_for_its_caller_is_refused(process_host) -> None:
    gate = process_host.spawn(Gate)
    errors: list[elsewhere.DeadlockError] = []

    def back() -> str:
        future = gate.fetch("back")
        with pytest.raises(elsewhere.DeadlockError) as raised:
            future.result()
        errors.append(raised.value)
        return "completed"

    assert gate.call(ref(back)) == "completed"
    assert [error.outcome for error in errors] == ["not_started"]
    assert gate.fetch("later").result() == "later"


def test_call_to_a_coroutine_from_a_blocking_call_of_a_coroutine_is_refused(process_host) -> None:
    gate = process_host.spawn(Gate)

    def back() -> object:
        return gate.fetch("back").result()

    with pytest.raises(elsewhere.DeadlockError) as raised:
        gate.call_blocking(ref(back)).result()
    assert raised.value.outcome == "not_started"


@pytest.mark.parametrize("concurrency", [1, 2, "caller"])
def test_call_to_a_coroutine_completes_where_the_loop_has_a_thread_of_its_own(concurrency) -> None:
    with elsewhere.Host(concurrency=concurrency) as host:
        gate = host.spawn(Gate)

        assert gate.call(ref(lambda: gate.fetch("back").result())) == "back"


def test_refused_coroutine_warns_of_nothing(process_host, capfd) -> None:
    gate = process_host.spawn(Gate)

    with pytest.raises(elsewhere.DeadlockError):
        gate.call(ref(lambda: gate.fetch("back").result()))
    process_host.close()

    assert capfd.readouterr().err == ""


def test_crossed_calls_of_two_hosts_with_threads_complete() -> None:
    with elsewhere.Host(concurrency=2) as one, elsewhere.Host(concurrency=2) as two, ThreadPoolExecutor(2) as pool:
        first, second = one.spawn(Waiter), two.spawn(Waiter)
        meeting = ref(threading.Barrier(2, timeout=10))

        answers = [pool.submit(first.cross, second, meeting), pool.submit(second.cross, first, meeting)]

        assert [answer.result() for answer in answers] == ["plain", "plain"]


def test_crossed_calls_of_two_serial_hosts_do_not_outlast_their_deadline() -> None:
    with elsewhere.Host() as one, elsewhere.Host() as two, ThreadPoolExecutor(2) as pool:
        first, second = one.spawn(Waiter), two.spawn(Waiter)
        meeting = ref(threading.Barrier(2, timeout=10))

        answers = [
            pool.submit(elsewhere.options(here, timeout=0.5).cross, there, meeting)
            for here, there in ((first, second), (second, first))
        ]

        assert all(isinstance(answer.exception(), elsewhere.CallTimeout) for answer in answers)


# ---------------------------------------------------------------- coroutines of objects that are here


class Home:
    """An object of this process that hosts call."""

    def __init__(self) -> None:
        self.threads: list[int] = []

    async def fetch(self, value: object) -> object:
        self.threads.append(threading.get_ident())
        await asyncio.sleep(0)
        return value


def test_coroutine_of_an_object_here_runs_on_the_loop_that_it_was_offered_from(process_host) -> None:
    asker, home = process_host.spawn(Asker), Home()

    async def play() -> object:
        return await submit(asker.ask, home.fetch, "value")

    assert asyncio.run(play()) == "value"
    assert home.threads == [threading.get_ident()]


def test_callback_that_is_no_coroutine_never_runs_on_a_loop(process_host) -> None:
    gate = process_host.spawn(Gate)

    async def play() -> object:
        return await submit(gate.call, ref(threading.get_ident))

    assert asyncio.run(play()) != threading.get_ident()


def test_coroutine_of_an_object_here_is_cancelled_with_its_call(process_host) -> None:
    gate = process_host.spawn(Gate)
    over = asyncio.Event()

    class Slow:
        async def hang(self) -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                over.set()
                raise

    async def play() -> None:
        with elsewhere.deadline(0.2):
            future = submit(gate.call, Slow().hang)
        with pytest.raises(elsewhere.CallTimeout):
            await future
        await over.wait()

    asyncio.run(play())


def test_coroutine_of_an_object_here_whose_loop_is_blocked_by_the_call_is_refused(process_host) -> None:
    asker, home = process_host.spawn(Asker), Home()

    async def play() -> elsewhere.DeadlockError:
        with pytest.raises(elsewhere.DeadlockError) as raised:
            asker.ask(home.fetch, "value")
        return raised.value

    assert asyncio.run(play()).outcome == "not_started"
    assert home.threads == []


def test_coroutine_of_an_object_that_was_offered_from_no_loop_is_refused(process_host) -> None:
    asker, home = process_host.spawn(Asker), Home()

    with pytest.raises(RuntimeError, match="no loop to run on"):
        asker.ask(home.fetch, "value")

    assert home.threads == []


def test_coroutine_of_an_object_whose_loop_has_ended_is_refused(process_host) -> None:
    asker, home = process_host.spawn(Asker), Home()

    async def offer() -> None:
        await submit(asker.keep, ref(home))

    asyncio.run(offer())

    with pytest.raises(RuntimeError, match="no loop to run on"):
        asker.ask_kept("value")


class AsyncReader:
    async def read(self, items) -> list[object]:
        return [item async for item in items]

    async def ask(self, function, value):
        return await submit(function, value)


async def three():
    for number in range(3):
        yield number


@pytest.mark.parametrize("way", ["method", "generator"])
def test_coroutine_here_that_a_local_host_awaits_for_the_loop_that_it_belongs_to_is_refused(local, way) -> None:
    reader, home = local.spawn(AsyncReader), Home()

    async def play() -> None:
        await (reader.ask(home.fetch, "value") if way == "method" else reader.read(three()))

    with pytest.raises(elsewhere.DeadlockError) as raised:
        asyncio.run(play())
    assert raised.value.outcome == "not_started"
    assert home.threads == []
