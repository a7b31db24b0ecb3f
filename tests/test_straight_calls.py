"""What a call may do, and bring, that goes straight from one host to another: what it would by way of their owner."""

from __future__ import annotations

import pickle
import threading
from typing import TYPE_CHECKING, Any

import pytest

import elsewhere
from elsewhere import attribute, get, host_of, post, ref, submit
from handing import Holder, in_a_thread, keep_waiting, open_gate, wait_at
from kennel import error_of
from vaults import SHOWN, WAYS, Coin, Vault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Thing:
    """Lives in the first host."""

    def __init__(self) -> None:
        self.done: list[Any] = []
        self.kept: Any = None

    def say(self) -> str:
        return "here"

    def add(self, thread: int, number: int) -> None:
        self.done.append((thread, number))

    def add_here(self, number: int) -> None:
        """To what all things of this host share."""
        SHARED.append(number)

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        return function(*args)

    def keep(self, function: Callable[..., Any]) -> None:
        self.kept = function

    def call_kept(self) -> Any:
        return self.kept()

    def count(self, end: Callable[[str], None]) -> Iterator[int]:
        try:
            yield from range(100)
        finally:
            end("left")

    def wait_for(self, begun: Callable[[], None], gate: str) -> None:
        """Until somebody opens the gate."""
        in_a_thread(begun)
        wait_at(gate)


SHARED: list[int] = []


class Worker(Holder):
    """Lives in another host, and is given things."""

    def pickled(self) -> bytes:
        return pickle.dumps(self.held)

    def load(self, data: bytes) -> None:
        self.held = pickle.loads(data)

    def use(self, play: Callable[[Any], Any]) -> Any:
        return play(self.held)

    def add_from_threads(self, threads: int, count: int) -> None:
        """One-way calls, calls that nobody waits for yet, and calls that are waited for."""
        start = threading.Barrier(threads)

        def add(thread: int) -> None:
            start.wait()
            for number in range(0, count, 3):
                post(self.held.add, thread, number)
                submit(self.held.add, thread, number + 1)
                if number % 10:
                    post(self.held.add, thread, number + 2)
                else:
                    self.held.add(thread, number + 2)
            self.held.say()

        adding = [threading.Thread(target=add, args=(thread,)) for thread in range(threads)]
        for each in adding:
            each.start()
        for each in adding:
            each.join()

    def add_by_each(self, things: list[Any], count: int) -> None:
        """Call one after the other, from the first use of each on, and wait for none."""
        for number in range(count):
            post(things[number % (number // 5 + 1) % len(things)].add_here, number)

    def post_first(self, count: int) -> None:
        for number in range(count):
            post(self.held.add, 0, number)
        self.held.add(0, count)

    def be_called_back(self) -> tuple[bool, str]:
        """Whether a callback runs in the thread that waits for it, and what one that fails comes to."""
        here = threading.get_ident()
        ran_in = self.held.call(threading.get_ident)
        own = self.held.call(ref(threading.get_ident))
        error = error_of(lambda: self.held.call(ref(self.fail)))
        return (ran_in != here or ran_in == own, own == here), str(error)

    def fail(self) -> None:
        raise LookupError("of the worker's")

    def leave_callback(self) -> None:
        self.held.keep(ref(self.answer))

    def answer(self) -> str:
        return "the worker"

    def begin_and_leave(self, end: Callable[[str], None]) -> list[int]:
        items = self.held.count(end)
        begun = [next(items), next(items)]
        items.close()
        return begun


@pytest.fixture
def worker(two_hosts: list[elsewhere.Host]) -> Worker:
    return two_hosts[0].spawn(Worker)


@pytest.fixture
def other(two_hosts: list[elsewhere.Host]) -> Worker:
    return two_hosts[1].spawn(Worker)


# Order.


@pytest.mark.parametrize("concurrency", ["serial", "async", 3])
def test_calls_of_each_thread_by_one_proxy_begin_in_order_from_its_first_use_on(concurrency, worker) -> None:
    with elsewhere.Host(concurrency=concurrency) as home:
        thing = home.spawn(Thing)
        worker.keep(thing)

        worker.add_from_threads(4, 60)

        done = get(thing.done)
        assert [[number for by, number in done if by == thread] for thread in range(4)] == [list(range(60))] * 4


def test_calls_by_one_proxy_begin_in_order_where_no_way_is_found_in_time(home, worker, gate) -> None:
    thing = home.spawn(Thing)
    worker.keep(thing)
    busy = keep_waiting(thing, gate)

    posting = submit(worker.post_first, 50)
    while home.stats()["calls"] < 3:
        threading.Event().wait(0.001)
    open_gate(gate)
    busy.result()
    posting.result()

    assert get(thing.done) == [(0, number) for number in range(51)]


def test_calls_of_a_thread_by_several_proxies_of_a_host_begin_in_order(home, worker) -> None:
    things = [home.spawn(Thing) for _ in range(5)]

    worker.add_by_each(things, 60)

    while home.run(len, shared_of(home)) < 60:
        threading.Event().wait(0.001)
    assert get(shared_of(home)) == list(range(60))


def shared_of(home: elsewhere.Host) -> Any:
    return home.run(give_shared)


def give_shared() -> Any:
    return ref(SHARED)


# What a call brings, and what it calls.


def test_callback_runs_in_the_thread_that_waits_and_its_failure_comes_back(home, worker) -> None:
    worker.keep(home.spawn(Thing))

    (ran, text) = worker.be_called_back()

    assert ran == (True, True)
    assert text == "of the worker's"


def test_callback_that_is_kept_is_called_when_its_call_is_over(home, worker) -> None:
    thing = home.spawn(Thing)
    worker.keep(thing)

    worker.leave_callback()

    assert thing.call_kept() == "the worker"


def test_callback_of_a_worker_that_is_gone_says_so(home) -> None:
    thing = home.spawn(Thing)
    with elsewhere.Host() as short:
        worker = short.spawn(Worker)
        worker.keep(thing)
        worker.leave_callback()
        short.kill()
        short.wait()

    error: Any = error_of(thing.call_kept)

    assert isinstance(error, elsewhere.HostDied)
    assert error.remote


def test_generator_is_left_when_the_worker_leaves_it(home, worker) -> None:
    left = threading.Event()
    worker.keep(home.spawn(Thing))

    begun = worker.begin_and_leave(ref(lambda _: left.set()))

    assert begun == [0, 1]
    assert left.wait(20)


# Pickles.


def test_pickle_that_waits_for_a_busy_host_holds_up_nobody_here(home, worker, other, gate) -> None:
    called = threading.Event()
    thing = home.spawn(Thing)
    worker.keep(thing)
    busy = keep_waiting(thing, gate)
    pickling = submit(host_of(worker).run, in_a_thread, worker.pickled)
    while home.stats()["calls"] < 2:
        threading.Event().wait(0.001)

    host_of(other).run(in_a_thread, ref(called.set))
    is_held_up = pickling.done()
    open_gate(gate)
    busy.result()
    other.load(pickling.result())

    assert called.is_set()
    assert not is_held_up
    assert other.say() == "here"


# What is not shown.


def expose_vault() -> str:
    """Serve a vault of this process, with a list."""
    global server
    server = elsewhere.serve(Vault(), expose={Vault: SHOWN, Coin: ["flip"]}).start()
    return str(server.address)


server: Any = None
"""What a host serves until it ends."""


def as_an_argument(home: elsewhere.Host, worker: Worker, _: Worker) -> Worker:
    """The owner of both has connected, and passes on what it got."""
    worker.keep(elsewhere.connect(home.run(expose_vault)))
    return worker


def as_a_pickle(home: elsewhere.Host, worker: Worker, other: Worker) -> Worker:
    """Somebody whom it was passed to pickles it."""
    other.load(as_an_argument(home, worker, other).pickled())
    return other


@pytest.fixture(scope="module", params=[as_an_argument, as_a_pickle])
def visitor(request: pytest.FixtureRequest, two_hosts: list[elsewhere.Host]) -> Iterator[Worker]:
    """Has a proxy of a vault in another host, of which only some names are listed."""
    with elsewhere.Host() as home:
        yield request.param(home, *(host.spawn(Worker) for host in two_hosts))


def is_shown(thing: Any) -> bool:
    """Whether anything comes of it: a proxy of what may not be reached is nothing yet."""
    try:
        found = get(thing)
    except (AttributeError, TypeError, elsewhere.ResultError):
        return False
    return found is not None and not elsewhere.is_proxy(found)


@pytest.mark.parametrize("way", WAYS)
def test_way_around_the_list_shows_nothing_to_whom_the_proxy_was_passed(visitor, way) -> None:
    try:
        is_found = visitor.use(lambda vault: is_shown(WAYS[way](vault)))
    except (AttributeError, TypeError):
        is_found = False

    assert not is_found


def test_listed_names_work_for_whom_the_proxy_was_passed_to(visitor) -> None:
    assert visitor.use(lambda vault: get(vault.label)) == "vault"
    assert visitor.use(lambda vault: vault.coin().flip()) == "heads"


@pytest.mark.parametrize("name", ["__class__", "__dict__", "__reduce__", "__getattribute__", "__init_subclass__"])
def test_names_that_nobody_reaches_are_not_reached_straight(home, worker, name) -> None:
    worker.keep(home.spawn(Thing))

    error = error_of(lambda: worker.use(lambda thing: attribute(thing.say, name)()))

    assert isinstance(error, AttributeError)
