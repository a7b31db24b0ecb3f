"""Memory that several processes go on using: the same on all sides, passed without a copy, gone with its last user."""

from __future__ import annotations

import gc
import pickle
import subprocess
import sys
import threading

import numpy as np
import pytest

import elsewhere
from heaps import LARGE, Heap, footprint, forget_peak, peak

pytestmark = pytest.mark.usefixtures("shares_memory")

VIEWS = {
    "the whole": lambda array: array,
    "a part": lambda array: array[5:9],
    "rows": lambda array: array[::2],
    "columns": lambda array: array[:, 3:5],
    "backwards": lambda array: array[::-1, ::-3],
    "transposed": lambda array: array.T,
    "one number": lambda array: array[2:3, 3:4],
    "of another dtype": lambda array: array.view("i8"),
    "of another shape": lambda array: array.reshape(-1),
}


def test_array_begins_with_zeros():
    array = elsewhere.shared_array((3, 4), "i4")

    assert (type(array), array.dtype, array.shape, array.flags.c_contiguous) == (
        np.ndarray,
        np.dtype("i4"),
        (3, 4),
        True,
    )
    assert not array.any()
    assert array.flags.writeable
    assert elsewhere.shared_array(5).dtype == float


def test_memory_begins_with_zeros():
    memory = elsewhere.shared_memory(LARGE + 1)

    assert (type(memory), memory.format, memory.shape, memory.readonly) == (memoryview, "B", (LARGE + 1,), False)
    assert bytes(memory) == bytes(LARGE + 1)


@pytest.mark.parametrize("size", [1, 1000, LARGE])
def test_writes_are_seen_on_both_sides(heap, size):
    array = elsewhere.shared_array(size, "u1")

    heap.keep(array)
    heap.fill(array, 7)
    assert (array == 7).all()
    array[0] = 9

    assert heap.take(heap.last(), 0, 1) == b"\x09"


def test_writes_to_memory_are_seen_on_both_sides(heap):
    memory = elsewhere.shared_memory(100)

    heap.keep(memory)
    heap.put(memory, 10, b"there")
    memory[50:54] = b"here"

    assert bytes(memory[10:15]) == b"there"
    assert heap.take(heap.last(), 50, 4) == b"here"


@pytest.mark.parametrize("name", VIEWS)
def test_view_of_an_array_is_of_the_same_memory_there(heap, name):
    array = elsewhere.shared_array((16, 12))
    array[:] = np.arange(192).reshape(16, 12)
    view = VIEWS[name](array)
    before = view.copy()

    back = heap.echo(view)
    same_there = heap.describe(view)
    back[...] = before + 1

    assert (back.dtype, back.shape) == (view.dtype, view.shape)
    assert back.strides == view.strides or view.size == 1  # where strides mean nothing
    assert same_there[3] == before.tobytes()
    assert (view == before + 1).all()


def test_view_of_memory_in_one_piece_is_of_the_same_memory_there(heap):
    memory = elsewhere.shared_memory(800)

    back = heap.echo(memory.cast("d")[10:20])
    back[0] = 1.5

    assert memory.cast("d")[10] == 1.5


def test_view_with_gaps_of_memory_is_a_copy_there(heap):
    memory = elsewhere.shared_memory(100)

    back = heap.echo(memory[::2])
    back[0] = 1

    assert memory[0] == 0


def test_read_only_view_arrives_read_only(heap):
    array = elsewhere.shared_array(10)
    array.flags.writeable = False
    rows = elsewhere.shared_array((4, 4))[::2]
    rows.flags.writeable = False

    back, strided, view = heap.echo([array, rows, elsewhere.shared_memory(5).toreadonly()])

    assert not back.flags.writeable
    assert not strided.flags.writeable
    assert view.readonly


def test_shared_memory_goes_deep_inside_values(heap):
    array, memory = elsewhere.shared_array(10), elsewhere.shared_memory(10)

    back = heap.echo({"a": [array, (memory, "text")], "b": Heap})
    back["a"][0][0], back["a"][1][0][0] = 5, 6

    assert (array[0], memory[0]) == (5, 6)


def test_what_is_computed_is_not_shared(heap):
    array = elsewhere.shared_array(LARGE)

    back = heap.echo(array + 1)
    back[0] = 7

    assert array[0] == 0


def test_host_shares_what_it_made(far_heap):
    host = elsewhere.host_of(far_heap)
    array = host.run(elsewhere.shared_array, 1000)

    far_heap.keep(array)
    array[0] = 5

    assert far_heap.kept[0][0] == 5


def test_third_process_shares_it_too(far_heap):
    with elsewhere.Host() as other:
        third = other.spawn(Heap)
        array = elsewhere.host_of(far_heap).run(elsewhere.shared_array, 1000)

        third.keep(array)
        far_heap.keep(array)
        third.kept[0][1] = 5

        assert (array[1], far_heap.kept[0][1]) == (5, 5)


def test_host_of_a_host_shares_it_too(process_host):
    array = elsewhere.shared_array(1000)

    process_host.run(_write_in_a_host_of_its_own, array)

    assert array[3] == 7


def _write_in_a_host_of_its_own(array):
    with elsewhere.Host() as inner:
        inner.spawn(Heap).fill(array[3:4], 7)


@pytest.mark.parametrize("start", ["zygote", "exec"])
def test_every_kind_of_process_shares(start):
    array = elsewhere.shared_array(10)
    with elsewhere.Host(start=start) as host:
        host.spawn(Heap).fill(array, 3)

    assert (array == 3).all()


def test_child_of_a_fork_shares_it(far_heap):
    array = elsewhere.shared_array(LARGE, "u1")
    far_heap.keep(array)
    array[:] = 1

    assert far_heap.fork_and_sum(array) == LARGE


def test_passing_it_copies_nothing(far_heap):
    array = elsewhere.shared_array(64 * LARGE, "u1")
    far_heap.echo(array[:1])
    far_heap.footprint()
    forget_peak()
    far_heap.forget_peak()
    here, there = peak(), far_heap.peak()

    for _ in range(5):
        far_heap.echo(array)

    assert peak() - here < 16 * LARGE
    assert far_heap.peak() - there < 16 * LARGE


def test_it_is_mapped_once_and_has_one_descriptor(far_heap):
    array = elsewhere.shared_array(LARGE, "u1")
    far_heap.echo(array)
    before = footprint(), far_heap.footprint()

    kept = [far_heap.echo(array) for _ in range(100)]
    far_heap.keep(kept)

    assert (footprint(), far_heap.footprint()) == before
    assert before[0][1] == before[1][1] == 1


def test_it_lives_as_long_as_anybody_uses_it(far_heap):
    array = elsewhere.shared_array(LARGE, "u1")
    array[:] = 3
    far_heap.keep(array)
    del array
    gc.collect()
    while footprint()[1]:
        threading.Event().wait(0.05)  # the test's time limit ends it

    again = far_heap.last()

    assert (again == 3).all()


def test_it_goes_back_to_the_system_when_nobody_uses_it(far_heap):
    array = elsewhere.shared_array(LARGE, "u1")
    before = far_heap.footprint()[0]
    far_heap.keep(array)
    back = far_heap.last()
    far_heap.forget()

    del array, back
    gc.collect()

    while footprint()[1] or far_heap.footprint() != (before, 0):
        threading.Event().wait(0.05)  # the test's time limit ends it

    assert (footprint()[1], far_heap.footprint()) == (0, (before, 0))


def test_it_outlives_its_maker(far_heap):
    array = elsewhere.host_of(far_heap).run(elsewhere.shared_array, 1000)
    with pytest.raises(elsewhere.HostDied):
        far_heap.die(array)

    array[0] = 5

    assert array.sum() == 5


def test_many_can_be_shared_and_dropped(far_heap):
    for number in range(300):
        array = elsewhere.shared_array(10)
        far_heap.fill(array, number)
        assert array[9] == number


def test_many_are_shared_by_one_call(heap):
    arrays = [elsewhere.shared_array(10) for _ in range(600)]

    back = heap.echo(arrays)
    for array in back:
        array += 1

    assert all(array.sum() == 10 for array in arrays)


def test_many_are_shared_with_a_host_that_is_busy(far_heap):
    arrays = [elsewhere.shared_array(10) for _ in range(600)]
    is_over = threading.Event()

    busy = elsewhere.submit(far_heap.call, elsewhere.ref(is_over.wait))
    filled = [elsewhere.submit(far_heap.fill, array, number) for number, array in enumerate(arrays)]
    is_over.set()
    for future in (busy, *filled):
        future.result()

    assert [array[9] for array in arrays] == [*range(600)]


def test_it_is_shared_after_calls_that_failed_behind_it(far_heap):
    for _ in range(600):
        with pytest.raises(elsewhere.ArgumentError):
            far_heap.fill(elsewhere.shared_array(10), threading.Lock())
    array = elsewhere.shared_array(10)

    far_heap.fill(array, 7)

    assert array[9] == 7


def test_threads_share_it(far_heap):
    array = elsewhere.shared_array(8, "i8")

    def add(index: int) -> None:
        for _ in range(50):
            far_heap.fill(array[index : index + 1], int(array[index]) + 1)

    threads = [threading.Thread(target=add, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert array.tolist() == [50] * 8


def test_stream_and_post_share_it(far_heap):
    array = elsewhere.shared_array(10)

    elsewhere.post(far_heap.fill, array, 4)
    far_heap.keep(None)

    assert (array == 4).all()


def test_pickle_of_its_own_is_a_copy():
    array = elsewhere.shared_array(10)

    copy = pickle.loads(pickle.dumps(array, 5))
    copy[0] = 1

    assert array[0] == 0


@pytest.mark.parametrize("shape", [0, (0, 5), (5, 0)])
def test_nothing_can_be_shared_as_well(shape):
    assert elsewhere.shared_array(shape).size == 0
    assert elsewhere.shared_memory(0).nbytes == 0


def test_what_cannot_be_shared_is_refused():
    with pytest.raises(TypeError, match="holds objects of this process"):
        elsewhere.shared_array(5, object)
    with pytest.raises(ValueError, match="negative"):
        elsewhere.shared_array((-2, -3))
    with pytest.raises(OverflowError):
        elsewhere.shared_memory(-1)
    with pytest.raises(MemoryError, match="cannot share"):
        elsewhere.shared_memory(1 << 60)


def test_numpy_is_asked_for_when_it_is_needed():
    text = """
import sys
sys.modules["numpy"] = None
import elsewhere
with elsewhere.Host() as host:
    memory = elsewhere.shared_memory(10)
    host.run(memoryview.__setitem__, memory, 0, 5) if False else None
try:
    elsewhere.shared_array(5)
except ModuleNotFoundError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=60, check=True)

    assert done.stdout == "shared_array() needs numpy; shared_memory() does without it\n"


def test_connection_without_shared_memory_refuses_it():
    text = """
import resource, elsewhere
memory = elsewhere.shared_memory(5)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, -1))
with elsewhere.Host() as host:
    dog = host.spawn(list)
    try:
        dog.append(memory)
    except elsewhere.ArgumentError as error:
        print(error)
    print(len(dog))
"""
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=60, check=True)

    assert "shared memory cannot be passed to host" in done.stdout
    assert done.stdout.endswith("\n0\n")
