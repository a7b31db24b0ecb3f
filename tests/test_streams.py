"""Streams: in lockstep from a plain call, read ahead from `stream`."""

from __future__ import annotations

import copy
import gc
import os
import threading

import pytest

import elsewhere
from elsewhere import get, stream
from kennel import Dog
from workshop import Book, Keeper

CREDIT = 256


class Producer:
    """Makes items and counts them."""

    def __init__(self) -> None:
        self.made = 0
        self.closed = 0

    def numbers(self, count: int):
        try:
            for number in range(count):
                self.made += 1
                yield number
        finally:
            self.closed += 1

    def endless(self):
        yield from self.numbers(10**9)

    def failing(self, after: int):
        yield from self.numbers(after)
        raise ValueError("in the middle")

    def returning(self):
        got = yield 1
        return f"returned {got}"

    def locks(self, count: int):
        for _ in range(count):
            yield threading.Lock()

    def as_list(self) -> list[int]:
        return [1, 2, 3]

    def not_iterable(self) -> int:
        return 5

    def large(self, count: int, size: int):
        for _ in range(count):
            self.made += 1
            yield b"x" * size

    def echoing(self, path: str, times: int):
        """Some items at once, and some more for each line of the file."""
        yield from ((0, part) for part in range(times))
        with open(path) as lines:
            for number, _ in enumerate(lines, start=1):
                yield from ((number, part) for part in range(times))


@pytest.fixture
def producer(host: elsewhere.Host) -> Producer:
    return host.spawn(Producer)


@pytest.fixture
def book(host: elsewhere.Host) -> Book:
    return host.spawn(Book)


def test_nothing_runs_before_it_is_asked_for(book):
    entries = book.entries()
    before = book.read()

    first = next(entries)

    assert before == []
    assert first == 1
    assert book.read() == ["made 1"]


def test_each_next_makes_one_item(book):
    entries = book.entries()

    assert [next(entries), next(entries)] == [1, 2]
    assert book.read() == ["made 1", "made 2"]


def test_send_resumes_with_a_value(book):
    entries = book.entries()
    next(entries)

    assert entries.send("hello") == 2
    assert "got hello" in book.read()


def test_throw_raises_where_the_generator_stands(book):
    entries = book.entries()
    next(entries)

    assert entries.throw(KeyError("thrown")) == "after"
    assert "caught thrown" in book.read()


def test_throw_of_what_is_not_caught_comes_back(book):
    entries = book.entries()
    next(entries)

    with pytest.raises(ValueError, match="mine"):
        entries.throw(ValueError("mine"))
    assert book.read()[-1] == "closed"


def test_close_runs_the_finally_blocks_before_it_returns(book):
    entries = book.entries()
    next(entries)

    entries.close()

    assert book.read()[-1] == "closed"
    with pytest.raises(StopIteration):
        next(entries)


def test_return_value_comes_with_stop_iteration(producer):
    returning = producer.returning()
    next(returning)

    with pytest.raises(StopIteration) as caught:
        returning.send("this")

    assert caught.value.value == "returned this"


def test_yield_from_gives_the_return_value(producer):
    def wrapper():
        return (yield from producer.returning())

    wrapped = wrapper()
    next(wrapped)
    with pytest.raises(StopIteration) as caught:
        wrapped.send(1)
    assert caught.value.value == "returned 1"


def test_exhausted_stream_stays_exhausted(producer):
    numbers = producer.numbers(1)

    assert list(numbers) == [0]
    assert list(numbers) == []


def test_calls_interleave_with_a_stream(host):
    dog = host.spawn(Dog, "rex")

    grown = [dog.grow(number) for number in dog.count_to(4)]

    assert grown == [1, 3, 6, 10]


def test_two_streams_of_one_object_are_independent(producer):
    one, other = producer.numbers(3), producer.numbers(3)

    assert [next(one), next(other), next(one), next(other)] == [0, 0, 1, 1]


def test_error_in_the_middle_comes_after_the_items_before_it(producer):
    numbers = producer.failing(2)

    assert [next(numbers), next(numbers)] == [0, 1]
    with pytest.raises(ValueError, match="in the middle"):
        next(numbers)


def test_iter_of_a_proxy_is_a_lockstep_stream(host):
    numbers = host.send([1, 2, 3])
    iterator = iter(numbers)

    first = next(iterator)
    numbers.append(4)

    assert first == 1
    assert list(iterator) == [2, 3, 4]


def test_uncopyable_items_are_proxies(producer):
    one, other = producer.locks(2)

    assert not one.locked()
    assert one != other


def test_stream_can_be_an_argument_and_comes_home_as_the_generator(host, producer):
    keeper = host.spawn(Keeper)

    assert keeper.kind(producer.numbers(1)) == "generator"
    assert keeper.take(producer.numbers(9), 2) == [0, 1]


def test_stream_goes_on_to_another_host(producer):
    with elsewhere.Host() as other:
        keeper = other.spawn(Keeper)

        assert keeper.take(producer.numbers(9), 3) == [0, 1, 2]


def test_stream_cannot_be_copied(producer):
    with pytest.raises(TypeError, match="cannot be copied"):
        copy.copy(producer.numbers(1))


def test_dropped_lockstep_stream_closes_the_generator(host, producer):
    numbers = producer.numbers(5)
    next(numbers)

    del numbers
    gc.collect()

    wait_until(lambda: get(producer.closed) == 1)
    assert get(producer.made) == 1


def wait_until(condition) -> None:
    """Ask again until it is so; a test that waits for ever is ended by its time limit."""
    pause = threading.Event()
    while not condition():
        pause.wait(0.002)


def test_read_ahead_keeps_the_order(producer):
    assert list(stream(producer.numbers, 5000)) == list(range(5000))


def test_read_ahead_takes_any_iterable(producer, host):
    assert list(stream(producer.as_list)) == [1, 2, 3]
    assert list(stream(sorted, host.send([3, 1, 2]))) == [1, 2, 3]


def test_read_ahead_of_what_is_not_iterable_is_a_type_error(producer):
    with pytest.raises(TypeError, match="not iterable"):
        list(stream(producer.not_iterable))


def test_item_arrives_before_the_next_one_is_made(process_host, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    answers = process_host.spawn(Producer)

    lines = stream(answers.echoing, str(tmp_path / "fifo"), 3)

    with open(tmp_path / "fifo", "w", buffering=1) as fifo:
        for number in range(20):
            assert [next(lines) for _ in range(3)] == [(number, 0), (number, 1), (number, 2)]
            print("go on", file=fifo)
    assert len(list(lines)) == 3  # of the last line


def test_read_ahead_rests_at_its_credit(producer):
    numbers = stream(producer.endless)
    next(numbers)

    wait_until(lambda: get(producer.made) == CREDIT)
    for _ in range(20):
        made = get(producer.made)

    assert made == CREDIT


def test_read_ahead_goes_on_as_items_are_taken(producer):
    numbers = stream(producer.endless)

    taken = [next(numbers) for _ in range(1000)]

    assert taken == list(range(1000))
    assert get(producer.made) <= 1000 + CREDIT


def test_calls_go_between_the_batches_of_a_stream(producer):
    numbers = stream(producer.endless)

    for _ in range(500):
        next(numbers)

    assert get(producer.closed) == 0


def test_closing_a_read_ahead_stream_closes_the_generator(producer):
    numbers = stream(producer.endless)
    next(numbers)

    numbers.close()

    wait_until(lambda: get(producer.closed) == 1)
    with pytest.raises(StopIteration):
        next(numbers)


def test_closing_a_stream_twice_is_fine(producer):
    numbers = stream(producer.endless)

    numbers.close()
    numbers.close()
    elsewhere.close(numbers)

    assert list(numbers) == []


def test_dropping_a_read_ahead_stream_closes_the_generator(producer):
    numbers = stream(producer.endless)
    next(numbers)

    del numbers

    wait_until(lambda: get(producer.closed) == 1)
    assert get(producer.made) <= 1 + CREDIT


def test_leaving_a_loop_early_leaves_nothing_open(host, producer):
    for number in stream(producer.endless):
        if number == 10:
            break

    wait_until(lambda: get(producer.closed) == 1 and host.stats()["calls"] == 0)
    assert get(producer.made) <= 11 + CREDIT


def test_error_in_a_read_ahead_stream_comes_after_every_item(producer):
    numbers = stream(producer.failing, 700)
    taken = []

    with pytest.raises(ValueError, match="in the middle"):
        taken.extend(numbers)

    assert taken == list(range(700))
    assert list(numbers) == []


def test_items_before_an_error_are_all_given(producer):
    numbers = stream(producer.failing, 700)

    taken = [next(numbers) for _ in range(700)]

    assert taken == list(range(700))
    with pytest.raises(ValueError, match="in the middle"):
        next(numbers)


def test_error_before_the_first_item_is_raised(host):
    dog = host.spawn(Dog, "rex")

    with pytest.raises(KeyError, match="early"):
        next(stream(dog.fail, KeyError("early")))


def test_large_items_arrive(producer):
    sizes = [len(item) for item in stream(producer.large, 20, 300_000)]

    assert sizes == [300_000] * 20


def test_uncopyable_items_of_a_read_ahead_stream_are_proxies(producer):
    locks = list(stream(producer.locks, 3))

    assert [lock.locked() for lock in locks] == [False] * 3


@pytest.mark.parametrize("result", ["auto", "proxy", "value"])
def test_items_of_a_read_ahead_stream_keep_to_the_rule_for_results(host, result):
    keeper = elsewhere.options(host.spawn(Lender), result=result)

    copied, lent = stream(keeper.things)

    assert copied == [1]
    assert not elsewhere.is_proxy(copied)
    assert elsewhere.is_proxy(lent)


class Lender:
    def things(self):
        yield [1]
        yield threading.Lock()


def test_stream_of_a_host_that_dies_ends_with_its_death(process_host):
    producer = process_host.spawn(Producer)
    numbers = stream(producer.endless)
    next(numbers)

    process_host.kill()

    with pytest.raises(elsewhere.HostDied):
        for _ in numbers:
            pass


def test_streams_of_two_hosts_interleave(producer):
    with elsewhere.Host() as other:
        numbers = other.spawn(Producer).numbers(3)

        assert list(zip(numbers, producer.numbers(3), strict=True)) == [(0, 0), (1, 1), (2, 2)]


class Lost(ValueError):
    """Cannot be pickled."""

    def __init__(self) -> None:
        super().__init__("mine")
        self.lock = threading.Lock()


@pytest.mark.parametrize(
    ("kind", "args"),
    [(GeneratorExit, ("over",)), (KeyboardInterrupt, ()), (SystemExit, (3,)), (Lost, ()), (ValueError, ("mine",))],
)
def test_exception_that_is_thrown_and_not_caught_is_raised_as_itself(book, kind, args):
    entries, thrown = book.entries(), kind(*args)
    next(entries)

    with pytest.raises(kind) as caught:
        entries.throw(thrown)

    assert str(caught.value) == str(thrown)
    assert book.read()[-1] == "closed"


def test_class_that_is_thrown_is_raised_as_itself(book):
    entries = book.entries()
    next(entries)

    with pytest.raises(KeyboardInterrupt):
        entries.throw(KeyboardInterrupt)


def test_exception_goes_through_a_generator_here_into_one_there(book):
    def wrapper():
        yield from book.entries()

    wrapped = wrapper()
    next(wrapped)
    with pytest.raises(KeyboardInterrupt):
        wrapped.throw(KeyboardInterrupt())
    assert book.read()[-1] == "closed"


class Catcher:
    def catch(self):
        try:
            yield "first"
        except ValueError as error:
            yield [type(error).__name__, str(error)]
        raise SystemExit(4)

    def leave(self):
        try:
            yield "first"
        except SystemExit:
            raise SystemExit(4) from None


def test_thrown_exception_that_cannot_travel_is_caught_there_by_its_builtin_base(host):
    stream = host.spawn(Catcher).catch()
    next(stream)

    assert stream.throw(Lost()) == ["Lost", "mine"]
    with pytest.raises(elsewhere.RemoteError, match="4") as caught:
        next(stream)
    assert type(caught.value).__name__ == "RemoteSystemExit"


def test_what_a_generator_raises_by_itself_is_not_taken_for_what_was_thrown(host):
    stream = host.spawn(Catcher).leave()
    next(stream)

    with pytest.raises(elsewhere.RemoteError, match="4") as caught:
        stream.throw(SystemExit(5))
    assert type(caught.value).__name__ == "RemoteSystemExit"
