"""Ctrl-C and other signals, in every wait: KeyboardInterrupt here, and every later answer is the right one."""

from __future__ import annotations

import os
import pickle
import signal
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

import elsewhere
from conftest import children
from heaps import footprint
from kennel import Dog
from programs import finish, has_ended, start

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType


def tell(there) -> None:
    """Call back from a thread of its own: not the owner's waiting thread runs it, but its service thread."""
    teller = threading.Thread(target=there)
    teller.start()
    teller.join()


class Sleeper:
    """Tells that a call runs, and sleeps."""

    def nap(self, there, seconds: float) -> str:
        tell(there)
        time.sleep(seconds)
        return "nap"

    def nap_and_bring(self, there, seconds: float) -> object:
        tell(there)
        time.sleep(seconds)
        return threading.Lock()

    def items(self, there, seconds: float):
        yield 1
        tell(there)
        time.sleep(seconds)
        yield 2

    def echo(self, value):
        return value


@pytest.fixture
def sleeper(process_host):
    return process_host.spawn(Sleeper)


@pytest.fixture
def interrupt() -> Iterator[Callable[[], None]]:
    """Sends this process a Ctrl-C from another thread."""
    assert threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield lambda: os.kill(os.getpid(), signal.SIGINT)
    signal.signal(signal.SIGINT, before)


def assert_right_answers(sleeper, number: int = 100) -> None:
    assert [sleeper.echo(n) for n in range(number)] == list(range(number))


def test_interrupt_that_the_system_gives_to_another_thread_ends_the_wait_too(sleeper, interrupt) -> None:
    def interrupt_here() -> None:
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)  # so no system call of the main thread is broken off

    waiting = elsewhere.submit(sleeper.nap, elsewhere.ref(interrupt_here), 60)

    with pytest.raises(KeyboardInterrupt):
        waiting.result()

    waiting.cancel(interrupt=True)
    assert_right_answers(sleeper)


def test_interrupt_while_waiting_for_a_call(process_host, sleeper, interrupt) -> None:
    before = process_host.stats()

    with pytest.raises(KeyboardInterrupt):
        sleeper.nap(elsewhere.ref(interrupt), 0.1)

    assert_right_answers(sleeper)
    assert process_host.stats()["calls"] == before["calls"]


def test_interrupt_while_an_argument_is_copied_ends_the_copy(shares_memory, interrupt) -> None:
    content = bytes(512 << 20)
    main, is_copying, traces = threading.main_thread().ident, threading.Event(), []

    class Argument:
        def __reduce_ex__(self, protocol: int):
            is_copying.set()
            return bytes, (pickle.PickleBuffer(content),)

    def interrupt_the_copy() -> None:
        is_copying.wait()
        signal.pthread_kill(main, signal.SIGINT)

    def give_up(_number: int, frame: FrameType | None) -> None:
        assert frame is not None
        if frame.f_code.co_name != "__reduce_ex__":  # where the thread was faster
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, give_up)
    for _ in range(5):
        with elsewhere.Host() as host:
            sleeper = host.spawn(Sleeper)
            assert_right_answers(sleeper)
            before = footprint()
            is_copying.clear()
            thread = threading.Thread(target=interrupt_the_copy)
            thread.start()
            with suppress(KeyboardInterrupt):
                sleeper.echo(Argument())
            traces.append(footprint() == before)
            thread.join()
            assert_right_answers(sleeper)

    assert any(traces), "the whole was copied each time: its memory is there"


def test_interrupt_does_not_wait_for_the_answer(interrupt) -> None:
    with elsewhere.Host() as host:
        sleeper = host.spawn(Sleeper)

        with pytest.raises(KeyboardInterrupt):
            sleeper.nap(elsewhere.ref(interrupt), 3600.0)

        host.kill()


def test_late_answer_of_an_interrupted_call_is_released(process_host, sleeper, interrupt) -> None:
    before = process_host.stats()

    for _ in range(5):
        with pytest.raises(KeyboardInterrupt):
            sleeper.nap_and_bring(elsewhere.ref(interrupt), 0.02)

    assert_right_answers(sleeper)
    assert {key: process_host.stats()[key] for key in ("calls", "imports")} == {
        "calls": 0,
        "imports": before["imports"],
    }


@pytest.mark.parametrize("delay", [0.0001, 0.0005, 0.002, 0.01])
def test_interrupt_at_any_moment_of_many_calls_swaps_no_answer(sleeper, delay: float) -> None:
    is_armed = False

    def handler(*_: object) -> None:
        if is_armed:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, handler)
    try:
        for number in range(300):
            try:
                is_armed = True
                signal.setitimer(signal.ITIMER_REAL, delay)
                assert sleeper.echo(number) == number
                is_armed = False
            except KeyboardInterrupt:
                is_armed = False
    finally:
        is_armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

    assert_right_answers(sleeper)


def test_interrupt_in_a_callback_of_the_waiting_thread_is_its_own(process_host, interrupt) -> None:
    dog = process_host.spawn(Dog, "rex")

    with pytest.raises(KeyboardInterrupt):
        dog.call(elsewhere.ref(interrupt))

    assert [dog.echo(n) for n in range(100)] == list(range(100))


class Rebuilding:
    """Its copy is made by a function of the owner's."""

    def __init__(self, rebuild):
        self.rebuild = rebuild

    def __reduce__(self):
        return call_it, (self.rebuild,)


def call_it(function):
    return function()


class Bringer:
    def bring(self, callback, rebuild) -> None:
        callback(Rebuilding(rebuild))


def test_interrupt_while_a_callbacks_argument_is_rebuilt_is_the_waiting_threads(process_host, interrupt) -> None:
    bringer = process_host.spawn(Bringer)

    with pytest.raises(KeyboardInterrupt):
        bringer.bring(elsewhere.ref(print), elsewhere.ref(interrupt))

    assert process_host.run(abs, -1) == 1


def test_interrupt_while_waiting_for_a_future_leaves_the_call_going(sleeper, interrupt) -> None:
    future = elsewhere.submit(sleeper.nap, elsewhere.ref(interrupt), 0.1)

    with pytest.raises(KeyboardInterrupt):
        future.result()

    assert future.result() == "nap"
    assert_right_answers(sleeper)


def test_interrupt_while_iterating_a_stream_ends_the_stream(process_host, sleeper, interrupt) -> None:
    items = elsewhere.stream(sleeper.items, elsewhere.ref(interrupt), 0.1)

    with pytest.raises(KeyboardInterrupt):
        list(items)

    assert_right_answers(sleeper)
    del items
    sleeper.echo(1)
    assert process_host.stats()["calls"] == 0


def test_interrupt_while_iterating_a_plain_generator(sleeper, interrupt) -> None:
    items = sleeper.items(elsewhere.ref(interrupt), 0.1)
    assert next(items) == 1

    with pytest.raises(KeyboardInterrupt):
        next(items)

    assert_right_answers(sleeper)


def test_interrupt_while_a_host_starts_leaves_nothing(tmp_path, interrupt) -> None:
    (tmp_path / "slow_preload.py").write_text(
        "import os, signal, time; os.kill(os.getppid(), signal.SIGINT); time.sleep(3600)"
    )
    before = children()

    with pytest.raises(KeyboardInterrupt):
        elsewhere.Host(preload=["slow_preload"], path=[str(tmp_path)])

    assert children() == before


def test_interrupt_while_closing_closes_all_the_same(interrupt) -> None:
    host = elsewhere.Host()
    sleeper = host.spawn(Sleeper)
    elsewhere.post(sleeper.nap, elsewhere.ref(interrupt), 0.2)

    with pytest.raises(KeyboardInterrupt):
        host.close()

    host.close()
    assert host.exitcode == 0


def test_interrupt_while_killing_time_in_wait(process_host, interrupt) -> None:
    timer = threading.Timer(0.05, interrupt)
    timer.start()

    with pytest.raises(KeyboardInterrupt):
        process_host.wait()

    timer.join()
    assert process_host.alive


def test_interrupt_while_other_threads_call_disturbs_them_not(sleeper, interrupt) -> None:
    failures: list[BaseException] = []
    over = threading.Event()

    def work(thread: int) -> None:
        number = 0
        try:
            while not over.is_set():
                number += 1
                assert sleeper.echo((thread, number)) == (thread, number)
        except BaseException as error:
            failures.append(error)

    workers = [threading.Thread(target=work, args=(thread,)) for thread in range(4)]
    for worker in workers:
        worker.start()
    for _ in range(5):
        with pytest.raises(KeyboardInterrupt):
            sleeper.nap(elsewhere.ref(interrupt), 0.02)
    over.set()
    for worker in workers:
        worker.join()

    assert failures == []


def test_handler_of_another_signal_runs_while_a_call_waits(sleeper) -> None:
    handled: list[bool] = []
    before = signal.signal(
        signal.SIGUSR1, lambda *_: handled.append(threading.current_thread() is threading.main_thread())
    )
    try:
        assert sleeper.nap(elsewhere.ref(lambda: os.kill(os.getpid(), signal.SIGUSR1)), 0.05) == "nap"
    finally:
        signal.signal(signal.SIGUSR1, before)

    assert handled == [True]


def test_handler_may_call_the_host_that_is_waited_for(process_host) -> None:
    dog = process_host.spawn(Dog, "rex")
    answers: list[object] = []
    before = signal.signal(signal.SIGUSR1, lambda *_: answers.append(elsewhere.submit(dog.grow)))
    try:
        dog.call(elsewhere.ref(lambda: os.kill(os.getpid(), signal.SIGUSR1)))
    finally:
        signal.signal(signal.SIGUSR1, before)

    assert [answer.result() for answer in answers] == [1]


def test_storm_of_signals_loses_no_answer(sleeper) -> None:
    handled = 0

    def count(*_: object) -> None:
        nonlocal handled
        handled += 1

    before = signal.signal(signal.SIGALRM, count)
    end = time.monotonic() + 1.5
    number = 0
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
        while time.monotonic() < end:
            number += 1
            value = (number, bytes(number % 3 * 40_000))
            assert sleeper.echo(value) == value
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

    assert handled > 0


def test_ctrl_c_at_the_terminal_reaches_the_owner_alone() -> None:
    program = start(
        """
        import os, signal, sys, time
        import elsewhere

        signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever this was started by

        class Worker:
            def nap(self, there):
                there()
                time.sleep(0.3)
                return "awake"
            def spawn(self):
                self.child = elsewhere.spawn(Worker)
                return elsewhere.host_of(self.child).pid

        worker, other = elsewhere.spawn(Worker), elsewhere.spawn(Worker)
        print(elsewhere.host_of(worker).pid, worker.spawn(), elsewhere.host_of(other).pid, flush=True)
        future = elsewhere.submit(worker.nap, elsewhere.ref(lambda: os.killpg(0, signal.SIGINT)))
        try:
            other.nap(elsewhere.ref(lambda: None))
            time.sleep(60)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        print(future.result(), other.nap(elsewhere.ref(lambda: None)), flush=True)
        os.killpg(0, signal.SIGINT)
        time.sleep(60)
        """,
        start_new_session=True,
    )
    pids = [int(word) for word in program.stdout.readline().split()]

    code, printed, complaints = finish(program)

    assert printed == "interrupted\nawake awake\n"
    assert code == -signal.SIGINT
    assert complaints.count("Traceback") == 1
    assert complaints.endswith("KeyboardInterrupt\n")
    assert [has_ended(pid) for pid in pids] == [True] * 3


def test_signal_in_the_waiting_thread_of_a_host_does_not_end_it(process_host, sleeper) -> None:
    for _ in range(20):
        os.kill(process_host.pid, signal.SIGINT)

    assert_right_answers(sleeper)
