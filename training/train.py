"""What the compiler learns from: everything that users do often, for some seconds, in an instrumented build.

Owns: which calls are made, and how many of each; what is missing here is laid out as code that hardly ever runs. Must
not know: how it is built, what is measured. maturin runs it (`pgo-command` in pyproject.toml), in an environment with
nothing but the instrumented package; the packages of the project's own environment come behind it.
"""

from __future__ import annotations

import array
import asyncio
import datetime as dt
import decimal
import os
import pathlib
import secrets
import site
import sys
import sysconfig
import threading
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parent.parent
site.addsitedir(sysconfig.get_path("purelib", vars={"base": str(ROOT / ".venv"), "platbase": str(ROOT / ".venv")}))

import numpy as np  # noqa: E402 - comes with the path above

import elsewhere  # noqa: E402
from pieces import Colour, Order, Piece, Point, Reading, use, visit  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Generator

CORES = sorted(os.sched_getaffinity(0))
PLACEMENTS = [(CORES[0], CORES[0]), (CORES[0], CORES[-1])]
"""Our core and the host's: both placements happen to every user, and wait for answers in ways of their own."""

SHARE = float(sys.argv[1]) if sys.argv[1:] else 1
"""Of what is done; less than all of it to see whether it runs."""

OFTEN, SOMETIMES = round(4000 * SHARE), round(400 * SHARE)
"""How often what each program does all the time is done here, and what some do."""

BASE = str(Path(sys.executable).resolve())
"""The interpreter that this virtual environment is made of."""

IN_FLIGHT = 256
THREADS = 8

VALUES: list[Any] = [
    None,
    True,
    -7,
    1 << 80,
    2.5,
    1 + 2j,
    "text",
    "größer " * 40,
    b"bytes",
    bytearray(b"more"),
    (1, "two", 3.0),
    [1, [2, [3]], {"four": 5}],
    {"number": 1, "name": "lamp", "tags": ("a", "b"), "open": None},
    {1, 2, 3},
    frozenset("ab"),
    range(10),
    slice(1, 2),
    ...,
    int,
    dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC),
    dt.timedelta(seconds=3),
    decimal.Decimal("1.25"),
    uuid.UUID(int=5),
    pathlib.PurePosixPath("some/file"),
    array.array("d", [1.0, 2.0]),
    Colour.GREEN,
    Point(1, 2),
    Order(1, "lamp", 9.5),
    Reading(1, 0.5, "V", ["ok"]),
    [Order(number, "lamp", 9.5) for number in range(20)],
    {"reading": Reading(2, 1.5, "A", []), "order": Order(2, "desk", 99.0)},
    ValueError("a value"),
    np.float64(1.5),
    np.arange(10),
    np.zeros((3, 4), np.float32).T,
    {"image": np.zeros((8, 8), np.uint8), "at": 1.5},
]
"""A value of each kind that is sent, most of them small."""

SIZES = [1 << 10, 1 << 16, 1 << 18, 1 << 20, 1 << 24]
"""Bytes of the arrays: below and above where memory takes them."""


def main() -> None:
    """Do all of it in both placements, in hosts that end by themselves, so that their own profile is written, too."""
    for ours, theirs in PLACEMENTS:
        with (
            elsewhere.Host(start="exec") as host,
            elsewhere.Host(start="exec", concurrency=2) as second,
            elsewhere.Host(start="exec", concurrency="caller") as third,
        ):
            piece = host.spawn(Piece)
            with placed(ours, {host.pid: theirs, second.pid: theirs, third.pid: theirs}):
                call(piece)
                name(piece)
                send_values(piece)
                send_arrays(piece)
                overlap(piece)
                call_back(piece)
                asyncio.run(await_results(piece))
                call_in_threads(piece)
                second.run(use, piece, SOMETIMES)
                call(second.spawn(Piece), SOMETIMES)
                call(third.spawn(Piece))
                serve_to(second)
                poll_for(host)
        call_without_the_package(ours, theirs)
    start_hosts()


def call_without_the_package(ours: int, theirs: int) -> None:
    """Calls to an interpreter that does not have it; those of virtual environments have a base that has nothing."""
    with elsewhere.Host(python=BASE, path=[str(Path(__file__).parent)]) as host:
        piece = host.spawn(Piece)
        with placed(ours, {host.pid: theirs}):
            call(piece, SOMETIMES)
            for size in SIZES:
                piece.take(bytes(size))
            for _ in range(SOMETIMES):
                elsewhere.get(piece.value)


@contextmanager
def placed(ours: int, theirs: dict[int | None, int]) -> Generator[None]:
    """Pin this process and hosts, by their process ids, to cores for the block."""
    for pid, core in {os.getpid(): ours, **theirs}.items():
        pin(pid, [core])
    try:
        yield
    finally:
        pin(os.getpid(), CORES)


def pin(pid: int | None, cores: list[int]) -> None:
    """Pin every thread of a process."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(ProcessLookupError):
            os.sched_setaffinity(int(task.name), cores)


def call(piece: Piece, count: int = OFTEN) -> None:
    """Make calls with small arguments, by every way that waits."""
    limited = elsewhere.options(piece, timeout=30)
    for number in range(count):
        piece.add(number)
        piece.echo(Order(number, "lamp", 9.5))
        if not number % 4:
            piece.take(number, "text", 2.5, unit=None)
            limited.add(number)
            elsewhere.post(piece.add, number)
    with elsewhere.deadline(30):
        for number in range(SOMETIMES):
            piece.add(number)
    for number in range(SOMETIMES):
        elsewhere.submit(piece.add, number).result(30)
    for _ in range(SOMETIMES // 4):
        with suppress(ValueError):
            piece.fail("as it should")


def name(piece: Piece) -> None:
    """Attributes, chains, items and operators."""
    target: Any = piece
    for number in range(OFTEN):
        elsewhere.get(target.value)
        if not number % 4:
            target.part.part.part.add(1)
    for number in range(SOMETIMES):
        target.value = number
        target[number] = number
        assert target[number] == number
        assert number in target
        assert target + 1 == number + 1
        assert target(number) == number
        assert target
        assert int(target) == number
        assert str(target) == str(number)
        assert not target < number
        target += 1
        with target as entered:
            assert entered == number
        assert len(target) == 1
        assert list(target) == [number]
        del target[number]
        part = elsewhere.ref(target.other)()
        part.add(1)
        assert part != target
        hash(part)


def send_values(piece: Piece) -> None:
    """Values of every kind, there and back."""
    for _ in range(SOMETIMES // 4):
        for value in VALUES:
            piece.echo(value)


def send_arrays(piece: Piece) -> None:
    """Arrays of every size, there and back, some of them where both sides see them."""
    for size in SIZES:
        data = np.zeros(size, np.uint8)
        shared = elsewhere.shared_array((size,), np.uint8)
        for _ in range(20):
            piece.take(data)
            piece.echo(data)
            piece.take(bytes(data))
            piece.echo([data, data[: size // 2]])
            piece.take(shared)


def overlap(piece: Piece) -> None:
    """Calls that do not wait for each other, and generators."""
    for _ in range(20):
        numbers = [elsewhere.submit(piece.add, number) for number in range(IN_FLIGHT)]
        orders = [elsewhere.submit(piece.echo, Order(number, "lamp", 9.5)) for number in range(IN_FLIGHT)]
        for future in [*numbers, *orders]:
            future.result()
        for number in range(IN_FLIGHT):
            elsewhere.post(piece.add, number)
    for _ in range(5):
        for _ in elsewhere.stream(piece.numbers, OFTEN):
            pass
        for _ in elsewhere.stream(piece.orders, SOMETIMES):
            pass
    for _ in piece.numbers(SOMETIMES):
        pass


def call_back(piece: Piece) -> None:
    """Calls from there to here, within a call from here to there."""
    piece.ask(lambda number: number + 1, SOMETIMES)


async def await_results(piece: Piece) -> None:
    """What programs with a loop do."""
    for number in range(SOMETIMES):
        await elsewhere.submit(piece.add, number)
        await elsewhere.submit(piece.later, number)
    await asyncio.gather(*(elsewhere.submit(piece.add, number) for number in range(IN_FLIGHT)))


def call_in_threads(piece: Piece) -> None:
    """Several threads with one proxy."""

    def add() -> None:
        for number in range(OFTEN // 4):
            piece.add(number)

    threads = [threading.Thread(target=add) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def serve_to(host: elsewhere.Host) -> None:
    """Serve an object here and call it from a host, at a socket of this machine and at a port."""
    for place in (None, "127.0.0.1:0"):
        key = secrets.token_bytes(32)
        with elsewhere.serve(Piece(), place, authkey=key) as server:
            host.run(visit, server.address, key, SOMETIMES)


def poll_for(host: elsewhere.Host) -> None:
    """The same, answered call by call in a loop of our own."""
    key = secrets.token_bytes(32)
    server = elsewhere.serve(Piece(), authkey=key)
    visiting = elsewhere.submit(host.run, visit, server.address, key, SOMETIMES)
    while not visiting.done():
        server.poll(1, 0.05)
    visiting.result()
    server.close()


def start_hosts() -> None:
    """Start hosts as they are started by default."""
    for _ in range(10):
        with elsewhere.Host() as host:
            host.spawn(Piece).add(1)


if __name__ == "__main__":
    main()
