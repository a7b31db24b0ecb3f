"""Threads for callers (`concurrency="caller"`), and calls that belong to the chain of a thread that waits."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

import elsewhere
from elsewhere import connect, get, ref, stream, submit
from workers import Shared

if TYPE_CHECKING:
    from collections.abc import Iterator


class Tools(Shared):
    """What belongs to a thread, and a gate that so many have to reach."""

    def __init__(self) -> None:
        super().__init__()
        self.meeting = threading.Barrier(2)

    def thread(self) -> int:
        """Say in which thread a call runs."""
        return threading.get_ident()

    def numbers(self, count: int) -> Iterator[int]:
        """Say it for each item."""
        for _ in range(count):
            yield threading.get_ident()

    def ask(self, question: Any) -> Any:
        """Ask back, in the midst of a call."""
        return question()

    def ask_holding(self, question: Any) -> Any:
        """Ask back while a lock is held."""
        with self.recursive:
            return question()

    async def await_(self, question: Any) -> Any:
        """Ask back from a coroutine."""
        return await submit(question)


class Visitor:
    """Connects from its own process."""

    def __init__(self) -> None:
        self.tools: Any = None

    def thread(self, address: Any) -> int:
        """Say in which thread its calls run."""
        self.tools = connect(address) if self.tools is None else self.tools
        return self.tools.thread()

    def visit_holding(self, address: Any) -> int:
        """Call something that takes the lock."""
        return connect(address).ask_holding(int)


def meet_in_the_lock(address: Any) -> int:
    """Take a recursive lock in one call and release it in another, with others waiting for it. Gives the thread."""
    tools: Any = connect(address)
    tools.meeting.wait()
    for _ in range(20):
        tools.recursive.acquire()
        tools.recursive.release()
    return tools.thread()


def keep_local(address: Any, own: int) -> list[object]:
    """Set a thread's own value, and read it while others set theirs."""
    tools: Any = connect(address)
    tools.set_local(own)
    tools.meeting.wait()
    return [tools.get_local() for _ in range(20)]


@pytest.fixture
def hosts() -> Iterator[list[elsewhere.Host]]:
    with elsewhere.Host() as one, elsewhere.Host() as other:
        yield [one, other]


@pytest.fixture
def server() -> Iterator[elsewhere.Server]:
    with elsewhere.serve(Tools(), concurrency="caller") as server:
        yield server


def test_thread_that_waits_for_a_client_of_its_process_does_not_run_the_clients_calls(server, hosts):
    def play(address: Any) -> set[int]:
        tools: Any = connect(address)
        return {tools.thread() for _ in range(5)}

    threads = hosts[0].run(play, server.address)

    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test_recursive_lock_of_clients_that_are_waited_for_belongs_to_each_of_them(server, hosts):
    futures = [submit(host.run, meet_in_the_lock, server.address) for host in hosts]

    threads = {future.result() for future in futures}

    assert len(threads) == 2
    assert threading.get_ident() not in threads


def test_thread_local_of_clients_that_are_waited_for_belongs_to_each_of_them(server, hosts):
    futures = [submit(host.run, keep_local, server.address, number) for number, host in enumerate(hosts)]

    assert [set(future.result()) for future in futures] == [{0}, {1}]


def test_stream_of_a_client_that_is_waited_for_is_made_in_the_clients_thread(server, hosts):
    def play(address: Any) -> set[int]:
        tools = connect(address)
        return {tools.thread(), *stream(tools.numbers, 3), *tools.numbers(3)}

    threads = hosts[0].run(play, server.address)

    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test_client_that_is_called_in_the_midst_of_its_own_call_comes_back_to_its_own_thread(server, hosts):
    def play(address: Any) -> tuple[int, int]:
        tools = connect(address)
        return tools.thread(), tools.ask_holding(ref(lambda: tools.ask_holding(ref(tools.thread))))

    outer, inner = hosts[0].run(play, server.address)

    assert outer == inner


def test_client_without_a_thread_is_a_part_of_the_call_that_asks_it(server, hosts):
    def play(address: Any, other: Any) -> int:
        return connect(address).ask_holding(ref(lambda: other.visit_holding(address)))

    assert hosts[0].run(play, server.address, hosts[1].spawn(Visitor)) == 0


def test_client_with_a_thread_keeps_it_in_the_midst_of_a_call_of_another_one(server, hosts):
    other = hosts[1].spawn(Visitor)
    own = other.thread(server.address)

    def play(address: Any, other: Any) -> int:
        return connect(address).ask(ref(lambda: other.thread(address)))

    assert hosts[0].run(play, server.address, other) == own


def test_method_of_a_caller_that_a_coroutine_asks_back_runs_in_the_callers_thread():
    with elsewhere.Host(concurrency="caller") as host:
        tools = host.spawn(Tools)
        own = tools.thread()

        inner = tools.await_(ref(lambda: tools.thread())).result()

        assert inner == own


def test_lock_that_a_caller_took_is_released_in_the_midst_of_a_coroutine_of_it():
    with elsewhere.Host(concurrency="caller") as host:
        tools = host.spawn(Tools)
        tools.recursive.acquire()

        tools.await_(ref(lambda: tools.recursive.release())).result()

        assert get(tools.recursive.acquire(False))
