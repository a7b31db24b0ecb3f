"""On which cores the two processes of a measurement run.

Owns: pinning, of every thread of a process. Must not know: what is measured.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

CORES = sorted(os.sched_getaffinity(0))


class Placement(Enum):
    """Both processes on one core, on two, or wherever the scheduler puts them."""

    ONE_CORE = "one core"
    TWO_CORES = "two cores"
    UNPINNED = "unpinned"


def available() -> list[Placement]:
    """The placements that this machine can have."""
    return [placement for placement in Placement if placement is not Placement.TWO_CORES or len(CORES) > 1]


@contextmanager
def placed(placement: Placement, others: list[int]) -> Generator[None]:
    """Pin this process and the `others` (process ids at the far end) for the block."""
    ours = {CORES[0]} if placement is not Placement.UNPINNED else set(CORES)
    theirs = {CORES[1]} if placement is Placement.TWO_CORES else ours
    pin(os.getpid(), ours)
    for pid in others:
        pin(pid, theirs)
    try:
        yield
    finally:
        pin(os.getpid(), set(CORES))
        for pid in others:
            pin(pid, set(CORES))


def pin(pid: int, cores: set[int]) -> None:
    """Pin every thread of a process; one that ends meanwhile is passed over."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(ProcessLookupError):
            os.sched_setaffinity(int(task.name), cores)
