"""CPU work off a busy GIL.

The main thread has plenty to do: it draws frames, in pure Python, as fast as it can. Work in threads shares one GIL
with that; work in hosts shares nothing. The same primes are counted both ways; look at the rate of the frames.
"""

from __future__ import annotations

import os
import time
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import cycle, pairwise
from typing import TYPE_CHECKING

import elsewhere

if TYPE_CHECKING:
    from collections.abc import Sequence

LIMITS = range(0, 60_001, 5_000)


class Primes:
    """Counts primes, the slow way."""

    def __init__(self) -> None:
        self.pid = os.getpid()

    def between(self, first: int, last: int) -> int:
        """How many primes there are from `first` up to, not including, `last`."""
        return sum(all(number % i for i in range(2, int(number**0.5) + 1)) for number in range(max(first, 2), last))


def draw_until_done(calls: Sequence[Future[int]]) -> str:
    """Draw frames until every call has ended; tell what came of it."""
    began, frames = time.perf_counter(), 0
    while not all(call.done() for call in calls):
        for _ in range(1000):
            pass  # a part of a frame
        frames += 1
    rate = frames / (time.perf_counter() - began)
    return f"{sum(call.result() for call in calls)} primes, while the main thread drew {rate:,.0f} frames a second"


def main() -> None:
    """Count in threads, then in hosts: as many of each as there are CPUs to spare."""
    number = max(1, (os.cpu_count() or 2) - 1)
    here = Primes()
    with ThreadPoolExecutor(number) as executor:
        print("in threads:", draw_until_done([executor.submit(here.between, *limits) for limits in pairwise(LIMITS)]))

    workers = [elsewhere.spawn(Primes) for _ in range(number)]
    turns = zip(cycle(workers), pairwise(LIMITS), strict=False)
    print("in hosts:  ", draw_until_done([elsewhere.submit(worker.between, *limits) for worker, limits in turns]))
    print(f"we are process {os.getpid()}, the hosts were {[elsewhere.get(worker.pid) for worker in workers]}")


if __name__ == "__main__":
    main()
