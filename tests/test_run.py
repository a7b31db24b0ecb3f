"""`Host.run`: which functions run there, and what comes of them."""

from __future__ import annotations

import asyncio
import functools
import os
import threading

import pytest

import elsewhere
from kennel import Dog


def test_lambda_and_closure_run_there(process_host):
    step = 3

    def add(number: int) -> int:
        return number + step

    assert process_host.run(lambda: os.getpid()) == process_host.pid
    assert process_host.run(add, 4) == 7


def test_builtin_class_and_partial_run_there(host):
    assert host.run(divmod, 7, 2) == (3, 1)
    assert host.run(dict, a=1) == {"a": 1}
    assert host.run(functools.partial(int, base=2), "101") == 5


def test_bound_method_runs_on_a_copy_of_its_object(process_host):
    dog = Dog("rex")
    dog.lock = None

    assert process_host.run(dog.grow, 3) == 3
    assert dog.age == 0


def test_method_of_a_proxy_runs_on_its_object(host):
    dog = host.spawn(Dog, "rex")

    assert host.run(dog.grow, 3) == 3
    assert dog.age == 3


def test_async_function_is_run_to_its_end(host):
    async def fetch(value):
        await asyncio.sleep(0)
        return [value]

    assert host.run(fetch, 5) == [5]


def test_generator_function_gives_its_items_one_by_one(host):
    def count(number):
        yield from range(number)

    items = host.run(count, 3)

    assert next(items) == 0
    assert list(items) == [1, 2]


def test_async_generator_function_gives_its_items_one_by_one(host):
    async def count(number):
        for item in range(number):
            yield item

    async def collect():
        return [item async for item in host.run(count, 3)]

    assert asyncio.run(collect()) == [0, 1, 2]


def test_result_that_cannot_be_copied_arrives_as_a_proxy(host):
    lock = host.run(threading.Lock)

    assert elsewhere.is_proxy(lock)
    assert lock.acquire()


def test_function_may_call_back(host):
    heard = []

    def work(tell):
        tell("half")
        return tell("done")

    assert host.run(work, elsewhere.ref(heard.append)) is None
    assert heard == ["half", "done"]


def test_function_that_raises_raises_here(host):
    def fail():
        raise LookupError("lost")

    with pytest.raises(LookupError, match="lost") as caught:
        host.run(fail)

    assert 'raise LookupError("lost")' in caught.value.__notes__[-1]


def test_function_that_closes_over_what_cannot_travel_is_refused_with_its_name(process_host):
    lock = threading.Lock()

    with pytest.raises(elsewhere.ArgumentError, match="lock"):
        process_host.run(lambda: lock.locked())


def test_function_is_run_without_waiting(host):
    futures = [elsewhere.submit(host.run, divmod, number, 2) for number in range(3)]

    assert [future.result() for future in futures] == [(0, 0), (0, 1), (1, 0)]
    assert elsewhere.submit(host.run, dict, a=1).result() == {"a": 1}


def test_function_that_is_run_without_waiting_raises_where_its_future_is_asked(host):
    future = elsewhere.submit(host.run, int, "seven")

    assert isinstance(future.exception(), ValueError)


def test_generator_function_is_read_ahead(host):
    def count(number):
        yield from range(number)

    assert list(elsewhere.stream(host.run, count, 3)) == [0, 1, 2]


def test_function_is_run_though_nobody_wants_its_answer(host):
    seen = host.spawn(list)

    elsewhere.post(host.run, seen.append, 5)

    assert elsewhere.get(seen) == [5]


def test_host_lives_as_long_as_a_future_of_its_run():
    future = elsewhere.submit(elsewhere.Host().run, os.getpid)

    assert future.result() != os.getpid()


def test_what_is_no_function_is_not_run(host):
    for arguments in ((), (5,)):
        with pytest.raises(TypeError, match="function"):
            elsewhere.submit(host.run, *arguments).result()


def test_host_that_was_closed_runs_nothing_more():
    host = elsewhere.Host()
    host.close()

    with pytest.raises(elsewhere.HostClosed):
        elsewhere.submit(host.run, os.getpid).result()


def test_method_of_the_class_above_is_called_by_a_function(host):
    class Puppy(Dog):
        def bark(self):
            return f"small {super().bark()}"

    puppy = host.spawn(Puppy, "rex")

    assert puppy.bark() == "small woof"
    assert elsewhere.submit(lambda one: super(type(one), one).bark(), puppy).result() == "woof"
