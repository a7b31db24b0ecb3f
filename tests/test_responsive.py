"""Whether a host's process lives, as its watch thread says: not whether it has time."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import elsewhere
from kennel import Dog
from workshop import Book, kept_busy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SOON = 0.6
"""Seconds that hosts here may take to give a sign of life."""


def stop(host: elsewhere.Host) -> None:
    """Stop a host's process, and wait until it stands."""
    os.kill(host.pid, signal.SIGSTOP)
    pause = threading.Event()
    while Path(f"/proc/{host.pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        pause.wait(0.001)


@pytest.fixture
def host() -> Iterator[elsewhere.Host]:
    with elsewhere.Host(heartbeat=SOON) as host:
        yield host


@pytest.fixture
def stopped(host: elsewhere.Host) -> Iterator[Callable[[], None]]:
    """Stops the host until the end of the test, or until what it gives is called."""

    def go_on() -> None:
        os.kill(host.pid, signal.SIGCONT)

    stop(host)
    yield go_on
    if host.alive:
        go_on()


def test_host_that_does_nothing_is_responsive(host) -> None:
    assert host.responsive


def test_host_that_runs_a_call_is_responsive(host) -> None:
    with kept_busy(host):
        assert host.responsive


def hold_the_interpreter(there, seconds: float) -> None:
    """Sleep in C without letting any other thread run Python."""
    there()
    ctypes.PyDLL(None).usleep(int(seconds * 1e6))


def test_host_whose_interpreter_is_held_by_c_code_is_responsive(host) -> None:
    running = threading.Event()
    holder = threading.Thread(target=host.run, args=(hold_the_interpreter, elsewhere.ref(running.set), 2 * SOON))
    holder.start()
    running.wait()

    assert host.responsive
    holder.join()


def test_stopped_host_is_not_responsive_and_is_not_killed(host, stopped) -> None:
    assert not host.responsive

    assert host.alive


def test_host_that_goes_on_is_responsive_again(host, stopped) -> None:
    assert not host.responsive

    stopped()

    while not host.responsive:  # its late answer is on the way
        os.sched_yield()
    assert host.run(abs, -1) == 1


def test_stopped_host_is_told_after_no_less_than_its_heartbeat(host, stopped) -> None:
    begin = time.monotonic()

    assert not host.responsive

    assert time.monotonic() - begin >= SOON


def test_host_that_is_known_to_be_stopped_is_not_waited_for_again(host, stopped) -> None:
    assert not host.responsive

    answers = [host.responsive for _ in range(1000)]  # 10 minutes, if each waited

    assert not any(answers)


def test_host_that_is_gone_is_not_responsive(host) -> None:
    host.kill()
    host.wait()

    assert not host.responsive


def test_local_host_is_responsive() -> None:
    with elsewhere.Host(start="local", heartbeat=SOON) as host:
        assert host.responsive

    assert not host.responsive


def test_call_to_a_stopped_host_times_out_and_the_next_is_right(host) -> None:
    dog, book = host.spawn(Dog, "rex"), host.spawn(Book)
    stop(host)
    begin = time.monotonic()

    with pytest.raises(elsewhere.CallTimeout) as caught:
        elsewhere.options(book, timeout=1.0).write(1)
    waited = time.monotonic() - begin
    os.kill(host.pid, signal.SIGCONT)

    assert waited >= 1.0
    assert caught.value.outcome == "unknown"
    assert [dog.echo(number) for number in range(100)] == list(range(100))
    assert book.read() == []  # the cancel came with it


def test_stopped_host_is_closed_all_the_same(host, stopped) -> None:
    host.close(timeout=0.1)

    assert host.exitcode == -signal.SIGKILL


def test_loop_does_not_stand_still_for_a_stopped_host(host, stopped) -> None:
    async def main() -> float:
        begin = time.monotonic()
        first = host.responsive
        assert first, "nothing is known yet"
        while host.responsive:  # noqa: ASYNC110 - nothing tells; that is what a user's loop does, too
            await asyncio.sleep(0.01)
        return time.monotonic() - begin

    assert asyncio.run(main()) >= SOON


def test_ctrl_c_ends_the_wait_for_a_sign_of_life() -> None:
    with elsewhere.Host(heartbeat=3600) as host:
        stop(host)
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        try:
            with pytest.raises(KeyboardInterrupt):
                assert not host.responsive
        finally:
            signal.signal(signal.SIGINT, before)
            os.kill(host.pid, signal.SIGCONT)
        timer.join()


def test_heartbeat_that_means_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="heartbeat must be more than 0 seconds"):
        elsewhere.Host(heartbeat=0)


def test_name_of_a_host_stays_when_its_object_goes() -> None:
    dog = elsewhere.Host(name="camera").spawn(Dog, "rex")

    assert elsewhere.host_of(dog).name == "camera"
