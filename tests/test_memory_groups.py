"""What happens where a control group has no more memory, and the system would kill: an error of that call."""

from __future__ import annotations

import pytest

from limited import MIB, limited

LIMIT = 400 * MIB

SETTING = """
import array
import sys
import numpy as np
import elsewhere
from heaps import Box, Heap

MIB = 1 << 20

def told(call, *args):
    "How a call ends."
    try:
        got = call(*args)
    except (MemoryError, elsewhere.ElsewhereError) as error:
        return f"{type(error).__name__} {getattr(error, 'outcome', '-')} {'memory' in str(error)}"
    return "Proxy" if elsewhere.is_proxy(got) else type(got).__name__

def goes_on(host, heap):
    "Whether the host and its object are what they were, and large arrays travel."
    value = np.ones(8 * MIB, "u1")
    return host.alive and heap.take(value, 0, 1) == bytes([1]) and len(heap.make("numpy", 8 * MIB)) == MIB
"""


def program(text: str, *, start: str, is_shared: bool) -> str:
    """A program that puts a heap into a host, and prints at the end whether both go on."""
    body = "\n".join(f"    {line}" for line in text.splitlines())
    return f"""{SETTING}
elsewhere._core.share_memory({is_shared})
with elsewhere.Host(start={start!r}) as host:
    heap = host.spawn(Heap)
    goes_on(host, heap)
{body}
    print(goes_on(host, heap))
"""


starts = pytest.mark.parametrize("start", ["zygote", "exec"])
ways = pytest.mark.parametrize("is_shared", [True, False], ids=["shared memory", "socket"])

MADE = {
    "array": "np.ones(230 * MIB, 'u1')",
    "bytes": "b'x' * (230 * MIB)",
    "bytearray": "bytearray(b'x') * (230 * MIB)",
    "memoryview": "memoryview(b'x' * (230 * MIB))",
    "array.array": "array.array('B', b'x') * (230 * MIB)",
    "str": "'x' * (230 * MIB)",
    "inside another": "Box(b'x' * (230 * MIB))",
}
TYPES = {kind: kind for kind in MADE} | {"array": "ndarray", "array.array": "array", "inside another": "Box"}


@starts
@ways
@pytest.mark.parametrize("kind", MADE)
def test_argument_that_there_is_no_memory_for_is_an_error_of_its_call(kind, start, is_shared):
    text = f"""
value = {MADE[kind]}
for _ in range(3):
    print(told(heap.keep, value))
del value
"""

    lines = limited(LIMIT, program(text, start=start, is_shared=is_shared))

    assert lines == [*3 * ["ArgumentError not_started True"], "True"]


@ways
@pytest.mark.parametrize("kind", MADE)
def test_argument_of_any_size_comes_whole_or_is_an_error_of_its_call(kind, is_shared):
    text = f"""
for count in range(190, 50, -10):
    value = {MADE[kind].replace("230", "count")}
    print(told(heap.keep, value))
    heap.forget()
    del value
"""

    lines = limited(LIMIT, program(text, start="zygote", is_shared=is_shared))

    assert (lines[0], lines[-2:]) == ("ArgumentError not_started True", ["int", "True"])
    assert set(lines[1:-2]) <= {"int", "ArgumentError not_started True"}


@ways
@pytest.mark.parametrize("kind", MADE)
def test_result_that_there_is_no_memory_for_is_a_proxy_and_the_next_a_copy(kind, is_shared):
    text = f"""
for count in (230, 1, 230, 1):
    result = told(heap.call, lambda: {MADE[kind].replace("230", "count")})
    print(result)
    del result
"""

    lines = limited(LIMIT, program(text, start="zygote", is_shared=is_shared))

    assert lines == ["Proxy", TYPES[kind], "Proxy", TYPES[kind], "True"]


@ways
@pytest.mark.parametrize("kind", MADE)
def test_result_of_any_size_comes_whole_or_as_a_proxy_or_is_an_error_of_its_call(kind, is_shared):
    text = f"""
for count in range(230, 50, -10):
    result = told(heap.call, lambda: {MADE[kind].replace("230", "count")})
    print(result)
    del result
"""

    lines = limited(LIMIT, program(text, start="zygote", is_shared=is_shared))

    assert (lines[0], lines[-2:]) == ("Proxy", [TYPES[kind], "True"])
    assert set(lines[1:-2]) <= {"Proxy", TYPES[kind], "ResultError finished True"}


def test_memory_to_share_that_is_not_there_is_a_memory_error():
    text = """
def refused(make):
    try:
        make()
    except MemoryError as error:
        return "MemoryError"

print(refused(lambda: elsewhere.shared_array(400 * MIB, "u1")))
print(refused(lambda: elsewhere.shared_memory(400 * MIB)))
print(len(elsewhere.shared_array(100 * MIB, "u1")))
"""

    lines = limited(LIMIT, program(text, start="zygote", is_shared=True))

    assert lines == ["MemoryError", "MemoryError", str(100 * MIB), "True"]
