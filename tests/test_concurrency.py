"""How a host runs the calls that come to it: what holds in every mode, and what tells the modes apart."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from typing import TYPE_CHECKING

import pytest

import elsewhere
from elsewhere import get, post, ref, stream, submit
from workers import Gate, Pipe, tell
from workshop import AsyncDoor, Book, kept_busy

if TYPE_CHECKING:
    from collections.abc import Iterator

MODES = ("serial", 2, "async", "caller")
BESIDE = (2, "caller")
"""Modes in which methods run beside each other."""


@pytest.fixture(params=MODES, ids=str)
def mode(request):
    return request.param


@pytest.fixture
def host(mode) -> Iterator[elsewhere.Host]:
    """A host of each mode."""
    with elsewhere.Host(concurrency=mode) as host:
        yield host


@pytest.fixture
def gate(host) -> Gate:
    return host.spawn(Gate)


@pytest.fixture
def pipe(tmp_path) -> Pipe:
    return Pipe(tmp_path)


def made(mode) -> elsewhere.Host:
    return elsewhere.Host(concurrency=mode)


@contextlib.contextmanager
def all_busy(host, mode) -> Iterator[None]:
    """Keep every thread of a host busy that could run a call of this thread."""
    with contextlib.ExitStack() as stack:
        for _ in range(mode if isinstance(mode, int) else 1):
            stack.enter_context(kept_busy(host))
        yield


# ---------------------------------------------------------------- every mode


def test_calls_give_their_values_in_every_mode(gate) -> None:
    gate.note("one")

    assert gate.read() == ["one"]
    assert get(gate.lines) == ["one"]
    assert submit(gate.read).result() == ["one"]


def test_async_methods_give_their_values_in_every_mode(gate) -> None:
    futures = [gate.fetch(number) for number in range(50)]

    assert [future.result() for future in futures] == list(range(50))


def test_async_method_that_raises_fails_in_its_future_in_every_mode(gate) -> None:
    with pytest.raises(KeyError, match="no"):
        gate.fail().result()


def test_system_exit_in_a_coroutine_does_not_end_the_host(host, gate) -> None:
    with pytest.raises(elsewhere.RemoteError, match="3"):
        gate.leave().result()

    assert host.alive
    assert gate.fetch(1).result() == 1


def test_generator_exit_in_a_coroutine_is_told_in_every_mode(gate) -> None:
    with pytest.raises(elsewhere.RemoteError) as raised:
        gate.give_up().result()

    assert type(raised.value).__name__ == "RemoteGeneratorExit"
    assert gate.fetch(1).result() == 1


def test_coroutines_run_on_the_main_thread_in_every_mode(gate) -> None:
    assert gate.thread_of_loop().result() == gate.main_thread()


def test_generator_is_advanced_item_by_item_in_every_mode(gate) -> None:
    assert list(gate.count(5)) == [0, 1, 2, 3, 4]


def test_stream_of_a_generator_gives_every_item_in_every_mode(gate) -> None:
    assert list(stream(gate.count, 2000)) == list(range(2000))


def test_async_generator_is_advanced_item_by_item_in_every_mode(gate) -> None:
    async def collect() -> list[int]:
        return [number async for number in gate.count_slowly(5)]

    assert asyncio.run(collect()) == [0, 1, 2, 3, 4]


def test_stream_of_an_async_generator_gives_every_item_in_every_mode(gate) -> None:
    assert list(stream(gate.count_slowly, 600)) == list(range(600))


def test_stream_of_an_async_generator_raises_what_that_raised_in_every_mode(gate) -> None:
    numbers = stream(gate.break_off)

    assert next(numbers) == 1
    with pytest.raises(ValueError, match="broken off"):
        next(numbers)


def test_async_generator_whose_stream_is_closed_runs_its_finally_blocks(gate) -> None:
    numbers = stream(gate.count_for_ever)
    assert next(numbers) == 0

    numbers.close()

    while gate.read() != ["closed"]:
        pass


def test_async_for_over_a_stream_of_an_async_generator(gate) -> None:
    async def collect() -> list[int]:
        return [number async for number in stream(gate.count_slowly, 300)]

    assert asyncio.run(collect()) == list(range(300))


def test_stream_beside_other_calls_takes_turns_with_them(gate) -> None:
    numbers = stream(gate.count, 1000)
    seen = []
    for number in numbers:
        seen.append(number)
        if number % 100 == 0:
            gate.note(number)

    assert seen == list(range(1000))
    assert gate.read() == list(range(0, 1000, 100))


def test_async_context_works_in_every_mode(host) -> None:
    door = host.spawn(AsyncDoor)

    async def enter() -> str:
        async with door as inside:
            return inside

    assert asyncio.run(enter()) == "inside"
    assert get(door.events) == ["enter", "exit nothing"]


def test_callback_runs_in_the_thread_that_waits_in_every_mode(gate) -> None:
    assert gate.call(ref(threading.get_ident)) == threading.get_ident()


def test_callback_of_a_coroutine_comes_back_to_the_object_in_every_mode(gate) -> None:
    """A→B→A with a coroutine that awaits in the middle."""
    assert gate.call_and_await(ref(lambda: gate.read())).result() == []


def test_callback_of_a_coroutine_that_leads_to_a_coroutine_in_every_mode(gate) -> None:
    assert gate.call_and_await(ref(lambda: gate.fetch("back").result())).result() == "back"


@pytest.mark.parametrize("mode", ["serial", 2, "caller"])
def test_callback_of_a_method_with_a_loop_of_its_own_comes_back(gate) -> None:
    assert gate.run_own_loop(ref(lambda: gate.read())) == []


def test_callback_from_a_thread_of_the_loop_comes_back_in_every_mode(gate) -> None:
    assert gate.call_in_thread_of_loop(ref(lambda: gate.read())).result() == []


def test_chain_of_fifty_callbacks_completes_in_every_mode(gate) -> None:
    def hit(count: int) -> int:
        return 0 if count == 0 else 1 + gate.call(ref(hit), count - 1)

    assert hit(50) == 50


def test_chain_of_awaiting_coroutines_completes_in_every_mode(gate) -> None:
    def hit(count: int) -> int:
        return 0 if count == 0 else 1 + gate.call_and_await(ref(hit), count - 1).result()

    assert hit(20) == 20


@pytest.mark.parametrize("mode", ["serial", 2, "caller"])
def test_method_may_run_a_loop_of_its_own_after_a_coroutine_has_run(gate) -> None:
    gate.fetch(1).result()

    assert gate.run_own_loop(ref(len), "four") == 4


def test_posts_of_one_thread_begin_in_order_in_every_mode(host) -> None:
    lines = host.spawn(list)

    for number in range(1000):
        post(lines.append, number)
    while len(lines) < 1000:
        pass

    assert get(lines) == list(range(1000))


def test_calls_of_one_thread_begin_in_order_in_every_mode(host) -> None:
    lines = host.spawn(list)

    futures = [submit(lines.append, number) for number in range(500)]
    for future in futures:
        future.result()

    assert get(lines) == list(range(500))


def test_coroutines_of_one_thread_begin_in_order_in_every_mode(gate) -> None:
    futures = [gate.log_around(number, 1) for number in range(200)]
    for future in futures:
        future.result()

    assert gate.read() == [(number, 0) for number in range(200)]


def test_large_argument_does_not_let_the_next_call_of_its_thread_begin_first(host) -> None:
    lines = host.spawn(list)

    futures = [submit(lines.append, [Fraction(1, n + 2) for n in range(5000)]), submit(lines.append, "small")]
    for future in futures:
        future.result()

    assert lines.index("small") == 1


def test_queued_call_that_is_cancelled_never_runs_in_every_mode(host, mode) -> None:
    book = host.spawn(Book)

    with all_busy(host, mode):
        future = submit(book.write, "late")
        assert future.cancel()

    assert book.read() == []


def test_queued_call_whose_time_is_over_never_runs_in_every_mode(host, mode) -> None:
    book = host.spawn(Book)

    with all_busy(host, mode), pytest.raises(elsewhere.CallTimeout), elsewhere.deadline(0.05):
        book.write("late")

    assert book.read() == []


def test_coroutine_whose_call_is_cancelled_gets_cancelled_error_in_every_mode(gate, pipe) -> None:
    future = gate.hang(pipe.path)
    pipe.wait()

    assert future.cancel()

    with pytest.raises(elsewhere.CallCancelled):
        future.result()
    while gate.read() != ["begun", "cancelled"]:
        pass


def test_coroutine_that_is_broken_off_gets_cancelled_error_in_every_mode(gate, pipe) -> None:
    future = gate.hang(pipe.path)
    pipe.wait()

    assert future.cancel(interrupt=True)

    while gate.read() != ["begun", "cancelled"]:
        pass


def test_method_that_is_broken_off_ends_in_every_mode(host, gate, pipe) -> None:
    future = submit(gate.spin, pipe.path)
    pipe.wait()

    assert future.cancel(interrupt=True)

    while host.run(len, gate) == 0:
        pass
    assert gate.read() == ["broken off"]


def test_coroutine_whose_time_is_over_gets_cancelled_error_in_every_mode(gate, pipe) -> None:
    with elsewhere.deadline(0.2):
        future = gate.hang(pipe.path)
    pipe.wait()

    with pytest.raises(elsewhere.CallTimeout):
        future.result()
    while gate.read() != ["begun", "cancelled"]:
        pass


def test_deadline_goes_along_into_a_coroutine_in_every_mode(gate) -> None:
    with elsewhere.deadline(60.0):
        inner = gate.call_and_await(ref(time_is_limited)).result()

    assert inner
    assert not gate.call_and_await(ref(time_is_limited)).result()


def time_is_limited() -> bool:
    """Whether a call that was made here and now would have a limit."""
    limits = [value for variable, value in contextvars.copy_context().items() if variable.name == "elsewhere_deadline"]
    return limits not in ([], [None])


def test_close_finishes_what_was_accepted_in_every_mode(mode) -> None:
    host = made(mode)
    gate = host.spawn(Gate)
    futures = [submit(gate.thread), gate.fetch("fetched"), submit(gate.thread), gate.fetch("again")]

    host.close()

    assert [future.result() for future in futures][1::2] == ["fetched", "again"]


def test_close_after_its_patience_ends_a_coroutine_with_host_closed_in_every_mode(mode, pipe) -> None:
    host = made(mode)
    gate = host.spawn(Gate)
    future = gate.hang(pipe.path)
    pipe.wait()

    host.close(timeout=0.1)

    with pytest.raises(elsewhere.HostClosed):
        future.result()


def test_death_ends_all_calls_in_every_mode(host, gate, pipe) -> None:
    futures = [gate.hang(pipe.path), submit(gate.read), gate.fetch(1)]
    pipe.wait()

    host.kill()

    for future in futures:
        assert isinstance(future.exception(), (elsewhere.HostDied, type(None)))
    assert isinstance(futures[0].exception(), elsewhere.HostDied)
    assert futures[0].exception().outcome == "unknown"


def test_exit_of_the_owner_ends_a_host_of_every_mode(mode, tmp_path) -> None:
    source = (
        "import elsewhere, sys\n"
        f"host = elsewhere.Host(concurrency={mode!r})\n"
        "numbers = host.spawn(list)\n"
        "numbers.append(1)\n"
        "import asyncio; host.run(asyncio.sleep, 0)\n"
        "print(host.pid, flush=True)\n"
    )

    ended = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=20, check=True)

    assert ended.stderr == ""
    with pytest.raises(ProcessLookupError):
        os.kill(int(ended.stdout), 0)


def test_thread_that_a_method_starts_begins_a_chain_of_its_own(gate) -> None:
    """So its calls home are run by the service thread, and not by the thread that waits for the method."""
    assert gate.in_thread(ref(threading.get_ident)) != threading.get_ident()


def test_context_variables_of_a_coroutine_are_its_own_in_every_mode(gate) -> None:
    gate.set_setting_async("changed").result()

    assert gate.setting().result() == "unset"


def test_task_that_a_coroutine_leaves_behind_goes_on_in_every_mode(gate, pipe) -> None:
    gate.leave_task(pipe.path).result()

    pipe.wait()

    assert gate.read() == ["later"]


def test_many_threads_and_tasks_get_their_own_answers_in_every_mode(gate) -> None:
    async def ask(start: int) -> list[object]:
        return list(await asyncio.gather(*(gate.fetch(start + step) for step in range(20))))

    def work(start: int) -> bool:
        calls = [gate.call(ref(int), start + step) for step in range(20)]
        return asyncio.run(ask(start)) == calls == list(range(start, start + 20))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, [0, 100, 200, 300]))


# ---------------------------------------------------------------- serial


def test_serial_host_runs_one_coroutine_after_the_other_to_its_end() -> None:
    with made("serial") as host:
        gate = host.spawn(Gate)

        futures = [gate.log_around(name, 3) for name in "ab"]
        for future in futures:
            future.result()

        assert gate.read() == [(name, step) for name in "ab" for step in range(3)]


def test_serial_host_runs_no_method_while_a_coroutine_awaits() -> None:
    with made("serial") as host:
        gate = host.spawn(Gate)

        futures = [gate.log_around("coroutine", 3), submit(gate.note, "method")]
        for future in futures:
            future.result()

        assert gate.read() == [("coroutine", 0), ("coroutine", 1), ("coroutine", 2), "method"]


def test_call_that_blocks_a_serial_host_blocks_all_of_it() -> None:
    with made("serial") as host:
        gate = host.spawn(Gate)

        with kept_busy(host), pytest.raises(TimeoutError):
            submit(gate.read).result(0.05)


# ---------------------------------------------------------------- a number of threads


@pytest.mark.parametrize("mode", [3])
def test_so_many_methods_run_at_once(gate) -> None:
    threads = [future.result() for future in [submit(gate.meet, 3) for _ in range(3)]]

    assert len(set(threads)) == 3


@pytest.mark.parametrize("mode", [3])
def test_no_more_methods_run_at_once(gate) -> None:
    for future in [submit(gate.meet, 3) for _ in range(30)]:
        future.result()

    assert get(gate.most) == 3


@pytest.mark.parametrize("mode", [2])
def test_coroutine_goes_on_although_all_threads_are_busy(host, gate, mode, pipe) -> None:
    future = gate.call_and_await(ref(pipe.wait))
    with all_busy(host, mode):
        threading.Thread(target=tell, args=(pipe.path,)).start()

        assert future.result() is None


@pytest.mark.parametrize("mode", [2])
def test_wait_for_a_thread_ends_with_the_deadline_and_the_host_goes_on(host, gate, mode) -> None:
    with all_busy(host, mode), pytest.raises(elsewhere.CallTimeout) as late, elsewhere.deadline(0.05):
        gate.read()

    assert late.value.outcome in ("not_started", "unknown")
    assert gate.read() == []


@pytest.mark.parametrize("mode", [1, 2])
def test_callbacks_do_not_use_up_the_threads(gate) -> None:
    """They run in the threads that wait, however few there are."""

    def hit(count: int) -> int:
        return 0 if count == 0 else 1 + gate.call(ref(hit), count - 1)

    assert hit(10) == 10


# ---------------------------------------------------------------- async


@pytest.mark.parametrize("mode", ["async"])
def test_coroutines_overlap_at_their_awaits(gate) -> None:
    futures = [gate.log_around(name, 3) for name in "ab"]
    for future in futures:
        future.result()

    assert sorted(gate.read()) == [(name, step) for name in "ab" for step in range(3)]
    assert [futures[0].result(), futures[1].result()] == [None, None]
    assert gate.meet_async(1).result()


@pytest.mark.parametrize("mode", ["async", 2])
def test_two_coroutines_wait_for_each_other(gate) -> None:
    first, second = gate.meet_async(2), gate.meet_async(2)

    assert first.result() == second.result()


@pytest.mark.parametrize("mode", ["async"])
def test_methods_are_a_part_of_the_loop_of_an_async_host(gate) -> None:
    gate.make_task()

    while len(gate.read()) < 3:
        pass
    assert gate.read() == [("task", 0), ("task", 1), ("task", 2)]


@pytest.mark.parametrize("mode", ["async"])
def test_methods_of_an_async_host_run_on_its_one_thread(gate) -> None:
    assert {submit(gate.thread).result() for _ in range(5)} == {gate.main_thread()}


@pytest.mark.parametrize("mode", ["async"])
def test_thousand_coroutines_await_at_once(gate) -> None:
    futures = [gate.meet_async(1000) for _ in range(1000)]

    assert len({future.result() for future in futures}) == 1


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize("concurrency", ["async", "caller", 2])
def test_local_host_refuses_what_needs_threads_of_its_own(concurrency) -> None:
    with pytest.raises(ValueError, match="no thread of its own"):
        elsewhere.Host(start="local", concurrency=concurrency)


@pytest.mark.parametrize("concurrency", ["parallel", 0, -1])
def test_way_to_run_calls_that_does_not_exist_is_a_value_error(concurrency) -> None:
    with pytest.raises(ValueError, match="concurrency must be"):
        elsewhere.Host(concurrency=concurrency)


@pytest.mark.parametrize("concurrency", [None, True, 2.0, ["serial"]])
def test_way_to_run_calls_of_another_type_is_a_type_error(concurrency) -> None:
    with pytest.raises(TypeError, match="concurrency must be"):
        elsewhere.Host(concurrency=concurrency)


def test_serial_is_the_default() -> None:
    with elsewhere.Host() as host:
        gate = host.spawn(Gate)
        futures = [gate.log_around(name, 2) for name in "ab"]
        for future in futures:
            future.result()
        assert gate.read() == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
