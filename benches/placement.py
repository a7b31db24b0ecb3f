"""On which cores the processes of a measurement run.

Owns: pinning, of every thread of a process. Must not know: what is measured.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

CORES = sorted(os.sched_getaffinity(0))


class Placement(Enum):
    """Caller and far end on one core, on one each, or wherever the scheduler puts them."""

    ONE_CORE = "one core"
    TWO_CORES = "two cores"
    UNPINNED = "unpinned"


def available() -> list[Placement]:
    """The placements that a call is measured in; where the scheduler decides, it is a draw between the two."""
    return [Placement.ONE_CORE] + ([Placement.TWO_CORES] if len(CORES) > 1 else [])


def cores_of(placement: Placement) -> tuple[int, int]:
    """Our core and that of the far end, of a placement that pins."""
    return CORES[0], CORES[1] if placement is Placement.TWO_CORES else CORES[0]


@contextmanager
def placed(placement: Placement, others: Iterable[int] = ()) -> Generator[None]:
    """Pin this process and the `others` (process ids at the far ends) for the block."""
    others = list(others)
    ours, theirs = ([core] for core in cores_of(placement)) if placement is not Placement.UNPINNED else (CORES, CORES)
    pin(os.getpid(), ours)
    for pid in others:
        pin(pid, theirs)
    try:
        yield
    finally:
        for pid in (os.getpid(), *others):
            pin(pid, CORES)


def pin(pid: int, cores: list[int]) -> None:
    """Pin every thread of a process; one that ended meanwhile is passed over."""
    with suppress(FileNotFoundError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(ProcessLookupError):
                os.sched_setaffinity(int(task.name), cores)
