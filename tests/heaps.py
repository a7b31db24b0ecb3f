"""A place for large values, to be put elsewhere, and looks at the memory of a process."""

from __future__ import annotations

import array
import ast
import os
import re
import signal
from pathlib import Path
from typing import Any

import numpy as np

import elsewhere

LARGE = 1 << 20
"""Bytes of what travels in memory of its own."""


class Box:
    """Something that only pickle knows."""

    def __init__(self, content: object) -> None:
        self.content = content


class Tagged(np.ndarray):
    """An array of a class of its own."""


class Heap:
    """Keeps values, and tells what it got."""

    def __init__(self) -> None:
        self.kept: list[Any] = []

    def echo(self, value: Any) -> Any:
        return value

    def keep(self, value: Any) -> int:
        self.kept.append(value)
        return len(self.kept)

    def last(self) -> Any:
        return self.kept[-1]

    def forget(self) -> None:
        self.kept.clear()

    def describe(self, value: Any) -> Any:
        return described(value)

    def call(self, function: Any) -> Any:
        return function()

    def fill(self, value: Any, what: Any) -> None:
        value[...] = what

    def put(self, view: memoryview, at: int, data: bytes) -> None:
        view[at : at + len(data)] = data

    def take(self, view: memoryview, at: int, count: int) -> bytes:
        return bytes(view[at : at + count])

    def make(self, kind: str, nbytes: int) -> Any:
        return {
            "bytes": lambda: bytes(range(256)) * (nbytes // 256),
            "bytearray": lambda: bytearray(nbytes),
            "memoryview": lambda: memoryview(bytearray(nbytes)).cast("d"),
            "array": lambda: array.array("d", bytes(nbytes)),
            "numpy": lambda: np.arange(nbytes // 8, dtype="<i8"),
        }[kind]()

    def frozen(self, nbytes: int) -> Any:
        made = np.arange(nbytes // 8, dtype="<i8")
        made.flags.writeable = False
        return made

    def place(self, value: Any) -> tuple[int, int] | None:
        return place(value)

    def mappings(self) -> int:
        """How many pieces of memory of ours are mapped, but for those of the connection itself."""
        lines = Path("/proc/self/maps").read_text().splitlines()
        return sum("/memfd:elsewhere" in line for line in lines)

    def fail(self, value: Any) -> None:
        raise ValueError(len(value))

    def die(self, value: Any) -> None:
        self.kept.append(value)
        os.kill(os.getpid(), signal.SIGKILL)

    def footprint(self) -> tuple[int, int]:
        return footprint()

    def peak(self) -> int:
        return peak()

    def forget_peak(self) -> None:
        forget_peak()

    def fork_and_sum(self, value: Any) -> int:
        """The sum as a child of `os.fork` sees it."""
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(writing, str(int(np.sum(value))).encode())
            os._exit(0)
        os.waitpid(child, 0)
        os.close(writing)
        with open(reading, encoding="ascii") as pipe:
            return int(pipe.read())

    def pass_on_from_a_child(self) -> Any:
        """What a host of a child of `os.fork` gets of the last value: its sum and place; and the place here."""
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            with elsewhere.Host() as host:
                heap = host.spawn(Heap)
                heap.keep(self.last())
                os.write(writing, repr((int(np.sum(heap.last())), heap.place(self.last()))).encode())
            os._exit(0)
        os.waitpid(child, 0)
        os.close(writing)
        with open(reading, encoding="ascii") as pipe:
            return ast.literal_eval(pipe.read()), place(self.last())

    def produce(self, count: int, nbytes: int) -> Any:
        for number in range(count):
            yield np.full(nbytes, number, "u1")


def described(value: Any) -> Any:
    """All that can be seen of an array or view but where it lies, and its content."""
    if isinstance(value, np.ndarray):
        facts = (value.dtype.str if value.dtype.names is None else value.dtype.descr, value.shape, value.strides)
        flags = (value.flags.writeable, value.flags.c_contiguous, value.flags.f_contiguous)
        return type(value).__name__, facts, flags, value.tobytes()
    if isinstance(value, memoryview):
        return "memoryview", value.format, value.shape, value.readonly, value.tobytes()
    return type(value).__name__, value


def footprint() -> tuple[int, int]:
    """How many descriptors are open, and how many large pieces of memory of ours are mapped."""
    maps = re.findall(r"^(\w+)-(\w+) .*/memfd:elsewhere", Path("/proc/self/maps").read_text(), re.MULTILINE)
    sizes = [int(end, 16) - int(start, 16) for start, end in maps]
    return len(os.listdir("/proc/self/fd")), sum(size >= LARGE for size in sizes)


def place(value: Any) -> tuple[int, int] | None:
    """Which memory that processes share an array or view begins in, and where; None if it lies in none."""
    address = np.asarray(value).ctypes.data
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, _, _, _, inode, *rest = line.split(maxsplit=5)
        begin, end = (int(bound, 16) for bound in span.split("-"))
        if begin <= address < end:
            return (int(inode), address - begin) if rest and rest[0].startswith("/memfd:elsewhere") else None
    return None


def peak() -> int:
    """The most bytes of memory that this process had at a time."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) * 1024


def forget_peak() -> None:
    """Count anew from here."""
    Path("/proc/self/clear_refs").write_text("5")
