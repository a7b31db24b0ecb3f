"""Calls back: from a host into this process, in the chain of the call that they belong to."""

from __future__ import annotations

import asyncio
import threading

import pytest

import elsewhere
from elsewhere import get, ref, submit
from kennel import Dog
from workshop import Door, Keeper


class Caller:
    """Calls what it is given."""

    def __init__(self) -> None:
        self.called = 0

    def call(self, function, *args):
        self.called += 1
        return function(*args)

    def each(self, function, number: int) -> list[object]:
        return [function(item) for item in range(number)]

    def count(self) -> int:
        return self.called


class Ear:
    def __init__(self) -> None:
        self.heard: list[object] = []
        self.threads: set[str] = set()

    def hear(self, what: object) -> str:
        self.heard.append(what)
        self.threads.add(threading.current_thread().name)
        return f"heard {what}"

    def fail(self) -> None:
        raise LookupError("not heard")


@pytest.fixture
def caller(host: elsewhere.Host) -> Caller:
    return host.spawn(Caller)


def test_referenced_function_is_called_here(caller):
    heard: list[object] = []

    caller.call(ref(heard.append), "word")

    assert heard == ["word"]


def test_bound_method_is_called_here_and_its_result_goes_back(caller):
    ear = Ear()

    assert caller.call(ear.hear, "word") == "heard word"
    assert ear.heard == ["word"]


def test_callback_runs_in_the_thread_that_waits(caller):
    ear = Ear()

    caller.each(ear.hear, 3)

    assert ear.threads == {threading.current_thread().name}


def test_callback_that_raises_raises_there_and_here(caller):
    with pytest.raises(LookupError, match="not heard"):
        caller.call(Ear().fail)
    assert caller.count() == 1


def test_callback_may_call_the_host_in_the_same_chain(caller):
    def again() -> int:
        return caller.count()

    assert caller.call(ref(again)) == 1


def test_chain_may_go_to_and_fro_many_times(caller):
    def down(number: int) -> int:
        return number if number == 0 else caller.call(ref(down), number - 1) + 1

    assert caller.call(ref(down), 20) == 20


def test_callback_may_use_another_host(caller):
    with elsewhere.Host() as other:
        dog = other.spawn(Dog, "rex", age=3)

        assert caller.call(ref(lambda: get(dog.age))) == 3


def test_callback_with_a_future_runs_while_the_future_is_waited_for(caller):
    ear = Ear()

    future = submit(caller.call, ear.hear, "word")

    assert future.result() == "heard word"


def test_callback_runs_although_nobody_waits(process_host):
    caller = process_host.spawn(Caller)
    heard = threading.Event()

    elsewhere.post(caller.call, ref(heard.set))

    assert heard.wait()


def test_argument_of_a_callback_is_copied_to_here(host):
    keeper = host.spawn(Keeper, [1])
    seen: list[object] = []

    keeper.call(ref(seen.append), keeper.thing)
    keeper.thing.append(2)

    assert seen == [[1]]


def test_object_of_another_host_is_called_directly_by_its_holder(caller):
    with elsewhere.Host() as other:
        dog = other.spawn(Dog, "rex")

        assert caller.call(dog.bark) == "woof"
        assert caller.call(lambda dog: dog.bark(loud=True), dog) == "WOOF"


def test_held_callback_is_called_later(host):
    keeper = host.spawn(Keeper)
    ear = Ear()
    keeper.keep(ear.hear)

    assert keeper.thing("first") == "heard first"
    assert keeper.give()("second") == "heard second"
    assert ear.heard == ["first", "second"]


def test_iterating_an_object_that_lives_here_works_there(caller):
    assert caller.call(sorted, ref([3, 1, 2])) == [1, 2, 3]
    assert caller.call(len, ref({"a": 1})) == 1


def test_callback_in_a_thread_of_the_host_begins_a_chain_of_its_own(process_host):
    starter = process_host.spawn(Starter)
    heard = threading.Event()

    starter.start(ref(heard.set))

    assert heard.wait()
    starter.join()


class Starter:
    def start(self, function) -> None:
        self.thread = threading.Thread(target=function)
        self.thread.start()

    def join(self) -> None:
        self.thread.join()


class Awaiter:
    async def call(self, function, *args):
        return await submit(function, *args)


def test_coroutine_awaits_what_it_calls_here(host):
    ear = Ear()

    assert host.spawn(Awaiter).call(ear.hear, "word").result() == "heard word"
    assert ear.heard == ["word"]


def test_coroutine_awaits_what_it_calls_here_while_it_is_awaited_itself(host):
    awaiter, ear = host.spawn(Awaiter), Ear()

    async def play() -> str:
        return await awaiter.call(ear.hear, "word")

    assert asyncio.run(play()) == "heard word"


def length_and(extra: int, thing) -> int:
    return len(thing) + extra


class Borrower:
    """Does something with what lives with whoever calls."""

    def measure(self, thing) -> tuple[int, int, list[object]]:
        posted = ref(thing)
        elsewhere.post(list.append, posted, "posted")
        return (
            submit(len, posted).result(),
            submit(length_and, 10, posted).result(),
            list(elsewhere.stream(iter, posted)),
        )

    def use(self, thing) -> str:
        with elsewhere.using(thing) as entered:
            return entered


def test_plain_function_runs_with_an_object_that_lives_here(host):
    assert host.spawn(Borrower).measure(ref([1, 2])) == (3, 13, [1, 2, "posted"])


def test_object_that_lives_here_is_used_there(host):
    door = Door()

    assert host.spawn(Borrower).use(ref(door)) == "inside"
    assert door.events == ["enter", "exit nothing None None"]


def test_nothing_but_plain_functions_is_run_for_a_host(process_host):
    with pytest.raises(elsewhere.ArgumentError, match="begins nowhere"):
        process_host.run(_ask_for_a_module, ref([1]))


def _ask_for_a_module(thing):
    """Ask the owner for a module, as an owner asks its host."""
    elsewhere.host_of(thing).module("json")
