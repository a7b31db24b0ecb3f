"""Many threads over one host: right answers, the order of each thread, references that live while they are held."""

from __future__ import annotations

import gc
import os
import threading
import time
from typing import TYPE_CHECKING

import pytest

import elsewhere
from kennel import Dog

if TYPE_CHECKING:
    from collections.abc import Callable


def in_threads(count: int, work: Callable[[int], object]) -> None:
    """Run `work(number)` in so many threads at once; what one of them raises is raised here."""
    failures: list[BaseException] = []
    start = threading.Barrier(count)

    def body(number: int) -> None:
        start.wait()
        try:
            work(number)
        except BaseException as error:
            failures.append(error)

    workers = [threading.Thread(target=body, args=(number,)) for number in range(count)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if failures:
        raise failures[0]


class Ledger:
    """Remembers the order in which its calls were made."""

    def __init__(self) -> None:
        self.seen: dict[int, list[int]] = {}

    def note(self, thread: int, number: int) -> tuple[int, int]:
        self.seen.setdefault(thread, []).append(number)
        return thread, number


class Cupboard:
    """Hands out objects that cannot be copied, new ones and ones it keeps."""

    def __init__(self) -> None:
        self.kept = threading.Lock()

    def keep(self) -> object:
        return self.kept

    def fresh(self) -> object:
        return threading.Lock()

    def locked(self, lock) -> bool:
        return lock.locked()


def local_class(number: int) -> type:
    """A class that no peer has heard of."""
    return type(f"Local{number}", (), {"lock": threading.Lock(), "number": number})


class Factory:
    def make(self, number: int) -> object:
        thing = local_class(number)()
        thing.own = threading.Lock()
        return thing


@pytest.mark.timeout(60)
def test_sixty_four_threads_get_their_own_answers_in_their_own_order(process_host) -> None:
    ledger = process_host.spawn(Ledger)

    def work(thread: int) -> None:
        for number in range(150):
            assert ledger.note(thread, number) == (thread, number)

    in_threads(64, work)

    assert elsewhere.get(ledger.seen) == {thread: list(range(150)) for thread in range(64)}


@pytest.mark.timeout(60)
def test_futures_of_many_threads_keep_each_threads_order(process_host) -> None:
    ledger = process_host.spawn(Ledger)

    def work(thread: int) -> None:
        futures = [elsewhere.submit(ledger.note, thread, number) for number in range(300)]
        for number, future in enumerate(futures):
            assert future.result() == (thread, number)

    in_threads(16, work)

    assert elsewhere.get(ledger.seen) == {thread: list(range(300)) for thread in range(16)}


def test_class_that_several_threads_meet_first_is_known_to_all(process_host) -> None:
    factory = process_host.spawn(Factory)

    def work(thread: int) -> None:
        for number in range(300):
            assert elsewhere.get(factory.make(number).number) == number

    in_threads(4, work)


def test_class_is_known_after_the_answer_that_brought_it_was_given_up(process_host) -> None:
    factory = process_host.spawn(Factory)
    process_host.run(time.sleep, 0)
    elsewhere.submit(factory.make, 1).cancel()
    thing_class = process_host.run(local_class, 2)

    first = elsewhere.submit(thing_class)
    del first
    thing = thing_class()

    assert elsewhere.get(thing.number) == 2


@pytest.mark.parametrize("method", ["keep", "fresh"])
def test_reference_dropped_while_an_answer_brings_it_again_stays_alive(process_host, method: str) -> None:
    cupboard = process_host.spawn(Cupboard)
    end = time.monotonic() + 1.5

    def work(thread: int) -> None:
        while time.monotonic() < end:
            lock = getattr(cupboard, method)()
            assert cupboard.locked(lock) is False
            assert lock.locked() is False

    in_threads(4, work)
    del work
    gc.collect()
    process_host.run(os.getpid)

    assert process_host.stats()["imports"] <= 3


def test_argument_offered_again_while_its_last_reference_comes_home_stays_alive(process_host) -> None:
    dog = process_host.spawn(Dog, "rex")
    end = time.monotonic() + 1.5
    ours = threading.Lock()

    def work(thread: int) -> None:
        while time.monotonic() < end:
            assert dog.echo(elsewhere.ref(ours)) is ours

    in_threads(4, work)


def test_answer_that_nobody_fetches_holds_back_no_release(process_host) -> None:
    dog = process_host.spawn(Dog, "rex")
    ours = elsewhere.submit(dog.echo, 1)
    dog.echo(elsewhere.ref(threading.Lock()))
    unfetched = elsewhere.submit(dog.echo, 2)

    for _ in range(20):
        dog.echo(elsewhere.ref(threading.Lock()))
    dog.bark()

    assert process_host.stats()["exports_by_type"] == {}
    assert (ours.result(), unfetched.result()) == (1, 2)


class Node:
    """Part of a reference cycle that holds a proxy."""

    def __init__(self, proxy: object) -> None:
        self.proxy = proxy
        self.itself = self


def test_proxies_in_cycles_are_released_by_collections_in_any_thread(process_host) -> None:
    cupboard = process_host.spawn(Cupboard)
    before = process_host.stats()

    def work(thread: int) -> None:
        for _ in range(100):
            Node(cupboard.fresh())
            if thread % 2:
                gc.collect(0)

    in_threads(8, work)
    gc.collect()
    process_host.run(os.getpid)

    assert process_host.stats() == before


def test_proxies_dropped_inside_a_callback_and_a_destructor_are_released(process_host) -> None:
    cupboard = process_host.spawn(Cupboard)
    dog = process_host.spawn(Dog, "rex")
    before = process_host.stats()["imports"]

    class Last:
        def __init__(self, proxy: object) -> None:
            self.proxy = proxy

        def __del__(self) -> None:
            self.proxy.locked()

    def callback() -> int:
        Last(cupboard.fresh())
        held = cupboard.fresh()
        del held
        return 1

    answers = [dog.call(elsewhere.ref(callback)) for _ in range(20)]
    process_host.run(os.getpid)

    assert answers == [1] * 20
    assert process_host.stats()["imports"] == before


def test_references_are_released_while_other_threads_call(process_host) -> None:
    cupboard = process_host.spawn(Cupboard)
    before = process_host.stats()["imports"]
    over = threading.Event()

    def work(thread: int) -> None:
        if thread:
            while not over.is_set():
                cupboard.keep().locked()
            return
        try:
            held = [cupboard.fresh() for _ in range(2000)]
            while held:
                held.pop()
        finally:
            over.set()

    in_threads(4, work)
    gc.collect()
    process_host.run(os.getpid)

    assert process_host.stats()["imports"] == before


def test_host_lives_on_after_the_thread_that_started_it() -> None:
    hosts: list[elsewhere.Host] = []
    starter = threading.Thread(target=lambda: hosts.append(elsewhere.Host()))

    starter.start()
    starter.join()

    with hosts.pop() as host:
        assert host.run(os.getpid) == host.pid
