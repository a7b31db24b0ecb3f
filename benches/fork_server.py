"""Forks itself for each line it reads and answers with the milliseconds until the child's first byte was there.

Owns: the limit that a start by fork cannot beat: an interpreter with nothing imported, a pipe, a byte. Must not know:
anything else.
"""

from __future__ import annotations

import os
import sys
import time


def fork_milliseconds() -> float:
    """One fork; its end is not timed."""
    ours, theirs = os.pipe()
    began = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        os.write(theirs, b"x")
        os._exit(0)
    os.read(ours, 1)
    taken = (time.perf_counter() - began) * 1e3
    os.waitpid(pid, 0)
    os.close(ours)
    os.close(theirs)
    return taken


if __name__ == "__main__":
    for _ in sys.stdin:
        print(fork_milliseconds(), flush=True)
