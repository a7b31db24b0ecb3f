"""What memory does when it ends, or somebody who has it: an error of one call at most, and nothing is kept."""

from __future__ import annotations

import gc
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import numpy as np
import pytest

import elsewhere
from confined import memory_group
from conftest import shared_memory
from heaps import LARGE, Box, Heap, footprint, forget_peak, peak
from programs import start

HERE = Path(__file__).parent
GIB = 1 << 30
KILLS = int(os.environ.get("ELSEWHERE_KILLS", "80"))
"""How many hosts are killed while arrays are on their way; a fifth as many owners are."""


def available() -> int:
    """Bytes of memory that the system would give."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")) * 1024


def needs(nbytes: int) -> None:
    if available() < nbytes:
        pytest.skip(f"{nbytes >> 30} GiB of memory are wanted")


def printed(text: str) -> str:
    """What a program says."""
    program = f"import resource\nimport numpy as np\nimport elsewhere\nfrom heaps import *\n{textwrap.dedent(text)}"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, cwd=HERE, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


class Standing(Heap):
    """Has calls that only an interrupt ends."""

    def __init__(self) -> None:
        super().__init__()
        self.interrupted = 0

    def stand(self, _value: object = None) -> None:
        try:
            while True:
                threading.Event().wait(0.001)
        finally:
            self.interrupted += 1

    def interrupts(self) -> int:
        return self.interrupted


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.usefixtures("shares")
def test_others_go_on_while_one_host_reads_nothing():
    value = np.zeros(LARGE, "u1")
    ends: list[BaseException | None] = []
    passed = 0

    def pass_many() -> None:
        nonlocal passed
        try:
            for passed in range(10_000):  # noqa: B007 - how far it came is what counts
                elsewhere.post(heap.take, value, 0, 1)
        except elsewhere.ElsewhereError as error:
            ends.append(error)

    with elsewhere.Host(start="exec") as host, elsewhere.Host(start="exec") as other:
        heap, others = host.spawn(Heap), other.spawn(Heap)
        heap.keep(None)
        assert host.pid is not None
        os.kill(host.pid, signal.SIGSTOP)
        forget_peak()
        before = peak()
        thread = threading.Thread(target=pass_many)
        thread.start()
        sent = 0
        while sent != (sent := passed) or not sent:
            threading.Event().wait(0.2)  # it goes on until the window is full
        echoes = [others.echo(number) for number in range(500)]
        large = others.take(np.ones(LARGE, "u1"), 5, 1)
        grown, mapped, still_waits, still_sent = peak() - before, footprint()[1], thread.is_alive(), passed
        os.kill(host.pid, signal.SIGKILL)
        thread.join()

    assert sent == still_sent <= 64 + 16
    assert still_waits
    assert grown <= (64 + 16) * LARGE
    assert mapped <= 64 + 16
    assert (echoes, large) == (list(range(500)), b"\x01")
    assert isinstance(ends[0], elsewhere.HostDied)


@pytest.mark.usefixtures("shares")
@pytest.mark.parametrize("make", [bytes, lambda nbytes: np.zeros(nbytes, "u1")], ids=["bytes", "array"])
def test_short_calls_go_on_while_one_with_more_than_the_window_runs(make):
    with elsewhere.Host(start="exec", concurrency=2) as host:
        standing = host.spawn(Standing)

        long = elsewhere.submit(standing.stand, make(80 * LARGE))
        echoes = [standing.echo(number) for number in range(100)]
        elsewhere.post(standing.keep, 7)
        last = standing.last()
        long.cancel(interrupt=True)

        assert echoes == list(range(100))
        assert last == 7


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.usefixtures("shares")
def test_calls_and_cancels_go_on_beside_a_gigabyte():
    needs(4 * GIB)
    with elsewhere.Host(start="exec", concurrency=3) as host:
        heap = host.spawn(Standing)
        heap.echo(np.zeros(1))
        value = np.zeros(GIB - LARGE, "u1")
        value[-1] = 7
        large: list[bytes] = []
        thread = threading.Thread(target=lambda: large.append(heap.take(value, len(value) - 1, 1)))
        thread.start()
        count = seen = queued = 0
        while thread.is_alive():
            standing = elsewhere.submit(heap.stand)
            assert heap.echo(count) == count  # begins when that has begun
            standing.cancel(interrupt=True)
            count += 1
            while heap.interrupts() < count:
                pass
            seen += thread.is_alive()
            queued += elsewhere.submit(heap.echo, count).cancel()
        thread.join()

    assert large == [b"\x07"]
    assert seen > 3
    assert queued > 0


def test_address_space_that_is_used_up_here_is_an_error_of_the_call_at_most():
    text = """
        with elsewhere.Host() as host:
            heap = host.spawn(Heap)
            value = np.ones(300 << 20, "u1")
            small = np.ones(1 << 20, "u1")
            print(heap.take(small, 0, 1))
            used = int(open("/proc/self/statm").read().split()[0]) * 4096
            resource.setrlimit(resource.RLIMIT_AS, (used + (100 << 20), -1))
            try:
                heap.take(value, 0, 1)
            except (MemoryError, elsewhere.ElsewhereError) as error:
                print(getattr(error, "outcome", "not_started"))
            print(heap.take(small, 0, 1), host.alive)
    """

    lines = printed(text).split("\n")

    assert lines == ["b'\\x01'", "not_started", "b'\\x01' True", ""]


def test_address_space_that_is_used_up_there_is_an_error_of_the_call():
    text = """
        def leave(nbytes):
            used = int(open("/proc/self/statm").read().split()[0]) * 4096
            resource.setrlimit(resource.RLIMIT_AS, (used + nbytes, -1))
        with elsewhere.Host() as host:
            heap = host.spawn(Heap)
            small = np.ones(1 << 20, "u1")
            heap.take(small, 0, 1)
            host.run(leave, 100 << 20)
            for content in (np.ones(300 << 20, "u1"), bytes(300 << 20), Box(bytes(300 << 20))):
                try:
                    heap.take(content, 0, 1)
                except elsewhere.ArgumentError as error:
                    print(error.outcome)
                print(heap.take(small, 0, 1), host.alive)
    """

    assert printed(text) == "not_started\nb'\\x01' True\n" * 3


def test_results_for_which_there_is_no_memory_here_are_errors_of_their_calls():
    text = """
        with elsewhere.Host() as host:
            heap = host.spawn(Heap)
            heap.make("numpy", 1 << 20)
            used = int(open("/proc/self/statm").read().split()[0]) * 4096
            resource.setrlimit(resource.RLIMIT_AS, (used + (100 << 20), -1))
            for kind in ("numpy", "bytes"):
                try:
                    heap.make(kind, 300 << 20)
                except (OSError, MemoryError, elsewhere.ElsewhereError) as error:
                    print("no room")
                print(len(heap.make(kind, 1 << 20)), host.alive)
    """

    assert printed(text) == "no room\n131072 True\nno room\n1048576 True\n"


@pytest.mark.usefixtures("shares_memory")
def test_so_many_arrays_are_kept_that_the_rest_is_copied(far_heap):
    for number in range(1_100):
        far_heap.keep(np.full(65_536, number % 251, "u1"))

    kept = far_heap.kept

    assert 1_024 <= far_heap.mappings() <= 1_100
    for number in (0, 1_023, 1_024, 1_099):
        assert (elsewhere.get(kept[number]) == number % 251).all()


@pytest.mark.slow
@pytest.mark.timeout(150 + KILLS)
@pytest.mark.usefixtures("shares_memory")
def test_hosts_killed_at_any_instant_leave_no_memory():
    instants = random.Random(51)
    names = shared_memory()
    value = np.zeros(LARGE, "u1")
    read_only = np.frombuffer(bytes(LARGE), "u1")
    kept = []

    for number in range(KILLS):
        host = elsewhere.Host()
        heap = host.spawn(Heap)
        futures = [elsewhere.submit(heap.echo, what) for what in (value, Box(bytes(LARGE)), read_only, value)]
        if number % 10 == 0:
            kept.append(heap.frozen(LARGE))
        threading.Event().wait(instants.uniform(0, 0.004))  # which instant does not matter
        host.kill()
        done = [future.exception() for future in futures]
        assert all(error is None or isinstance(error, elsewhere.HostDied) for error in done)
        host.close()
    del futures, done

    assert all((array == np.arange(LARGE // 8)).all() for array in kept)
    kept.clear()
    gc.collect()
    while footprint()[1]:
        threading.Event().wait(0.05)  # the test's time limit ends it
    assert shared_memory() == names


OWNER = """
import os, sys
import numpy as np
import elsewhere
from conftest import shared_memory
from heaps import LARGE, Heap
with elsewhere.Host(start="exec") as host:
    heap = host.spawn(Heap)
    print(host.pid, flush=True)
    shared = elsewhere.shared_array(LARGE)
    while True:
        heap.echo(np.zeros(LARGE, "u1"))
        heap.keep(heap.frozen(LARGE))
        heap.fill(shared, 1)
        heap.forget()
"""


@pytest.mark.slow
@pytest.mark.timeout(150 + KILLS)
def test_owners_killed_at_any_instant_leave_neither_hosts_nor_memory():
    instants = random.Random(52)
    names = shared_memory()

    for _ in range(KILLS // 5):
        owner = subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True, cwd=HERE)
        assert owner.stdout is not None
        host = int(owner.stdout.readline())
        threading.Event().wait(instants.uniform(0, 0.1))  # which instant does not matter
        owner.kill()
        owner.wait()
        owner.stdout.close()

        while Path(f"/proc/{host}/maps").exists() and "memfd:elsewhere" in maps_of(host):
            threading.Event().wait(0.02)  # the test's time limit ends it
    assert shared_memory() == names


KILLER = """
import sys, threading
from pathlib import Path
import confined, test_memory_faults
group = Path(sys.stdin.readline().strip())
before = confined.shared_memory_of(group)
test_memory_faults.test_hosts_killed_at_any_instant_leave_no_memory()
test_memory_faults.test_owners_killed_at_any_instant_leave_neither_hosts_nor_memory()
while confined.shared_memory_of(group) > before + (4 << 20):
    threading.Event().wait(0.05)  # the test's time limit ends it
print("back")
"""


@pytest.mark.slow
@pytest.mark.timeout(150 + 2 * KILLS)
@pytest.mark.usefixtures("shares_memory")
def test_shared_memory_of_those_killed_at_any_instant_is_the_systems_again():
    """By the system's own count, of these processes alone."""
    with memory_group() as group:
        if group is None:
            pytest.skip("this machine lets nobody make control groups of memory")
        program = start(KILLER)
        try:
            (group / "cgroup.procs").write_text(str(program.pid))
            printed, complaints = program.communicate(f"{group}\n")
        finally:
            program.kill()

    assert printed == "back\n", complaints


def maps_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/maps").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
