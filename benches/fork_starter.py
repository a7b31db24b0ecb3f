"""Starts the pipe loop by fork for each line it reads, and answers with the milliseconds to the first answer.

Owns: a process that has imported what the loop needs, and nothing else of the benchmarks. Must not know: what is
measured beside it. A fork of the benchmark itself would pay for all that this has imported.
"""

from __future__ import annotations

import sys
import time

from contenders.pipe import Pipe


def start_milliseconds(rest: float) -> float:
    """A start, one call; the end is not timed."""
    began = time.perf_counter()
    with Pipe("fork") as pipe:
        pipe.call()()
        taken = (time.perf_counter() - began) * 1e3
    time.sleep(rest)
    return taken


if __name__ == "__main__":
    for line in sys.stdin:
        count, pause = line.split()
        taken = [start_milliseconds(float(pause)) for _ in range(int(count))]
        print(sum(taken) / len(taken), flush=True)
