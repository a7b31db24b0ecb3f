"""Large arrays and bytes as arguments and results: the same there as here, and each side's own."""

from __future__ import annotations

import array
import gc
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading

import numpy as np
import pytest

import elsewhere
from heaps import LARGE, Heap, Tagged, described, footprint, forget_peak, peak

KINDS = ("bytes", "bytearray", "memoryview", "array", "numpy")


def in_a_file(count: int) -> np.memmap:
    with tempfile.TemporaryFile() as file:
        return np.memmap(file, "f8", shape=(count,))


ARRAYS = {
    "of floats": lambda: np.linspace(0, 1, LARGE // 8),
    "of bytes": lambda: np.arange(LARGE, dtype="u1"),
    "of truth": lambda: np.arange(LARGE) % 3 == 0,
    "complex": lambda: np.linspace(0, 1, LARGE // 16).astype(complex),
    "big-endian": lambda: np.arange(LARGE // 4, dtype=">i4"),
    "of texts": lambda: np.full(LARGE // 16, "grün", "U4"),
    "of dates": lambda: np.arange(LARGE // 8).astype("M8[us]"),
    "of dates in Fortran's order": lambda: np.asfortranarray(np.arange(LARGE // 8).astype("M8[s]").reshape(256, -1)),
    "of dates with gaps": lambda: np.arange(LARGE // 4).astype("M8[D]")[::2],
    "of halves": lambda: np.linspace(0, 1, LARGE // 2).astype("f2"),
    "of long floats": lambda: np.linspace(0, 1, LARGE // 16).astype("g"),
    "of raw items": lambda: np.frombuffer(bytearray(range(256)) * (LARGE // 256), "V8"),
    "of arrays": lambda: np.zeros(LARGE // 26, [("x", "f8", (3,)), ("y", "i2")]),
    "of texts of any length": lambda: np.array(["a", "grün"] * 9000, np.dtypes.StringDType()),
    "in no common order": lambda: np.arange(LARGE // 8).reshape(32, 64, -1).transpose(1, 0, 2),
    "that repeats itself": lambda: np.broadcast_to(np.arange(256.0), (512, 256)),
    "of one large item": lambda: np.ones((), [("x", "f8", (LARGE // 8,))]),
    "of a class of its own": lambda: np.arange(LARGE // 8).view(Tagged),
    "of records": lambda: np.zeros(LARGE // 12, [("x", "<f8"), ("y", "<i4")]).view(np.recarray),
    "in a file": lambda: in_a_file(LARGE // 8),
    "with a mask": lambda: np.ma.masked_greater(np.arange(LARGE // 8), 1000),
    "structured": lambda: np.zeros(LARGE // 12, [("x", "<f8"), ("y", ">i4")]),
    "of three dimensions": lambda: np.arange(LARGE // 8).reshape(64, 32, -1),
    "in Fortran's order": lambda: np.asfortranarray(np.arange(LARGE // 8).reshape(256, -1)),
    "transposed": lambda: np.arange(LARGE // 8).reshape(256, -1).T,
    "with gaps": lambda: np.arange(LARGE // 4)[::2],
    "backwards": lambda: np.arange(LARGE // 8)[::-1],
    "read-only": lambda: np.frombuffer(bytes(LARGE), "u1"),
    "of objects": lambda: np.array([None, "x", 7] * 9000, dtype=object),
    "empty": lambda: np.zeros((0, LARGE)),
    "of no dimension": lambda: np.array(7.5),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_array_is_the_same_there_and_back(heap, name):
    original = ARRAYS[name]()
    copied = described(pickle.loads(pickle.dumps(original, 5)))  # which has no gaps

    there, back = heap.describe(original), heap.echo(original)

    if original.dtype.hasobject:
        assert list(back) == list(original)
        assert back.dtype == original.dtype
    else:
        assert there == copied
        assert described(back) == copied


@pytest.mark.usefixtures("shares_memory")
def test_dates_keep_the_order_of_their_bytes(heap):
    original = np.arange(LARGE // 8).astype(">m8[ns]")

    back = heap.echo(original)

    assert described(back) == described(original)


@pytest.mark.parametrize("nbytes", [65_535, 65_536, LARGE, LARGE + 1, 5 * LARGE + 3])
@pytest.mark.parametrize("make", [bytes, bytearray, lambda data: memoryview(bytearray(data))])
def test_bytes_are_the_same_there_and_back(heap, make, nbytes):
    value = make(bytes(index % 251 for index in range(nbytes)))

    there, back = heap.describe(value), heap.echo(value)

    assert there == described(value)
    assert described(back) == described(value)


@pytest.mark.parametrize("code", "bBhHiIlLqQfd")
def test_machine_arrays_are_the_same_there_and_back(heap, code):
    value = array.array(code, bytes(LARGE))
    value[5] = 5

    back = heap.echo(value)

    assert (type(back), back.typecode, back) == (array.array, code, value)


def test_views_keep_format_and_shape_and_whether_they_may_be_written(heap):
    views = [
        memoryview(bytearray(LARGE)).cast("d", (64, LARGE // 512)),
        memoryview(bytes(LARGE)).cast("H"),
        memoryview(bytearray(LARGE)).toreadonly(),
        memoryview(bytearray(LARGE))[::2],
    ]

    back = heap.echo(views)

    assert [described(view) for view in back] == [described(view) for view in views]


def test_array_of_a_subclass_comes_as_one(heap):
    value = np.ma.masked_array(np.arange(LARGE // 8), mask=np.arange(LARGE // 8) % 2)

    back = heap.echo(value)

    assert type(back) is np.ma.MaskedArray
    assert (back.mask == value.mask).all()
    assert back.sum() == value.sum()


def test_array_deep_inside_a_value_comes_whole(heap):
    value = {
        "a": [np.arange(LARGE // 8), b"x" * LARGE],
        "b": (bytearray(LARGE), {"c": array.array("d", [1.5] * LARGE)}),
    }

    back = heap.echo(value)

    assert (back["a"][0] == value["a"][0]).all()
    assert back["a"][1] == value["a"][1]
    assert back["b"] == value["b"]
    assert type(back["b"][0]) is bytearray


def test_array_that_stands_in_two_places_is_one_there(heap):
    value = np.arange(LARGE // 8)

    one, other = heap.echo([value, value])

    assert one is other


def test_array_that_arrives_may_be_written(heap):
    heap.keep(np.zeros(LARGE, "u1"))

    got = heap.last()
    got[:] = 1

    assert got.flags.writeable
    assert heap.last().sum() == 0


@pytest.mark.parametrize("kind", ["bytearray", "memoryview", "array", "numpy"])
def test_what_is_written_there_is_not_seen_here(far_heap, kind):
    value = Heap().make(kind, LARGE)
    before = described(value)

    far_heap.keep(value)
    elsewhere.get(far_heap.kept[0]).__class__
    far_heap.kept[0][0] = 99

    assert described(value) == before
    assert far_heap.last()[0] == 99


def test_what_is_written_here_after_the_call_is_not_seen_there(far_heap):
    value = np.zeros(LARGE, "u1")
    far_heap.keep(value)

    value[:] = 1

    assert far_heap.last().sum() == 0


def test_echo_is_a_copy_that_a_keeper_does_not_share(far_heap):
    value = np.zeros(LARGE, "u1")
    far_heap.keep(value)

    back = far_heap.last()
    back[:] = 1

    assert value.sum() == 0
    assert far_heap.last().sum() == 0


def test_memory_is_used_again_only_when_its_last_view_is_gone(far_heap):
    first = far_heap.make("numpy", LARGE)
    part = first[100:200]
    del first

    others = [far_heap.make("numpy", LARGE) * 0 for _ in range(20)]

    assert (part == np.arange(100, 200)).all()
    assert not any(other.any() for other in others)


@pytest.mark.parametrize("kind", KINDS)
def test_many_calls_leave_no_descriptors_and_no_mappings(far_heap, kind):
    value = Heap().make(kind, LARGE)
    for _ in range(20):
        far_heap.echo(value)
    before = footprint(), far_heap.footprint()

    for _ in range(500):
        far_heap.echo(value)

    after = footprint(), far_heap.footprint()
    assert after[0][0] == before[0][0]
    assert after[1][0] == before[1][0]
    assert abs(after[0][1] - before[0][1]) <= 2
    assert abs(after[1][1] - before[1][1]) <= 2


@pytest.mark.usefixtures("shares_memory")
def test_array_there_costs_one_copy_at_most(far_heap):
    value = np.ones(64 * LARGE, "u1")
    far_heap.footprint()
    forget_peak()
    far_heap.forget_peak()
    here, there = peak(), far_heap.peak()

    assert far_heap.echo(far_heap.keep(value)) == 1

    slack = 8 * LARGE
    assert peak() - here <= value.nbytes + slack
    assert far_heap.peak() - there <= value.nbytes + slack


@pytest.mark.usefixtures("shares_memory")
def test_memory_that_nobody_uses_goes_back_to_the_system(far_heap):
    far_heap.echo(np.ones(LARGE, "u1"))
    assert footprint()[1] > 0

    gc.collect()
    while footprint()[1] or far_heap.footprint()[1]:
        threading.Event().wait(0.05)  # the test's time limit ends it


def test_small_values_take_no_memory_of_their_own(far_heap):
    before = footprint()[1], far_heap.footprint()[1]

    far_heap.echo([b"x" * 60_000, np.zeros(100)])

    assert (footprint()[1], far_heap.footprint()[1]) == before


def test_views_outlive_the_process_that_they_came_from(far_heap):
    first, second = far_heap.make("numpy", LARGE), far_heap.make("memoryview", LARGE)

    with pytest.raises(elsewhere.HostDied):
        far_heap.die(np.zeros(LARGE))
    first[0] = 5

    assert first[0] == 5
    assert first[-1] == LARGE // 8 - 1
    assert second.nbytes == LARGE


def test_views_outlive_a_host_that_is_closed():
    with elsewhere.Host() as host:
        heap = host.spawn(Heap)
        got = heap.make("numpy", LARGE)
    del heap

    got += 1

    assert got[0] == 1


def test_answer_that_came_before_the_death_is_still_there(far_heap):
    future = elsewhere.submit(far_heap.make, "numpy", LARGE)
    future.exception()
    later = elsewhere.submit(far_heap.make, "numpy", LARGE)
    with pytest.raises(elsewhere.HostDied):
        far_heap.die(None)

    assert later.result()[-1] == future.result()[-1] == LARGE // 8 - 1


def test_array_of_a_call_that_fails_is_given_back(far_heap):
    value = np.zeros(LARGE, "u1")
    for _ in range(30):
        with pytest.raises(ValueError, match=str(LARGE)):
            far_heap.fail(value)

    assert footprint()[1] <= 5
    assert far_heap.footprint()[1] <= 5


def test_arrays_of_answers_that_nobody_wants_are_given_back(far_heap):
    for _ in range(50):
        elsewhere.submit(far_heap.make, "numpy", LARGE).cancel()
        elsewhere.submit(far_heap.make, "numpy", LARGE)
    far_heap.forget()
    gc.collect()

    assert footprint()[1] <= 60
    for _ in range(50):
        far_heap.make("numpy", LARGE)
    assert far_heap.footprint()[1] <= 60


def test_arrays_of_calls_that_never_began_are_given_back(far_heap):
    blocker = elsewhere.submit(far_heap.echo, np.zeros(LARGE))
    waiting = [elsewhere.submit(far_heap.keep, np.zeros(LARGE, "u1")) for _ in range(20)]
    for future in waiting:
        future.cancel()
    blocker.result()

    kept = far_heap.keep(None)

    assert kept <= 1 + len(waiting)
    far_heap.forget()
    for _ in range(60):
        far_heap.keep(np.zeros(LARGE, "u1"))
        far_heap.forget()
    assert footprint()[1] <= 25


def test_argument_that_cannot_be_rebuilt_gives_its_memory_back(far_heap):
    class Picky:
        def __reduce__(self):
            return _refuse, (np.zeros(LARGE, "u1"),)

    for _ in range(10):
        with pytest.raises(elsewhere.ArgumentError):
            far_heap.keep([np.zeros(LARGE, "u1"), Picky()])

    assert far_heap.echo(5) == 5
    assert footprint()[1] <= 8


def _refuse(value):
    raise RuntimeError


def test_call_that_cannot_be_written_gives_its_memory_back(far_heap):
    for _ in range(20):
        with pytest.raises(elsewhere.ArgumentError):
            far_heap.keep(np.zeros(LARGE, "u1"), b"x" * LARGE, threading.Lock())

    far_heap.keep(np.zeros(LARGE, "u1"))
    assert footprint()[1] <= 4


def test_stream_of_arrays_comes_whole_and_in_order(heap):
    got = [(item[0], item.size) for item in elsewhere.stream(heap.produce, 30, LARGE)]

    assert got == [(number, LARGE) for number in range(30)]


def test_stream_that_is_left_gives_its_memory_back(far_heap):
    for _ in range(5):
        for item in elsewhere.stream(far_heap.produce, 50, LARGE):
            if item[0] == 3:
                break
        del item
    gc.collect()

    for _ in range(20):
        far_heap.echo(np.zeros(LARGE, "u1"))
    assert far_heap.footprint()[1] <= 60


def test_threads_pass_arrays_without_mixing_them_up(far_heap):
    wrong = []

    def work(number: int) -> None:
        for turn in range(40):
            value = np.full(LARGE // 4, number * 100 + turn % 100, "i4")
            back = far_heap.echo(value)
            if not (back == value).all():
                wrong.append((number, turn))
            back[:] = -1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not wrong


def test_child_of_a_fork_sees_the_array(far_heap):
    assert far_heap.fork_and_sum(np.ones(LARGE, "u1")) == LARGE
    assert far_heap.echo(np.ones(LARGE, "u1")).sum() == LARGE


def test_array_goes_on_through_a_host_to_another(process_host):
    with elsewhere.Host() as other:
        there = other.spawn(Heap)
        value = np.arange(LARGE // 8)

        back = process_host.run(_pass_on, there, value)

        assert (back == value).all()
        assert (there.last() == value).all()


def _pass_on(heap, value):
    heap.keep(value)
    return heap.last()


def test_function_that_is_run_gets_arrays_too(host):
    value = np.arange(LARGE // 8)

    assert host.run(described, value) == described(value)


def test_dead_proxy_keeps_no_memory_of_its_host():
    host = elsewhere.Host()
    heap = host.spawn(Heap)
    heap.echo(np.zeros(8 * LARGE, "u1"))
    with pytest.raises(elsewhere.HostDied):
        heap.die(None)

    gc.collect()
    while footprint()[1]:
        threading.Event().wait(0.01)  # the test's time limit ends it


def test_host_killed_while_arrays_are_on_their_way_leaves_no_memory():
    for delay in range(12):
        host = elsewhere.Host(start="exec")
        heap = host.spawn(Heap)
        futures = [elsewhere.submit(heap.echo, np.zeros(LARGE, "u1")) for _ in range(20)]
        futures[delay].exception()
        os.kill(host.pid, signal.SIGKILL)
        host.wait()
        del futures
        gc.collect()

        while footprint()[1]:
            threading.Event().wait(0.01)  # the test's time limit ends it
        host.close()

        assert footprint()[1] == 0
        assert not host.alive


@pytest.mark.usefixtures("shares_memory")
def test_host_that_stopped_is_sent_no_more_than_the_window(far_heap):
    value = np.zeros(LARGE, "u1")
    far_heap.keep(None)
    pid = elsewhere.host_of(far_heap).pid
    assert pid is not None
    futures = []
    os.kill(pid, signal.SIGSTOP)
    thread = threading.Thread(
        target=lambda: futures.extend(elsewhere.submit(far_heap.take, value, 0, 1) for _ in range(300))
    )
    thread.start()
    try:
        sent = 0
        while sent != (sent := footprint()[1]) or not sent:
            threading.Event().wait(0.2)  # it goes on until the window is full
        assert sent <= 64 + 16
        assert thread.is_alive()
    finally:
        os.kill(pid, signal.SIGCONT)
    thread.join()

    assert [future.result() for future in futures] == [b"\x00"] * 300


def test_small_calls_go_on_beside_large_arrays():
    with elsewhere.Host(concurrency=2) as host:
        heap = host.spawn(Heap)
        value = np.zeros(64 * LARGE, "u1")
        is_over = threading.Event()

        def pass_large() -> None:
            for _ in range(10):
                heap.take(value, 0, 1)
            is_over.set()

        thread = threading.Thread(target=pass_large)
        thread.start()
        count = 0
        while not is_over.is_set():
            assert heap.echo(count) == count
            count += 1
        thread.join()

        assert count > 10


def limited(limit: str, text: str) -> str:
    """What a program prints that sets `limit` before `text`."""
    program = f"import resource\n{limit}\n{textwrap.dedent(text)}"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, cwd="tests", check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_values_travel_without_shared_memory():
    text = """
        import numpy as np, elsewhere
        from heaps import Heap, described
        with elsewhere.Host() as host:
            heap = host.spawn(Heap)
            value = np.arange(1 << 18)
            assert described(heap.echo(value)) == described(value)
            try:
                heap.echo(elsewhere.shared_memory(1 << 20))
            except MemoryError as error:
                print(error)
    """
    printed = limited("resource.setrlimit(resource.RLIMIT_FSIZE, (4096, -1))", text)

    assert "the limit on the size of files is 4096 bytes" in printed


def test_limit_on_sizes_sends_large_values_with_the_message():
    text = """
        import numpy as np, elsewhere
        from heaps import Heap, footprint
        with elsewhere.Host(start="exec") as host:
            heap = host.spawn(Heap)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 19, -1))
            value = np.arange(1 << 18)
            assert (heap.echo(value) == value).all()
            print(heap.echo(bytes(1 << 18)) == bytes(1 << 18))
    """
    assert limited("", text) == "True\n"


def test_full_table_of_descriptors_here_sends_large_values_with_the_message():
    text = """
        import os, numpy as np, elsewhere
        from heaps import Heap
        with elsewhere.Host(start="exec") as host:
            heap = host.spawn(Heap)
            heap.echo(np.zeros(1))
            taken = []
            try:
                while True:
                    taken.append(os.dup(0))
            except OSError:
                pass
            value = np.arange(1 << 18)
            print(heap.keep(value))
            for fd in taken:
                os.close(fd)
            print((heap.last() == value).all())
    """
    assert limited("resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))", text) == "1\nTrue\n"


def test_full_table_of_descriptors_there_is_an_error_of_the_call():
    text = """
        import os, numpy as np, elsewhere
        from heaps import Heap
        class Full(Heap):
            def take_all(self):
                self.taken = []
                try:
                    while True:
                        self.taken.append(os.dup(0))
                except OSError:
                    return len(self.taken)
            def give_back(self):
                for fd in self.taken:
                    os.close(fd)
        with elsewhere.Host(start="exec") as host:
            heap = host.spawn(Full)
            heap.echo(np.zeros(1))
            value = np.arange(1 << 18)
            heap.take_all()
            try:
                heap.keep(value)
            except elsewhere.ArgumentError as error:
                print("too many open files" in str(error))
            heap.give_back()
            print((heap.echo(value) == value).all())
            print((heap.echo(value) == value).all())
    """
    assert limited("resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))", text) == "True\nTrue\nTrue\n"
