"""Streams between two processes of which one waits for the other: whoever waits goes on producing meanwhile."""

from __future__ import annotations

import asyncio
import threading

import pytest

import elsewhere
from elsewhere import ref, stream, submit
from kennel import Dog, error_of

MANY = 1000
"""More items than are ever on their way at once."""


class Far:
    """Calls what it is given, consumes what is there, and makes items itself."""

    def __init__(self) -> None:
        self.log: list[object] = []

    def call(self, function, *args):
        return function(*args)

    def consume(self, home, number: int) -> int:
        return sum(stream(home.items, number))

    def consume_some(self, home, number: int) -> list[int]:
        items = stream(home.items, MANY)
        return [next(items) for _ in range(number)]

    async def consume_async(self, home, number: int) -> int:
        return sum([each async for each in stream(home.items, number)])

    def open(self, home, number: int) -> None:
        self.stream = stream(home.items, number)

    def read(self) -> int:
        return sum(self.stream)

    def items(self, number: int):
        for each in range(number):
            self.log.append(each)
            yield each

    async def items_async(self, number: int):
        for each in range(number):
            yield each

    def calling_items(self, function, number: int):
        for each in range(number):
            yield function(each)

    def failing_items(self, number: int):
        yield from range(number)
        raise KeyError("end")


class Home:
    """Offered to the host."""

    def __init__(self, far=None) -> None:
        self.far = far
        self.result: object = None
        self.done = threading.Event()

    def items(self, number: int):
        yield from range(number)

    def again(self, number: int) -> int:
        return self.far.consume(ref(self), number)

    def posted(self, number: int) -> None:
        self.result = self.again(number)
        self.done.set()


@pytest.fixture
def far(host):
    return host.spawn(Far)


TOTAL = sum(range(MANY))


def test_method_consumes_a_stream_of_the_one_who_waits_for_it(far):
    assert far.consume(ref(Home()), MANY) == TOTAL


def test_callback_consumes_a_stream_of_the_host_that_waits_for_it(far):
    assert far.call(ref(lambda: sum(stream(far.items, MANY)))) == TOTAL


def test_stream_through_a_callback_of_the_thread_that_waits(far):
    home = Home(far)

    assert far.call(ref(home.again), MANY) == TOTAL


def test_stream_through_a_callback_that_nobody_waits_for(process_host):
    far = process_host.spawn(Far)
    home = Home(far)

    elsewhere.post(far.call, home.posted, MANY)

    home.done.wait()
    assert home.result == TOTAL


def test_stream_through_a_callback_while_a_future_is_out(process_host):
    far = process_host.spawn(Far)
    home = Home(far)
    future = submit(far.call, home.posted, MANY)

    home.done.wait()

    assert home.result == TOTAL
    assert future.result() is None


def test_stream_that_was_opened_before_is_read_in_a_callback(far):
    items = stream(far.items, MANY)

    assert next(items) == 0
    assert far.call(ref(lambda: sum(items))) == TOTAL


def test_stream_that_was_opened_in_one_call_is_read_in_the_next(far):
    home = Home()

    far.open(ref(home), MANY)

    assert far.read() == TOTAL


def test_stream_that_was_opened_before_is_read_in_a_callback_that_nobody_waits_for(process_host):
    far = process_host.spawn(Far)
    items = stream(far.items, MANY)
    read = threading.Event()
    found = []

    def consume() -> None:
        found.append(sum(items))
        read.set()

    future = submit(far.call, ref(consume))
    read.wait()

    assert found == [TOTAL]
    assert future.result() is None


def test_streams_of_both_sides_are_consumed_inside_each_other(far):
    home = Home()

    def both() -> tuple[int, int]:
        return sum(stream(far.items, MANY)), far.consume(ref(home), MANY)

    assert far.call(ref(both)) == (TOTAL, TOTAL)


def test_generator_of_a_stream_in_a_callback_calls_back_itself(far):
    def consume() -> list[int]:
        return list(stream(far.calling_items, ref(lambda each: each + 1), 300))

    assert far.call(ref(consume)) == list(range(1, 301))


def test_error_in_a_stream_in_a_callback_comes_after_its_items(far):
    found = []

    def consume() -> str:
        with pytest.raises(KeyError):
            found.extend(stream(far.failing_items, MANY))
        return "caught"

    assert far.call(ref(consume)) == "caught"
    assert found == list(range(MANY))


def test_stream_in_a_callback_may_be_given_up(far):
    def consume() -> list[int]:
        items = stream(far.items, MANY * 10)
        found = [next(items) for _ in range(3)]
        items.close()
        return found

    assert far.call(ref(consume)) == [0, 1, 2]
    assert far.consume_some(ref(Home()), 3) == [0, 1, 2]
    assert far.call(ref(lambda: sum(stream(far.items, MANY)))) == TOTAL


def test_stream_of_somebody_else_does_not_run_in_the_midst_of_a_method(process_host):
    far = process_host.spawn(Far)
    others = stream(far.items, MANY)  # in no chain, and nobody waits for it yet
    assert next(others) == 0

    def look() -> tuple[int, int]:
        before = elsewhere.get(far.log)[-1]
        assert sum(stream(far.calling_items, ref(int), 300)) == sum(range(300))
        return before, elsewhere.get(far.log)[-1]

    before, after = far.call(ref(look))

    assert before == after
    assert sum(others) == TOTAL


@pytest.mark.parametrize("mode", ["serial", 2, "async", "caller"])
def test_stream_in_a_callback_works_in_every_mode(mode):
    with elsewhere.Host(concurrency=mode) as host:
        far = host.spawn(Far)
        home = Home(far)

        assert far.call(ref(lambda: sum(stream(far.items, MANY)))) == TOTAL
        assert far.call(ref(home.again), MANY) == TOTAL
        future = submit(far.call, home.posted, MANY)
        home.done.wait()
        assert home.result == TOTAL
        assert future.result() is None


@pytest.mark.parametrize("mode", [1, 2])
def test_streams_in_callbacks_of_all_threads_of_a_host(mode):
    with elsewhere.Host(concurrency=mode) as host:
        far = host.spawn(Far)
        results: list[int] = []

        def play() -> None:
            results.append(far.call(ref(lambda: sum(stream(far.items, MANY)))))

        threads = [threading.Thread(target=play) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert results == [TOTAL] * 4


@pytest.mark.parametrize("mode", ["serial", "async", 2])
def test_coroutine_consumes_a_stream_of_the_one_who_waits_for_it(mode):
    with elsewhere.Host(concurrency=mode) as host:
        far = host.spawn(Far)

        assert far.consume_async(ref(Home()), MANY).result() == TOTAL

        async def wait() -> int:
            return await far.consume_async(ref(Home()), MANY)

        assert asyncio.run(wait()) == TOTAL


def test_async_generator_of_a_serial_host_that_waits_for_the_consumer_is_refused(process_host):
    far = process_host.spawn(Far)

    def consume() -> str:
        return type(error_of(lambda: list(stream(far.items_async, 3)))).__name__

    assert far.call(ref(consume)) == "DeadlockError"
    assert list(stream(far.items_async, 3)) == [0, 1, 2]


def test_stream_goes_through_a_process_in_the_middle_that_waits(process_host):
    with elsewhere.Host() as other:
        near, middle = process_host.spawn(Far), other.spawn(Far)
        dog = process_host.spawn(Dog, "rex")

        assert near.call(ref(lambda: middle.consume(near, MANY))) == TOTAL
        assert dog.bark() == "woof"
