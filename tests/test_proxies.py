"""What a proxy is to the rest of Python: identity, copies, hashes, texts, arrays."""

from __future__ import annotations

import collections.abc
import copy
import gc
import inspect
import weakref

import numpy as np
import pytest

import elsewhere
from elsewhere import get
from kennel import Dog
from workshop import Keeper, kept_busy


class Pair:
    """Equal to another with the same numbers; unhashable on demand."""

    def __init__(self, *numbers: int) -> None:
        self.numbers = numbers
        self.hashed = 0

    def __eq__(self, other: object) -> bool:
        return self.numbers == other.numbers if isinstance(other, Pair) else NotImplemented

    def __hash__(self) -> int:
        self.hashed += 1
        return hash(self.numbers)


@pytest.fixture
def dog(host: elsewhere.Host) -> Dog:
    return host.spawn(Dog, "rex", age=3)


def lose(host: elsewhere.Host) -> None:
    host.close()


def test_type_and_class_are_proxy_without_asking(host, dog):
    with kept_busy(host):
        assert type(dog).__name__ == "Proxy"
        assert dog.__class__ is type(dog)
        assert not isinstance(dog, Dog)


def test_is_proxy_tells_proxies_from_other_things(dog):
    assert elsewhere.is_proxy(dog)
    assert elsewhere.is_proxy(dog.age)
    assert not elsewhere.is_proxy(Dog("tom"))


def test_copies_of_a_proxy_are_the_proxy(host, dog):
    with kept_busy(host):
        assert copy.copy(dog) is dog
        assert copy.deepcopy(dog) is dog
        assert copy.deepcopy([dog, dog.age])[0] is dog


def test_weak_reference_is_to_the_proxy_here(dog):
    proxy = elsewhere.ref(dog.friends)
    weak = weakref.ref(proxy)

    assert weak() is proxy
    del proxy
    gc.collect()
    assert weak() is None


def test_proxy_is_callable_and_iterable_by_look_alone(host, dog):
    with kept_busy(host):
        assert callable(dog)
        assert isinstance(dog, collections.abc.Iterable)
    with pytest.raises(TypeError):
        dog()


def test_proxies_of_one_object_are_equal_without_asking(host, dog):
    again = dog.itself()

    with kept_busy(host):
        assert dog == again
        assert not dog != again


def test_equality_of_two_objects_is_decided_there(host):
    one, other = host.spawn(Pair, 1, 2), host.spawn(Pair, 1, 2)

    assert one == other
    assert one != host.spawn(Pair, 3)
    assert one == Pair(1, 2)
    assert Pair(1, 2) == one


def test_hash_is_asked_once_and_kept_after_death(host):
    pair = host.spawn(Pair, 1, 2)
    first = hash(pair)
    hash(pair)
    asked = get(pair.hashed)

    host.kill()
    host.wait()

    assert asked == 1
    assert hash(pair) == first


def test_equal_proxies_hash_alike(host, dog):
    again = elsewhere.ref(dog.itself())

    assert again == dog
    assert hash(again) == hash(dog)
    assert len({dog, again}) == 1


def test_unhashable_object_is_unhashable_here(host):
    with pytest.raises(TypeError, match="unhashable"):
        hash(host.send([1]))


def test_array_plus_proxy_runs_there(host):
    numbers = host.send(np.array([10, 20]))

    total = np.array([1, 2]) + numbers

    assert type(total) is np.ndarray
    assert total.tolist() == [11, 22]


def test_numpy_fetches_nothing_implicitly(host):
    numbers = host.send([1, 2, 3])

    with pytest.raises(TypeError, match=r"use get\(p\)"):
        np.asarray(numbers)
    assert np.asarray(get(numbers)).tolist() == [1, 2, 3]


def test_proxy_is_no_sequence_to_numpy(host):
    with pytest.raises(TypeError):
        np.array(host.send([1, 2, 3]), dtype=float)


def test_str_and_format_are_the_objects(dog):
    assert str(dog) == "the dog rex"
    assert f"{dog}" == "the dog rex"
    assert f"{dog.age:04d}" == "0003"


def test_str_and_empty_format_of_a_lost_proxy_are_its_repr(host, dog):
    lose(host)

    assert str(dog) == repr(dog)
    assert f"{dog}" == repr(dog)
    assert f"{dog.age}" == repr(dog.age)
    assert "gone" in repr(dog)


def test_str_and_empty_format_of_a_closed_proxy_are_its_repr(host, dog):
    age = dog.age
    elsewhere.close(dog)

    assert str(dog) == repr(dog)
    assert f"{dog} {age}" == f"{dog!r} {age!r}"
    with pytest.raises(elsewhere.ObjectGone):
        len(dog)


def test_object_that_meets_a_closed_proxy_in_its_str_raises(host):
    teller = host.spawn(Teller)

    with pytest.raises(elsewhere.ObjectGone) as caught:
        str(teller)
    assert caught.value.remote


class Teller:
    """Its text needs an object that is closed."""

    def __str__(self) -> str:
        raise elsewhere.ObjectGone("closed there")


def test_format_with_a_specification_of_a_lost_proxy_raises(host, dog):
    lose(host)

    with pytest.raises(elsewhere.HostClosed):
        f"{dog.age:4d}"


def test_logging_a_lost_proxy_does_not_fail(host, dog, caplog):
    lose(host)

    caplog.set_level("INFO")
    __import__("logging").getLogger("somebody").info("the %s", dog)

    assert repr(dog) in caplog.text


def test_dir_lists_the_objects_names(dog):
    names = dir(dog)

    assert {"bark", "age", "friends"} <= set(names)


def test_dir_of_a_lost_proxy_does_not_raise(host, dog):
    lose(host)

    assert isinstance(dir(dog), list)


def test_dir_of_a_lost_proxy_has_the_names_of_its_class(host, dog):
    lose(host)

    assert dir(dog) == dir(Dog)


def test_dir_asks_nobody_where_the_class_says_everything(host):
    numbers = host.send([1])
    asked = host._calls_made()

    assert dir(numbers) == dir([])
    assert host._calls_made() == asked


def test_dir_of_a_busy_host_does_not_wait_for_it(process_host):
    dog = process_host.spawn(Dog, "rex")

    with kept_busy(process_host):
        assert isinstance(dir(dog), list)


def test_inspection_asks_nobody(host, dog):
    with kept_busy(host):
        assert not inspect.iscoroutinefunction(dog)
        assert not inspect.isclass(dog)
        assert inspect.getattr_static(dog, "bark", None) is None


def test_len_contains_bool_and_iteration_run_there(host, dog):
    tom = host.spawn(Dog, "tom")
    dog.befriend(tom)

    assert len(dog) == 1
    assert "tom" in dog
    assert "max" not in dog
    assert dog
    assert not tom
    assert list(dog) == ["tom"]


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        (lambda p: p + 3, 10),
        (lambda p: 3 + p, 10),
        (lambda p: p - 3, 4),
        (lambda p: 3 - p, -4),
        (lambda p: p * 3, 21),
        (lambda p: 3 * p, 21),
        (lambda p: p / 2, 3.5),
        (lambda p: 21 / p, 3.0),
        (lambda p: p // 2, 3),
        (lambda p: 22 // p, 3),
        (lambda p: p % 4, 3),
        (lambda p: 10 % p, 3),
        (lambda p: divmod(p, 4), (1, 3)),
        (lambda p: divmod(10, p), (1, 3)),
        (lambda p: p**2, 49),
        (lambda p: 2**p, 128),
        (lambda p: pow(p, 2, 5), 4),
        (lambda p: p << 1, 14),
        (lambda p: 1 << p, 128),
        (lambda p: p >> 1, 3),
        (lambda p: 1024 >> p, 8),
        (lambda p: p & 3, 3),
        (lambda p: 3 & p, 3),
        (lambda p: p ^ 1, 6),
        (lambda p: 1 ^ p, 6),
        (lambda p: p | 8, 15),
        (lambda p: 8 | p, 15),
        (lambda p: -p, -7),
        (lambda p: +p, 7),
        (lambda p: abs(p), 7),
        (lambda p: ~p, -8),
        (lambda p: p < 8, True),
        (lambda p: 8 < p, False),
        (lambda p: p <= 7, True),
        (lambda p: p > 6, True),
        (lambda p: p >= 8, False),
        (lambda p: p == 7, True),
        (lambda p: p != 7, False),
    ],
)
def test_operator_runs_there(operator_host, operation, expected):
    number = operator_host.spawn(Keeper, 7)

    assert operation(number.thing) == expected


@pytest.fixture(scope="module")
def operator_host():
    with elsewhere.Host(start="local") as host:
        yield host


def test_operators_on_two_paths_of_one_host_run_there(dog):
    assert dog.age * dog.age + dog.age == 12


def test_matrix_product_runs_there(host):
    matrix = host.send(np.array([[1, 2], [3, 4]]))

    assert (matrix @ np.array([1, 1])).tolist() == [3, 7]
    assert (np.array([1, 1]) @ matrix).tolist() == [4, 6]


def test_operator_that_the_object_lacks_raises_type_error(dog):
    with pytest.raises(TypeError):
        dog + 1
    with pytest.raises(TypeError):
        -dog


def test_augmented_assignment_to_an_attribute_stores_there(dog):
    dog.age += 4

    assert get(dog.age) == 7


class Shy:
    """Does not say what it has."""

    def __dir__(self):
        raise ValueError("nothing to see")


def test_dir_of_an_object_that_does_not_say_is_no_error(host):
    assert isinstance(dir(host.spawn(Shy)), list)


@pytest.mark.parametrize(
    "make",
    [lambda dog: dog.age, elsewhere.futures, elsewhere.lazy, lambda dog: elsewhere.options(dog, timeout=1)],
    ids=["path", "futures", "lazy", "options"],
)
def test_path_or_view_is_its_own_copy(dog, make):
    thing = make(dog)

    assert copy.copy(thing) is thing
    assert copy.deepcopy(thing) is thing
