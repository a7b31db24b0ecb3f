"""How results travel: the receiver, what is held, streams, copies, and proxies where no copy can be made."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import io
import itertools
import logging
import sqlite3
import sys
import threading
import types

import pytest

import elsewhere
from elsewhere import get, is_proxy, ref
from kennel import Dog
from workshop import Keeper, Locked


@pytest.fixture
def dog(host: elsewhere.Host) -> Dog:
    return host.spawn(Dog, "rex", age=3)


@pytest.fixture
def keeper(host: elsewhere.Host) -> Keeper:
    return host.spawn(Keeper)


class Maker:
    """Makes things that travel differently."""

    def __init__(self) -> None:
        self.items = [1, 2]
        self.lock = threading.Lock()

    def numbers(self):
        yield from range(3)

    async def slow_numbers(self):
        for number in range(3):
            yield number

    async def slow_echo(self):
        item = "start"
        try:
            while True:
                try:
                    item = yield item
                except KeyError:
                    item = "caught"
        finally:
            self.items.append("closed")

    def is_async_generator(self, thing: object) -> bool:
        return isinstance(thing, types.AsyncGeneratorType)

    def iterator(self, name: str) -> object:
        return {
            "list": lambda: iter([1, 2]),
            "map": lambda: map(abs, [-1, -2]),
            "zip": lambda: zip([1], [2], strict=True),
            "range": lambda: iter(range(2)),
            "dict": lambda: iter({1: 2}),
            "count": lambda: itertools.count(1),
            "generator": lambda: (number for number in [1, 2]),
        }[name]()

    def cursor(self) -> sqlite3.Cursor:
        return sqlite3.connect(":memory:").execute("select 1")

    def reader(self) -> io.BytesIO:
        return io.BufferedReader(io.BytesIO(b"abc"))  # type: ignore[return-value]

    def module(self) -> types.ModuleType:
        return threading

    def locked(self) -> Locked:
        return Locked()

    def logged(self) -> LoggedOnce:
        return LoggedOnce()

    def own_lock(self) -> object:
        return self.lock

    def list_of(self) -> list[object]:
        return [1, threading.Lock(), "two", [threading.Lock()]]

    def tuple_of(self) -> tuple[object, ...]:
        return (threading.Lock(), 5)

    def dict_of(self) -> dict[str, object]:
        return {"lock": threading.Lock(), "number": 7}

    def bound(self) -> object:
        return self.numbers

    def by_reference(self) -> object:
        return ref(self.items)

    def itself(self) -> Maker:
        return self

    def among(self) -> list[object]:
        return [1, self]

    def counted(self) -> Counted:
        return Counted()

    def bare(self) -> Bare:
        return Bare()


class LoggedOnce(Locked):
    """A class of its own, since the memory of what was logged is the process's."""


class Counted:
    """Cannot be copied, and counts the attempts, in the class."""

    attempts = 0

    def __reduce__(self):
        Counted.attempts += 1
        raise TypeError("no copies")

    def number(self) -> int:
        return Counted.attempts


class Bare:
    """The same without a dictionary of its own."""

    __slots__ = ()
    attempts = 0

    def __reduce__(self):
        Bare.attempts += 1
        raise TypeError("no copies")

    def number(self) -> int:
        return Bare.attempts


@pytest.fixture
def maker(host: elsewhere.Host) -> Maker:
    return host.spawn(Maker)


def test_result_that_is_the_receiver_arrives_as_its_proxy(dog):
    assert dog.itself() == dog
    assert is_proxy(dog.itself())


def test_chained_calls_on_the_receiver_work(dog):
    assert dog.itself().itself().bark() == "woof"


def test_receiver_on_a_path_arrives_as_a_proxy_of_the_object_there(host, dog):
    friend = host.spawn(Dog, "tom")
    dog.befriend(friend)

    assert dog.friends[0].itself() == friend


def test_result_that_the_caller_holds_arrives_as_that_proxy(host, dog):
    tom = host.spawn(Dog, "tom")
    dog.befriend(tom)

    first = dog.first_friend()

    assert is_proxy(first)
    assert first == tom


def test_held_object_among_others_is_no_proxy_unless_it_cannot_be_copied(maker):
    number, proxy = maker.among()  # the maker holds a lock

    assert number == 1
    assert proxy == maker


def test_ref_as_a_result_is_a_reference(maker):
    items = maker.by_reference()
    items.append(3)

    assert is_proxy(items)
    assert get(maker.items) == [1, 2, 3]


def test_generator_is_a_lockstep_stream(maker):
    numbers = maker.numbers()

    assert type(numbers).__name__ == "Stream"
    assert list(numbers) == [0, 1, 2]


@pytest.mark.parametrize("name", ["list", "map", "zip", "range", "dict", "count", "generator"])
def test_builtin_iterator_is_a_stream(maker, name):
    assert type(maker.iterator(name)).__name__ == "Stream"


def test_cursor_and_reader_are_proxies_and_no_streams(maker):
    cursor = maker.cursor()

    assert is_proxy(cursor)
    assert cursor.fetchall() == [(1,)]
    assert is_proxy(maker.reader())
    cursor.connection.close()


def test_module_is_a_proxy(maker):
    assert is_proxy(maker.module())


def test_async_generator_is_iterated_asynchronously(maker):
    async def collect() -> list[int]:
        return [number async for number in maker.slow_numbers()]

    assert asyncio.run(collect()) == [0, 1, 2]


def test_async_generator_is_resumed_thrown_into_and_closed(maker):
    async def play() -> tuple[object, ...]:
        echo = maker.slow_echo()
        return (await anext(echo), await echo.asend("a"), await echo.athrow(KeyError("b")), await echo.aclose())

    assert asyncio.run(play()) == ("start", "a", "caught", None)
    assert get(maker.items) == [1, 2, "closed"]


def test_error_in_an_async_generator_is_raised_here(maker):
    async def play() -> None:
        await maker.slow_echo().athrow(ValueError("mine"))

    with pytest.raises(ValueError, match="mine"):
        asyncio.run(play())


@pytest.mark.parametrize(
    "make", [lambda: GeneratorExit("over"), KeyboardInterrupt, lambda: KeyboardInterrupt, LookupError]
)
def test_exception_that_is_thrown_into_an_async_generator_and_not_caught_is_raised_as_itself(maker, make):
    caught: list[type] = []
    thrown = make()

    async def play() -> None:
        echo = maker.slow_echo()
        await anext(echo)
        try:
            await echo.athrow(thrown)
        except BaseException as error:
            caught.append(type(error))

    asyncio.run(play())

    assert caught == [thrown if isinstance(thrown, type) else type(thrown)]
    assert get(maker.items) == [1, 2, "closed"]


def test_async_generator_comes_home_as_itself(maker):
    numbers = maker.slow_numbers()

    assert maker.is_async_generator(numbers)


def test_result_that_cannot_be_copied_is_one_proxy(maker):
    locked = maker.locked()

    assert is_proxy(locked)
    assert get(locked.name) == "locked"


def test_list_gets_proxies_for_its_own_failing_elements(maker):
    one, lock, two, deep = maker.list_of()

    assert (one, two) == (1, "two")
    assert not lock.locked()
    assert is_proxy(deep)


def test_tuple_and_dict_get_proxies_for_their_failing_elements(maker):
    lock, five = maker.tuple_of()
    table = maker.dict_of()

    assert is_proxy(lock)
    assert five == 5
    assert type(table) is dict
    assert table["number"] == 7
    assert is_proxy(table["lock"])


def test_uncopyable_result_is_logged_once_with_its_culprit(heard_host, caplog):
    maker = heard_host.spawn(Maker)
    caplog.set_level(logging.INFO, logger="elsewhere")

    maker.logged()
    maker.logged()

    entries = [record for record in caplog.records if "LoggedOnce" in record.getMessage()]
    assert len(entries) == 1
    assert "inner['deep'][0], a _thread.lock" in entries[0].getMessage()
    assert entries[0].levelno == logging.INFO


@pytest.fixture(params=[{"start": "local"}, {"logging": True}], ids=["local", "logs home"])
def heard_host(request):
    with elsewhere.Host(**request.param) as host:  # where this process sees the log
        yield host


@pytest.mark.parametrize("kind", ["counted", "bare"])
def test_verdict_is_remembered(maker, kind):
    getattr(maker, kind)()
    attempts = getattr(maker, kind)().number()

    assert getattr(maker, kind)().number() == attempts


def holding_a_lock(kind: type) -> object:
    return kind([threading.Lock()])


@pytest.mark.parametrize("kind", [set, frozenset, collections.deque])
def test_container_is_copied_though_another_could_not_be(keeper, kind):
    assert is_proxy(keeper.call(holding_a_lock, kind))
    assert type(keeper.call(kind, "ab")) is kind


def test_one_object_given_many_times_is_one_object_here(host, maker):
    locks = [maker.own_lock() for _ in range(3)]

    assert locks[0] == locks[1] == locks[2]
    assert len({hash(lock) for lock in locks}) == 1


def test_copy_is_made_of_everything_else(maker, dog):
    copy = get(maker.items)

    assert type(copy) is list
    assert copy == [1, 2]


def test_result_that_cannot_be_rebuilt_here_is_a_result_error(host):
    keeper = host.spawn(Keeper)

    with pytest.raises(elsewhere.ResultError, match="I do not arrive") as caught:
        keeper.call(Fragile)

    assert caught.value.outcome == "finished"


def explode() -> None:
    raise RuntimeError("I do not arrive")


class Fragile:
    def __reduce__(self):
        return explode, ()


def test_bound_method_as_a_result_can_be_called(maker):
    method = maker.bound()

    assert list(method()) == [0, 1, 2]


def test_none_true_and_small_values_are_themselves(keeper):
    for value in (None, True, False, 0, "", b"", ()):
        assert keeper.path_of(value) == value
        assert type(keeper.path_of(value)) is type(value)
    assert keeper.path_of(None) is None


def test_immutable_value_that_is_held_is_still_copied(host):
    text = host.send("abc")
    keeper = host.spawn(Keeper, text)

    assert keeper.give() == "abc"
    assert type(keeper.give()) is str


class Odd:
    """Gives containers of which one part cannot be copied."""

    def key(self) -> dict[object, object]:
        return {"first": threading.Lock(), threading.Lock(): 1}

    def of_its_own_list(self) -> list[object]:
        return OwnList([threading.Lock()])

    def in_a_set(self) -> set[object]:
        return {threading.Lock()}

    def many(self, count: int) -> list[object]:
        return [threading.Lock() for _ in range(count)]


class OwnList(list):
    pass


@pytest.mark.parametrize("name", ["key", "of_its_own_list", "in_a_set"])
def test_container_whose_elements_do_not_travel_by_themselves_is_one_proxy(host, name):
    container = getattr(host.spawn(Odd), name)()

    assert is_proxy(container)
    assert len(container) >= 1
    assert host.stats()["imports"] == 1


def test_proxies_that_nobody_asked_for_are_limited(process_host):
    odd = process_host.spawn(Odd)
    held = [odd.many(50_000), odd.many(50_000)]

    with pytest.raises(elsewhere.Overloaded, match="100000"):
        odd.many(1)

    held.pop()
    assert is_proxy(odd.many(1)[0])


class Bell:
    """Can be copied, and gives its own methods."""

    def __init__(self) -> None:
        self.rings: list[int] = []

    def ring(self) -> int:
        self.rings.append(1)
        return len(self.rings)

    def method(self) -> object:
        return self.ring

    def method_of_its_list(self) -> object:
        return self.rings.append


def test_method_of_the_receiver_as_a_result_is_a_reference(host):
    bell = host.spawn(Bell)

    ring = bell.method()
    ring()

    assert is_proxy(ring)
    assert get(bell.rings) == [1]
    assert elsewhere.ref(bell.ring)() == 2


def test_method_of_another_object_as_a_result_is_a_copy(host):
    append = host.spawn(Bell).method_of_its_list()

    assert not is_proxy(append)
    append(5)
    assert append.__self__ == [5]


class Changing:
    """Has containers that a thread of its own makes longer and shorter all the time."""

    def __init__(self) -> None:
        sys.setswitchinterval(1e-6)
        self.containers = {
            "list": [0] * 2000,
            "dict": dict.fromkeys(range(2000), 0),
            "set": set(range(100, 2000)),
            "bytearray": bytearray(50),
        }
        self.is_over = False
        threading.Thread(target=self.change, daemon=True).start()

    def change(self) -> None:
        items, table, members, octets = self.containers.values()
        while not self.is_over:
            for number in range(20):
                items.append(number)
                table[-number] = 0
                members.add(number)
            with contextlib.suppress(BufferError):  # it is being read
                octets.append(1)
            for number in range(20):
                items.pop()
                table.pop(-number)
                members.discard(number)
            with contextlib.suppress(BufferError):
                octets.pop()

    def get(self, kind: str) -> list[object]:
        return [self.containers[kind], kind]

    def close(self) -> None:
        self.is_over = True


@pytest.mark.parametrize("kind", ["list", "dict", "set", "bytearray"])
def test_container_that_a_thread_there_changes_arrives_whole(host, kind):
    changing = host.spawn(Changing)
    said = set()

    for _ in range(300):
        try:
            container, name = changing.get(kind)
        except RuntimeError as error:
            said.add(str(error))
            continue
        assert type(container).__name__ == kind == name

    changing.close()
    assert said <= {
        f"{kind} changed size during iteration",
        "dictionary changed size during iteration",
        "Set changed size during iteration",
    }  # by pickle
