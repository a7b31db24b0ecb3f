"""Programs in a control group that has little memory."""

from __future__ import annotations

import pytest

from confined import memory_group
from programs import start

MIB = 1 << 20


def limited(nbytes: int, text: str) -> list[str]:
    """The lines that a program prints which, with all its hosts, has `nbytes` bytes of memory and no swap."""
    program = "import sys\nsys.stdin.readline()\n" + text
    with memory_group() as group:
        if group is None:
            pytest.skip("this machine lets nobody make control groups of memory")
        for name, value in (
            ("memory.max", nbytes),
            ("memory.swap.max", 0),
            ("memory.limit_in_bytes", nbytes),
            ("memory.memsw.limit_in_bytes", nbytes),
        ):
            if (group / name).exists():
                (group / name).write_text(str(value))
        process = start(program)
        try:
            (group / "cgroup.procs").write_text(str(process.pid))
            printed, complaints = process.communicate("\n")
        finally:
            process.kill()
            process.wait()
    assert process.returncode == 0, (process.returncode, printed, complaints)
    return printed.splitlines()
