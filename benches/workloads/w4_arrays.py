"""W4: arrays of 1 KiB to 512 MiB: as an argument, there and back, and by reference.

Owns: this workload and its aims. Must not know: the other workloads, the report. Shared arrays, which both sides map
already, and read-only ones, which came from the host and go back to it, are measured where elsewhere has them.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

import limits
from contenders.contender import offered, opened
from contenders.ours import Ours
from contenders.pipe_arrays import PipeWithSharedMemory, RawPipe
from measure import Calls, calls, interleave
from placement import available, placed
from processes import available_bytes
from rows import OURS, Aim, Point, Row, medians_and_tails
from workloads.many_objects import SLOWER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from contenders.contender import Bytes, Contender
    from measure import Effort, Operation
    from placement import Placement

LARGE = 64 << 20
COPIES_AT_ONCE = 12
"""How many times an array's memory is taken at worst: by every contender, on both sides, pickled and not."""
TAKE = "an array as an argument"
ECHO = "an array there and back, copied out"
FIRST = "the first array of a new host as an argument"
TAKE_SHARED = "a shared array as an argument"
ECHO_SHARED = "a shared array there and back"
ECHO_READ_ONLY = "a read-only array there and back"
AT_SMALL = f"{OURS} at 1 MiB"
FREE = (Aim(20), Aim(SLOWER, AT_SMALL))
AIMS = {
    TAKE: (Aim(1 / 34, "Pipe"), Aim(1 / 0.8, limits.WARM_COPY)),
    ECHO: (Aim(1 / 20, "Pipe"),),
    FIRST: (Aim(LARGE / 2500),),  # 2.5 GB/s
    TAKE_SHARED: FREE,
    ECHO_SHARED: FREE,
    ECHO_READ_ONLY: FREE,
}
WITHOUT_COPY: dict[str, Callable[[Contender, Bytes], Operation | None]] = {
    TAKE_SHARED: lambda one, array: one.take_shared(array),
    ECHO_SHARED: lambda one, array: one.echo_shared(array),
    ECHO_READ_ONLY: lambda one, array: one.echo_read_only(array),
}
ABOVE_LARGE = (OURS, "Pipe", RawPipe.name, PipeWithSharedMemory.name)
"""Who is measured beyond that: the others pickle, as the Pipe does, and each call takes seconds."""


def measure(effort: Effort, kinds: Sequence[type[Contender]]) -> Iterator[Row]:
    """Each size that there is memory for, in one placement: what is copied is not what is woken."""
    placement = available()[-1]
    with opened([*kinds, RawPipe]) as contenders, limits.measurable(effort) as machine:
        for nbytes in effort.sizes:
            if nbytes * COPIES_AT_ONCE > available_bytes():
                continue
            with ExitStack() as stack:
                here: list[Contender] = [*contenders, stack.enter_context(PipeWithSharedMemory(nbytes))]
                stack.enter_context(placed(placement, [pid for one in here for pid in one.pids]))
                array = np.ones(nbytes, np.uint8)
                few = fewer(effort, nbytes)
                for what, operations in variants(here, array).items():
                    samples = {name: warm_calls(operation, few) for name, operation in operations.items()}
                    yield row(what, interleave(samples | machine.copies(nbytes), few.rounds), placement, nbytes)
                if nbytes == LARGE:
                    firsts = {OURS: partial(first_call, array)}
                    yield row(FIRST, interleave(firsts | machine.copies(nbytes), few.rounds), placement, nbytes)


def warm_calls(operation: Operation, effort: Effort) -> Callable[[], Calls]:
    """A sample behind two calls that do not count: elsewhere gives memory back that was not used for a second.

    The other contenders take that long in their turns. The first call makes the memory, which has a row of its own, and
    the second maps it where it is filled.
    """
    sample = calls(operation, effort)

    def behind_two() -> Calls:
        operation()
        operation()
        return sample()

    return behind_two


def row(what: str, taken: Mapping[str, list[Calls]], placement: Placement, nbytes: int) -> Row:
    """One way to pass arrays of one size."""
    figures, tails = medians_and_tails(taken)
    aims = AIMS[what] if nbytes == LARGE else ()
    has_tails = nbytes < LARGE // 8 or what in WITHOUT_COPY  # else a batch has a call or two
    return Row("W4", what, "µs", figures, placement, tails if has_tails else {}, Point("bytes", nbytes), aims)


def variants(contenders: Sequence[Contender], array: Bytes) -> dict[str, dict[str, Operation]]:
    """What is done with one array, and who can; there and back is left out where it takes seconds."""
    few = [one for one in contenders if array.nbytes <= LARGE or one.name in ABOVE_LARGE]
    ways = {TAKE: offered(few, lambda one: one.take(array))}
    if array.nbytes <= LARGE:
        ways[ECHO] = offered(contenders, lambda one: one.echo(array))
    for what, ask in WITHOUT_COPY.items():
        ways[what] = offered(few, partial(_ask, ask, array))
        if OURS in ways[what] and array.nbytes == LARGE:
            ours = [one for one in contenders if isinstance(one, Ours)]
            ways[what][AT_SMALL] = offered(ours, partial(_ask, ask, array[: 1 << 20]))[OURS]
    return {what: operations for what, operations in ways.items() if OURS in operations}


def _ask(ask: Callable[[Contender, Bytes], Operation | None], array: Bytes, one: Contender) -> Operation | None:
    return ask(one, array)


def first_call(array: Bytes) -> Calls:
    """The first large argument of a connection, which has no memory from earlier ones."""
    with Ours() as one:
        one.target.take(array[:1])  # numpy is imported there
        began = time.perf_counter()
        one.target.take(array)
        taken = (time.perf_counter() - began) * 1e6
    return Calls(taken, taken)


def fewer(effort: Effort, nbytes: int) -> Effort:
    """Fewer rounds of what takes long."""
    if nbytes < LARGE // 8:
        return effort
    rounds = min(effort.rounds, 3 if nbytes > LARGE else effort.rounds // 2 + 1)
    return replace(effort, rounds=rounds, least_calls=1, batch_seconds=effort.batch_seconds / 2)
