"""Hosts with a thread for each thread and task that calls: what belongs to a thread works as it does at home."""

from __future__ import annotations

import asyncio
import gc
import os
import queue
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

import elsewhere
from elsewhere import post, stream, submit
from workers import Gate, Pipe, Shared
from workshop import Book, Keeper

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def host() -> Iterator[elsewhere.Host]:
    with elsewhere.Host(concurrency="caller") as host:
        yield host


@pytest.fixture
def shared(host) -> Shared:
    return host.spawn(Shared)


@pytest.fixture
def gate(host) -> Gate:
    return host.spawn(Gate)


def in_thread(function, *args):
    """Call in a thread of its own, and give the result."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function, *args).result()


def test_thread_of_the_host_belongs_to_the_thread_that_calls(gate) -> None:
    own, other = {gate.thread() for _ in range(5)}, {in_thread(gate.thread)}

    assert len(own) == 1
    assert own.isdisjoint(other)


def test_call_that_waits_for_one_of_another_caller_ends_after_any_number_of_short_ones(host) -> None:
    for gate in [host.spawn(Gate) for _ in range(3)]:
        for number in range(200):
            gate.note(number)

        with ThreadPoolExecutor(1) as pool:
            other = pool.submit(gate.meet, 2)
            own = gate.meet(2)

        assert own != other.result()


def test_lock_is_held_by_one_caller_at_a_time(shared) -> None:
    order: queue.SimpleQueue[str] = queue.SimpleQueue()
    waits = threading.Event()

    def other() -> None:
        waits.set()
        with shared.lock:
            order.put("other")

    with shared.lock:
        thread = threading.Thread(target=other)
        thread.start()
        waits.wait()
        assert shared.lock.locked()
        order.put("first")
    thread.join()

    assert [order.get(), order.get()] == ["first", "other"]


def test_recursive_lock_is_taken_again_by_the_same_caller_only(shared) -> None:
    with shared.recursive, shared.recursive:
        assert not in_thread(shared.recursive.acquire, False)


def test_lock_that_a_caller_holds_is_released_by_that_caller_only(shared) -> None:
    shared.recursive.acquire()

    with pytest.raises(RuntimeError, match="cannot release un-acquired lock"):
        in_thread(shared.recursive.release)
    shared.recursive.release()


def test_condition_wakes_a_caller_that_waits(shared) -> None:
    with ThreadPoolExecutor(2) as pool:
        taken = [pool.submit(shared.take) for _ in range(2)]

        shared.put("one")
        shared.put("two")

        assert {future.result() for future in taken} == {"one", "two"}


def test_thread_local_is_that_of_the_caller(shared) -> None:
    shared.set_local("mine")

    assert shared.get_local() == "mine"
    assert in_thread(shared.get_local) is None


def test_database_connection_is_used_by_the_caller_that_made_it(shared) -> None:
    shared.open_database("mine")

    assert shared.insert("mine", 1) == 1
    with pytest.raises(sqlite3.ProgrammingError, match="thread"):
        in_thread(shared.insert, "mine", 2)
    shared.close_database("mine")


def test_calls_of_one_caller_run_one_after_the_other_to_their_end(gate) -> None:
    futures = [submit(gate.note, "first"), gate.log_around("second", 3), submit(gate.note, "third")]
    for future in futures:
        future.result()

    assert gate.read() == ["first", ("second", 0), ("second", 1), ("second", 2), "third"]


def test_caller_that_blocks_does_not_block_another(host, tmp_path) -> None:
    keeper, book = host.spawn(Keeper), host.spawn(Book)
    path = str(tmp_path / "pipe")
    os.mkfifo(path)

    with ThreadPoolExecutor(1) as pool:
        blocked = pool.submit(keeper.wait, path)
        with open(path, "wb", buffering=0) as pipe:  # opens when the method waits at the other end
            book.write("meanwhile")
            pipe.write(b"!")
        assert blocked.result() == "waited"

    assert book.read() == ["meanwhile"]


def test_thread_that_waits_for_long_lets_others_call_the_same_object(host, tmp_path) -> None:
    keeper = host.spawn(Keeper)
    path = str(tmp_path / "pipe")
    os.mkfifo(path)

    with ThreadPoolExecutor(4) as pool:
        blocked = pool.submit(keeper.wait, path)
        with open(path, "wb", buffering=0) as pipe:
            others = [pool.submit(lambda: [keeper.call(threading.get_ident) for _ in range(500)]) for _ in range(3)]
            assert [len(set(other.result())) for other in others] == [1, 1, 1]
            assert not blocked.done()
            pipe.write(b"!")
        assert blocked.result() == "waited"


def test_each_task_is_a_caller_of_its_own(shared) -> None:
    async def hold() -> str:
        await submit(shared.lock.acquire)
        await asyncio.sleep(0)
        await submit(shared.lock.release)
        return "held"

    async def play() -> list[str]:
        return await asyncio.gather(*(hold() for _ in range(10)))

    assert asyncio.run(play()) == ["held"] * 10


def test_calls_of_one_task_run_in_one_thread(gate) -> None:
    async def ask() -> set[int]:
        return {await submit(gate.thread) for _ in range(5)}

    async def play() -> list[set[int]]:
        return await asyncio.gather(ask(), ask())

    one, other = asyncio.run(play())

    assert len(one) == len(other) == 1
    assert one != other


def test_thread_of_the_host_ends_with_the_thread_that_called(shared) -> None:
    in_thread(shared.threads)
    before = shared.threads()
    all_have_called = threading.Barrier(4)

    def call(_: int) -> int:
        shared.threads()
        all_have_called.wait()
        return shared.threads()

    with ThreadPoolExecutor(4) as pool:
        most = max(pool.map(call, range(4)))
    while shared.threads() > before:
        pass

    assert most >= before + 3  # one of the four may have found a thread that was there already


def test_thread_of_the_host_ends_with_the_task_that_called(shared) -> None:
    before = shared.threads()

    async def call() -> int:
        return await submit(shared.threads)

    async def play() -> list[int]:
        return await asyncio.gather(*(call() for _ in range(10)))

    most = max(asyncio.run(play()))
    gc.collect()
    while shared.threads() > before:
        pass

    assert most > before


def test_what_a_thread_posted_is_done_although_the_thread_has_ended(host) -> None:
    book = host.spawn(Book)

    def leave() -> None:
        for number in range(50):
            post(book.write, number)

    in_thread(leave)
    while len(book.read()) < 50:
        pass

    assert book.read() == list(range(50))


def test_stream_outlives_the_thread_that_opened_it(gate) -> None:
    numbers = in_thread(stream, gate.count, 2000)

    assert list(numbers) == list(range(2000))


def test_items_of_a_stream_are_made_in_the_thread_of_the_caller(host) -> None:
    assert set(stream(_threads, host.spawn(Gate), 600)) == {host.run(threading.get_ident)}


def _threads(gate, count):
    for _ in range(count):
        yield gate.thread()


def test_caller_for_whom_no_thread_can_be_had_is_told_so(host, shared) -> None:
    in_thread(shared.threads)
    host.run(threading.stack_size, 1 << 46)

    in_thread(_expect_one_more, shared)
    with pytest.raises(elsewhere.Overloaded, match="thread") as refused:
        in_thread(shared.threads)

    assert refused.value.outcome == "not_started"
    host.run(threading.stack_size, 0)
    assert in_thread(shared.threads) > 0


def _expect_one_more(shared) -> None:
    """The thread that waits for the next caller is there already."""
    with pytest.raises(elsewhere.Overloaded):
        shared.threads()


def test_calls_behind_the_running_one_of_their_caller_have_not_started_when_the_host_dies(host, gate, tmp_path) -> None:
    pipe = Pipe(tmp_path)
    running = gate.hang(pipe.path)
    queued = submit(gate.read)
    pipe.wait()

    host.kill()

    assert isinstance(running.exception(), elsewhere.HostDied)
    assert running.exception().outcome == "unknown"
    assert queued.exception().outcome == "not_started"
