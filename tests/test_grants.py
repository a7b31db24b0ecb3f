"""Proxies of what is served, pickled: each pickle gives whoever loads it a proxy of its own, once."""

from __future__ import annotations

import copy
import multiprocessing
import os
import pickle
import threading
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING, Any

import pytest

import elsewhere
from kennel import Dog, error_of
from visitors import KEY, Keeper

if TYPE_CHECKING:
    from collections.abc import Iterator


class Reader:
    """Loads pickles, in its process."""

    def __init__(self) -> None:
        self.loaded: Any = None

    def load(self, data: bytes) -> None:
        self.loaded = pickle.loads(data)

    def grow(self) -> int:
        return self.loaded.grow()

    def connect(self, address: str, key: bytes) -> None:
        self.connected = elsewhere.connect(address, authkey=key)

    def is_same(self) -> bool:
        return bool(self.loaded == self.connected) and hash(self.loaded) == hash(self.connected)

    def drop(self) -> None:
        self.loaded = None


@pytest.fixture
def dog() -> Dog:
    return Dog("rex")


@pytest.fixture
def server(dog: Dog) -> Iterator[elsewhere.Server]:
    with elsewhere.serve(dog) as server:
        yield server


@pytest.fixture
def keeper(process_host: elsewhere.Host, server: elsewhere.Server) -> Keeper:
    """A client of the server, in another process."""
    keeper = process_host.spawn(Keeper)
    keeper.visit(server.address)
    return keeper


@pytest.fixture
def reader() -> Iterator[Reader]:
    """A third process."""
    with elsewhere.Host() as host:
        yield host.spawn(Reader)


def pickled(proxy: object) -> bytes:
    return pickle.dumps(proxy)


def use_proxy(proxy: Any, answers: Any) -> None:
    answers.send((proxy.grow(), os.getpid()))


def test_pickle_of_a_proxy_leads_another_process_to_the_object(keeper, reader, dog):
    data = keeper.use(pickled)

    reader.load(data)

    assert reader.grow() == 1
    assert dog.age == 1


def test_pickle_is_loaded_once(keeper, reader):
    data = keeper.use(pickled)
    reader.load(data)

    error = error_of(lambda: reader.load(data))

    assert isinstance(error, elsewhere.ObjectGone)
    assert "loaded before" in str(error)
    assert reader.grow() == 1


def test_pickle_of_a_path_holds_what_is_there_now(keeper, reader, dog):
    dog.friends.append(Dog("bello", 7))
    data = keeper.use(lambda dog: pickle.dumps(dog.friends[0]))
    dog.friends.clear()

    reader.load(data)

    assert reader.grow() == 8


def test_pickle_of_a_result_by_reference_outlives_its_parent(keeper, reader, dog):
    dog.friends.append(Dog("bello", 3))
    data = keeper.use(lambda dog: pickle.dumps(elsewhere.ref(dog.friends[0])))
    keeper.let_go()

    reader.load(data)

    assert reader.grow() == 4


def test_pickle_made_in_the_serving_process_is_used_in_another(server, reader):
    data = pickle.dumps(elsewhere.connect(server.address, Dog))

    reader.load(data)

    assert reader.grow() == 1


def test_pickle_that_comes_home_is_a_proxy_of_the_object_here(server, keeper, dog):
    data = keeper.use(pickled)

    here = pickle.loads(data)

    assert here.grow() == 1
    assert here == elsewhere.connect(server.address)


@pytest.fixture
def context() -> Iterator[Any]:
    """Processes that inherit nothing; what multiprocessing keeps running for that is ended."""
    yield multiprocessing.get_context("spawn")
    resource_tracker._resource_tracker._stop()


def test_proxy_is_an_argument_of_a_process(context, server):
    reading, writing = context.Pipe(duplex=False)
    child = context.Process(target=use_proxy, args=(elsewhere.connect(server.address), writing))

    child.start()
    said = reading.recv()
    child.join()
    reading.close()
    writing.close()

    assert said == (1, child.pid)


def test_receiver_without_the_key_is_refused_until_it_connects(process_host, reader):
    with elsewhere.serve(Dog("rex"), "127.0.0.1:0", authkey=KEY) as server:
        keeper = process_host.spawn(Keeper)
        keeper.visit(server.address)
        data = keeper.use(pickled)

        error = error_of(lambda: reader.load(data))
        reader.connect(str(server.address), KEY)
        reader.load(data)

        assert isinstance(error, elsewhere.AuthenticationError)
        assert reader.grow() == 1
        assert reader.is_same()


def test_key_does_not_travel_with_a_pickle(process_host):
    with elsewhere.serve(Dog("rex"), authkey=KEY) as server:
        keeper = process_host.spawn(Keeper)
        keeper.visit(server.address)

        assert KEY not in keeper.use(pickled)


def test_pickle_whose_owner_is_gone_is_an_error_at_once(server, keeper, reader):
    data = keeper.use(pickled)
    server.close()

    error = error_of(lambda: reader.load(data))

    assert isinstance(error, elsewhere.ConnectionLost)


def test_what_was_granted_is_released_when_its_proxy_goes(server, keeper, reader):
    reader.load(keeper.use(pickled))
    assert server.stats()["connections"] == 2

    reader.drop()

    while server.stats()["connections"] != 1:
        threading.Event().wait(0.001)


def test_grant_that_nobody_uses_ends(server, keeper, monkeypatch, reader):
    from elsewhere import _grants  # noqa: PLC0415 - it is loaded for the first grant

    monkeypatch.setattr(_grants, "LIFE", 0.01)
    data = keeper.use(pickled)

    grants = server._door._grants
    while grants is None or grants._granted:
        threading.Event().wait(0.001)

    assert isinstance(error_of(lambda: reader.load(data)), elsewhere.ObjectGone)


def test_copy_of_a_proxy_grants_nothing(server):
    proxy = elsewhere.connect(server.address)

    assert copy.copy(proxy) is proxy
    assert server._door._grants is None
