"""What the machine can do at best, measured in the same rounds as everything else.

Owns: the programs that measure it (`limits`, an example of the crate elsewhere-shm, `cipher`, one of elsewhere-engine,
and `fork_server.py`). Must not know: the workloads. A round trip or a copy is measured in Rust: Python would add
to it. What pickle and waking a thread of Python take are no limits of the machine, but of all who use them.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self

from measure import Calls
from placement import cores_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from measure import Effort
    from placement import Placement

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "examples"
PROGRAM = EXAMPLES / "limits"
CIPHER_PROGRAM = EXAMPLES / "cipher"
FORK_SERVER = Path(__file__).resolve().parent / "fork_server.py"

FUTEX = "limit: futex"
SPIN = "limit: spin"
WARM_COPY = "limit: memcpy, warm"
COLD_COPY = "limit: memcpy, cold"
FORK = "limit: fork"
CIPHER = "limit: cipher"
PICKLE = "limit: pickle"
THREADS = "limit: threads"
NOTES = {
    FUTEX: "two processes and two words of shared memory, futex wait and wake, in Rust",
    SPIN: "the same without ever sleeping; only on two cores",
    WARM_COPY: "memcpy between two arrays that were written before, in Rust",
    COLD_COPY: "memcpy into a memfd that was just made and mapped, in Rust",
    FORK: "os.fork of a bare interpreter until the child's first byte comes through a pipe",
    CIPHER: "one core encrypts as many bytes by AES-256-GCM in records of 64 KiB, in Rust; nothing is sent",
    PICKLE: "pickle.dumps and pickle.loads of what goes and of what comes back, and nothing else",
    THREADS: "as many threads of one interpreter that wake one another in turn, each by a lock, and do nothing else",
}


def is_limit(name: str) -> bool:
    """Whether a name of a row's figures is a limit of the machine, and nobody's way to do it."""
    return name.startswith("limit: ")


class Answering:
    """A program that answers each line with a line of figures."""

    def __init__(self, *command: str | Path) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="ascii", bufsize=1
        )

    def ask(self, *words: object) -> list[float]:
        """Have something measured."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(*words, file=self._process.stdin, flush=True)
        return [float(figure) for figure in self._process.stdout.readline().split()]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


class Limits:
    """Samples of what the machine can do, for the rounds of a workload."""

    def __init__(self, program: Answering, effort: Effort) -> None:
        self._program = program
        self._effort = effort

    def round_trips(self, placement: Placement) -> dict[str, Callable[[], Calls]]:
        """A bare futex in any placement, and two cores that never sleep."""
        ours, theirs = cores_of(placement)
        trips = max(200, int(self._effort.batch_seconds * 40_000))

        def sample(way: str, count: int) -> Calls:
            return Calls(*self._program.ask(way, ours, theirs, count))

        samples: dict[str, Callable[[], Calls]] = {FUTEX: lambda: sample("futex", trips)}
        if ours != theirs:
            samples[SPIN] = lambda: sample("spin", 10 * trips)
        return samples

    def copies(self, nbytes: int) -> dict[str, Callable[[], Calls]]:
        """One copy of so many bytes, as a call whose every figure is that of the median copy."""
        repeats = max(1, int(self._effort.batch_seconds * 1e9 / nbytes))

        def sample(way: str, count: int) -> Calls:
            (median,) = self._program.ask(way, nbytes, min(count, 500))
            return Calls(median, median)

        return {WARM_COPY: lambda: sample("warm", repeats), COLD_COPY: lambda: sample("cold", max(1, repeats // 10))}


@contextmanager
def measurable(effort: Effort) -> Generator[Limits]:
    """Have the program ready."""
    if not PROGRAM.exists():
        raise SystemExit(f"{PROGRAM} is missing: `make bench` builds it")
    with Answering(PROGRAM) as program:
        yield Limits(program, effort)


@contextmanager
def cipher() -> Generator[Callable[[int], Callable[[], Calls]]]:
    """What makes samples of encrypting so many bytes."""
    if not CIPHER_PROGRAM.exists():
        raise SystemExit(f"{CIPHER_PROGRAM} is missing: `make bench` builds it")
    with Answering(CIPHER_PROGRAM) as program:

        def encrypting(nbytes: int) -> Callable[[], Calls]:
            def sample() -> Calls:
                (median,) = program.ask(nbytes, 3)
                return Calls(median, median)

            return sample

        yield encrypting


def pickling(value: object, times: int) -> Callable[[], None]:
    """What all do who pickle: write a value and read it, so many times."""

    def pickle_and_back() -> None:
        for _ in range(times):
            pickle.loads(pickle.dumps(value, pickle.HIGHEST_PROTOCOL))

    return pickle_and_back


def _held() -> threading.Lock:
    lock = threading.Lock()
    lock.acquire()
    return lock


class Baton:
    """Threads that hand on a baton: each is woken by the one before it."""

    def __init__(self, threads: int) -> None:
        self._left = 0
        self._is_over = False
        self._done = _held()
        self._turns = [_held() for _ in range(threads)]
        nexts = [*self._turns[1:], self._turns[0]]
        self._threads = [threading.Thread(target=self._run, args=pair) for pair in zip(self._turns, nexts, strict=True)]
        for thread in self._threads:
            thread.start()

    def hand_on(self, count: int) -> None:
        """Wake `count` threads, one after another."""
        self._left = count
        self._turns[0].release()
        self._done.acquire()

    def _run(self, turn: threading.Lock, following: threading.Lock) -> None:
        while True:
            turn.acquire()
            if self._is_over:
                return
            self._left -= 1
            (following if self._left else self._done).release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._is_over = True
        for turn, thread in zip(self._turns, self._threads, strict=True):
            turn.release()
            thread.join()


@contextmanager
def forks() -> Generator[Callable[[], float]]:
    """A sample: milliseconds from fork to the child's first byte."""
    with Answering(sys.executable, "-I", "-S", FORK_SERVER) as server:
        yield lambda: server.ask("fork")[0]
