"""Closing a host, in every state, from everywhere."""

from __future__ import annotations

import gc
import os
import signal
import threading
from typing import TYPE_CHECKING, Any

import pytest

import elsewhere
from doomed import Doomed
from kennel import Dog
from programs import has_ended, run
from workshop import kept_busy

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def doomed(process_host):
    return process_host.spawn(Doomed)


def ends_of_callers(host: elsewhere.Host, end: Callable[[], None]) -> list[Any]:
    """How the calls of four threads that call again and again end when the host is ended."""
    dog = host.spawn(Dog, "rex")
    started = threading.Semaphore(0)
    ends: list[Any] = []

    def work() -> None:
        try:
            dog.bark()
            started.release()
            while True:
                dog.bark()
        except BaseException as error:
            ends.append(error)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for _ in workers:
        started.acquire()
    end()
    for worker in workers:
        worker.join()
    return ends


class TestClose:
    """Closing, in every state, from everywhere."""

    def test_close_finishes_what_was_accepted(self) -> None:
        host = elsewhere.Host()
        dog = host.spawn(Dog, "rex")
        futures = [elsewhere.submit(dog.grow) for _ in range(10)]

        host.close()

        assert [future.result() for future in futures] == list(range(1, 11))
        assert host.exitcode == 0

    def test_close_twice_is_fine(self, host) -> None:
        host.close()
        host.close()

        with pytest.raises(elsewhere.HostClosed):
            host.run(os.getpid)

    def test_call_that_outlives_the_grace_ends_with_host_closed(self) -> None:
        host = elsewhere.Host()
        doomed = host.spawn(Doomed)
        running = threading.Event()
        future = elsewhere.submit(doomed.enter, elsewhere.ref(running.set))
        queued = elsewhere.submit(doomed.bark)
        running.wait()

        host.close(timeout=0.05)

        assert (type(future.exception()), future.exception().outcome) == (elsewhere.HostClosed, "unknown")
        assert (type(queued.exception()), queued.exception().outcome) == (elsewhere.HostClosed, "not_started")
        assert host.exitcode is not None

    def test_host_that_ignores_the_polite_signal_is_killed(self) -> None:
        host = elsewhere.Host()
        doomed = host.spawn(Doomed)
        host.run(signal_ignored)
        running = threading.Event()
        future = elsewhere.submit(doomed.enter, elsewhere.ref(running.set))
        running.wait()

        host.close(timeout=0.01)

        assert host.exitcode == -9
        assert isinstance(future.exception(), elsewhere.HostClosed)

    def test_close_from_many_threads_at_once(self) -> None:
        host = elsewhere.Host()
        dog = host.spawn(Dog, "rex")
        future = elsewhere.submit(dog.sleep, 0.1)
        closers = [threading.Thread(target=host.close) for _ in range(8)]

        for closer in closers:
            closer.start()
        for closer in closers:
            closer.join()

        assert future.result() is None
        assert not host.alive

    def test_close_from_a_done_callback(self) -> None:
        host = elsewhere.Host()
        dog = host.spawn(Dog, "rex")
        closed = threading.Event()

        with kept_busy(host):
            elsewhere.submit(dog.bark).add_done_callback(lambda _: (host.close(), closed.set()))

        assert closed.wait(20)
        assert not host.alive

    def test_close_from_an_on_death_callback(self, process_host) -> None:
        closed = threading.Event()
        process_host.on_death(lambda host: (host.close(), closed.set()))

        process_host.kill()

        assert closed.wait(20)

    def test_close_from_inside_a_callback_of_the_host_ends_the_call(self) -> None:
        host = elsewhere.Host()
        dog = host.spawn(Dog, "rex")

        with pytest.raises(elsewhere.HostClosed):
            dog.call(elsewhere.ref(lambda: host.close(timeout=0.05)))

        assert not host.alive

    def test_close_from_a_destructor(self) -> None:
        host = elsewhere.Host()

        class Holder:
            def __del__(self) -> None:
                host.close()

        holder = Holder()
        del holder
        gc.collect()

        assert not host.alive

    def test_close_while_other_threads_call(self) -> None:
        host = elsewhere.Host()

        ends = ends_of_callers(host, host.close)

        assert [(type(end), end.outcome) for end in ends] == [(elsewhere.HostClosed, "not_started")] * 4

    def test_kill_while_other_threads_call(self) -> None:
        host = elsewhere.Host()

        ends = ends_of_callers(host, host.kill)
        host.close()

        assert [type(end) for end in ends] == [elsewhere.HostDied] * 4
        assert sum(end.outcome == "unknown" for end in ends) <= 1

    def test_close_with_a_stream_that_nobody_reads(self) -> None:
        host = elsewhere.Host()
        doomed = host.spawn(Doomed)
        items = elsewhere.stream(doomed.count, 10**9)
        next(items)

        host.close(timeout=0.05)

        assert not host.alive
        with pytest.raises(elsewhere.HostClosed):
            list(items)

    def test_signal_handler_that_returns_does_not_end_the_wait_for_the_close(self) -> None:
        host = elsewhere.Host()
        dog = host.spawn(Dog, "rex")
        elsewhere.post(dog.sleep, 0.3)
        handled: list[int] = []
        before = signal.signal(signal.SIGALRM, lambda number, _: handled.append(number))
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            host.close()
        finally:
            signal.signal(signal.SIGALRM, before)

        assert handled == [signal.SIGALRM]
        assert host.exitcode == 0

    def test_dropping_the_last_proxy_in_another_thread_ends_the_host(self) -> None:
        held = [elsewhere.spawn(Dog, "rex")]
        pid = elsewhere.host_of(held[0]).pid
        dropper = threading.Thread(target=held.clear)

        dropper.start()
        dropper.join()
        gc.collect()

        assert has_ended(pid)

    def test_host_that_cannot_end_is_made_to_when_its_last_proxy_goes(self) -> None:
        program = """
        import elsewhere, threading, time, os
        class Stubborn:
            def __init__(self):
                threading.Thread(target=time.sleep, args=(3600,)).start()
        stubborn = elsewhere.spawn(Stubborn)
        print(elsewhere.host_of(stubborn).pid)
        """

        code, printed, complaints = run(program)

        assert (code, complaints) == (0, "")
        assert has_ended(int(printed))


def signal_ignored() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
