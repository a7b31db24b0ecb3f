"""Objects of the user's own classes, copied: as pickle copies them, whatever way that is."""

from __future__ import annotations

import copy
import pickle
import sys
import threading
import types

import numpy as np
import pytest

import belongings
import elsewhere
from belongings import Box, Careful, Copied, Late, Medal, Nothing, Square, Toy
from elsewhere import get, ref
from kennel import Dog
from workshop import Keeper


@pytest.fixture
def keeper(host):
    return host.spawn(Keeper)


@pytest.fixture
def late_is_late():
    yield
    if "__setstate__" in vars(Late):
        belongings.forget_that()


@pytest.mark.parametrize(
    "value",
    [
        Toy("bone", [1, 2.5, None, ("a", b"b")]),
        Toy("bone", Toy("knot", Toy("loop"))),
        Medal(1904, "St. Louis"),
        Square(3.0),
        Box("chest", {"toys": [Toy("bone")]}),
        Box.Lid("red"),
        Careful(7),
        [Toy("bone"), Medal(1904, "St. Louis")],
        {"best": Medal(1900, "Paris")},
    ],
    ids=lambda value: type(value).__qualname__,
)
def test_instance_comes_back_as_it_went(keeper, value):
    back = keeper.path_of(value)

    assert contents(back) == contents(value)


def contents(value: object) -> object:
    """Everything that `value` consists of, in its order."""
    if isinstance(value, (list, tuple)):
        return type(value), [contents(item) for item in value]
    if isinstance(value, dict):
        return type(value), [(name, contents(item)) for name, item in value.items()]
    return (type(value), contents(vars(value))) if hasattr(value, "__dict__") else (type(value), value)


def test_instance_without_attributes_arrives(keeper):
    assert type(keeper.path_of(Nothing())) is Nothing


def test_attribute_under_the_name_of_a_property_stays_one(keeper):
    back = keeper.path_of(Careful(7))

    assert vars(back) == {"weight": 7}
    assert back.weight == "7 kg"


@pytest.mark.parametrize(
    "kind",
    [
        belongings.Reduced,
        belongings.ReducedForAProtocol,
        belongings.WithAState,
        belongings.TakesAState,
        belongings.TakesArguments,
        belongings.MakesItself,
        belongings.AnswersEverything,
        belongings.Registered,
        belongings.HalfSlotted,
    ],
)
def test_own_way_of_being_copied_is_kept(keeper, kind):
    value = kind("as it is")

    back = keeper.path_of(value)

    expected = copy.copy(copy.copy(value))  # there and back
    assert vars(back) == vars(expected)
    assert back.how == expected.how


def test_object_that_pretends_to_be_another_is_treated_as_pickle_treats_it(keeper):
    with pytest.raises(elsewhere.ArgumentError) as caught:
        keeper.keep(belongings.Pretending())

    assert isinstance(caught.value.__cause__, pickle.PicklingError)


def test_dict_of_the_users_own_is_treated_as_pickle_treats_it(keeper):
    value = belongings.Counting()

    back = keeper.path_of(value)

    assert hasattr(back, "how") == hasattr(pickle.loads(pickle.dumps(value)), "how")


def test_slots_and_what_a_builtin_base_holds_are_copied(keeper):
    slotted = keeper.path_of(belongings.Slotted("kept"))
    numbered = keeper.path_of(belongings.Numbered(7))

    assert slotted.how == "kept"
    assert numbered == 7


def test_own_way_of_one_object_is_kept(keeper):
    value = Copied()
    value.__reduce_ex__ = lambda _protocol: (Copied, ("by the object's own __reduce_ex__",))

    assert keeper.path_of(value).how == "by the object's own __reduce_ex__"


def test_own_way_that_a_class_gets_later_is_kept(keeper, late_is_late):
    before = keeper.path_of(Late()).how

    belongings.give_late_a_state()
    after = keeper.path_of(Late()).how

    assert (before, after) == ("as it is", "by a late __setstate__")


def test_state_is_not_set_where_there_is_none(keeper):
    value = belongings.TakesAState()
    del value.how

    back = keeper.path_of(value)

    assert vars(back) == vars(pickle.loads(pickle.dumps(value))) == {}


def test_way_of_copying_that_only_the_receiver_has_is_not_asked_there(process_host):
    keeper = process_host.spawn(Keeper, Late())
    process_host.run(belongings.have_late_reduced)

    keeper.keep(Late())

    assert get(keeper.thing.how) == "as it is"


def test_own_way_that_only_the_receiver_has_is_kept(process_host, late_is_late):
    keeper = process_host.spawn(Keeper, Late())
    process_host.run(belongings.give_late_a_state)

    keeper.keep(Late())

    assert get(keeper.thing.how) == "by a late __setstate__"


def test_object_that_holds_itself_holds_itself_there(keeper):
    value = Toy("snake")
    value.parts = value

    back = keeper.path_of(value)

    assert back.parts is back


def test_object_that_occurs_twice_is_one_there(keeper):
    bone = Toy("bone")

    assert keeper.same(bone, bone)
    one, two, other = keeper.path_of([bone, bone, Toy("bone")])
    assert one is two
    assert one is not other


def test_many_objects_arrive_in_their_order(keeper):
    toys = [Toy(str(number), number) for number in range(100)]

    assert keeper.path_of(toys) == toys


def test_deep_chain_of_objects_arrives(keeper):
    toy = None
    for depth in range(70):
        toy = Toy(str(depth), toy)

    assert keeper.path_of(toy) == toy


def test_proxy_inside_is_the_object_itself_there(keeper, host):
    dog = host.spawn(Dog, "rex")

    keeper.keep(Toy("leash", [dog]))

    assert elsewhere.submit(holds, keeper, dog).result()


def holds(keeper: Keeper, dog: Dog) -> bool:
    return keeper.thing.parts[0] is dog


def test_reference_inside_comes_home_as_the_object_itself(keeper):
    lock = threading.Lock()
    keeper.keep(Toy("safe", [ref(lock)]))

    assert get(keeper.thing).parts[0] is lock


def test_attribute_that_cannot_be_copied_is_named(keeper, tmp_path):
    with open(tmp_path / "notes", "w") as file, pytest.raises(elsewhere.ArgumentError) as caught:
        keeper.keep(Toy("notebook", file))

    assert "parts" in str(caught.value)
    assert caught.value.outcome == "not_started"


def test_result_with_an_attribute_that_cannot_be_copied_is_a_proxy(keeper, tmp_path):
    toy = keeper.call(open_notebook, str(tmp_path / "notes"))

    assert elsewhere.is_proxy(toy)
    assert get(toy.name) == "notebook"
    toy.parts.close()


def open_notebook(path: str) -> Toy:
    return Toy("notebook", open(path, "w"))


def test_array_inside_arrives(keeper):
    toy = Toy("puzzle", np.arange(100_000.0))

    back = keeper.path_of(toy)

    assert np.array_equal(back.parts, toy.parts)
    assert back.parts.flags.writeable


def test_attributes_without_a_name_in_text_arrive(keeper):
    value = Nothing()
    vars(value).update({"\ud800": 1, 7: 2})

    assert vars(keeper.path_of(value)) == {"\ud800": 1, 7: 2}


def test_object_of_a_class_in_a_function_travels_by_value(process_host):
    class Whistle:
        def __init__(self) -> None:
            self.tone = "high"

    keeper = process_host.spawn(Keeper)

    keeper.keep(Whistle())

    assert get(keeper.thing.tone) == "high"


def test_object_whose_class_was_replaced_keeps_its_class(process_host, monkeypatch):
    keeper = process_host.spawn(Keeper)
    toy = Toy("bone")
    keeper.keep(toy)
    monkeypatch.setattr(belongings, "Toy", type("Toy", (), {"__module__": "belongings"}))

    keeper.keep(toy)

    assert get(keeper.thing.name) == "bone"
    assert elsewhere.submit(has_fields, keeper).result()


def has_fields(keeper: Keeper) -> bool:
    return hasattr(type(keeper.thing), "__dataclass_fields__")


def test_class_that_the_host_cannot_import_is_named(process_host, monkeypatch):
    module = types.ModuleType("only_here")
    module.Thing = type("Thing", (), {"__module__": "only_here"})
    monkeypatch.setitem(sys.modules, "only_here", module)
    keeper = process_host.spawn(Keeper)

    with pytest.raises(elsewhere.ArgumentError, match="only_here") as caught:
        keeper.keep(module.Thing())

    assert caught.value.outcome == "not_started"
    keeper.keep(1)


def test_class_that_the_host_does_not_have_any_more_is_named(process_host):
    keeper = process_host.spawn(Keeper)
    process_host.run(lose_medals)

    with pytest.raises(elsewhere.ArgumentError, match="Medal"):
        keeper.keep(Medal(1904, "St. Louis"))

    keeper.keep(1)


def lose_medals() -> None:
    del belongings.Medal


def test_class_that_the_host_has_not_imported_yet_is_imported(process_host):
    names = process_host.run(forget_belongings)

    assert process_host.spawn(Keeper).path_of(Toy("bone")) == Toy("bone")
    assert "belongings" not in names


def forget_belongings() -> list[str]:
    sys.modules.pop("belongings", None)
    return [*sys.modules]


class Growing:
    """Reading it adds an attribute to an object in another process."""

    def __init__(self, grow) -> None:
        self.grow = grow

    @property
    def value(self) -> str:
        self.grow()
        return "grown"


def test_object_that_grows_while_it_is_written_arrives_whole(process_host):
    toy = Toy("balloon")
    with elsewhere.Host() as other:
        growing = other.spawn(Growing, ref(lambda: setattr(toy, "size", 2)))
        toy.parts = growing.value
        keeper = process_host.spawn(Keeper)

        back = keeper.path_of(toy)

    assert (back.name, back.parts) == ("balloon", "grown")
