"""Where little memory can be shared, or none: calls have their values all the same, or an error of their own."""

from __future__ import annotations

import pytest

from programs import apart, run
from test_serve_faults_places import MOUNTS

VALUES = """
import array, resource, signal
import numpy as np
from heaps import Box, Heap, described, place

KINDS = ("numpy", "bytes", "bytearray", "memoryview", "array")

def travels(heap):
    "Whether every kind of value comes there and back, and from there, as it is."
    here = Heap()
    values = [here.make(kind, 1 << 20) for kind in KINDS] + [here.frozen(1 << 20)]
    there = [described(heap.make(kind, 1 << 20)) for kind in KINDS] == [described(value) for value in values[:5]]
    back = [described(heap.echo(value)) for value in values] == [described(value) for value in values]
    boxed = heap.echo(Box(bytearray(b"x" * (1 << 20)))).content == bytearray(b"x" * (1 << 20))
    return there and back and boxed and (heap.frozen(1 << 20) == values[5]).all()

def limit():
    "No file of this process may grow further, and who tries dies of it."
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))

def shares():
    "Whether memory can be made to be shared."
    made = []
    for make in (elsewhere.shared_array, elsewhere.shared_memory):
        try:
            made.append(len(make(1 << 20)))
        except MemoryError as error:
            made.append(type(error).__name__)
    return made
"""


def test_full_tmpfs_of_shared_memory_is_none_of_our_business():
    said = apart(
        MOUNTS
        + VALUES
        + """
os.makedirs("/dev/shm", exist_ok=True)
mount(b"tmpfs", b"/dev/shm", b"size=1m", 0)
with open("/dev/shm/full", "wb") as file:
    try:
        file.write(bytes(2 << 20))
    except OSError as error:
        print(error.strerror)
for start in ("exec", "zygote", "fork"):
    with elsewhere.Host(start=start) as host:
        heap = host.spawn(Heap)
        array = elsewhere.shared_array(4 << 20, "u1")
        heap.fill(array, 7)
        print(travels(heap), heap.place(array) == place(array), (array == 7).all(), os.listdir("/dev/shm"))
"""
    )

    assert said == ["No space left on device", *3 * ["True True True ['full']"]]


@pytest.mark.parametrize("is_limited_before", [True, False], ids=["from the start", "later"])
@pytest.mark.parametrize("who", ["here", "there", "both"])
def test_memory_that_cannot_grow_sends_values_with_the_message(who, is_limited_before):
    """By RLIMIT_FSIZE, whose signal would end the process that tries."""
    program = f"""
import elsewhere
{VALUES}
def limit_some(host):
    if {who!r} != "there":
        limit()
    if {who!r} != "here":
        host.run(limit)

if {is_limited_before} and {who!r} != "there":
    limit()  # before there is a ring, which a host inherits
with elsewhere.Host(start="exec") as host:
    heap = host.spawn(Heap)
    if not {is_limited_before}:
        travels(heap)
    limit_some(host)
    print(travels(heap), host.alive)
    print(shares())
    print(host.run(shares), travels(heap))
"""
    none, some = ["MemoryError"] * 2, [1 << 20] * 2
    is_inherited = is_limited_before and who == "here"

    code, printed, complaints = run(program)

    assert code == 0, complaints
    there = none if who != "here" or is_inherited else some
    assert printed.splitlines() == ["True True", str(some if who == "there" else none), f"{there} True"]
