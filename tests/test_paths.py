"""Paths: places that are read when they are used."""

from __future__ import annotations

import functools

import pytest

import elsewhere
from elsewhere import attribute, get, submit
from kennel import Dog
from workshop import Keeper, Node, kept_busy


@pytest.fixture
def dog(host: elsewhere.Host) -> Dog:
    return host.spawn(Dog, "rex", age=3)


@pytest.fixture
def node(host: elsewhere.Host) -> Node:
    return host.spawn(Node)


def test_path_is_read_when_it_is_used(dog):
    age = dog.age

    dog.age = 10

    assert get(age) == 10
    assert dog.age - age == 0


def test_building_a_path_asks_nobody(host, node):
    with kept_busy(host):
        path = node.next.b[0].next

        assert elsewhere.is_proxy(path)
    assert get(node.passed) == 0


def test_call_through_attributes_and_items_is_sent_whole(host, node):
    with kept_busy(host):  # a trip on the way could not be answered
        future = submit(node.b[0].c, "x")

    assert future.result() == ("c", "x")


def test_path_of_200_steps_is_sent_whole(host, node):
    with kept_busy(host):
        path = functools.reduce(lambda place, _: place.next, range(200), node)
        future = submit(path.c, 1)

    assert future.result() == ("c", 1)
    assert get(node.passed) == 200


def test_step_is_taken_once_for_each_use(node):
    get(node.next.passed)

    assert get(node.passed) == 1


def test_path_of_more_than_a_thousand_steps_is_refused(node):
    with pytest.raises(RecursionError, match="1000 steps"):
        functools.reduce(lambda place, _: place.next, range(1001), node)


def test_setting_and_deleting_go_through_the_path(dog):
    dog.tricks["sit"] = 1
    dog.tricks["roll"] = 2
    del dog.tricks["sit"]
    dog.lock = "key"
    del dog.lock

    assert get(dog.tricks) == {"roll": 2}
    assert get(dog.lock, default=None) is None


def test_key_may_be_any_value_that_travels(host):
    table = host.send({(1, "a"): "tuple", None: "none", 2.5: "float"})

    assert get(table[1, "a"]) == "tuple"
    assert get(table[None]) == "none"
    assert get(table[2.5]) == "float"


def test_key_may_be_a_path(dog):
    dog.tricks["rex"] = 7

    assert get(dog.tricks[dog.name]) == 7


def test_slice_is_a_key(host):
    numbers = host.send(list(range(10)))

    assert get(numbers[2:8:3]) == [2, 5]


def test_path_has_no_hash_and_says_what_to_do(dog):
    with pytest.raises(TypeError, match=r"use get\(\)"):
        hash(dog.age)
    with pytest.raises(TypeError, match=r"use get\(\)"):
        {dog.age: 1}


def test_repr_names_path_and_host_without_asking(host, dog):
    with kept_busy(host):
        text = repr(dog.friends[0].name)

    place = f"host {host.pid}" if "local" not in repr(host) else "host (local)"
    assert text == f"<path Dog.friends[0].name in {place}>"


def test_repr_of_a_proxy_names_class_and_host_without_asking(host, dog):
    with kept_busy(host):
        text = repr(dog)

    assert text.startswith("<proxy of Dog in host ")


@pytest.mark.parametrize(
    "name", ["_name", "__name__", "__fspath__", "_repr_png_", "__wrapped__", "__array_interface__"]
)
def test_underscore_name_is_looked_up_on_the_proxy_alone(host, dog, name):
    with kept_busy(host), pytest.raises(AttributeError):
        getattr(dog, name)


def test_setting_an_underscore_name_is_refused_with_the_verb_to_use(dog):
    with pytest.raises(AttributeError, match=r"submit\(setattr, proxy, name, value\)"):
        dog._secret = 1


def test_deleting_an_underscore_name_is_refused_with_the_verb_to_use(dog):
    with pytest.raises(AttributeError, match=r"submit\(delattr, proxy, name\)"):
        del dog._secret


def test_verb_that_the_refusal_names_sets_an_underscore_name(dog):
    submit(setattr, dog, "_secret", 4).result()

    assert get(attribute(dog, "_secret")) == 4


def test_attribute_reaches_names_that_begin_with_an_underscore(dog):
    assert get(attribute(dog, "__doc__")) == Dog.__doc__
    assert attribute(dog, "__len__")() == 0
    assert get(attribute(attribute(dog, "friends"), "__len__")()) == 0


@pytest.mark.parametrize(
    "name", ["__globals__", "__code__", "__subclasses__", "__class__", "__reduce__", "__reduce_ex__", "__dict__"]
)
def test_forbidden_name_is_never_reached(dog, name):
    with pytest.raises(AttributeError, match="never reached"):
        get(attribute(dog.bark, name))


def test_forbidden_name_is_never_set(dog):
    path = attribute(dog, "__class__")

    with pytest.raises(AttributeError, match="never reached"):
        get(path.mro)


def test_hasattr_of_a_public_name_is_true_without_asking(host, dog):
    with kept_busy(host):
        assert hasattr(dog, "no_such_thing")


def test_missing_attribute_is_told_when_it_is_used(dog):
    with pytest.raises(AttributeError, match="no_such_thing"):
        get(dog.no_such_thing)


def test_get_with_default_tells_a_missing_attribute_from_a_present_one(dog):
    assert get(dog.no_such_thing, default="none") == "none"
    assert get(dog.name, default="none") == "rex"


def test_get_with_default_covers_missing_keys_and_indices(dog):
    assert get(dog.tricks["sit"], default=0) == 0
    assert get(dog.friends[3], default=None) is None


def test_get_with_default_covers_the_last_step_alone(dog):
    with pytest.raises(AttributeError, match="no_such_thing"):
        get(dog.no_such_thing.name, default=1)
    with pytest.raises(KeyError):
        get(dog.tricks["sit"].name, default=1)


def test_get_with_default_does_not_hide_what_the_step_raised_otherwise(host):
    keeper = host.spawn(Keeper, 5)

    with pytest.raises(TypeError):
        get(keeper.thing[0], default=1)


def test_default_may_be_a_proxy_or_none(dog):
    assert get(dog.no_such_thing, default=dog) is dog
    assert get(dog.no_such_thing, default=None) is None


def test_get_of_a_value_that_is_none_is_not_the_default(host):
    keeper = host.spawn(Keeper, None)

    assert get(keeper.thing, default="default") is None


def test_lost_host_is_never_missing(process_host):
    dog = process_host.spawn(Dog, "rex")
    process_host.kill()
    process_host.wait()

    with pytest.raises(elsewhere.HostDied):
        get(dog.no_such_thing, default=1)


def test_get_copies(dog):
    copy = get(dog.tricks)
    copy["sit"] = 1

    assert get(dog.tricks) == {}


def test_get_of_what_cannot_be_copied_is_an_error_with_the_path(dog):
    with pytest.raises(elsewhere.ResultError, match=r"Dog\.lock") as caught:
        get(dog.lock)

    assert caught.value.outcome == "finished"


def test_get_of_what_is_no_proxy_is_the_thing_itself():
    thing = object()

    assert get(thing) is thing
    assert get(thing, default=1) is thing


def test_get_of_a_root_is_a_copy_of_the_object(host):
    numbers = host.send([1, 2, 3])

    assert get(numbers) == [1, 2, 3]
    assert type(get(numbers)) is list


def test_ref_of_a_path_pins_the_object_that_is_there_now(dog):
    tricks = elsewhere.ref(dog.tricks)

    dog.tricks = {"new": 1}
    tricks["old"] = 2

    assert get(dog.tricks) == {"new": 1}
    assert get(tricks) == {"old": 2}


def test_ref_of_a_root_is_that_root(dog):
    assert elsewhere.ref(dog) is dog


def test_negative_index_and_chained_operators_run_there(host):
    numbers = host.send([5, 6, 7])

    assert numbers[-1] * 2 + numbers[0] == 19


def test_value_at_a_path_is_compared_there(dog):
    assert dog.age == 3
    assert dog.age != 4
    assert dog.age < 4
    assert dog.age >= 3
    assert not dog.age > 3


class Ledger:
    def look_up(self, name: str) -> str:
        raise KeyError(name)

    def pages(self):
        yield from (1, 2)


def test_get_with_default_does_not_hide_what_a_call_raised(host):
    ledger = host.spawn(Ledger)

    with pytest.raises(KeyError, match="rex"):
        get(elsewhere.lazy(ledger).look_up("rex"), default=1)


def test_get_of_a_generator_is_a_stream(host):
    keeper = host.spawn(Keeper, host.spawn(Ledger))

    assert list(get(elsewhere.lazy(keeper).thing.pages())) == [1, 2]
