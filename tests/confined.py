"""What a process does to what it may, where it counts and what it sees; for programs that tests run."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

IMPOSSIBLE = 77
"""The exit code of a program that the machine does not let do what it is to do."""

NO_NEW_PRIVILEGES = 38
NEW_NAMES = 0x04000000
NEW_PROCESSES = 0x20000000


def give_up_rights() -> None:
    """Give up, for this thread, the right to get more rights."""
    assert ctypes.CDLL(None).prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0) == 0


def has_given_up_rights() -> bool:
    return "NoNewPrivs:\t1" in Path("/proc/self/status").read_text()


def unshare(kind: int) -> None:
    """Go to a namespace of one's own, or end."""
    if ctypes.CDLL(None).unshare(kind):
        sys.exit(IMPOSSIBLE)


@contextlib.contextmanager
def control_group() -> Iterator[str]:
    """Go to a control group of one's own, whose name it gives, or end. Nobody else may be in it at the end."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    for place in (Path(where) for _, where, kind, *_ in mounts if kind in {"cgroup", "cgroup2"}):
        group = place / f"elsewhere-test-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            (group / "cgroup.procs").write_text(str(os.getpid()))
        except OSError:
            group.rmdir()
            continue
        break
    else:
        sys.exit(IMPOSSIBLE)
    yield group.name
    while (group / "cgroup.procs").read_text().split() != [str(os.getpid())]:
        os.sched_yield()
    (place / "cgroup.procs").write_text(str(os.getpid()))
    group.rmdir()


@contextlib.contextmanager
def memory_group() -> Iterator[Path | None]:
    """A new control group below that of this process which counts memory, or None where none can be made.

    Whoever is in it at the end has to end by itself.
    """
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    groups = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    own = {controllers: path.strip("/") for _, controllers, path in groups}
    for _, place, kind, options, *_ in mounts:
        path = own.get("") if kind == "cgroup2" else own.get("memory") if "memory" in options.split(",") else None
        if path is None:
            continue
        group = Path(place) / path / f"elsewhere-test-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        if (group / "memory.stat").exists():
            break
        group.rmdir()
    else:
        yield None
        return
    yield group
    while (group / "cgroup.procs").read_text():
        os.sched_yield()
    group.rmdir()


def shared_memory_of(group: Path) -> int:
    """Bytes of shared memory that processes of a control group were the first to use."""
    lines = (group / "memory.stat").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("shmem "))
