"""What happens between two steps: interrupts, forks, late credit, handles that go while an exception is on its way."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import sys
import threading
import weakref

import pytest

import elsewhere
from elsewhere import deadline, get, ref, stream, submit
from kennel import Dog


class Plain:
    """Travels by pickle."""


class Viewer:
    def kinds(self, *values):
        return [type(value).__name__ for value in values]

    def stream_from(self, source):
        return list(stream(source.slowly, 3))

    def give_up(self, source, steps):
        numbers = stream(source.kept_in_sight, 10**9)
        for _ in range(steps):
            pass  # so that it is given up before it begins, as it begins, and after
        numbers.close()

    def call(self, function):
        return function()

    def count_to(self, number):
        yield from range(1, number + 1)


class Source:
    def __init__(self, *, seconds=0.0):
        self.seconds = seconds
        self.go = threading.Event()
        self.made = []

    def slowly(self, number):
        self.go.wait(self.seconds)
        return iter(range(number))

    def kept_in_sight(self, number):
        generator = (item for item in range(number))
        self.made.append(weakref.ref(generator))
        return generator


def test_local_handle_may_go_while_an_exception_is_on_its_way():
    def a_proxy_with_work():
        dog = elsewhere.Host(start="local").spawn(Dog, "rex")
        elsewhere.post(dog.grow)
        return dog

    with pytest.raises(ZeroDivisionError):
        print(a_proxy_with_work(), 1 / 0)


def test_stream_that_was_closed_by_another_thread_ends(process_host):
    numbers = stream(process_host.spawn(Viewer).count_to, 10**9)
    next(numbers)
    closer = threading.Thread(target=numbers.close)
    closer.start()

    for _ in numbers:
        pass

    closer.join()
    assert list(numbers) == []


@pytest.mark.parametrize("seconds", [0, 0.2])  # the credit of the stream arrives in the middle, or long before
def test_credit_may_come_before_the_iterable_does(process_host, seconds):
    viewer = process_host.spawn(Viewer)
    source = ref(Source(seconds=seconds))

    for _ in range(2 if seconds else 200):
        assert viewer.stream_from(source) == [0, 1, 2]


def test_stream_that_is_given_up_as_it_begins_is_let_go(process_host):
    viewer = process_host.spawn(Viewer)
    source = Source()

    number = 0
    while number < 100 or not source.made:
        viewer.give_up(ref(source), number * 300)
        number += 1

    while any(generator() is not None for generator in source.made):
        viewer.kinds()

    assert source.made


def test_callback_may_stream_from_the_host_that_waits_for_it(process_host):
    viewer = process_host.spawn(Viewer)

    assert viewer.call(ref(lambda: list(stream(viewer.count_to, 3)))) == [1, 2, 3]


def test_path_on_another_host_is_a_value_also_inside_a_pickle(host):
    viewer = host.spawn(Viewer)
    with elsewhere.Host() as other:
        dog = other.spawn(Dog, "rex", age=3)

        assert viewer.kinds(dog.age) == ["int"]
        assert viewer.kinds(dog.age, Plain()) == ["int", "Plain"]
        assert viewer.kinds([dog.age, Plain()], dog) == ["list", "Proxy"]


def test_wait_of_concurrent_futures_never_misses_an_answer(process_host):
    dog = process_host.spawn(Dog, "rex")
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for _ in range(60):
            futures = [submit(dog.echo, number) for number in range(50)]

            done, waiting = concurrent.futures.wait(futures, timeout=20)

            assert len(done) == 50
            assert not waiting
    finally:
        sys.setswitchinterval(interval)


def test_task_outlives_the_deadline_block_that_it_was_made_in(process_host):
    dog = process_host.spawn(Dog, "rex")

    async def main():
        begin = asyncio.Event()

        async def later():
            await begin.wait()
            return await submit(dog.bark)

        with deadline(0.01):
            task = asyncio.create_task(later())
            await asyncio.sleep(0.02)
        with deadline(60):
            begin.set()
            return await task

    assert asyncio.run(main()) == "woof"


def test_fork_runs_nothing_that_was_queued_for_its_parent(process_host, tmp_path):
    ledger = tmp_path / "ledger"
    begun, proceed = threading.Event(), threading.Event()

    def note(number):
        begun.set()
        proceed.wait()
        with ledger.open("a") as file:
            file.write(f"{number}\n")

    dog = process_host.spawn(Dog, "rex")
    elsewhere.post(dog.post_each, ref(note), 3)
    begun.wait()
    get(dog.age)

    pid = os.fork()
    if pid == 0:
        with elsewhere.Host() as own:  # starts the service thread of this process
            heard = threading.Event()
            own.spawn(Dog, "tom").call(ref(heard.set))
        os._exit(0 if heard.is_set() else 1)
    _, status = os.waitpid(pid, 0)
    proceed.set()
    while not ledger.exists() or len(ledger.read_text().split()) < 3:
        threading.Event().wait(0.01)

    assert status == 0
    assert ledger.read_text().split() == ["0", "1", "2"]


def test_hash_of_a_futures_view_is_that_of_what_it_views(process_host):
    dog = process_host.spawn(Dog, "rex")

    assert hash(elsewhere.futures(dog)) == hash(dog)
