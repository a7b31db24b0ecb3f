"""What the kernel says of processes: the memory that they have for themselves, and the processor time that they took.

Owns: reading `/proc`. Must not know: what is measured.
"""

from __future__ import annotations

from pathlib import Path


def private_mebibytes(pid: int) -> float:
    """Memory of one process that no other process shares."""
    return _kibibytes(f"/proc/{pid}/smaps_rollup", ("Private_Clean:", "Private_Dirty:")) / 1024


def available_bytes() -> int:
    """Memory of the machine that can be had without swapping."""
    return _kibibytes("/proc/meminfo", ("MemAvailable:",)) * 1024


def processor_milliseconds(pid: int, without: int | None = None) -> float:
    """Time that the threads of one process ran, to the nanosecond; `without` one of them, by its native id."""
    tasks = [task for task in Path(f"/proc/{pid}/task").iterdir() if task.name != str(without)]
    return sum(int((task / "schedstat").read_text(encoding="ascii").split()[0]) for task in tasks) / 1e6


def _kibibytes(path: str, fields: tuple[str, ...]) -> int:
    lines = Path(path).read_text(encoding="ascii").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(fields))
