"""The kinds of proxies that uactor's users know, each over an object in an actor."""

from __future__ import annotations

import array
import multiprocessing.managers
import multiprocessing.pool
import os
import pickle
import queue
import signal
import threading
import types
import weakref

import pytest

from elsewhere.dialects import uactor, uactor_gates


class Tally:
    def __init__(self):
        self.count = 0

    def add(self, number):
        self.count += number
        return self.count

    def parts(self):
        return [1, 2]

    def _private(self):
        return "private"


class TallyProxy(uactor.BaseProxy):
    _exposed_ = ("add", "parts")
    _method_to_typeid_ = {"parts": "list"}
    parts = uactor.ProxyMethod("parts")

    def add_twice(self, number):
        self._callmethod("add", (number,))
        return self._callmethod("add", [], {"number": number})


class OpenProxy(uactor.BaseProxy):
    """Lists nothing."""


class Store(uactor.Actor):
    """Makes whatever it is asked for, and gives a proxy of it."""

    _proxies_ = {"Tally": TallyProxy, "Open": OpenProxy}
    _method_to_typeid_ = {"declared": "list"}

    def __init__(self):
        self.things = {}
        self.made = []

    def make(self, typeid, factory, *args):
        thing = factory(*args)
        if isinstance(thing, Tally):
            self.made.append(weakref.ref(thing))
        return uactor.proxy(thing, typeid)

    def declared(self):
        return [1, 2, 3]

    def declared_type(self):
        return type(self.declared()).__name__

    def alive(self):
        return sum(ref() is not None for ref in self.made)

    def hold_for(self, seconds):
        uactor_gates.HELD = seconds

    def keep(self, proxy):
        self.kept = proxy

    def crash(self):
        os.kill(os.getpid(), signal.SIGKILL)

    def count(self):
        yield from range(3)
        return "end"

    def counted(self):
        return uactor.proxy(self.count(), "Iterator")

    def talk(self):
        def talk():
            got = yield 1
            while True:
                try:
                    got = yield got
                except KeyError:
                    got = "caught"

        return uactor.proxy(talk(), "Iterator")

    def pick(self, as_proxy):
        data = [1]
        return uactor.proxy(data, "list") if as_proxy else data

    def use(self, proxy, name, *args):
        return getattr(proxy, name)(*args)

    def take(self, lock, release):
        """Hold a lock of another actor until told to let it go."""
        with lock:
            release.wait(60)


@pytest.fixture(scope="module")
def store():
    with Store() as store:
        yield store


@pytest.fixture(scope="module")
def other():
    """A third process."""
    with Store() as other:
        yield other


def twice(number):
    return number * 2


def test_declared_proxy_is_given_to_callers_alone(store):
    proxy = store.declared()

    assert uactor.typeid(proxy) == "list"
    assert isinstance(proxy, uactor.BaseProxy)
    assert list(proxy) == [1, 2, 3]
    assert store.declared_type() == "list"


def test_method_chooses_between_a_proxy_and_a_value(store):
    assert store.pick(False) == [1]
    assert list(store.pick(True)) == [1]


def test_list(store):
    proxy = store.make("list", list, [3, 1])
    same = proxy

    proxy.append(2)
    proxy.sort()
    proxy += [4]
    proxy[0] = 0
    del proxy[1]
    proxy *= 2

    assert same is proxy
    assert list(proxy) == [0, 3, 4, 0, 3, 4]
    assert proxy[1:3] == [3, 4]
    assert len(proxy) == 6
    assert 4 in proxy
    assert proxy + [1] == [0, 3, 4, 0, 3, 4, 1]  # noqa: RUF005
    assert list(reversed(proxy)) == [4, 3, 0, 4, 3, 0]
    assert (proxy.pop(), proxy.index(3), proxy.count(0), proxy.copy()) == (4, 1, 2, [0, 3, 4, 0, 3])
    assert str(proxy) == "[0, 3, 4, 0, 3]"


def test_dict(store):
    proxy = store.make("dict", dict, {"a": 1})

    proxy["b"] = 2
    proxy |= {"c": 3}
    proxy.update(d=4)
    del proxy["a"]

    assert list(proxy) == ["b", "c", "d"]
    assert (proxy.keys(), proxy.values(), proxy.items()) == (["b", "c", "d"], [2, 3, 4], [("b", 2), ("c", 3), ("d", 4)])
    assert (proxy["b"], proxy.get("x"), proxy.pop("b"), "b" in proxy, len(proxy)) == (2, None, 2, False, 2)
    assert proxy | {"e": 5} == {"c": 3, "d": 4, "e": 5}
    with pytest.raises(KeyError):
        proxy["nothing"]


def test_event_is_waited_for_and_set_across_processes(store, other):
    event = store.make("Event", threading.Event)

    assert not event.wait(0.01)
    other.use(event, "set")

    assert event.wait(60)
    assert event.is_set()
    event.clear()
    assert not event.is_set()


@pytest.mark.parametrize("typeid", ["Lock", "RLock", "Semaphore", "BoundedSemaphore"])
def test_locks_belong_to_who_took_them(store, other, typeid):
    lock = store.make(typeid, getattr(threading, typeid))
    release = store.make("Event", threading.Event)
    taking = threading.Thread(target=other.take, args=(lock, release))

    with lock:
        assert not other.use(lock, "acquire", False)
        assert not other.use(lock, "acquire", True, 0.01)
        taking.start()
    release.set()
    taking.join()

    assert lock.acquire(timeout=60)
    lock.release()


def test_recursive_lock_knows_the_thread_that_took_it(store):
    lock = store.make("RLock", threading.RLock)
    found = []

    with lock, lock:
        other = threading.Thread(target=lambda: found.append(lock.acquire(False)))
        other.start()
        other.join()

    assert found == [False]


def test_condition(store):
    condition = store.make("Condition", threading.Condition)
    ready = store.make("list", list)
    seen = []

    def wait():
        with condition:
            seen.append(condition.wait_for(lambda: len(ready), 60))

    waiting = threading.Thread(target=wait)
    waiting.start()
    with condition:
        ready.append(1)
        condition.notify_all()
    waiting.join()

    assert seen == [1]
    with condition:
        assert not condition.wait(0.01)
        assert not condition.wait_for(lambda: False, 0.01)


def test_barrier(store):
    barrier = store.make("Barrier", threading.Barrier, 2)
    waiting = threading.Thread(target=barrier.wait)
    waiting.start()

    barrier.wait(60)
    waiting.join()
    assert (barrier.parties, barrier.n_waiting, barrier.broken) == (2, 0, False)
    barrier.abort()

    assert barrier.broken
    with pytest.raises(threading.BrokenBarrierError):
        barrier.wait()
    barrier.reset()
    assert not barrier.broken


@pytest.mark.parametrize("typeid", ["Queue", "JoinableQueue"])
def test_queues(store, other, typeid):
    jobs = store.make(typeid, queue.Queue, 2)

    other.use(jobs, "put", "job")
    jobs.put_nowait("another")

    assert (jobs.full(), jobs.qsize(), jobs.get(), jobs.get(timeout=1), jobs.empty()) == (
        True,
        2,
        "job",
        "another",
        True,
    )
    with pytest.raises(queue.Empty):
        jobs.get_nowait()
    with pytest.raises(queue.Empty):
        jobs.get(timeout=0.01)
    jobs.task_done()
    jobs.task_done()
    jobs.join()


def test_pool_and_its_results(store):
    with store.make("Pool", multiprocessing.pool.ThreadPool, 2) as pool:
        result = pool.apply_async(twice, (2,))
        never = pool.apply_async(threading.Event().__class__.wait, (None,))

        assert uactor.typeid(result) == "AsyncResult"
        assert (result.get(60), result.ready(), result.successful()) == (4, True, True)
        assert result.wait() is None
        with pytest.raises(AttributeError):
            never.get(60)
        assert pool.apply(twice, (1,)) == 2
        assert pool.map(twice, [1, 2]) == [2, 4]
        assert pool.map_async(twice, [1, 2]).get() == [2, 4]
        assert pool.starmap(pow, [(2, 3)]) == [8]
        assert pool.starmap_async(pow, [(2, 3)]).get() == [8]
        assert list(pool.imap(twice, [1, 2])) == [2, 4]
        assert sorted(pool.imap_unordered(twice, [1, 2])) == [2, 4]
    pool.join()


def test_result_that_is_not_there_in_time_is_a_timeout(store):
    event = store.make("Event", threading.Event)
    with store.make("Pool", multiprocessing.pool.ThreadPool, 1) as pool:
        result = pool.apply_async(event.wait, (60,))

        with pytest.raises(multiprocessing.TimeoutError):
            result.get(0.01)
        event.set()

        assert result.get(60)


@pytest.mark.parametrize(
    "factory", [multiprocessing.managers.Value, lambda kind, value: multiprocessing.Value(kind, value)]
)
def test_value(store, factory):
    value = store.make("Value", factory, "i", 1)

    value.set(2)
    value.value += 1

    assert value.get() == value.value == 3


def test_array(store):
    numbers = store.make("Array", array.array, "i", [1, 2, 3])

    numbers[0] = 5

    assert (numbers[0], list(numbers[1:]), len(numbers)) == (5, [2, 3], 3)


def test_namespace(store):
    space = store.make("Namespace", types.SimpleNamespace)

    space.age = 3
    space.age += 1
    assert space.age == 4
    del space.age

    with pytest.raises(AttributeError):
        space.age
    with pytest.raises(AttributeError):
        space._callmethod("__getattribute__", ("__class__",))


def test_iterator_ends_as_iterators_do(store):
    counted = store.counted()

    assert [next(counted), *counted] == [0, 1, 2]
    with pytest.raises(StopIteration):
        next(counted)


def test_generator_is_sent_to_thrown_into_and_closed(store):
    talk = store.talk()

    assert next(talk) == 1
    assert talk.send("said") == "said"
    assert talk.throw(KeyError()) == "caught"
    talk.close()

    with pytest.raises(StopIteration):
        talk.send("more")


def test_dynamic_proxy_has_the_public_methods(store, other):
    tally = store.make("auto", Tally)

    assert tally.add(2) == 2
    assert tally.add(number=1) == 3
    assert other.use(tally, "add", 1) == 4
    assert uactor.typeid(tally) == "auto"
    with pytest.raises(AttributeError):
        tally._private()
    with pytest.raises(AttributeError):
        tally._callmethod("_private")
    with pytest.raises(AttributeError):
        tally.count = 1


def test_own_kind_of_proxy(store, other):
    tally = store.make("Tally", Tally)

    assert isinstance(tally, TallyProxy)
    assert tally.add_twice(2) == 4
    assert list(tally.parts()) == [1, 2]
    assert other.use(tally, "add_twice", 1) == 6
    with pytest.raises(AttributeError, match="'TallyProxy' object has no attribute '_private'"):
        tally._callmethod("_private")


def test_own_kind_that_lists_nothing_reaches_public_methods(store):
    tally = store.make("Open", Tally)

    assert tally._callmethod("add", (2,)) == 2
    with pytest.raises(AttributeError):
        tally._callmethod("_private")


def test_kinds_of_an_actor_are_listed_and_inherited():
    class Special(Store):
        _method_to_typeid_ = {"declared": None}

    assert {"Tally", "Open", "actor", "list"} <= set(Special.manager_class.typeids())
    assert Special.manager_class.__name__ == f"{Special.__qualname__}.manager_class"
    with Special() as special:
        assert special.declared() == [1, 2, 3]


def test_objects_are_let_go_of_with_their_proxies(store):
    proxies = [store.make("Tally", Tally) for _ in range(10)]
    assert store.alive() == 10

    passed = [pickle.loads(pickle.dumps(proxy)) for proxy in proxies]
    del proxies
    assert all(proxy.add_twice(1) == 2 for proxy in passed)
    del passed

    while store.alive():
        pass


def test_object_of_a_pickle_that_nobody_loads_is_let_go_of():
    with Store() as store:
        store.hold_for(0.01)
        data = pickle.dumps(store.make("Tally", Tally))

        while store.alive():
            pass

        with pytest.raises(uactor.ProxyError, match="gone"):
            pickle.loads(data)


def test_object_of_a_client_that_died_is_let_go_of(store):
    client = Store()
    client.keep(store.make("Tally", Tally))
    assert store.alive() == 1

    with pytest.raises(uactor.ActorGoneError):
        client.crash()

    while store.alive():
        pass


def test_proxies_of_one_object_are_equal_wherever_they_come_from(store, other):
    numbers = store.make("list", list)
    again = pickle.loads(pickle.dumps(numbers))

    assert numbers == again
    assert len({numbers, again}) == 1
    assert numbers != store.make("list", list)
    assert other.use(numbers, "__eq__", again)
