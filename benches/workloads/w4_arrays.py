"""W4: arrays of 1 KiB to 512 MiB: as an argument, there and back, and by reference.

Owns: this workload and its aims. Must not know: the other workloads, the report. `by reference` means arrays that both
sides map already (`shared_array`), and read-only ones that came from the host and go back to it.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

import elsewhere
import limits
from contenders.contender import offered, opened
from contenders.ours import Ours
from contenders.pipe_arrays import PipeWithSharedMemory, RawPipe
from measure import Calls, calls, interleave
from placement import available, placed
from processes import available_bytes
from rows import OURS, Aim, Point, Row, medians_and_tails

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from contenders.contender import Bytes, Contender
    from measure import Effort, Operation
    from placement import Placement

LARGE = 64 << 20
COPIES_AT_ONCE = 12
"""How many times an array's memory is taken at worst: by every contender, on both sides, pickled and not."""
TAKE = "an array as an argument"
ECHO = "an array there and back, copied out"
BY_REFERENCE = "an array by reference"
FIRST = "the first array of a new host as an argument"
AIMS = {
    TAKE: (Aim(1 / 34, "Pipe"), Aim(1 / 0.8, limits.WARM_COPY)),
    ECHO: (Aim(1 / 20, "Pipe"),),
    FIRST: (Aim(LARGE / 2500),),  # 2.5 GB/s
    BY_REFERENCE: (Aim(20),),
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
                    samples = {name: calls(operation, few) for name, operation in operations.items()}
                    yield row(what, interleave(samples | machine.copies(nbytes), few.rounds), placement, nbytes)
                if nbytes == LARGE:
                    firsts = {OURS: partial(first_call, array)}
                    yield row(FIRST, interleave(firsts | machine.copies(nbytes), few.rounds), placement, nbytes)


def row(what: str, taken: Mapping[str, list[Calls]], placement: Placement, nbytes: int) -> Row:
    """One way to pass arrays of one size."""
    figures, tails = medians_and_tails(taken)
    aims = AIMS[what] if nbytes == LARGE or what == BY_REFERENCE else ()
    return Row("W4", what, "µs", figures, placement, tails, Point("bytes", nbytes), aims)


def variants(contenders: Sequence[Contender], array: Bytes) -> dict[str, dict[str, Operation]]:
    """What is done with one array, and who can; there and back is left out where it takes seconds."""
    ours = next(one for one in contenders if isinstance(one, Ours))
    if array.nbytes > LARGE:
        few = [one for one in contenders if one.name in ABOVE_LARGE]
        ways = {TAKE: offered(few, lambda one: one.take(array)), BY_REFERENCE: by_reference(ours, array)}
    else:
        ways = {
            TAKE: offered(contenders, lambda one: one.take(array)),
            ECHO: offered(contenders, lambda one: one.echo(array)),
            BY_REFERENCE: by_reference(ours, array),
        }
    return {what: operations for what, operations in ways.items() if operations}


def by_reference(ours: Ours, array: Bytes) -> dict[str, Operation]:
    """Our own ways that copy nothing, as far as this version has them."""
    make_shared: Any = getattr(elsewhere, "shared_array", None)
    if make_shared is None:
        return {}
    target = ours.target
    shared = make_shared(array.shape, array.dtype)
    shared[:] = array
    frozen = target.frozen(array.nbytes)
    return {
        OURS: lambda: target.take(shared),
        f"{OURS}, echo of a shared array": lambda: target.echo(shared),
        f"{OURS}, echo of a read-only array": lambda: target.echo(frozen),
    }


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
