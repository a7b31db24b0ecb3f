"""How arguments travel: by copy, by reference, as streams, and what cannot."""

from __future__ import annotations

import asyncio
import functools
import gc
import threading
from typing import TYPE_CHECKING

import pytest

import elsewhere
from elsewhere import get, ref
from kennel import Dog
from workshop import Keeper, Locked, kept_busy

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def keeper(host: elsewhere.Host) -> Keeper:
    return host.spawn(Keeper)


@pytest.fixture
def dog(host: elsewhere.Host) -> Dog:
    return host.spawn(Dog, "rex", age=3)


@pytest.fixture
def other():
    with elsewhere.Host() as host:
        yield host


class Listener:
    """Has bound methods to hand over."""

    def __init__(self) -> None:
        self.heard: list[object] = []

    def hear(self, what: object) -> int:
        self.heard.append(what)
        return len(self.heard)

    @classmethod
    def make(cls) -> str:
        return cls.__name__

    @staticmethod
    def shout(what: str) -> str:
        return what.upper()


class Box:
    """Something that pickles with what is in it."""

    def __init__(self, content: object) -> None:
        self.content = content


def test_plain_argument_is_a_copy(keeper):
    numbers = [1, 2]

    keeper.keep(numbers)
    numbers.append(3)

    assert get(keeper.thing) == [1, 2]


def test_object_of_a_class_is_a_copy(keeper):
    box = Box(5)

    keeper.keep(box)
    box.content = 6

    assert get(keeper.thing.content) == 5


def test_ref_travels_by_reference(keeper):
    listener = Listener()

    keeper.keep(ref(listener))
    keeper.thing.hear("word")

    assert listener.heard == ["word"]


def test_ref_coming_home_is_the_object_itself(keeper):
    listener = Listener()
    keeper.keep(ref(listener))

    assert keeper.give() is listener


def test_root_travels_by_reference_and_is_the_object_there(keeper, dog):
    keeper.keep(dog)

    assert keeper.kind(dog) == "Dog"
    assert keeper.is_kept(dog)
    assert keeper.give() == dog


def test_path_of_the_same_host_is_read_at_the_start_of_the_call(keeper, dog):
    dog.age = 8

    assert keeper.path_of(dog.age) == 8


def test_path_of_the_same_host_is_sent_with_the_call(host, keeper, dog):
    with kept_busy(host):  # a trip to read it could not be answered
        future = elsewhere.submit(keeper.same, dog.friends, dog.friends)

    assert future.result()


def test_missing_path_as_an_argument_raises_what_reading_it_raises(keeper, dog):
    with pytest.raises(AttributeError, match="no_such_thing"):
        keeper.path_of(dog.no_such_thing)


def test_path_of_another_host_is_read_beforehand(keeper, other):
    tom = other.spawn(Dog, "tom", age=4)

    assert keeper.path_of(tom.age) == 4
    assert keeper.kind(tom.tricks) == "dict"


def test_path_of_another_host_that_cannot_be_copied_travels_as_a_proxy(keeper, other):
    tom = other.spawn(Dog, "tom")

    keeper.keep(tom.lock)

    assert keeper.kind(tom.lock) == "Proxy"
    assert not keeper.thing.locked()


def test_root_of_another_host_travels_by_reference(keeper, other):
    tom = other.spawn(Dog, "tom", age=4)

    keeper.keep(tom)
    keeper.thing.grow()

    assert get(tom.age) == 5


def test_bound_method_of_a_python_class_goes_by_reference(keeper):
    listener = Listener()

    assert keeper.call(listener.hear, "word") == 1
    assert listener.heard == ["word"]


def test_bound_method_within_a_list_goes_by_reference(keeper):
    listener = Listener()

    keeper.keep([listener.hear])
    keeper.thing[0]("word")

    assert listener.heard == ["word"]


def test_bound_method_within_an_object_goes_by_reference(keeper):
    listener = Listener()

    keeper.keep(Box({"deep": [listener.hear]}))
    keeper.thing.content["deep"][0]("word")

    assert listener.heard == ["word"]


def test_bound_method_within_a_partial_goes_by_reference(keeper):
    listener = Listener()

    keeper.call(functools.partial(listener.hear, "word"))

    assert listener.heard == ["word"]


def test_class_and_static_methods_are_copied(keeper):
    assert keeper.call(Listener.make) == "Listener"
    assert keeper.call(Listener.shout, "word") == "WORD"


def test_bound_method_of_a_builtin_is_copied(keeper):
    numbers = [1]

    keeper.call(numbers.append, 2)

    assert numbers == [1]


def test_method_given_to_run_is_copied_with_its_object(host):
    listener = Listener()

    assert host.run(listener.hear, "word") == 1
    assert listener.heard == []


def test_method_given_to_spawn_is_copied_with_its_object(process_host):
    box = process_host.spawn(Box(7).__reduce_ex__, 2)

    assert elsewhere.is_proxy(box)


def test_root_and_ref_within_containers_keep_being_references(keeper, dog):
    listener = Listener()

    keeper.keep({"dog": dog, "list": [ref(listener), dog]})
    keeper.thing["list"][0].hear("x")

    assert listener.heard == ["x"]
    assert keeper.same(keeper.thing["dog"], dog)
    assert keeper.same(keeper.thing["list"][1], dog)


def test_root_and_path_within_a_pickled_object_are_references_and_values(keeper, dog):
    keeper.keep(Box([dog, dog.age]))

    assert keeper.same(keeper.thing.content[0], dog)
    assert get(keeper.thing.content[1]) == 3


def test_proxy_of_another_host_within_a_pickled_object_is_a_reference(keeper, other):
    tom = other.spawn(Dog, "tom")

    keeper.keep(Box([tom]))
    keeper.thing.content[0].grow(6)

    assert get(tom.age) == 6


def test_generator_argument_is_a_lockstep_stream(keeper):
    asked: list[int] = []

    def numbers():
        for number in range(100):
            asked.append(number)
            yield number

    assert keeper.take(numbers(), 3) == [0, 1, 2]
    assert asked == [0, 1, 2]


def test_generator_within_a_pickled_object_is_a_stream(keeper):
    keeper.keep(Box(number * 2 for number in range(5)))

    assert keeper.take(keeper.thing.content, 3) == [0, 2, 4]


def test_uncopyable_argument_is_refused_with_path_and_hint(keeper):
    with pytest.raises(elsewhere.ArgumentError) as caught:
        keeper.keep(Locked())

    assert caught.value.outcome == "not_started"
    assert "inner" in str(caught.value)
    assert "['deep'][0]" in str(caught.value)
    assert "_thread.lock" in str(caught.value)
    assert "ref(x)" in str(caught.value)
    assert caught.value.method == "Keeper.keep"
    assert isinstance(caught.value, TypeError)


def test_uncopyable_argument_leaves_nothing_started(keeper):
    keeper.keep("before")

    with pytest.raises(elsewhere.ArgumentError):
        keeper.keep(threading.Lock())

    assert keeper.give() == "before"


def test_references_beside_an_uncopyable_argument_are_taken_back(host, keeper):
    listener = Listener()
    before = host.stats()["exports"]

    with pytest.raises(elsewhere.ArgumentError):
        keeper.call(ref(listener), [listener.hear], threading.Lock())

    assert host.stats()["exports"] == before


def test_uncopyable_keyword_is_named(keeper):
    with pytest.raises(elsewhere.ArgumentError, match="cause"):
        keeper.open("x", cause=threading.Lock())


def test_uncopyable_value_to_set_is_refused(keeper):
    with pytest.raises(elsewhere.ArgumentError, match=r"ref\(x\)"):
        keeper.thing = threading.Lock()


def test_uncopyable_argument_of_submit_post_and_stream_is_told_at_once(keeper):
    for verb in (elsewhere.submit, elsewhere.post, elsewhere.stream):
        with pytest.raises(elsewhere.ArgumentError):
            verb(keeper.keep, threading.Lock())


def test_lambda_and_closure_are_copied(keeper):
    factor = 3

    assert keeper.call(lambda number: number * factor, 5) == 15


def test_closure_over_an_uncopyable_is_refused_with_the_variables_name(keeper):
    lock = threading.Lock()

    with pytest.raises(elsewhere.ArgumentError, match="variable lock"):
        keeper.call(lambda: lock.locked())


def test_local_class_and_its_instances_are_copied(keeper):
    class Local:
        def double(self, number: int) -> int:
            return number * 2

    assert keeper.call(Local().double, 4) == 8
    assert keeper.call(lambda: Local().double(4)) == 8
    assert keeper.kind(Local()).endswith("Local")


def test_argument_that_raises_while_it_is_pickled_is_refused(keeper):
    with pytest.raises(elsewhere.ArgumentError, match="I do not travel"):
        keeper.keep(Stubborn())

    assert keeper.give() is None


class Stubborn:
    def __reduce__(self):
        raise RuntimeError("I do not travel")


def test_argument_that_cannot_be_rebuilt_there_did_not_start_the_call(keeper):
    with pytest.raises(elsewhere.ArgumentError, match="I do not arrive") as caught:
        keeper.keep(Fragile())

    assert caught.value.outcome == "not_started"
    assert type(caught.value.__cause__) is RuntimeError
    assert str(caught.value.__cause__) == "I do not arrive"
    assert keeper.give() is None


def explode() -> None:
    raise RuntimeError("I do not arrive")


class Fragile:
    def __reduce__(self):
        return explode, ()


def test_argument_that_cannot_be_rebuilt_there_behind_a_call_that_ran_says_so(host):
    dog = host.spawn(Dog, "rex")

    with pytest.raises(elsewhere.ArgumentError, match="the rest of the call did not start") as info:
        elsewhere.get(elsewhere.lazy(dog).befriend("tom").echo(Fragile()))

    assert info.value.outcome == "unknown"
    assert elsewhere.get(dog.friends) == ["tom"]


def test_recursive_argument_arrives_as_it_is(keeper):
    loop: list[object] = [1]
    loop.append(loop)

    keeper.keep(loop)

    assert keeper.same(keeper.thing, keeper.thing[1])


def test_reference_is_given_back_when_the_host_drops_it(process_host):
    keeper = process_host.spawn(Keeper)
    listener = Listener()
    keeper.keep(ref(listener))
    assert process_host.stats()["exports"] == 1

    keeper.keep(None)
    keeper.give()
    gc.collect()

    released = threading.Event()
    while process_host.stats()["exports"]:
        keeper.give()
        assert not released.wait(0.001)


def test_many_references_of_one_object_are_one_export(host, keeper):
    listener = Listener()

    keeper.keep([ref(listener) for _ in range(10)])

    assert host.stats()["exports_by_type"] == {f"{__name__}.Listener": 1}


class AsyncReader:
    """Reads what is asynchronous."""

    async def read(self, items) -> list[object]:
        return [item async for item in items]

    async def play(self, generator) -> list[object]:
        return [
            await anext(generator),
            await generator.asend("sent"),
            await generator.athrow(KeyError("thrown")),
            await generator.aclose(),
        ]


async def echo(closed: list[str]):
    item = yield "first"
    try:
        yield item
    except KeyError as error:
        yield error.args[0]
    finally:
        closed.append("closed")


def test_async_generator_argument_is_a_lockstep_stream(process_host):
    asked: list[int] = []

    async def numbers():
        for number in range(3):
            asked.append(number)
            yield number

    async def play() -> list[object]:
        return await process_host.spawn(AsyncReader).read(numbers())

    assert asyncio.run(play()) == [0, 1, 2]
    assert asked == [0, 1, 2]


def test_async_generator_argument_is_sent_to_thrown_into_and_closed(process_host):
    closed: list[str] = []

    async def play() -> list[object]:
        return await process_host.spawn(AsyncReader).play(echo(closed))

    assert asyncio.run(play()) == ["first", "sent", "thrown", None]
    assert closed == ["closed"]


def test_path_of_the_same_host_is_read_when_the_call_begins(process_host):
    keeper, dog = process_host.spawn(Keeper), process_host.spawn(Dog, "rex", age=3)

    with kept_busy(process_host):
        elsewhere.post(setattr, dog, "age", 8)
        future = elsewhere.submit(keeper.path_of, dog.age)

    assert future.result() == 8


def test_path_of_another_host_is_read_before_the_call_is_sent(keeper, other):
    tom = other.spawn(Dog, "tom", age=4)

    future = elsewhere.submit(keeper.path_of, tom.age)
    tom.age = 5

    assert future.result() == 4


def test_method_given_to_the_spawn_of_a_host_of_its_own_is_copied_with_its_object():
    listener = Listener()

    heard = elsewhere.spawn(listener.hear, "word")

    assert heard == 1
    assert listener.heard == []


@pytest.fixture
def list_elsewhere(other):
    return other.send([])


def test_method_at_a_path_of_another_host_is_that_of_the_object_itself(keeper, other, list_elsewhere):
    listener = other.spawn(Listener)

    keeper.call(list_elsewhere.append, "item")
    keeper.call(listener.hear, "word")
    keeper.call(listener.heard.append, "more")

    assert get(list_elsewhere) == ["item"]
    assert get(listener.heard) == ["word", "more"]


def test_function_of_a_module_of_another_host_is_the_one_of_its_own_host(keeper, other):
    assert keeper.kind(other.module("math").sqrt) == "builtin_function_or_method"
    assert keeper.kind(other.module("textwrap").dedent) == "function"


def itself(value):
    return value


class Meddler:
    """Does something whenever its value is read."""

    def __init__(self, act: Callable[[], None]) -> None:
        self.act = act

    @property
    def value(self) -> int:
        self.act()
        return 7


@pytest.mark.parametrize(
    ("values", "change"),
    [
        ([1, 2, 3, 4], lambda values: values.pop()),
        ([1, 2, 3, 4], lambda values: values.append(5)),
        ({"a": 1, "b": 2, "c": 3}, lambda values: values.pop("c", None)),
        ({"a": 1, "b": 2, "c": 3}, lambda values: values.update(d=4)),
        ({"a": 1, "b": 2, "c": 3}, lambda values: values.update(c=values.pop("b", 2))),
    ],
)
def test_container_that_is_changed_while_it_is_written_arrives_whole(keeper, other, values, change):
    meddler = other.spawn(Meddler, ref(lambda: change(values)))
    if isinstance(values, list):
        values[1] = meddler.value
    else:
        values["a"] = meddler.value

    arrived = keeper.call(itself, values)
    items = arrived if isinstance(arrived, list) else arrived.values()

    assert type(arrived) is type(values)
    assert 7 in items
    assert all(type(item) is int for item in items)
    assert keeper.call(itself, 1) == 1


@pytest.mark.parametrize("kind", [tuple, frozenset])
def test_tuples_that_share_their_parts_are_written_once(keeper, kind):
    value = kind([1])
    for _ in range(40):
        value = kind([value, (value,)])

    arrived = keeper.call(itself, value)

    assert type(arrived) is kind


@pytest.mark.parametrize("value", ["x" * 100_000, b"x" * 100_000])
def test_long_text_that_stands_in_many_places_is_one_there(keeper, value):
    arrived = keeper.call(itself, [value] * 10_000)

    assert arrived[0] == value
    assert all(other is arrived[0] for other in arrived)
