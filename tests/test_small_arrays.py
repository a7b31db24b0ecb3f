"""Arrays of numpy of less than 64 KiB: equal there and back, whatever they hold and however they lie."""

from __future__ import annotations

import numpy as np
import pytest

import elsewhere
from belongings import Toy
from workshop import Keeper

NUMBERS = np.arange(24)


@pytest.fixture(scope="module", params=["exec", "local"])
def keeper(request):
    with elsewhere.Host(start=request.param) as host:
        yield host.spawn(Keeper)


@pytest.mark.parametrize(
    "array",
    [
        *(NUMBERS.astype(letter) for letter in "?bBhHiIlLqQefdgFDG"),
        NUMBERS.astype(">i4"),
        NUMBERS.astype("<f8"),
        NUMBERS.astype("M8[s]"),
        NUMBERS.astype("m8[D]"),
        NUMBERS.astype("S3"),
        NUMBERS.astype("U3"),
        NUMBERS.astype(object),
        NUMBERS.reshape(2, 3, 4),
        NUMBERS.reshape(4, 6).T,
        np.asfortranarray(NUMBERS.reshape(4, 6)),
        NUMBERS[::2],
        NUMBERS[::-1],
        NUMBERS.reshape(4, 6)[1:3, 2:5],
        np.array(3.5),
        np.array([]),
        np.zeros((0, 3)),
        np.zeros((3, 0, 2), order="F"),
        np.array([(1, 2.5)], dtype=[("number", "i4"), ("weight", "f8")]),
        np.array([float("nan"), float("inf"), -0.0]),
        np.broadcast_to(np.float64(2.0), (3, 3)),
    ],
    ids=lambda array: f"{array.dtype} {array.shape} {array.strides}",
)
def test_array_is_equal_there_and_back(keeper, array):
    back = keeper.path_of(array)

    assert type(back) is np.ndarray
    assert (back.dtype, back.shape) == (array.dtype, array.shape)
    assert np.array_equal(back, array, equal_nan=array.dtype.kind in "fc")
    if array.flags.forc:
        assert back.flags.f_contiguous == array.flags.f_contiguous


def test_array_that_arrives_may_be_written_and_is_a_copy(keeper):
    array = np.zeros(3)

    back = keeper.path_of(array)
    back += 1

    assert back.tolist() == [1, 1, 1]
    assert array.tolist() == [0, 0, 0]


def test_read_only_array_arrives_read_only(keeper):
    array = np.zeros(3)
    array.flags.writeable = False

    assert not keeper.path_of(array).flags.writeable


def test_array_that_stands_in_two_places_is_one_there(keeper):
    array = np.zeros(3)

    one, two = keeper.path_of([array, array])

    assert keeper.same(array, array)
    assert one is two


@pytest.mark.parametrize("count", [64, 65, 200])
def test_many_arrays_arrive(keeper, count):
    arrays = [np.full(3, number) for number in range(count)]

    back = keeper.path_of(arrays)

    assert [array.tolist() for array in back] == [array.tolist() for array in arrays]


def test_many_places_of_one_array_are_one_there(keeper):
    array = np.zeros(3)

    back = keeper.path_of([np.ones(3) for _ in range(70)] + [array, array])

    assert back[-1] is back[-2]


def test_arrays_in_containers_and_objects_arrive(keeper):
    toy = Toy("puzzle", {"edges": (np.arange(3), [np.arange(4.0)])})

    back = keeper.path_of(toy)

    assert back.parts["edges"][0].tolist() == [0, 1, 2]
    assert back.parts["edges"][1][0].tolist() == [0, 1, 2, 3]


def test_small_and_large_arrays_go_together(keeper):
    small, large = keeper.path_of((np.arange(3), np.arange(100_000)))

    assert small.tolist() == [0, 1, 2]
    assert large[-1] == 99_999


def test_subclass_of_an_array_stays_one(keeper):
    array = np.ma.masked_array([1, 2, 3], mask=[False, True, False])

    back = keeper.path_of(array)

    assert type(back) is np.ma.MaskedArray
    assert back.sum() == 4
