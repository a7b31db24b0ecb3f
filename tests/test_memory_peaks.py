"""What values cost in memory on their way, through shared memory and in messages, and that the largest come whole."""

from __future__ import annotations

import array
import zlib
from typing import Any

import numpy as np
import pytest

import elsewhere
from heaps import LARGE, Heap, forget_peak, peak
from test_memory_faults import needs

NBYTES = 64 * LARGE
SLACK = 4 * LARGE
GIB = 1 << 30
KINDS = ("numpy", "bytes", "bytearray", "memoryview", "array")
MAPPED = ("numpy", "memoryview")
"""What is not copied out of the memory that it came in."""


class Store(Heap):
    """Makes values that no two parts of are alike, and knows what arrives."""

    def made(self, kind: str, nbytes: int) -> Any:
        content = np.zeros(nbytes, "u1")
        content[::LARGE] = np.arange(1, 1 + len(content[::LARGE])) % 251
        content[-1] = 253
        if kind == "bytes":
            return content.tobytes()
        if kind == "bytearray":
            return bytearray(memoryview(content))
        if kind == "array":
            made = array.array("B")
            made.frombytes(memoryview(content))
            return made
        return memoryview(content) if kind == "memoryview" else content

    def stock(self, kind: str, nbytes: int) -> None:
        self.kept = [self.made(kind, nbytes)]

    def sum(self) -> int:
        return zlib.crc32(self.kept[-1])


def of_argument(kind: str, nbytes: int, shares: bool) -> tuple[int, int, bool]:
    """More bytes at a time than before, here and there, for an argument; and whether it came whole."""
    elsewhere._core.share_memory(shares)
    with elsewhere.Host(start="exec") as host:
        store = host.spawn(Store)
        store.keep(np.zeros(LARGE))
        store.forget()
        value = Store().made(kind, nbytes)
        store.forget_peak()
        forget_peak()
        here, there = peak(), store.peak()
        store.keep(value)
        return peak() - here, store.peak() - there, store.sum() == zlib.crc32(value)


def of_result(kind: str, nbytes: int, shares: bool) -> tuple[int, int, bool]:
    """The same for a result."""
    elsewhere._core.share_memory(shares)
    with elsewhere.Host(start="exec") as host:
        store = host.spawn(Store)
        store.stock(kind, nbytes)
        store.forget_peak()
        forget_peak()
        here, there = peak(), store.peak()
        value = store.last()
        return peak() - here, store.peak() - there, store.sum() == zlib.crc32(value)


@pytest.mark.usefixtures("shares_memory")
@pytest.mark.parametrize("way", [of_argument, of_result])
@pytest.mark.parametrize("kind", KINDS)
def test_value_in_shared_memory_is_one_copy_in_and_what_is_no_view_of_it_one_out(process_host, kind, way):
    here, there, is_whole = process_host.run(way, kind, NBYTES, True)

    assert is_whole
    assert here + there <= (1 if kind in MAPPED else 2) * NBYTES + SLACK


@pytest.mark.parametrize("way", [of_argument, of_result])
@pytest.mark.parametrize("kind", KINDS)
def test_value_in_a_message_costs_two_copies_on_each_side_at_most(process_host, kind, way):
    here, there, is_whole = process_host.run(way, kind, NBYTES, False)

    assert is_whole
    assert max(here, there) <= 2 * NBYTES + SLACK


@pytest.mark.slow
@pytest.mark.timeout(150)
@pytest.mark.usefixtures("shares_memory")
@pytest.mark.parametrize("way", [of_argument, of_result])
@pytest.mark.parametrize("nbytes", [2**31 - 1, 2**31, 2**32 + 1])
def test_array_beyond_the_limits_of_integers_is_whole_and_one_copy(process_host, nbytes, way):
    needs(3 * nbytes)

    here, there, is_whole = process_host.run(way, "numpy", nbytes, True)

    assert is_whole
    assert here + there <= 1.1 * nbytes


@pytest.mark.slow
@pytest.mark.timeout(150)
@pytest.mark.usefixtures("shares_memory")
@pytest.mark.parametrize("way", [of_argument, of_result])
def test_bytes_beyond_the_limits_of_integers_are_whole_and_two_copies(process_host, way):
    needs(10 * GIB)

    here, there, is_whole = process_host.run(way, "bytes", 2 * GIB, True)

    assert is_whole
    assert here + there <= 2.2 * 2 * GIB


@pytest.mark.slow
@pytest.mark.timeout(150)
@pytest.mark.parametrize("way", [of_argument, of_result])
@pytest.mark.parametrize("kind", ["numpy", "bytes"])
def test_longest_message_is_whole_and_two_copies_on_each_side_at_most(process_host, kind, way):
    needs(6 * GIB)

    here, there, is_whole = process_host.run(way, kind, GIB - LARGE, False)

    assert is_whole
    assert max(here, there) <= 2.2 * GIB
