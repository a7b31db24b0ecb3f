"""Large values that only pickle knows: in memory of their own, and what lies in them too."""

from __future__ import annotations

import array
import gc
import threading

import numpy as np
import pytest

import elsewhere
from heaps import LARGE, Box, footprint, place

CONTENTS = {
    "bytes": lambda: bytes(range(256)) * (LARGE // 256),
    "a byte array": lambda: bytearray(LARGE),
    "a read-only view": lambda: memoryview(bytes(LARGE)),
    "a view of numbers": lambda: memoryview(bytearray(LARGE)).cast("B").cast("d", (256, LARGE // 8 // 256)),
    "a machine array": lambda: array.array("d", range(LARGE // 8)),
    "a text": lambda: "grün" * (LARGE // 4),
    "many numbers": lambda: list(range(LARGE)),
    "a function": lambda: _function_of_its_own(bytes(LARGE)),
}


def _function_of_its_own(data: bytes) -> object:
    return lambda: data


def content_of(value: object) -> object:
    if callable(value):
        return value()
    return (value.format, value.shape, value.readonly, bytes(value)) if isinstance(value, memoryview) else value


@pytest.mark.parametrize("name", CONTENTS)
def test_content_is_the_same_there_and_back(heap, name):
    box = Box(CONTENTS[name]())

    back = heap.echo(box)

    assert type(back.content) is type(box.content)
    assert content_of(back.content) == content_of(box.content)


@pytest.mark.parametrize("make", [bytearray, lambda size: array.array("d", bytes(size)), np.zeros])
def test_what_stands_in_two_places_is_one_there(heap, make):
    content = make(LARGE)

    back = heap.echo(Box([content, content]))
    back.content[0][5] = 7

    assert back.content[0] is back.content[1]
    assert content[5] == 0


def test_pickle_may_be_larger_than_a_message(far_heap):
    box = Box(bytearray(80 * LARGE))
    box.content[-1] = 7

    back = far_heap.echo(box)

    assert back.content == box.content


@pytest.mark.usefixtures("shares_memory")
def test_dates_inside_of_an_object_are_the_memory_that_came(far_heap):
    dates = np.arange(LARGE // 8).astype("M8[s]")

    back = far_heap.echo(Box(dates)).content

    assert place(back.view("i8")) is not None
    assert (back == dates).all()


def test_arrays_beyond_all_counts_go_in_one_value(heap):
    arrays = [np.full(3, number) for number in range(70_000)]

    back = heap.echo(Box(arrays)).content

    assert len(back) == len(arrays)
    assert all(array.flags.writeable for array in back)
    assert (np.array(back) == np.array(arrays)).all()


class Unhappy:
    """Cannot be rebuilt."""

    def __init__(self) -> None:
        self.data = bytes(LARGE)

    def __setstate__(self, state: object) -> None:
        raise ValueError("no")


@pytest.mark.usefixtures("shares_memory")
def test_memory_of_a_pickle_goes_back_whether_it_is_read_or_not(far_heap):
    far_heap.echo(1)
    before = footprint(), far_heap.footprint()

    for _ in range(3):
        far_heap.keep(Box(bytes(LARGE)))
        with pytest.raises(elsewhere.ArgumentError, match="no"):
            far_heap.keep(Unhappy())
    gc.collect()

    while (footprint(), far_heap.footprint()) != before:
        threading.Event().wait(0.05)  # the test's time limit ends it
    assert len(far_heap.kept[0].content) == LARGE


def test_many_large_values_in_one_call_come_whole(heap):
    values = [bytes([index % 251]) * 70_000 for index in range(600)]

    back = heap.echo(values)

    assert back == values
