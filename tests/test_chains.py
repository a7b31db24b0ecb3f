"""Calls that lead back to where they came from."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import elsewhere
from kennel import Dog


class Pong:
    """Calls back as often as it is told."""

    def hit(self, count, back):
        return 0 if count == 0 else 1 + back(count - 1)


class Ping:
    """Calls a Pong, and hears from it on which thread it is called back."""

    def __init__(self, pong):
        self.pong = pong
        self.threads = set()

    def hit(self, count):
        self.threads.add(threading.get_ident())
        return self.pong.hit(count, self.hit)


def test_chain_of_fifty_callbacks_runs_in_the_thread_that_waits(host):
    ping = Ping(host.spawn(Pong))

    depth = ping.hit(50)

    assert depth == 50
    assert ping.threads == {threading.get_ident()}


def test_callback_runs_although_other_calls_are_queued(host):
    ping = Ping(host.spawn(Pong))
    dog = host.spawn(Dog, "rex")

    first = elsewhere.submit(ping.pong.hit, 3, ping.hit)
    queued = [elsewhere.submit(dog.grow) for _ in range(20)]

    assert first.result() == 3
    assert [future.result() for future in queued] == list(range(1, 21))


def test_object_that_comes_home_is_itself_in_every_thread(process_host):
    dog = process_host.spawn(Dog, "rex")

    def swap(_):
        own = object()
        return all(dog.echo(elsewhere.ref(own)) is own for _ in range(300))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(swap, range(4)))


def test_proxy_works_in_a_third_process_through_this_one():
    with elsewhere.Host() as first, elsewhere.Host() as second:
        names = first.send(["rex"])
        holder = second.send({})

        holder["names"] = names

        assert second.run(_append_through, holder, "tom") == 2
        assert elsewhere.get(names) == ["rex", "tom"]
        assert holder.get("names") == names


def _append_through(holder, name):
    holder["names"].append(name)
    return len(holder["names"])


class Busy:
    """Knows how many calls it runs at a time."""

    def __init__(self):
        self.running = 0
        self.most = 0

    def work(self):
        self.running += 1
        self.most = max(self.most, self.running)
        total = sum(range(20_000))
        self.running -= 1
        return total


class Poster:
    """Has things noted at home, without waiting for it."""

    def post_many(self, noter, count):
        for number in range(count):
            elsewhere.post(noter.note, number)

    def post_and_call(self, noter, count):
        for number in range(0, count, 2):
            elsewhere.post(noter.note, number)
            noter.note(number + 1)

    def submit_and_call(self, noter, count):
        futures = [elsewhere.submit(noter.note, number) for number in range(count - 1)]
        noter.note(count - 1)
        for future in reversed(futures):
            future.result()

    def post_and_call_at_door(self, porch):
        elsewhere.post(porch.door.note, "behind")
        porch.note("beside")

    def call(self, function, *args):
        return function(*args)


class Noter:
    def __init__(self):
        self.noted = []

    def note(self, number):
        self.noted.append(number)


@pytest.mark.parametrize("method", ["post_many", "post_and_call", "submit_and_call"])
def test_posts_that_come_home_start_in_the_order_made(host, method):
    work = getattr(host.spawn(Poster), method)

    for _ in range(100):
        noter = Noter()

        work(elsewhere.ref(noter), 6)

        assert noter.noted == [0, 1, 2, 3, 4, 5]


def test_posts_that_come_home_before_it_waits_start_in_the_order_made(process_host):
    poster = process_host.spawn(Poster)

    for round_number in range(300):
        noter = Noter()
        future = elsewhere.submit(poster.post_many, elsewhere.ref(noter), 6)
        for _ in range(round_number * 20):
            pass  # so that the wait begins anywhere between the posts

        future.result()

        while len(noter.noted) < 6:
            poster.post_many(elsewhere.ref(Noter()), 0)
        assert noter.noted == [0, 1, 2, 3, 4, 5]


class Porch:
    """Calls back into the host while a name on it is looked up."""

    def __init__(self, poster):
        self.poster = poster
        self.noted = []
        self.is_done = threading.Event()

    @property
    def door(self):
        self.poster.call(elsewhere.ref(self.note), "door")
        return self

    def note(self, what):
        self.noted.append(what)
        if len(self.noted) == 3:
            self.is_done.set()


def test_property_that_calls_back_does_not_wait_for_calls_behind_it(process_host):
    poster = process_host.spawn(Poster)
    porch = Porch(poster)

    future = elsewhere.submit(poster.post_and_call_at_door, elsewhere.ref(porch))
    assert porch.is_done.wait(10)  # not for the future: so the service thread takes what comes home

    future.result()
    assert sorted(porch.noted) == ["behind", "beside", "door"]


def test_host_is_serial_for_all_threads(host):
    busy = host.spawn(Busy)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: busy.work(), range(100)))

    assert elsewhere.get(busy.most) == 1


def test_calls_that_a_callback_makes_start_in_the_order_made(host):
    noter, poster = host.spawn(Noter), host.spawn(Poster)

    def call_back():
        elsewhere.post(noter.note, 0)
        futures = [elsewhere.submit(noter.note, number) for number in (1, 2)]
        noter.note(3)
        elsewhere.post(noter.note, 4)
        return [future.result() for future in reversed(futures)]

    poster.call(elsewhere.ref(call_back))

    assert elsewhere.get(noter.noted) == [0, 1, 2, 3, 4]
