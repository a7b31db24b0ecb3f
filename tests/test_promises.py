"""Futures as targets and arguments of further calls, before and after they are settled."""

from __future__ import annotations

import concurrent.futures
import gc
import pickle
import threading
import weakref

import pytest

import elsewhere
from elsewhere import get, lazy, ref, submit
from workshop import kept_busy


class Own:
    """Travels by pickle."""

    def __init__(self, value=None):
        self.value = value


class Shop:
    def __init__(self):
        self.stock = ["lamp", "desk"]
        self.served = []

    def after(self, gate, value):
        gate()
        return value

    def fail_after(self, gate, error):
        gate()
        raise error

    def serve(self, *things):
        self.served.append(things)
        return things[0] if len(things) == 1 else things

    def own(self, value):
        return Own(value)

    def list_stock(self):
        return self.stock

    def me(self):
        return self

    def lock(self):
        return threading.Lock()

    def long(self, length):
        return b"x" * length

    def add(self, number, other):
        return number + other

    def serve_what(self, other):
        """From inside a call: what a future of this host gives, passed on."""
        return other.serve(lazy(submit(other.add, 1, 2)))


@pytest.fixture
def shop(host):
    return host.spawn(Shop)


@pytest.fixture
def gate():
    gate = threading.Event()
    yield gate
    gate.set()


@pytest.fixture
def far_shop(process_host):
    return process_host.spawn(Shop)


def test_call_is_sent_before_the_future_that_it_names_is_settled(far_shop, gate):
    first = submit(far_shop.after, ref(gate.wait), 5)

    second = submit(far_shop.serve, lazy(first))
    third = submit(far_shop.add, lazy(second), 10)

    assert [future.done() for future in (first, second, third)] == [False] * 3
    gate.set()
    assert third.result() == 15
    assert get(far_shop.served) == [(5,)]


def test_settled_future_is_its_value(shop):
    future = submit(shop.add, 1, 2)
    future.result()

    assert submit(shop.serve, lazy(future)).result() == 3
    assert shop.serve(lazy(future), future) == (3, 3)


def test_future_is_a_target(shop):
    future = submit(shop.list_stock)

    assert submit(lazy(future).index, "desk").result() == 1
    assert get(lazy(future)[0].upper()) == "LAMP"
    assert get(lazy(submit(shop.own, 7)).value) == 7


def test_copied_answer_is_a_copy_whenever_it_is_used(shop):
    early = submit(shop.list_stock)
    submit(lazy(early).append, "early").result()
    late = submit(shop.list_stock)
    late.result()
    submit(lazy(late).append, "late").result()

    assert get(shop.stock) == ["lamp", "desk"]
    assert late.result() == ["lamp", "desk"]


def test_answer_by_reference_is_the_object(shop):
    lock = submit(shop.lock)

    taken = submit(lazy(lock).acquire)
    again = submit(lazy(lock).acquire, blocking=False)

    assert (taken.result(), again.result()) == (True, False)
    assert get(lock.result().locked()) is True


def test_class_of_an_answer_is_known_though_the_first_answer_of_it_is_read_last(far_shop):
    first = submit(far_shop.lock)
    second = submit(far_shop.serve, lazy(first))

    read_first = second.result()

    assert read_first == first.result()
    assert read_first.acquire() is True


def test_answer_that_is_the_receiver_is_the_receiver(shop):
    me = submit(shop.me)

    submit(lazy(me).serve, 1).result()

    assert submit(shop.serve, lazy(me)).result() == shop
    assert len(shop.served) == 2


@pytest.mark.parametrize("length", [10, 511, 513, 100_000])
def test_answer_of_any_length_arrives(shop, length):
    future = submit(shop.serve, lazy(submit(shop.long, length)))

    assert len(future.result()) == length


def test_answer_is_found_behind_many_others(shop):
    first = submit(shop.add, 1, 1)
    others = [submit(shop.add, number, 0) for number in range(200)]

    last = submit(shop.serve, lazy(first))

    assert last.result() == 2
    assert [other.result() for other in others] == list(range(200))


def test_long_chain_needs_no_answers_in_between(shop):
    future = submit(shop.add, 0, 0)
    for _ in range(300):
        future = submit(shop.add, lazy(future), 1)

    assert future.result() == 300


def test_failure_goes_along_the_chain_and_nothing_of_it_starts(far_shop, gate):
    first = submit(far_shop.fail_after, ref(gate.wait), LookupError("no such thing"))
    second = submit(far_shop.serve, lazy(first))
    third = submit(far_shop.serve, [lazy(second)])
    beside = submit(far_shop.add, 1, 1)
    gate.set()

    for future in (first, second, third):
        with pytest.raises(LookupError, match="no such thing"):
            future.result()
    assert beside.result() == 2
    assert get(far_shop.served) == []


def test_failed_future_poisons_what_is_made_of_it_later(shop):
    failed = submit(shop.add, 1, "x")
    failed.exception()

    future = submit(shop.serve, lazy(failed))

    with pytest.raises(TypeError, match="unsupported operand"):
        future.result()
    with pytest.raises(TypeError, match="unsupported operand"):
        shop.serve(lazy(failed))
    assert get(shop.served) == []


@pytest.mark.parametrize(
    "place",
    [lambda path: path, lambda path: [path], lambda path: Own(path), lambda path: lazy(path).deeper],
    ids=["argument", "in a list", "in a pickle", "deeper"],
)
def test_failed_path_on_another_host_poisons_what_is_made_of_it(shop, far_shop, place):
    failed = submit(far_shop.add, 1, "x")

    of_a_future = submit(shop.serve, place(lazy(failed).real))
    of_an_object = submit(shop.serve, place(far_shop.nothing))

    assert type(of_a_future.exception()) is TypeError
    assert type(of_an_object.exception()) is AttributeError
    with pytest.raises(AttributeError, match="nothing"):
        shop.serve(place(far_shop.nothing))
    assert get(shop.served) == []


def test_cancelled_future_poisons_too(far_shop, gate):
    running = submit(far_shop.after, ref(gate.wait), 1)
    queued = submit(far_shop.add, 1, 1)
    made_of_it = submit(far_shop.serve, lazy(queued))
    queued.cancel()
    gate.set()

    assert running.result() == 1
    with pytest.raises(elsewhere.CallCancelled):
        made_of_it.result()
    assert get(far_shop.served) == []


def test_future_of_another_host_is_waited_for(host, far_shop):
    shop = host.spawn(Shop)
    there = submit(far_shop.add, 2, 3)
    lock = submit(far_shop.lock)

    assert shop.serve(lazy(there)) == 5
    assert shop.serve(lazy(lock)) == lock.result()
    assert shop.serve(lazy(submit(far_shop.own, 4)).value) == 4


PLACES = {
    "argument": lambda future: lazy(future),
    "in a list": lambda future: [lazy(future)],
    "in a pickle": lambda future: Own(lazy(future)),
    "path": lambda future: lazy(future).real,
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES.keys())
def test_time_of_a_call_passes_while_its_future_is_not_settled(host, process_host, place):
    shop, far_shop = host.spawn(Shop), process_host.spawn(Shop)

    with kept_busy(process_host):
        future = submit(far_shop.add, 2, 3)
        with pytest.raises(elsewhere.CallTimeout) as caught:
            elsewhere.options(shop, timeout=0.05).serve(place(future))

    assert caught.value.outcome == "not_started"
    assert future.result() == 5
    assert get(shop.served) == []


def test_future_itself_is_an_argument(shop):
    future = submit(shop.add, 1, 2)

    assert submit(shop.serve, future).result() == 3
    assert submit(shop.serve, [future, {"key": future}]).result() == [3, {"key": 3}]


@pytest.mark.parametrize("is_settled", [True, False])
def test_future_itself_is_an_argument_where_something_is_pickled(shop, far_shop, is_settled):
    futures = [submit(shop.own, 5), submit(far_shop.own, 6)]
    if is_settled:
        concurrent.futures.wait(futures)

    alone = shop.serve(futures[0])
    own, far_own, beside = shop.serve(futures[0], [futures[1]], Own(futures[0]))

    assert alone.value == 5
    assert (own.value, far_own[0].value, beside.value.value) == (5, 6, 5)


def test_future_is_pickled_nowhere_else(shop):
    with pytest.raises(TypeError, match="a future cannot be pickled"):
        pickle.dumps(submit(shop.add, 1, 2))


def test_future_beside_what_is_pickled_is_its_value(shop):
    pickled, plain = submit(shop.own, 5), submit(shop.add, 1, 2)

    own, number, nested = shop.serve(Own(lazy(pickled)), lazy(plain), [lazy(pickled)])

    assert (own.value.value, number, nested[0].value) == (5, 3, 5)


def test_future_of_another_thread_is_its_value(far_shop, gate):
    future = submit(far_shop.after, ref(gate.wait), 1)
    results = []
    thread = threading.Thread(target=lambda: results.append(far_shop.serve(lazy(future))))
    thread.start()
    gate.set()

    thread.join()

    assert results == [1]


@pytest.mark.package_there
def test_future_inside_a_call_is_its_value(host, process_host):
    shop, other = host.spawn(Shop), process_host.spawn(Shop)

    assert shop.serve_what(other) == 3


def test_post_takes_a_future(shop):
    elsewhere.post(shop.serve, lazy(submit(shop.add, 1, 1)))

    assert shop.me() == shop
    assert get(shop.served) == [(2,)]


def test_stream_takes_a_future(shop):
    assert list(elsewhere.stream(shop.serve, lazy(submit(shop.list_stock)))) == ["lamp", "desk"]


def test_call_whose_future_nobody_keeps_still_runs(far_shop, gate):
    first = submit(far_shop.after, ref(gate.wait), b"x" * 10_000)
    submit(far_shop.serve, lazy(first))
    del first
    gc.collect()
    gate.set()

    assert far_shop.me() == far_shop
    assert get(far_shop.served) == [(b"x" * 10_000,)]


def test_lazy_future_says_what_it_is(shop):
    future = submit(shop.list_stock)

    assert repr(lazy(future)[0]).startswith("<path lazy(Shop.list_stock)[0] in ")
    assert elsewhere.is_proxy(lazy(future))
    assert elsewhere.host_of(lazy(future)) is elsewhere.host_of(shop)


def test_what_was_promised_is_let_go(far_shop):
    big = submit(far_shop.long, 10_000)
    submit(far_shop.serve, lazy(big)).result()
    watch = weakref.ref(big)
    del big
    submit(far_shop.serve, lazy(submit(far_shop.add, 1, 1))).result()  # what is over goes when the next one comes

    gc.collect()
    assert watch() is None
