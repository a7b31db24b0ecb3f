"""What a process is given it hands on as it got it: no process that an object was handed through is needed for it."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
import threading
from typing import TYPE_CHECKING, Any

import pytest

import elsewhere
from elsewhere import host_of, ref, submit
from handing import Holder, count
from kennel import error_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Thing:
    """Lives in the first host."""

    def __init__(self, name: str = "a") -> None:
        self.name = name
        self.others: list[Any] = []

    def give_own(self) -> Any:
        """An object of its host, by reference."""
        return ref(Thing("child"))

    def give_self(self) -> Any:
        return ref(self)

    def keep(self, other: Any) -> None:
        self.others.append(other)

    def kinds(self) -> list[str]:
        return [type(other).__name__ for other in self.others]

    def is_first(self, other: Any) -> bool:
        return other is self.others[0]

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        return function(*args)

    def say(self) -> str:
        return self.name

    def is_first_twice(self) -> bool:
        return self.others[0] is self.others[1]

    def add(self, number: int) -> None:
        self.others.append(number)

    def give_things(self, count: int) -> Iterator[Any]:
        for number in range(count):
            yield ref(Thing(str(number)))

    def fail(self) -> None:
        raise ValueError(ref(Thing("culprit")))


class Worker(Holder):
    """Lives in another host, and is given things."""

    def hand(self) -> Any:
        return self.held

    async def await_it(self) -> str:
        return await submit(self.held.say)

    def add_in_order(self, count: int) -> None:
        for number in range(count):
            elsewhere.post(self.held.add, 3 * number)
            submit(self.held.add, 3 * number + 1)
            self.held.add(3 * number + 2)

    def take_items(self, count: int) -> list[Any]:
        return list(elsewhere.stream(self.held.give_things, count))

    def fail(self) -> None:
        self.held.fail()

    def rest(self) -> None:
        self.held.rest()

    def join_with_path(self) -> None:
        self.held.keep(self.held.others[0])

    def change_declared(self) -> int:
        self.held.give_things().append(3)
        return self.held.count()

    def give_up_on(self, count: int) -> None:
        """Cancel calls that give objects, wherever they are."""
        for _ in range(count):
            submit(self.held.give_own).cancel()

    def hand_child(self) -> Any:
        return self.held.give_own()

    def hand_child_to(self, worker: Any) -> None:
        worker.hold(self.held.give_own())

    def join(self, other: Any) -> None:
        """Give the one thing to the other, which lives where it does."""
        self.held.keep(other)

    def is_held(self, other: Any) -> tuple[bool, bool]:
        return other == self.held, hash(other) == hash(self.held)

    def is_what_it_calls_itself(self) -> tuple[bool, bool]:
        return self.is_held(self.held.give_self())

    def is_myself(self, other: Any) -> bool:
        return other is self

    def ask_whether_it_is_myself(self) -> bool:
        """Have the thing call this object with what stands for it over there."""
        return bool(self.held.call(self.is_myself, ref(self)))


@pytest.fixture
def thing(home: elsewhere.Host) -> Thing:
    return home.spawn(Thing)


@pytest.fixture
def worker(two_hosts: list[elsewhere.Host]) -> Worker:
    return two_hosts[0].spawn(Worker)


@pytest.fixture
def other(two_hosts: list[elsewhere.Host]) -> Worker:
    return two_hosts[1].spawn(Worker)


def test_object_that_a_worker_was_given_by_another_is_known_here_by_its_host(home, thing, worker) -> None:
    worker.hold(thing)

    child = worker.hand_child()

    assert host_of(child) is home
    assert child.say() == "child"


def test_object_that_a_worker_got_outlives_the_worker_for_whom_it_was_handed_to(thing, other) -> None:
    with elsewhere.Host() as short:
        worker = short.spawn(Worker)
        worker.hold(thing)
        child = worker.hand_child()
        worker.hand_child_to(other)

    assert child.say() == "child"
    assert other.say() == "child"


def test_object_that_is_handed_on_does_not_wait_for_who_handed_it_on(thing, worker, other) -> None:
    going_on = threading.Event()
    worker.hold(thing)
    worker.hand_child_to(other)
    busy = submit(host_of(worker).run, wait, ref(going_on))

    said = other.say()
    going_on.set()
    busy.result()

    assert said == "child"


def wait(going_on: threading.Event) -> None:
    going_on.wait(20)


def test_lock_that_one_worker_hands_to_another_is_waited_for_by_that_one_alone(worker, other) -> None:
    with elsewhere.Host(concurrency="caller") as tools:
        lock = tools.spawn(Lock)
        worker.hold(lock)
        lock.acquire()
        worker.hand_to(other)
        waiting = submit(host_of(other).run, take, other)

        said = worker.say()
        lock.release()

        assert said == "a lock"
        assert waiting.result(20)


class Lock:
    def __init__(self) -> None:
        self.lock = threading.Lock()

    def acquire(self) -> bool:
        return self.lock.acquire()

    def release(self) -> None:
        self.lock.release()

    def say(self) -> str:
        return "a lock"


def take(worker: Worker) -> bool:
    return bool(worker.held.acquire())


def test_objects_of_one_host_meet_as_themselves_when_a_third_process_brings_them_together(home, worker) -> None:
    first, second = home.spawn(Thing), home.spawn(Thing)
    worker.hold(first)

    worker.join(second)

    assert first.kinds() == ["Thing"]
    assert first.is_first(second)


def test_object_that_names_itself_is_the_one_that_is_known(thing, worker) -> None:
    worker.hold(thing)

    assert worker.is_what_it_calls_itself() == (True, True)
    assert worker.is_held(thing) == (True, True)


def test_object_comes_back_to_its_process_as_itself_from_where_it_was_passed_to(thing, worker) -> None:
    worker.hold(thing)

    assert worker.ask_whether_it_is_myself()


def test_end_of_the_home_is_told_with_how_it_ended_to_who_was_handed_something(worker, other) -> None:
    with elsewhere.Host(name="short") as short:
        worker.hold(short.spawn(Thing))
        worker.hand_to(other)
        short.kill()
        short.wait()

        error = error_of(other.say)

    assert isinstance(error, elsewhere.HostDied)
    assert error.signal == 9
    assert "short" in str(error)


def test_close_of_the_home_finishes_what_another_process_asked_for(worker) -> None:
    begun, going_on = threading.Event(), threading.Event()
    home = elsewhere.Host()
    worker.hold(home.spawn(Slow))
    answer = submit(worker.held.work, ref(begun), ref(going_on))
    begun.wait()

    threading.Timer(0.1, going_on.set).start()
    home.close()

    assert answer.result() == "done"


class Slow:
    def say(self) -> str:
        return "slow"

    def rest(self) -> None:
        threading.Event().wait(1.0)

    def work(self, begun: threading.Event, going_on: threading.Event) -> str:
        begun.set()
        going_on.wait(20)
        return "done"


def is_listening() -> bool:
    return "elsewhere._guests" in sys.modules


def guests_of(host: elsewhere.Host) -> int:
    """How many connections the host has beside its owner's."""
    return host.run(count_guests)


def count_guests() -> int:
    return sum(is_of_guest(int(name)) for name in os.listdir("/proc/self/fd"))


def is_of_guest(descriptor: int) -> bool:
    """Whether it is a stream that somebody has connected to this process."""
    try:
        with socket.socket(fileno=os.dup(descriptor)) as stream:
            is_listening = stream.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            return stream.getsockname() not in {"", b""} and not is_listening
    except OSError:
        return False


def test_argument_is_called_straight_from_its_first_use_on(home, worker) -> None:
    thing = home.spawn(Thing)
    worker.keep(thing)
    passed = home.run(is_listening)

    said = worker.say()

    assert not passed
    assert said == "a"
    assert guests_of(home) == 1


def test_connection_ends_when_nothing_is_held_that_goes_by_it(home, worker) -> None:
    worker.hold(home.spawn(Thing))
    before = guests_of(home)

    worker.keep(None)

    while guests_of(home):
        threading.Event().wait(0.001)
    assert before == 1


@pytest.mark.parametrize("concurrency", ["async", 2])
def test_calls_of_another_process_are_finished_when_the_host_is_closed(concurrency, worker) -> None:
    begun, going_on = threading.Event(), threading.Event()
    home = elsewhere.Host(concurrency=concurrency)
    worker.hold(home.spawn(Slow))
    answer = submit(worker.held.work, ref(begun), ref(going_on))
    begun.wait()

    threading.Timer(0.1, going_on.set).start()
    home.close()

    assert answer.result() == "done"
    assert isinstance(error_of(worker.say), elsewhere.HostClosed)


def test_thread_of_another_process_is_one_caller_to_locks_whatever_way_it_came_by(worker) -> None:
    with elsewhere.Host(concurrency="caller") as tools:
        worker.keep(tools.spawn(Lock))

        worker.say()

        assert not tools.run(is_listening)


def test_argument_of_a_local_host_goes_by_way_of_this_process(worker) -> None:
    with elsewhere.Host(start="local") as home:
        worker.hold(home.spawn(Thing))

        assert worker.say() == "a"


def test_argument_that_is_first_awaited_goes_by_way_of_this_process(home, worker) -> None:
    worker.keep(home.spawn(Thing))

    said = worker.await_it().result()

    assert said == "a"
    assert worker.say() == "a"
    assert guests_of(home) == 0


def test_host_that_cannot_listen_is_called_by_way_of_this_process(home, worker) -> None:
    home.run(make_temporary_directory_useless)
    worker.hold(home.spawn(Thing))

    assert worker.say() == "a"
    assert host_of(worker.hand_child()) is home


def make_temporary_directory_useless() -> None:
    tempfile.tempdir = "/nonexistent/directory"


def test_calls_start_in_order_whether_they_are_waited_for_or_not(home, worker) -> None:
    thing = home.spawn(Thing)
    worker.keep(thing)

    worker.add_in_order(20)

    assert elsewhere.get(thing.others) == list(range(60))


def test_call_to_the_third_process_ends_with_the_deadline_of_the_first(home, worker) -> None:
    worker.hold(home.spawn(Slow))

    with pytest.raises(elsewhere.CallTimeout), elsewhere.deadline(0.2):
        worker.rest()

    assert worker.say() == "slow"


def test_call_that_is_given_up_does_not_keep_what_it_gives(home, worker) -> None:
    thing = home.spawn(Thing)
    worker.hold(thing)
    worker.give_up_on(20)

    while home.run(count, Thing) > 1:
        worker.say()
    assert home.run(count, Thing) == 1


def test_items_of_a_stream_are_known_here_by_their_host(home, worker) -> None:
    worker.hold(home.spawn(Thing))

    items = worker.take_items(3)

    assert [host_of(item) for item in items] == [home] * 3
    assert [item.say() for item in items] == ["0", "1", "2"]


def test_objects_in_exceptions_are_known_by_their_host(home, worker) -> None:
    worker.hold(home.spawn(Thing))

    error = error_of(worker.fail)

    assert isinstance(error, ValueError)
    assert error.args[0].say() == "culprit"
    assert host_of(error.args[0]) is home


def test_path_in_an_argument_is_the_object_at_its_end(home, worker) -> None:
    thing = home.spawn(Thing)
    thing.keep(ref_of(home, "inner"))
    worker.hold(thing)

    worker.join_with_path()

    assert thing.kinds() == ["Thing", "Thing"]
    assert thing.is_first_twice()


def ref_of(host: elsewhere.Host, name: str) -> Thing:
    return host.spawn(Thing, name)


def test_fork_of_a_process_with_a_straight_way_says_that_it_has_none(home, worker) -> None:
    worker.hold(home.spawn(Thing))

    assert worker.error_in_a_fork() == "ConnectionLost"
    assert worker.say() == "a"


def test_release_reaches_the_home_when_the_last_process_lets_go(home, worker, other) -> None:
    gone = threading.Event()
    thing = home.spawn(Dying, ref(gone.set))
    worker.hold(thing)
    worker.hand_to(other)
    del thing

    worker.keep(None)
    said = other.say()
    other.keep(None)

    assert said == "dying"
    assert gone.wait(20)


class Dying:
    def __init__(self, gone: Callable[[], None]) -> None:
        self.gone = gone

    def say(self) -> str:
        return "dying"

    def __del__(self) -> None:
        elsewhere.post(self.gone)


def test_results_that_were_declared_to_go_by_reference_do(home, worker) -> None:
    worker.hold(home.spawn(Declaring))

    assert worker.change_declared() == 3


class Declaring:
    def __init__(self) -> None:
        self.things = [1, 2]

    def say(self) -> str:
        return "declaring"

    @elsewhere.by_reference
    def give_things(self) -> list[int]:
        return self.things

    def count(self) -> int:
        return len(self.things)
