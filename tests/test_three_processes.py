"""A proxy given to a third process works through the one in the middle; nothing is left when any of them dies."""

from __future__ import annotations

import asyncio
import os
import weakref

import pytest

import elsewhere
from elsewhere import ref
from programs import finish, has_ended, start


class Thing:
    """Lives in the first host, and tells when it goes."""

    def __init__(self, name, gone=None):
        self.name = name
        self.gone = gone

    def __eq__(self, other):
        return isinstance(other, Thing) and self.name == other.name

    def __hash__(self):
        return hash(self.name)

    def double(self, number):
        return number * 2

    def die(self):
        os._exit(3)

    def __del__(self):
        if self.gone is not None:
            elsewhere.post(self.gone)


class Keeper:
    """Lives in the second host, and keeps what it is given."""

    def __init__(self):
        self.kept = []

    def keep(self, *things):
        self.kept.extend(things)

    def double(self, number):
        return [thing.double(number) for thing in self.kept]

    def same(self, thing):
        """Whether it is what was kept, for dicts, too."""
        return thing == self.kept[0], hash(thing) == hash(self.kept[0]), {self.kept[0]: 1}[thing]

    def kill_what_is_kept(self):
        self.kept[0].die()

    def give(self):
        return self.kept[0]

    def forget(self):
        self.kept.clear()


@pytest.fixture
def first():
    with elsewhere.Host(name="first") as host:
        yield host


@pytest.fixture
def keeper():
    with elsewhere.Host(name="second") as host:
        yield host.spawn(Keeper)


def test_proxies_of_one_object_are_one_in_the_third_process(first, keeper):
    thing = first.spawn(Thing, "a")
    keeper.keep(thing, get_again := first.run(_identity, thing))

    assert keeper.double(2) == [4, 4]
    assert keeper.same(thing) == (True, True, 1)
    assert keeper.same(get_again) == (True, True, 1)


def _identity(thing):
    return thing


def test_proxy_that_went_through_a_third_process_comes_home_as_itself(first, keeper):
    thing = first.spawn(Thing, "a")
    keeper.keep(thing)

    back = keeper.give()

    assert back == thing
    assert hash(back) == hash(thing)
    assert elsewhere.host_of(back) is first
    assert first.run(_is_a_thing, back)


def _is_a_thing(thing):
    return type(thing) is Thing


def test_object_lives_as_long_as_the_third_process_keeps_it(first, keeper):
    gone = []
    thing = first.spawn(Thing, "a", ref(lambda: gone.append(True)))
    keeper.keep(thing)
    del thing
    assert keeper.double(4) == [8]
    assert gone == []

    keeper.forget()

    while not gone:
        first.run(len, [])
        keeper.double(0)


def test_death_of_the_first_is_told_to_the_third(first, keeper):
    thing = first.spawn(Thing, "a")
    keeper.keep(thing)

    with pytest.raises(elsewhere.HostDied) as caught:
        keeper.kill_what_is_kept()
    with pytest.raises(elsewhere.HostDied) as again:
        keeper.double(1)

    assert caught.value.exitcode == again.value.exitcode == 3
    assert "first" in str(caught.value)
    assert len(keeper.kept) == 1
    keeper.forget()
    assert elsewhere.host_of(keeper).stats()["exports"] <= 1


def test_death_of_the_third_lets_go_of_what_it_kept(first):
    gone = []
    with elsewhere.Host(name="second") as second:
        keeper = second.spawn(Keeper)
        keeper.keep(first.spawn(Thing, "a", ref(lambda: gone.append(True))))
        second.kill()

    while not gone:
        first.run(len, [])
    assert first.run(len, [1]) == 1


def test_death_of_the_middle_ends_the_others():
    program = """
    import os
    import elsewhere
    from test_three_processes import Keeper, Thing

    first, second = elsewhere.Host(), elsewhere.Host()
    keeper = second.spawn(Keeper)
    keeper.keep(first.spawn(Thing, "a"))
    print(first.pid, second.pid, keeper.double(1), flush=True)
    os.kill(os.getpid(), 9)
    """

    with start(program) as owner:
        first, second, doubled = owner.stdout.readline().split()
        finish(owner)

        assert doubled == "[2]"
        assert has_ended(int(first))
        assert has_ended(int(second))


def test_callback_of_this_process_works_in_the_third_process_of_a_host():
    """The owner's object goes to a host, and from there to a host of that host."""
    noted = []
    with elsewhere.Host() as host:
        host.run(_pass_on, ref(noted.append), 3)

    assert noted == [0, 1, 2]


def _pass_on(note, count):
    with elsewhere.Host() as inner:
        for number in range(count):
            inner.run(_note, note, number)


def _note(note, number):
    note(number)


def test_object_at_home_is_let_go_when_the_third_process_has_let_go():
    class Sink:
        def add(self, value):
            return value

    sink = Sink()
    watch = weakref.ref(sink)
    with elsewhere.Host() as host:
        host.run(_pass_on, ref(sink.add), 2)
        del sink
        while watch() is not None:
            host.run(len, [])

    assert watch() is None


class Server:
    """Lives in the second host; all that it does is asynchronous."""

    def __init__(self):
        self.log = []

    async def fetch(self, value):
        return value

    async def fail(self):
        raise LookupError("nothing there")

    async def count(self, number):
        try:
            for item in range(number):
                yield item
        finally:
            self.log.append("closed")

    async def __aenter__(self):
        self.log.append("entered")
        return "inside"

    async def __aexit__(self, *args):
        self.log.append("left")


class Client:
    """Lives in the first host, and uses what it is given."""

    async def fetch(self, server, value):
        return await server.fetch(value)

    async def fetch_all(self, server, number):
        return await asyncio.gather(*(elsewhere.submit(server.fetch, item) for item in range(number)))

    async def call(self, function, *args):
        return await function(*args)

    async def fail(self, server):
        with pytest.raises(LookupError, match="nothing there"):
            await server.fail()

    async def count(self, server, number):
        return [item async for item in server.count(number)]

    async def enter(self, server):
        async with server as inside:
            return inside


@pytest.fixture(params=["exec", "local"])
def server(request):
    with elsewhere.Host(start=request.param) as host:
        yield host.spawn(Server)


@pytest.fixture(params=["exec", "local"])
def client(request):
    with elsewhere.Host(start=request.param) as host:
        yield host.spawn(Client)


def test_async_method_is_awaited_through_the_middle(client, server):
    assert client.fetch(server, "value").result() == "value"
    assert client.call(server.fetch, "by its method").result() == "by its method"
    assert client.fetch_all(server, 20).result() == list(range(20))


def test_async_method_that_fails_fails_through_the_middle(client, server):
    assert client.fail(server).result() is None


def test_async_generator_is_iterated_through_the_middle(client, server):
    assert client.count(server, 4).result() == [0, 1, 2, 3]
    assert elsewhere.get(server.log) == ["closed"]


def test_async_context_is_entered_and_left_through_the_middle(client, server):
    assert client.enter(server).result() == "inside"
    assert elsewhere.get(server.log) == ["entered", "left"]


class Third:
    async def numbers(self, count: int):
        for number in range(count):
            yield number


class Reader:
    async def iterate(self, third, count: int) -> list[int]:
        return [number async for number in third.numbers(count)]

    def read_ahead(self, third, count: int) -> list[int]:
        return list(elsewhere.stream(third.numbers, count))


def test_async_generator_of_the_third_process_is_iterated_and_read_ahead(process_host):
    with elsewhere.Host() as other:
        reader, third = process_host.spawn(Reader), other.spawn(Third)

        assert reader.iterate(third, 3).result() == [0, 1, 2]
        assert reader.read_ahead(third, 3) == [0, 1, 2]
        assert list(elsewhere.stream(third.numbers, 3)) == [0, 1, 2]
