"""Long content of a call over a network is sent from where it lies: nobody can tell, whatever happens meanwhile."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import elsewhere
from chaos import UP, Between
from ledgers import Ledger, connect, serve
from visitors import KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LONG = np.arange(8_000_000.0)
"""More than the system keeps for a peer that reads nothing."""
PASSED = 2_000_000
"""Bytes that a peer reads before it stops."""


class Office:
    """A ledger that is served in another process."""

    def __init__(self) -> None:
        self._ledger = Ledger()
        self._server = serve(self._ledger).start()

    def address(self) -> str:
        return str(self._server.address)

    def used(self) -> int:
        """Bytes of memory that the process has for itself."""
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))

    def written(self, count: int) -> list[tuple[int, int, bool]]:
        """So many lines as they came, and whether what they name is whole."""
        self._ledger.wait_for_lines(count)
        return [
            (name, number, np.array_equal(array, LONG[: len(array)] + name))
            for name, number, array in self._ledger.lines
        ]


@pytest.fixture
def server(ledger: Ledger) -> Iterator[elsewhere.Server]:
    with serve(ledger) as server:
        yield server


@pytest.fixture
def slow(server: elsewhere.Server) -> Iterator[Between]:
    """A way to the server on which a peer stops reading in the midst of a long array."""
    with Between(server.address, UP, hold=PASSED) as between:
        yield between


def interrupt_process() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def interrupt_this_thread() -> None:
    """No system call of the main thread is broken off by it."""
    signal.pthread_kill(threading.get_ident(), signal.SIGINT)


@pytest.fixture(params=[interrupt_process, interrupt_this_thread])
def interrupt(request: pytest.FixtureRequest) -> Iterator[Callable[[], None]]:
    """Sends this process a Ctrl-C from another thread, which the system gives to the main thread or to that one."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield request.param
    signal.signal(signal.SIGINT, before)


def write_beside(thread: threading.Thread, remote: Ledger, array: np.ndarray[Any, Any]) -> None:
    thread.start()
    remote.write(array)
    thread.join()


def all_are_long(lines: list[Any]) -> bool:
    return all(np.array_equal(line, LONG) for line in lines)


def test_array_may_be_changed_as_soon_as_its_post_is_made(slow, ledger):
    array = LONG.copy()
    remote = connect(slow)

    elsewhere.post(remote.write, array)
    array[:] = -1

    slow.resume.set()
    ledger.wait_for_lines(1)
    assert all_are_long(ledger.lines)


def test_array_may_be_changed_as_soon_as_its_future_is_there(slow, ledger):
    array = LONG.copy()
    remote = connect(slow)

    future = elsewhere.submit(remote.write, array)
    array[:] = -1

    slow.resume.set()
    assert future.result() == 1
    assert all_are_long(ledger.lines)


def test_array_may_be_changed_as_soon_as_the_time_of_its_call_is_over(slow, ledger):
    array = LONG.copy()
    remote = connect(slow)

    with pytest.raises(elsewhere.CallTimeout):
        elsewhere.options(remote, timeout=0.3).write(array)
    array[:] = -1

    slow.resume.set()
    assert remote.back(5) == 5
    assert all_are_long(ledger.lines)


def test_interrupt_while_an_array_is_sent_breaks_nothing(slow, ledger, interrupt):
    array = LONG.copy()
    remote = connect(slow)

    def break_off() -> None:
        slow.is_held.wait()
        interrupt()

    threading.Thread(target=break_off).start()
    with pytest.raises(KeyboardInterrupt):
        remote.write(array)
    array[:] = -1

    slow.resume.set()
    assert remote.back(5) == 5
    assert all_are_long(ledger.lines)


def test_interrupts_at_any_moment_break_nothing(server, ledger, interrupt):
    with Between(server.address) as between:
        remote = connect(between)
        array = LONG.copy()
        for passed in range(0, array.nbytes, array.nbytes // 8):
            begin = len(between.seen[UP])

            def break_off(until: int = begin + passed) -> None:
                while len(between.seen[UP]) < until:
                    pass
                interrupt()

            with pytest.raises(KeyboardInterrupt):
                write_beside(threading.Thread(target=break_off), remote, array)
            array[:] = -1
            assert remote.back(passed) == passed
            array[:] = LONG

    assert all_are_long(ledger.lines)


def test_others_run_while_a_peer_reads_nothing(slow, server):
    remote = connect(slow)
    sender = threading.Thread(target=remote.write, args=(LONG,))
    sender.start()
    slow.is_held.wait()

    with Between(server.address) as between:
        assert [connect(between).back(number) for number in range(3)] == [0, 1, 2]
    future = elsewhere.submit(remote.back, 5)  # waits behind the array, and nobody waits for that
    assert not future.done()

    slow.resume.set()
    sender.join()
    assert future.result() == 5


@pytest.mark.parametrize("cut", [PASSED, 20_000_000, LONG.nbytes - 1000])
def test_connection_that_is_cut_while_an_array_is_sent_is_lost_at_once(server, ledger, cut):
    with Between(server.address, UP, cut=cut) as between:
        remote = connect(between)

        with pytest.raises((elsewhere.ConnectionLost, elsewhere.ProtocolError)):
            remote.write(LONG)

    assert ledger.lines == []


def test_arrays_of_several_threads_arrive_whole_and_in_the_order_of_each(process_host):
    office = process_host.spawn(Office)
    remote = elsewhere.connect(office.address(), Ledger, authkey=KEY, timeout=5)
    names, times = range(4), 6

    def send(name: int) -> None:
        for number in range(times):
            array = LONG[: 200_000 * (1 + (name + number) % 3)] + name
            remote.write((name, 2 * number, array))
            array[:] = -1
            elsewhere.post(remote.write, (name, 2 * number + 1, LONG[:3] + name))

    threads = [threading.Thread(target=send, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    written = office.written(2 * times * len(names))
    elsewhere.close(remote)
    for name in names:
        assert [line for line in written if line[0] == name] == [(name, number, True) for number in range(2 * times)]


def test_both_sides_may_send_arrays_at_once(server):
    with Between(server.address) as between:
        remote = connect(between)
        arrays = [LONG[: 300_000 + number] + number for number in range(8)]
        results: dict[int, bool] = {}

        def send(number: int) -> None:
            results[number] = np.array_equal(remote.back(arrays[number]), arrays[number])

        threads = [threading.Thread(target=send, args=(number,)) for number in range(len(arrays))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert results == dict.fromkeys(range(len(arrays)), True)


@pytest.mark.parametrize("kind", [bytes, bytearray, np.array])
def test_content_of_each_kind_arrives_among_others(server, kind):
    content, other = kind(os.urandom(3_000_000)), kind(os.urandom(2_000_000))
    with Between(server.address) as between:
        first, one, between_them, two, last = connect(between).back(["first", content, 1.5, other, {"last": None}])

    assert (first, between_them, last) == ("first", 1.5, {"last": None})
    assert type(one) is type(content)
    assert (bytes(one), bytes(two)) == (bytes(content), bytes(other))


def test_content_is_let_go_of_with_its_call(slow):
    content = bytearray(LONG.tobytes())
    remote = connect(slow)

    elsewhere.post(remote.write, content)

    content.append(0)  # which nobody may who lends it
    with pytest.raises(TypeError):
        remote.write(content, threading.Lock())
    content.append(0)
    slow.resume.set()
    assert remote.back(5) == 5


def test_same_content_twice_is_one_there(server):
    with Between(server.address) as between:
        array, same, other = connect(between).back([LONG[:1_000_000], LONG[1_000_000:2_000_000], LONG[:3]])
        one, again = connect(between).back([array, array])

    assert one is again
    assert np.array_equal(one, LONG[:1_000_000])
    assert np.array_equal(same, LONG[1_000_000:2_000_000])
    assert other.tolist() == [0, 1, 2]


def test_array_goes_where_the_window_is_full(server, ledger):
    with Between(server.address) as between:
        remote = connect(between)
        futures = [elsewhere.submit(remote.write, LONG) for _ in range(3)]

        assert remote.write(LONG) == 4

        assert [future.result() for future in futures] == [1, 2, 3]
    assert all_are_long(ledger.lines)


def test_memory_of_arrays_that_came_is_given_back(process_host):
    office = process_host.spawn(Office)
    remote = elsewhere.connect(office.address(), Ledger, authkey=KEY, timeout=5)
    before = office.used()

    assert [remote.last(LONG + number) for number in range(3)] == [LONG[-1], LONG[-1] + 1, LONG[-1] + 2]

    while office.used() > before + LONG.nbytes // 4:
        pass  # a second or two after the last one
    elsewhere.close(remote)


def test_array_that_is_kept_stays_what_it_is_whatever_comes_next(server, ledger):
    with Between(server.address) as between:
        remote = connect(between)
        for number in range(4):
            remote.write(LONG[: 3_000_000 + number] + number)
            remote.last(LONG[: 3_000_000 + number * 100_000])

    assert all(np.array_equal(line, LONG[: 3_000_000 + number] + number) for number, line in enumerate(ledger.lines))
