"""Read-only arrays that came from a host: they go back and on to others in the memory that they lie in."""

from __future__ import annotations

import gc
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import elsewhere
from heaps import LARGE, Box, Heap, footprint, forget_peak, peak, place

pytestmark = pytest.mark.usefixtures("shares_memory")

PARTS = {
    "the whole": lambda array: array,
    "its second half": lambda array: array[array.size // 2 :],
    "of another dtype": lambda array: array.view("u1"),
    "of another shape": lambda array: array.reshape(4, -1),
    "transposed": lambda array: array.reshape(4, -1).T,
    "every other number": lambda array: array[::2],
    "columns": lambda array: array.reshape(-1, 8)[:, 2:5],
    "backwards": lambda array: array[::-1],
    "a memoryview": memoryview,
}


@pytest.fixture
def other_heap():
    with elsewhere.Host() as host:
        yield host.spawn(Heap)


@pytest.mark.parametrize("name", PARTS)
def test_array_goes_back_and_on_in_the_same_memory(far_heap, other_heap, name):
    array = PARTS[name](far_heap.frozen(LARGE))
    expected = np.array(array)

    back = far_heap.echo(array)
    places = {place(array), place(back), far_heap.place(array), other_heap.place(array)}

    assert len(places) == 1
    assert None not in places
    assert type(back) is type(array)
    assert (np.asarray(back) == expected).all()
    assert not np.asarray(back).flags.writeable


def test_arrays_deep_inside_of_values_go_on_in_the_same_memory(far_heap, other_heap):
    array = far_heap.frozen(LARGE)

    boxed = other_heap.echo(Box({"array": array}))
    listed = other_heap.echo([1, (array,)])

    assert place(boxed.content["array"]) == place(listed[1][0]) == place(array)


def test_host_passes_on_what_it_was_given(far_heap, other_heap):
    original = np.frombuffer(bytes(LARGE), "u1")
    far_heap.keep(original)

    first, second = far_heap.last(), far_heap.last()
    other_heap.keep(first)

    assert place(first) == place(second) == far_heap.place(first) == other_heap.place(other_heap.last())
    assert place(original) is None


def test_passing_it_copies_nothing(far_heap):
    array = far_heap.frozen(64 * LARGE)
    far_heap.echo(array[:1])
    forget_peak()
    far_heap.forget_peak()
    here, there = peak(), far_heap.peak()

    for _ in range(5):
        far_heap.echo(array)

    assert peak() - here < 16 * LARGE
    assert far_heap.peak() - there < 16 * LARGE


def test_it_is_mapped_once_and_has_one_descriptor(far_heap, other_heap):
    array = far_heap.frozen(LARGE)
    other_heap.keep(array)
    far_heap.echo(array)
    before = footprint(), far_heap.footprint(), other_heap.footprint()

    kept = [(far_heap.echo(array), other_heap.last()) for _ in range(50)]

    assert len(kept) == 50
    assert (footprint(), far_heap.footprint(), other_heap.footprint()) == before
    assert [mapped for _, mapped in before] == [1, 1, 1]


def test_short_part_is_a_copy_and_keeps_no_large_memory(far_heap, other_heap):
    array = far_heap.frozen(LARGE)

    part = other_heap.echo(array[5:9])

    assert part.tolist() == [5, 6, 7, 8]
    assert place(part) is None
    assert other_heap.footprint()[1] == 0


def test_writable_array_goes_on_as_a_copy_also_by_a_read_only_view(far_heap, other_heap):
    array = far_heap.make("numpy", LARGE)
    view = array.view()
    view.flags.writeable = False

    back = far_heap.echo(view)
    other_heap.keep(view)
    array[0] = 99

    assert not back.flags.writeable
    assert (back[0], other_heap.last()[0]) == (0, 0)


def test_read_only_view_of_an_own_array_goes_as_a_copy(far_heap, other_heap):
    array = np.zeros(LARGE)
    view = array.view()
    view.flags.writeable = False
    there = far_heap.echo(view)
    other_heap.keep(there)

    array[0] = 99

    assert (there[0], other_heap.last()[0]) == (0, 0)


def test_lender_writes_nothing_into_memory_that_somebody_still_has(far_heap, other_heap):
    kept = far_heap.frozen(LARGE)
    expected = kept.copy()
    other_heap.keep(kept)
    del kept
    gc.collect()

    for number in range(20):
        made = far_heap.echo(np.full(LARGE, number, "u1"))
        read_only = far_heap.frozen(LARGE)
        assert made[0] == number
        assert read_only[-1] == LARGE // 8 - 1
        del made, read_only

    assert (other_heap.last() == expected).all()


def test_array_outlives_its_maker_and_the_process_in_the_middle(other_heap):
    with elsewhere.Host() as maker, elsewhere.Host() as middle:
        passing = middle.spawn(Heap)
        passing.keep(maker.spawn(Heap).frozen(LARGE))
        other_heap.keep(passing.last())
        for dying in (maker, middle):
            with pytest.raises(elsewhere.HostDied):
                dying.spawn(Heap).die(None)

    assert (other_heap.last() == np.arange(LARGE // 8)).all()
    assert (other_heap.echo(other_heap.last()) == np.arange(LARGE // 8)).all()


def test_memory_goes_back_to_the_system_when_nobody_has_it(far_heap, other_heap):
    before = footprint(), far_heap.footprint(), other_heap.footprint()
    array = far_heap.frozen(LARGE)
    far_heap.keep(array)
    other_heap.keep(array)

    del array
    far_heap.forget()
    other_heap.forget()
    gc.collect()

    deadline = time.monotonic() + 20
    while (footprint(), far_heap.footprint(), other_heap.footprint()) != before and time.monotonic() < deadline:
        threading.Event().wait(0.05)
    assert (footprint(), far_heap.footprint(), other_heap.footprint()) == before


def test_threads_pass_one_array_to_many_hosts_at_once(far_heap):
    array = far_heap.frozen(LARGE)
    with elsewhere.Host() as second, elsewhere.Host() as third, ThreadPoolExecutor(8) as threads:
        heaps = [far_heap, second.spawn(Heap), third.spawn(Heap)] * 8

        places = set(threads.map(lambda heap: heap.place(array), heaps))

    assert places == {place(array)}


def test_child_of_a_fork_passes_on_a_copy(far_heap):
    far_heap.keep(np.frombuffer(bytes([1]) * LARGE, "u1"))

    (total, there), here = far_heap.pass_on_from_a_child()

    assert total == LARGE
    assert there != here


def test_local_host_has_it_in_the_same_memory_read_only(far_heap):
    array = far_heap.frozen(LARGE)
    with elsewhere.Host(start="local") as host:
        back = host.spawn(Heap).echo(array)

    assert place(back) == place(array)
    assert not back.flags.writeable


SCRIPT = """
import resource, sys
import numpy as np
import elsewhere
from heaps import LARGE, Heap, footprint, place
{before}
with elsewhere.Host() as host, elsewhere.Host() as other:
    heap, third = host.spawn(Heap), other.spawn(Heap)
    {script}
"""


def outcome(script: str, before: str = "") -> str:
    text = textwrap.dedent(SCRIPT).format(before=before, script=script)
    done = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, timeout=60, check=False, cwd=Path(__file__).parent
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_many_arrays_leave_room_for_other_descriptors():
    script = (
        "kept = [heap.frozen(65_536) for _ in range(60)]; backs = [third.echo(array) for array in kept]; "
        "print(all((back == kept[0]).all() for back in backs), footprint()[0] < 50, 0 < "
        "sum(place(array) == place(back) for array, back in zip(kept, backs)) < 60)"
    )

    printed = outcome(script, "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))")

    assert printed == "True True True\n"


def test_connection_without_shared_memory_has_a_copy():
    script = (
        "array = heap.frozen(LARGE); resource.setrlimit(resource.RLIMIT_FSIZE, (4096, -1)); "
        "last = elsewhere.Host(); there = last.spawn(Heap); there.keep(array); there.keep(array[::2]); "
        "print((there.last() == array[::2]).all(), there.place(array), there.footprint()[1]); last.close()"
    )

    assert outcome(script) == "True None 0\n"
