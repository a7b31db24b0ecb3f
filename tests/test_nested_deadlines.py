"""A deadline goes along with the calls that are made inside a call, with what is left of it."""

from __future__ import annotations

import threading

import pytest

import elsewhere
from elsewhere import deadline, get, options, submit
from programs import run

SHORT = 0.3
"""Seconds: enough for a call that does not wait for anything, and waited for by each test here."""


class Middle:
    """What A calls: it calls others, and tells how that ended."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def call(self, there, name: str, *args):
        return getattr(there, name)(*args)

    def call_and_note(self, there, name: str, *args) -> None:
        """Call and note how it ended, for who asks later: the caller has given up by then."""
        try:
            self.seen.append(repr(getattr(there, name)(*args)))
        except elsewhere.CallTimeout as error:
            self.seen.append(f"CallTimeout {error.outcome}")
            raise

    def call_late(self, *call) -> None:
        """Begin when the caller's time is over."""
        threading.Event().wait(2 * SHORT)
        self.call_and_note(*call)

    def call_patiently(self, *call) -> None:
        with deadline(3600):
            self.call_and_note(*call)

    def call_hastily(self, *call) -> None:
        with deadline(SHORT):
            self.call_and_note(*call)

    async def call_in_a_coroutine(self, *call) -> None:
        self.call_and_note(*call)

    def yield_a_call(self, *call):
        self.call_and_note(*call)
        yield 1


class Last:
    """What is called in the end: it never answers until it is let go."""

    def __init__(self) -> None:
        self.written: list[int] = []

    def block(self) -> None:
        threading.Event().wait()

    def nap(self, seconds: float) -> str:
        threading.Event().wait(seconds)
        return "awake"

    def write(self, number: int) -> int:
        self.written.append(number)
        return number


@pytest.fixture
def middle(process_host):
    return process_host.spawn(Middle)


@pytest.fixture
def last():
    """An object in a third process."""
    with elsewhere.Host() as third:
        yield third.spawn(Last)
        third.kill()


WAYS = ["call_and_note", "call_in_a_coroutine", "call_patiently"]


@pytest.mark.parametrize("way", WAYS)
def test_call_inside_a_call_has_what_is_left_of_its_deadline(middle, last, way: str) -> None:
    with pytest.raises(elsewhere.CallTimeout), deadline(SHORT):
        submit(getattr(middle, way), last, "block").result()

    assert get(middle.seen) == ["CallTimeout unknown"]


def test_deadline_goes_over_two_processes(middle, last) -> None:
    with elsewhere.Host() as other:
        between = other.spawn(Middle)

        with pytest.raises(elsewhere.CallTimeout), deadline(SHORT):
            middle.call(between, "call_and_note", last, "block")

        assert get(between.seen) == ["CallTimeout unknown"]


def test_timeout_of_a_proxy_goes_along_as_well(middle, last) -> None:
    with pytest.raises(elsewhere.CallTimeout):
        options(middle, timeout=SHORT).call_and_note(last, "block")

    assert get(middle.seen) == ["CallTimeout unknown"]


def test_generator_has_what_is_left_of_the_deadline_it_is_asked_under(middle, last) -> None:
    items = middle.yield_a_call(last, "block")

    with pytest.raises(elsewhere.CallTimeout), deadline(SHORT):
        next(items)

    assert get(middle.seen) == ["CallTimeout unknown"]


def test_stream_that_is_read_ahead_has_what_is_left(middle, last) -> None:
    with pytest.raises(elsewhere.CallTimeout), deadline(SHORT):
        list(elsewhere.stream(middle.yield_a_call, last, "block"))

    assert get(middle.seen) == ["CallTimeout unknown"]


def test_callback_has_what_is_left(middle, last) -> None:
    seen: list[BaseException] = []

    class Back:
        def run(self) -> None:
            try:
                last.block()
            except elsewhere.CallTimeout as error:
                seen.append(error)
                raise

    with pytest.raises(elsewhere.CallTimeout), deadline(SHORT):
        middle.call(elsewhere.ref(Back()), "run")

    assert [error.method for error in seen] == ["Last.block"]


def test_shorter_deadline_inside_holds(middle, last) -> None:
    with pytest.raises(elsewhere.CallTimeout) as caught, deadline(3600):
        middle.call_hastily(last, "block")

    assert caught.value.remote
    assert get(middle.seen) == ["CallTimeout unknown"]


def test_call_inside_that_would_begin_too_late_does_not_start(middle, last) -> None:
    with pytest.raises(elsewhere.CallTimeout), deadline(SHORT):
        middle.call_late(last, "write", 1)

    assert get(middle.seen) == ["CallTimeout not_started"]
    assert get(last.written) == []


def test_deadline_of_one_call_is_none_of_the_next(middle, last) -> None:
    with pytest.raises(elsewhere.CallTimeout), deadline(SHORT):
        middle.call(last, "nap", 2 * SHORT)

    assert middle.call(last, "nap", 2 * SHORT) == "awake"


def test_call_of_another_thread_is_not_bound_by_the_block_that_runs_it(last) -> None:
    with elsewhere.Host(start="local") as host:
        middle = host.spawn(Middle)
        future = submit(middle.call, last, "nap", 2 * SHORT)

        with deadline(SHORT):
            assert future.result() == "awake"


def test_call_whose_deadline_passes_in_the_queue_is_dropped_by_the_host_itself(tmp_path) -> None:
    """The owner cannot cancel it: it is stopped from before the deadline until after the call's turn."""
    source = """
    import os, signal, sys, threading, time
    import elsewhere

    class Worker:
        def __init__(self):
            self.written = []
            self.turned = threading.Event()
        def stop_owner(self, go):
            open(go).close()  # waits for the owner, which has made its calls then
            owner = os.getppid()
            os.kill(owner, signal.SIGSTOP)
            time.sleep(0.4)
            threading.Thread(target=lambda: (self.turned.wait(), os.kill(owner, signal.SIGCONT))).start()
        def write(self, number):
            self.written.append(number)
        def turn(self):
            self.turned.set()

    go = sys.argv[1]
    os.mkfifo(go)
    worker = elsewhere.spawn(Worker)
    stopping = elsewhere.submit(worker.stop_owner, go)
    late = elsewhere.submit(elsewhere.options(worker, timeout=0.2).write, 1)
    elsewhere.submit(worker.turn)
    open(go, "w").close()
    stopping.result()
    print(elsewhere.get(worker.written), type(late.exception()).__name__)
    """

    assert run(source, str(tmp_path / "go")) == (0, "[] CallTimeout\n", "")
