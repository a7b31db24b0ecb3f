"""Proxies of objects in hosts, forwarded to other processes: these connect to the host, which listens for them."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import sys
import threading
from multiprocessing import forkserver, resource_tracker
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import elsewhere
from elsewhere import host_of, submit
from kennel import Dog, error_of
from programs import finish, has_ended, start

if TYPE_CHECKING:
    from collections.abc import Iterator


class Reader:
    """Loads pickles and uses what they give, in its process."""

    def __init__(self) -> None:
        self.loaded: Any = None
        self.kept: Any = None

    def load(self, data: bytes) -> None:
        self.loaded = pickle.loads(data)

    def load_again(self, data: bytes) -> bool:
        """Whether a second pickle gives the same."""
        again = pickle.loads(data)
        return bool(again == self.loaded) and hash(again) == hash(self.loaded)

    def grow(self) -> int:
        return self.loaded.grow()

    def place(self) -> str:
        return repr(self.loaded)

    def keep(self, proxy: Any) -> None:
        self.kept = proxy

    def pickle_what_is_kept(self) -> bytes:
        return pickle.dumps(self.kept)

    def pickle_what_was_loaded(self) -> bytes:
        return pickle.dumps(self.loaded)

    def drop(self) -> None:
        self.loaded = None

    def grow_in_a_fork(self) -> int:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(writing, bytes([self.loaded.grow()]))
            os._exit(0)
        os.waitpid(child, 0)
        age = os.read(reading, 1)[0]
        os.close(reading)
        os.close(writing)
        return age

    def ask_back(self, number: int) -> int:
        """What the object gives when it calls this one back, for which this thread waits."""
        return self.loaded.ask(self.double, number)

    def double(self, number: int) -> int:
        self.answered_by = threading.get_ident()
        return number * 2

    def from_threads(self, count: int) -> list[int]:
        """What several threads get."""
        found: list[int] = []
        threads = [threading.Thread(target=lambda: found.append(self.loaded.grow())) for _ in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sorted(found)

    def in_order(self, count: int) -> list[int]:
        futures = [submit(self.loaded.grow) for _ in range(count)]
        return [future.result() for future in futures]


class Asker(Dog):
    """Calls back."""

    def ask(self, function: Any, number: int) -> int:
        return function(number)

    def meet(self, name: str, age: int) -> None:
        self.friends.append(Dog(name, age))


def pickled(proxy: object) -> bytes:
    return pickle.dumps(proxy)


def use_proxy(proxy: Any, answers: Any) -> None:
    answers.send((proxy.grow(), os.getpid()))


def grow(proxy: Any) -> int:
    return proxy.grow()


def is_a_dog(proxy: object) -> bool:
    return type(proxy) is Asker


def is_a_dog_when_loaded(data: bytes) -> bool:
    return type(pickle.loads(data)) is Asker


def is_listening() -> bool:
    return "elsewhere._guests" in sys.modules


def set_life(seconds: float) -> None:
    from elsewhere import _grants  # noqa: PLC0415 - what a host does not have before it grants

    _grants.LIFE = seconds


@pytest.fixture(params=["exec", "zygote"])
def home(request: pytest.FixtureRequest) -> Iterator[elsewhere.Host]:
    """The host where the object lives."""
    with elsewhere.Host(start=request.param) as host:
        yield host


@pytest.fixture
def dog(process_host: elsewhere.Host) -> Asker:
    return process_host.spawn(Asker, "rex")


@pytest.fixture
def reader() -> Iterator[Reader]:
    """Another process, which is not the owner of the object's host."""
    with elsewhere.Host() as host:
        yield host.spawn(Reader)


@pytest.fixture(params=["fork", "spawn", "forkserver"])
def context(request: pytest.FixtureRequest) -> Iterator[Any]:
    yield multiprocessing.get_context(request.param)
    forkserver._forkserver._stop()
    resource_tracker._resource_tracker._stop()


def test_pickle_leads_another_process_straight_to_the_object(home, reader):
    dog = home.spawn(Asker, "rex")

    reader.load(pickled(dog))

    assert reader.grow() == 1
    assert elsewhere.get(dog.age) == 1
    assert reader.place() == f"<proxy of Asker in host {home.pid}>"


def test_host_listens_only_when_it_is_asked_to(process_host, dog):
    before = process_host.run(is_listening)

    pickled(dog)

    assert not before
    assert process_host.run(is_listening)
    assert Path(process_host.address).is_socket()
    assert Path(process_host.address).parent.stat().st_mode & 0o777 == 0o700


def test_pickle_is_loaded_once(dog, reader):
    data = pickled(dog)
    reader.load(data)

    error = error_of(lambda: reader.load(data))

    assert isinstance(error, elsewhere.ObjectGone)
    assert reader.grow() == 1


def test_pickle_of_a_path_holds_what_is_there_now(dog, reader):
    dog.meet("bello", 7)
    data = pickled(dog.friends[0])
    dog.friends.clear()

    reader.load(data)

    assert reader.grow() == 8


def test_pickle_of_a_view_is_one_of_what_it_views(dog):
    again = pickle.loads(pickled(elsewhere.futures(dog)))

    assert again == dog
    assert again.grow() == 1


def test_pickle_outlives_the_proxy_that_it_was_made_of(process_host, reader):
    data = pickled(process_host.spawn(Dog, "rex"))

    reader.load(data)

    assert reader.grow() == 1


def test_two_pickles_of_one_object_give_one_proxy(dog, reader):
    reader.load(pickled(dog))

    assert reader.load_again(pickled(dog))


def test_pickle_that_is_loaded_by_the_owner_is_the_owners_proxy(process_host, dog):
    again = pickle.loads(pickled(dog))

    assert again == dog
    assert hash(again) == hash(dog)
    assert host_of(again) is process_host


def test_pickle_that_is_loaded_where_the_object_lives_is_the_object(process_host, dog):
    assert process_host.run(is_a_dog_when_loaded, pickled(dog))


def test_process_that_has_a_proxy_through_another_pickles_it(dog, reader):
    reader.keep(dog)

    again = pickle.loads(reader.pickle_what_is_kept())

    assert again == dog


def test_process_that_loaded_a_pickle_makes_further_ones(dog, reader):
    reader.load(pickled(dog))

    data = reader.pickle_what_was_loaded()
    reader.load(data)

    assert reader.grow() == 1


def test_proxy_is_an_argument_of_a_process(context, process_host, dog):
    process_host.address
    reading, writing = context.Pipe(duplex=False)
    child = context.Process(target=use_proxy, args=(dog, writing))

    child.start()
    said = reading.recv()
    child.join()
    reading.close()
    writing.close()

    assert said == (1, child.pid)
    assert dog.grow() == 2


def test_proxy_is_an_argument_of_a_pool(dog):
    with multiprocessing.get_context("fork").Pool(2) as pool:
        ages = pool.map(grow, [dog] * 4)
        pool.close()
        pool.join()

    assert sorted(ages) == [1, 2, 3, 4]


def test_fork_of_a_process_that_loaded_a_pickle_connects_anew(dog, reader):
    reader.load(pickled(dog))

    assert reader.grow_in_a_fork() == 1
    assert reader.grow() == 2


def test_host_lives_as_long_as_somebody_has_a_forwarded_proxy(reader):
    dog = elsewhere.spawn(Dog, "rex")
    pid = host_of(dog).pid
    reader.load(pickled(dog))

    del dog
    age = reader.grow()
    reader.drop()

    assert age == 1
    assert has_ended(pid)


def test_host_ends_when_nobody_uses_a_grant():
    dog = elsewhere.spawn(Dog, "rex")
    pid = host_of(dog).pid
    host_of(dog).run(set_life, 0.05)
    pickled(dog)

    del dog

    assert has_ended(pid)


def test_close_ends_the_host_for_everybody(process_host, dog, reader):
    reader.load(pickled(dog))
    place = Path(process_host.address)

    process_host.close()

    assert process_host.exitcode == 0
    assert not place.exists()
    assert isinstance(error_of(reader.grow), elsewhere.ConnectionLost)


def test_kill_is_told_to_everybody_and_leaves_no_socket(process_host, dog, reader):
    reader.load(pickled(dog))
    place = Path(process_host.address)

    process_host.kill()
    process_host.wait()

    assert not place.exists()
    assert isinstance(error_of(reader.grow), elsewhere.ConnectionLost)


OWNER = """
    import pickle, sys
    import elsewhere
    from kennel import Dog

    host = elsewhere.Host()
    dog = host.spawn(Dog, "rex")
    print(pickle.dumps(dog).hex(), host.pid, host.address, flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("is_killed", [True, False])
def test_end_of_the_owner_ends_the_host_for_everybody(is_killed):
    owner = start(OWNER)
    data, pid, place = owner.stdout.readline().split()
    dog = pickle.loads(bytes.fromhex(data))
    age = dog.grow()

    if is_killed:
        owner.kill()
    finish(owner)
    error = error_of(lambda: [dog.grow() for _ in iter(int, 1)])

    assert age == 1
    assert isinstance(error, elsewhere.ConnectionLost)
    assert has_ended(int(pid))
    assert not Path(place).exists()


def test_object_calls_back_in_the_chain_of_a_forwarded_proxy(dog, reader):
    reader.load(pickled(dog))

    assert reader.ask_back(4) == 8


def test_calls_of_a_thread_start_in_order(dog, reader):
    reader.load(pickled(dog))

    assert reader.in_order(50) == list(range(1, 51))


@pytest.mark.parametrize("concurrency", ["serial", "async", "caller", 3])
def test_forwarded_proxy_works_with_each_concurrency(concurrency, reader):
    with elsewhere.Host(concurrency=concurrency) as home:
        dog = home.spawn(Dog, "rex")
        reader.load(pickled(dog))

        ages = reader.from_threads(3)
        reader.drop()

        assert len(ages) == 3
        assert dog.grow() == max(ages) + 1


def test_threads_of_a_guest_that_is_gone_end_where_each_caller_has_one(reader):
    with elsewhere.Host(concurrency="caller") as home:
        dog = home.spawn(Dog, "rex")
        idle = home.run(threading.active_count)
        reader.load(pickled(dog))
        reader.grow()

        reader.drop()

        while home.run(threading.active_count) > idle:
            threading.Event().wait(0.001)
        assert home.run(threading.active_count) <= idle


def test_proxies_of_a_local_host_say_why_they_are_no_pickles():
    with elsewhere.Host(start="local") as host:
        dog = host.spawn(Dog, "rex")

        with pytest.raises(TypeError, match="local host"):
            pickled(dog)
        with pytest.raises(TypeError, match="in this process"):
            host.address


def test_address_of_a_host_leads_nobody_in_without_a_grant(process_host, dog):
    from elsewhere import _core  # noqa: PLC0415 - what a stranger would do

    pickled(dog)
    place = process_host.address

    with pytest.raises(TypeError, match="serves no object"):
        elsewhere.connect(place)
    with pytest.raises(elsewhere.ObjectGone):
        _core._redeem_at_host(str(place), b"x" * 16, 5.0)


class Bag:
    """Has one thing to find."""

    content = 7
    pockets = {"left": 8}


@pytest.mark.parametrize("served", [False, True], ids=["of a host", "of a server here"])
def test_what_is_missing_behind_a_call_that_is_passed_on_is_missing(served) -> None:
    def look(bag: Any) -> list[Any]:
        found = [elsewhere.get(bag.content), elsewhere.get(bag.pockets["left"]), elsewhere.get(bag.none, default=9)]
        errors = [error_of(lambda: elsewhere.get(bag.none)), error_of(lambda: elsewhere.get(bag.pockets["right"]))]
        return [*found, elsewhere.get(bag.pockets["right"], default=9), *map(type, errors)]

    with (
        elsewhere.Host(concurrency="caller") as host,
        elsewhere.Host() as other,
        elsewhere.serve(Bag()).start() as server,
    ):
        bag = elsewhere.connect(server.address) if served else host.spawn(Bag)

        assert other.run(look, bag) == [7, 8, 9, 9, AttributeError, KeyError]
