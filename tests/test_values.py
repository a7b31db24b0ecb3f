"""Values there and back: equal, of the same type, with the same aliasing."""

from __future__ import annotations

import array
import collections
import dataclasses
import datetime as dt
import decimal
import enum
import math
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import elsewhere
from elsewhere import get
from workshop import Keeper


class Colour(enum.Enum):
    RED = 1


class IntColour(enum.IntEnum):
    RED = 1


class Text(str):  # noqa: SLOT000 - its instances are to have attributes of their own
    """A str with something more."""


class Number(int):
    """An int by another name."""


class Listing(list):
    """A list by another name."""


Point = collections.namedtuple("Point", "x y")


@dataclasses.dataclass
class Place:
    name: str
    points: list[Point]


@pytest.fixture(scope="module", params=["exec", "local"])
def keeper(request):
    with elsewhere.Host(start=request.param) as host:
        yield host.spawn(Keeper)


def same(one: object, other: object) -> bool:
    """Whether two values are equal, type by type, where NaN is equal to NaN and -0.0 differs from 0.0."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return math.copysign(1, one) == math.copysign(1, other) and (one == other or math.isnan(one))
    if isinstance(one, complex):
        return same(one.real, other.real) and same(one.imag, other.imag)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return len(one) == len(other) and all(
            same(key, other_key) and same(value, other[other_key])
            for (key, value), other_key in zip(one.items(), other, strict=True)
        )
    return one == other


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=-(2**300), max_value=2**300)
    | st.sampled_from([2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, -(2**64)])
    | st.floats()
    | st.complex_numbers()
    | st.text(alphabet=st.characters(exclude_categories=[]))  # surrogates too
    | st.binary()
)
KEYS = st.none() | st.booleans() | st.integers() | st.text() | st.binary() | st.tuples(st.integers(), st.text())
TREES = st.recursive(
    SCALARS | st.binary().map(bytearray) | st.sets(KEYS) | st.frozensets(KEYS),
    lambda inner: (
        st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(KEYS, inner) | st.lists(inner).map(Listing)
    ),
    max_leaves=30,
)


@settings(
    deadline=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(value=TREES)
def test_tree_of_builtins_comes_back_as_it_went(keeper, value):
    assert same(keeper.path_of(value), value)


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        -0.0,
        math.inf,
        sys.float_info.min / 4,
        complex(-0.0, math.nan),
        2**10_000,
        -(2**10_000),
        -1,
        255,
        "\ud800 lone",
        "\0",
        "ä€𝄞",
        "x" * 100_000,
        b"x" * 100_000,
        bytearray(b"abc"),
        {1: {2: {3: [4, (5, {6})]}}},
        frozenset({1, (2, 3)}),
        range(5, 1, -2),
        slice(1, None, 3),
        Ellipsis,
        NotImplemented,
        int,
        dt.datetime(2020, 1, 2, 3, 4, 5, 6, tzinfo=dt.UTC),
        decimal.Decimal("1.10"),
        collections.OrderedDict([(1, 2), (0, 3)]),
        collections.deque([1, 2], maxlen=3),
        collections.Counter("abca"),
        Colour.RED,
        IntColour.RED,
        Text("text"),
        Number(5),
        Listing([1]),
        Point(1, 2),
        Place("here", [Point(1, 2)]),
        array.array("d", [1.5, 2.5]),
        array.array("i", range(1000)),
    ],
    ids=lambda value: f"{type(value).__name__} {value!r:.20}",
)
def test_value_comes_back_as_it_went(keeper, value):
    assert same(keeper.path_of(value), value)


def test_subclass_keeps_its_attributes(keeper):
    text = Text("abc")
    text.language = "en"

    back = keeper.path_of(text)

    assert back.language == "en"


def test_value_nested_a_thousand_deep_comes_back_as_it_went(keeper):
    deep: list[object] = []
    for _ in range(200):
        deep = [deep]

    assert keeper.path_of(deep) == deep


def test_value_nested_too_deep_for_pickle_is_refused(keeper):
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]

    with pytest.raises(elsewhere.ArgumentError):
        keeper.path_of(deep)
    while deep:
        deep = deep.pop()


def test_order_of_a_dict_is_kept(keeper):
    table = {"z": 1, "a": 2, 3: 3}

    assert list(keeper.path_of(table).items()) == list(table.items())


def test_one_object_passed_twice_is_one_object_there(keeper):
    numbers = [1]

    assert keeper.same(numbers, numbers)
    assert not keeper.same([1], [1])


def test_alias_deep_within_arguments_is_kept(keeper):
    numbers = [1]

    keeper.keep({"a": [numbers], "b": (numbers, {"c": numbers})})

    assert keeper.same(keeper.thing["a"][0], keeper.thing["b"][1]["c"])


def test_alias_between_positional_and_keyword_arguments_is_kept(keeper):
    numbers = [1]

    assert keeper.same(numbers, other=numbers)


def test_aliases_in_a_result_are_kept(keeper):
    numbers = [1]
    keeper.keep([numbers, numbers, [numbers]])

    first, second, (third,) = get(keeper.thing)

    assert first is second is third


def test_cycle_comes_back_as_a_cycle(keeper):
    loop: dict[str, object] = {}
    loop["self"] = [loop]

    back = keeper.path_of(loop)

    assert back["self"][0] is back


def test_alias_among_many_containers_is_kept(keeper):
    shared = [0]
    many: list[object] = [[number] for number in range(100)]

    first, *_, last = keeper.path_of([shared, *many, shared])

    assert first is last


def test_one_immutable_value_many_times_is_cheap_and_equal(keeper):
    text = "word" * 100

    assert keeper.path_of([text] * 1000) == [text] * 1000


def test_bytearray_comes_back_writable(keeper):
    back = keeper.path_of(bytearray(b"abc"))
    back[0] = 0

    assert back == b"\0bc"


@pytest.mark.parametrize("make", [bytes, bytearray], ids=["read-only", "writable"])
def test_memoryview_comes_back_as_a_view(keeper, make):
    view = memoryview(make(b"abcdef"))

    back = keeper.path_of(view)

    assert type(back) is memoryview
    assert back == view
    assert back.readonly == view.readonly


def test_memoryview_keeps_format_and_shape(keeper):
    view = memoryview(array.array("d", [1, 2, 3, 4, 5, 6])).cast("B").cast("d", (2, 3))

    back = keeper.path_of(view)

    assert (back.format, back.shape) == ("d", (2, 3))
    assert back.tolist() == [[1, 2, 3], [4, 5, 6]]


@pytest.mark.parametrize("beside", [Place("here", []), lambda: 0], ids=["what is pickled", "what goes by value"])
@pytest.mark.parametrize("make", [bytes, bytearray], ids=["read-only", "writable"])
def test_memoryview_is_one_also_beside_other_arguments(keeper, make, beside):
    view = memoryview(make(array.array("d", [1, 2, 3, 4]).tobytes())).cast("d", (2, 2))

    keeper.keep([view, beside])

    there = keeper.thing[0]
    assert (get(there.format), get(there.shape), get(there.readonly)) == ("d", (2, 2), view.readonly)
    assert there.tolist() == [[1, 2], [3, 4]]


def test_memoryview_with_steps_comes_back_with_its_items(keeper):
    view = memoryview(b"abcdef")[::2]

    assert keeper.path_of(view).tobytes() == b"ace"


@pytest.mark.parametrize("size", [0, 10, 100_000])
@pytest.mark.parametrize("kind", ["float64", "int8", "complex128", "datetime64[s]", "U3", "bool"])
def test_numpy_array_comes_back_writable(keeper, size, kind):
    values = np.zeros(size, dtype=kind)

    back = keeper.path_of(values)

    assert type(back) is np.ndarray
    assert (back.dtype, back.shape) == (values.dtype, values.shape)
    assert np.array_equal(back, values)
    assert back.flags.writeable


def test_numpy_argument_is_writable_there(keeper):
    keeper.keep(np.arange(5))

    keeper.thing[0] = 9

    assert get(keeper.thing).tolist() == [9, 1, 2, 3, 4]


def test_numpy_array_in_fortran_order_and_with_steps_comes_back_equal(keeper):
    values = np.arange(12.0).reshape(3, 4)

    assert np.array_equal(keeper.path_of(np.asfortranarray(values)), values)
    assert np.array_equal(keeper.path_of(values[::2, ::-1]), values[::2, ::-1])


def test_read_only_numpy_array_comes_back_equal(keeper):
    values = np.arange(5)
    values.flags.writeable = False

    assert keeper.path_of(values).tolist() == [0, 1, 2, 3, 4]


def test_numpy_scalars_and_object_arrays_come_back_as_they_went(keeper):
    scalar = keeper.path_of(np.float32(1.5))
    objects = keeper.path_of(np.array([1, "two", None], dtype=object))

    assert type(scalar) is np.float32
    assert scalar == 1.5
    assert objects.tolist() == [1, "two", None]


def test_arrays_within_containers_come_back(keeper):
    table = {"a": np.arange(3), "b": [np.ones(2)]}

    back = keeper.path_of(table)

    assert back["a"].tolist() == [0, 1, 2]
    assert back["b"][0].tolist() == [1, 1]


def test_message_of_many_megabytes_arrives(keeper):
    data = bytes(range(256)) * 100_000

    assert keeper.path_of(data) == data


def test_surrogate_in_an_attribute_name_or_keyword_is_told(keeper):
    with pytest.raises((AttributeError, UnicodeEncodeError, TypeError)):
        get(getattr(keeper, "\ud800"))
    assert keeper.open("x", **{"\ud800": 1}) == ("x", "", {"\ud800": 1})
