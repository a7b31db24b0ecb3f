"""Hosts that call each other straight, one of which ends, forks or gives up: everybody is told, and nothing stays."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING, Any

import pytest

import elsewhere
from elsewhere import get, host_of, options, post, ref, submit
from handing import Holder, count, in_a_thread, keep_waiting, open_gate, wait_at
from kennel import error_of
from programs import has_ended, start

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Child:
    """A part of a thing."""


class Thing:
    """Lives in the first host."""

    def __init__(self) -> None:
        self.done: list[Any] = []
        self.given = 0

    def say(self) -> str:
        return "here"

    def add(self, number: int) -> None:
        self.done.append(number)

    def give_child(self) -> Any:
        self.given += 1
        return ref(Child())

    def hang(self, begun: Callable[[], None]) -> None:
        in_a_thread(begun)
        threading.Event().wait()

    def wait_for(self, begun: Callable[[], None], gate: str) -> None:
        """Until somebody opens the gate."""
        in_a_thread(begun)
        wait_at(gate)
        self.done.append("waited")


class Worker(Holder):
    """Lives in another host, and calls the thing."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[Any] = []

    def wait_for(self, begun: Callable[[], None], gate: str) -> None:
        self.held.wait_for(begun, gate)

    def say_within(self, seconds: float) -> str:
        with elsewhere.deadline(seconds):
            return self.held.say()

    def add(self, number: int) -> None:
        self.held.add(number)

    def add_and_drop(self, count: int) -> None:
        """Leave calls behind that nobody waits for."""
        for number in range(count):
            post(self.held.add, number)
        self.held = None

    def fates(self, begun: Callable[[], None]) -> list[tuple[str, str, int]]:
        """How a call that runs ends, and one behind it; both belong to nobody who waits."""
        errors: list[Any] = []

        def ask() -> None:
            calls = [submit(self.held.hang, begun), submit(self.held.say)]
            errors.extend(call.exception() for call in calls)

        asking = threading.Thread(target=ask)
        asking.start()
        asking.join()
        return [(type(error).__name__, error.outcome, error.signal) for error in errors]

    def leave_calls(self, begun: Callable[[], None], gate: str) -> None:
        """One that runs, and some behind it."""
        self.parts += [submit(self.held.wait_for, begun, gate), submit(self.held.add, 1)]

    def collect(self, count: int) -> None:
        self.parts += [self.held.give_child() for _ in range(count)]

    def collect_for_ever(self, begun: Callable[[], None]) -> None:
        """Have more on the way than is read."""
        begun()
        while True:
            self.parts.append([submit(self.held.give_child) for _ in range(10)])
            self.parts[-1][0].result()

    def fork_in_the_midst(self, count: int) -> int:
        """Have other threads call while this process forks. How many of their answers were wrong."""
        wrong: list[object] = []

        def ask() -> None:
            wrong.extend(answer for answer in (self.held.say() for _ in range(50)) if answer != "here")

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        wrong += [answer for answer in (self.error_in_a_fork() for _ in range(count)) if answer != "ConnectionLost"]
        for thread in threads:
            thread.join()
        return len(wrong)


@pytest.fixture
def worker(two_hosts: list[elsewhere.Host]) -> Worker:
    return two_hosts[0].spawn(Worker)


@pytest.fixture
def other(two_hosts: list[elsewhere.Host]) -> Worker:
    return two_hosts[1].spawn(Worker)


@pytest.fixture
def short() -> Iterator[elsewhere.Host]:
    """Another host that no other test uses."""
    with elsewhere.Host() as host:
        yield host


# Deaths.


def test_home_that_is_killed_ends_the_call_that_runs_and_the_one_that_waits(home, worker) -> None:
    begun = threading.Event()
    worker.hold(home.spawn(Thing))
    fates = submit(worker.fates, ref(begun.set))
    begun.wait()

    os.kill(home.pid, signal.SIGKILL)

    assert fates.result() == [("HostDied", "unknown", 9), ("HostDied", "not_started", 9)]


def test_method_that_runs_for_a_worker_that_is_killed_goes_on_and_the_home_with_it(home, short, gate) -> None:
    begun = threading.Event()
    thing = home.spawn(Thing)
    worker = short.spawn(Worker)
    worker.hold(thing)
    worker.leave_calls(ref(begun.set), gate)
    begun.wait()

    short.kill()
    short.wait()
    open_gate(gate)

    assert thing.say() == "here"
    assert get(thing.done)[0] == "waited"


def test_what_a_worker_was_given_is_let_go_of_when_it_is_killed(home, short) -> None:
    thing = home.spawn(Thing)
    worker = short.spawn(Worker)
    worker.hold(thing)
    worker.collect(20)
    before = home.run(count, Child)

    short.kill()
    short.wait()

    while home.run(count, Child):
        threading.Event().wait(0.001)
    assert before == 20


def test_worker_that_is_killed_while_it_is_given_things_leaves_none(home) -> None:
    from elsewhere import _handing  # noqa: PLC0415 - what is kept there is looked at

    thing = home.spawn(Thing)
    for _ in range(3):
        with elsewhere.Host() as short:
            begun, worker = threading.Event(), short.spawn(Worker)
            worker.hold(thing)
            submit(worker.collect_for_ever, ref(begun.set))
            begun.wait()
            while not home.run(count, Child):
                pass
            short.kill()

    while home.run(count, Child) or _handing._kept:
        threading.Event().wait(0.001)
    assert thing.say() == "here"


def test_what_a_home_gave_and_could_not_hand_over_before_it_died_is_waited_for_by_nobody(home, worker, other) -> None:
    held_up, going_on = threading.Event(), threading.Event()
    thing = home.spawn(Thing)
    worker.hold(thing)
    worker.collect(1)
    holding_up = submit(host_of(other).run, in_a_thread, ref(lambda: (held_up.set(), going_on.wait(20))))
    held_up.wait()  # this process hears of nothing that is handed over
    collecting = submit(worker.collect, 1)
    while get(thing.given) < 2:
        pass  # the answer was sent before this one

    home.kill()
    home.wait()
    elsewhere.Host().close()  # what is known of hosts that are gone is let go of
    going_on.set()
    error = collecting.exception()
    holding_up.result()

    assert "did not arrive" in str(error)


def test_third_in_a_row_needs_the_first_alone(home, short, other) -> None:
    thing = home.spawn(Thing)
    worker = short.spawn(Worker)
    worker.hold(thing)
    worker.hand_to(other)
    short.kill()
    short.wait()

    said = other.say()
    home.kill()
    error: Any = error_of(other.say)

    assert said == "here"
    assert (type(error).__name__, error.signal, error.remote) == ("HostDied", 9, True)


TWO = """
    import sys
    import elsewhere
    from test_straight_faults import Thing, Worker

    first, second = elsewhere.Host(), elsewhere.Host()
    workers = [first.spawn(Worker), second.spawn(Worker)]
    workers[0].hold(second.spawn(Thing))
    workers[1].hold(first.spawn(Thing))
    print(first.pid, second.pid, flush=True)
    elsewhere.submit(workers[0].fates, len)
    sys.stdin.read()
    {end}
"""


@pytest.mark.parametrize("is_killed", [True, False])
def test_hosts_that_call_each_other_do_not_outlive_their_owner(is_killed) -> None:
    program = start(TWO.format(end="[host.kill() for host in (first, second)]"))
    pids = [int(word) for word in program.stdout.readline().split()]

    if is_killed:
        program.kill()
    program.communicate()

    assert [has_ended(pid) for pid in pids] == [True, True]


# The end of a host that is wanted.


def test_first_use_of_what_is_being_closed_says_so(home, worker, gate) -> None:
    thing = home.spawn(Thing)
    worker.keep(thing)
    running = keep_waiting(thing, gate)
    closing = threading.Thread(target=home.close)
    closing.start()
    while not is_closing(thing):
        pass

    error: Any = error_of(worker.say)
    open_gate(gate)
    closing.join()

    assert isinstance(error, elsewhere.HostClosed)
    assert error.outcome == "not_started"
    assert running.exception() is None


def is_closing(thing: Thing) -> bool:
    """Whether its host takes no more calls."""
    try:
        submit(thing.say)
    except elsewhere.HostClosed:
        return True
    return False


def test_worker_that_is_closed_finishes_what_it_calls(home, gate) -> None:
    thing = home.spawn(Thing)
    short = elsewhere.Host()
    worker = short.spawn(Worker)
    worker.hold(thing)
    answer = keep_waiting(worker.held, gate)

    closing = threading.Thread(target=short.close)
    closing.start()
    open_gate(gate)
    closing.join()

    assert answer.exception() is None
    assert get(thing.done) == ["waited"]


def test_calls_that_are_left_behind_run_after_their_proxy_is_dropped(home, worker) -> None:
    thing = home.spawn(Thing)
    worker.hold(thing)

    worker.add_and_drop(20)

    while len(get(thing.done)) < 20:
        threading.Event().wait(0.001)
    assert get(thing.done) == list(range(20))


# Calls that are given up.


def test_time_that_is_over_before_a_way_is_found_ends_the_search_and_the_next_call_finds_it(
    home, worker, gate, monkeypatch
) -> None:
    from elsewhere import _handing  # noqa: PLC0415 - how long it searches at most

    monkeypatch.setattr(_handing, "TIMEOUT", 3600.0)
    thing = home.spawn(Thing)
    worker.keep(thing)
    running = keep_waiting(thing, gate)

    error: Any = error_of(lambda: worker.say_within(0.1))
    open_gate(gate)
    running.result()

    assert isinstance(error, elsewhere.CallTimeout)
    assert error.outcome == "not_started"
    assert worker.say() == "here"


def test_call_that_waits_behind_another_is_taken_out_when_its_caller_is_broken_off(home, worker, gate) -> None:
    thing = home.spawn(Thing)
    worker.hold(thing)
    running = keep_waiting(thing, gate)
    adding = submit(worker.add, 1)
    while home.stats()["calls"] < 1:
        pass

    adding.cancel(interrupt=True)
    said = error_of(lambda: options(worker, timeout=0.1).say())
    open_gate(gate)
    running.result()

    assert isinstance(said, elsewhere.CallTimeout)
    assert worker.say() == "here"
    assert get(thing.done) == ["waited"]


@pytest.mark.parametrize("is_broken_off", [True, False])
def test_interrupt_frees_who_waits_for_a_worker_that_waits(home, worker, is_broken_off, gate) -> None:
    worker.hold(home.spawn(Thing))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            options(worker, interrupt=is_broken_off).wait_for(ref(interrupt_self), gate)
    finally:
        signal.signal(signal.SIGINT, before)
    open_gate(gate)

    assert worker.say() == "here"


def interrupt_self() -> None:
    os.kill(os.getpid(), signal.SIGINT)


# Forks.


def test_fork_of_the_worker_does_not_disturb_calls_of_its_threads(home, worker) -> None:
    worker.hold(home.spawn(Thing))

    assert worker.fork_in_the_midst(5) == 0
    assert worker.say() == "here"


def test_fork_of_the_home_neither_answers_nor_keeps_the_way_open(home, worker) -> None:
    worker.hold(home.spawn(Thing))
    child = home.run(fork_and_stay)

    said = worker.say()
    home.kill()
    error = error_of(worker.say)
    os.kill(child, signal.SIGKILL)

    assert said == "here"
    assert isinstance(error, elsewhere.HostDied)


def fork_and_stay() -> int:
    """Fork a child that does nothing. Its process id."""
    child = os.fork()
    if child == 0:
        signal.pause()
        os._exit(0)
    return child


def test_fork_of_the_owner_leaves_the_way_between_its_hosts_alone(home, worker) -> None:
    thing = home.spawn(Thing)
    worker.hold(thing)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if thing.say() == "here" and error_of(worker.say) is not None else 2
        finally:
            os._exit(code)

    _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 0
    assert worker.say() == "here"
    assert thing.say() == "here"
