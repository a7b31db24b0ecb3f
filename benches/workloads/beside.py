"""What goes on while something large or something stuck is there: calls, cancels and Ctrl-C, calls to another host.

Owns: these workloads and their aims. Must not know: the other workloads, the report.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import numpy as np

import elsewhere
from contenders.ours import Ours
from measure import calls
from placement import available, placed
from rows import OURS, Aim, Of, Point, Row, medians_and_tails
from targets import Standing

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from contenders.contender import Bytes, Contender
    from measure import Calls, Effort, Operation
    from targets import Target

ROUNDS = 5
"""Each with a host of its own, whose first large argument finds no memory that was used before."""
LATE = 100_000
"""Microseconds within which a call is answered and a cancel is seen, whatever else is on the way."""
FULL = 1 << 20
"""Bytes of each argument that a stopped host is sent until there is no more room."""
QUIET = 0.05
"""Seconds without another argument sent after which there is none."""


def measure(effort: Effort, _kinds: Sequence[type[Contender]]) -> Iterator[Row]:
    """Beside a large argument, a host that was stopped and a call that takes long; then Ctrl-C in what takes long."""
    yield from beside_large_argument(2 * max(effort.sizes), min(effort.rounds, ROUNDS))
    yield beside_stopped_host(effort)
    yield beside_long_call(effort)
    yield from interrupts(effort)


def beside_large_argument(nbytes: int, rounds: int) -> Iterator[Row]:
    """Small calls, and cancels until what they interrupt was told, while an argument is on the way and read."""
    array = np.ones(nbytes, np.uint8)
    taken = [round_beside(array) for _ in range(rounds)]
    point, bound = Point("bytes", nbytes), (Aim(LATE, of=Of.TAIL),)
    for what, of in (("call beside an argument", 0), ("cancel beside an argument, until it interrupts", 1)):
        sorted_times = [sorted(times[of]) for times in taken]
        medians = {OURS: [times[len(times) // 2] for times in sorted_times]}
        tails = {OURS: [times[len(times) * 99 // 100] for times in sorted_times]}
        yield Row("beside", what, "µs", medians, tails=tails, point=point, aims=bound)
        longest = {OURS: [times[-1] for times in sorted_times]}
        yield Row("beside", f"the longest {what}", "µs", longest, point=point, aims=(Aim(LATE),))


def round_beside(array: np.ndarray[tuple[int], np.dtype[np.uint8]]) -> tuple[list[float], list[float]]:
    """Microseconds of each call and each cancel beside the first and the second argument of a new host."""
    answered: list[float] = []
    seen: list[float] = []
    with elsewhere.Host(concurrency=3) as host:
        standing = host.spawn(Standing)
        standing.take(array[:1])  # numpy is imported there
        for _ in range(2):
            large = threading.Thread(target=standing.take, args=(array,))
            large.start()
            while True:
                future = elsewhere.submit(standing.stand)
                began = time.perf_counter()
                standing.add(1)
                answered.append((time.perf_counter() - began) * 1e6)
                began = time.perf_counter()
                future.cancel(interrupt=True)
                while elsewhere.get(standing.interrupts) <= len(seen):
                    pass
                seen.append((time.perf_counter() - began) * 1e6)
                if not large.is_alive():
                    break
            large.join()
    return answered, seen


def beside_stopped_host(effort: Effort) -> Row:
    """Calls to one host, in the same rounds with and without another that is stopped and can be sent nothing more."""
    placement, name = available()[-1], f"{OURS}, none stopped"
    with Ours() as one, Ours() as other:
        one.take(np.ones(1, np.uint8))()
        taken: dict[str, list[Calls]] = {OURS: [], name: []}
        with placed(placement, [*one.pids, *other.pids]):
            sample = calls(one.call(), effort)
            for _ in range(effort.rounds):
                taken[name].append(sample())
                with stopped(other.pids[0], other.target):
                    taken[OURS].append(sample())
    figures, tails = medians_and_tails(taken)
    aims = (Aim(2, name, of=Of.TAIL),)
    return Row("beside", "call beside a stopped host", "µs", figures, placement, tails, aims=aims)


def beside_long_call(effort: Effort) -> Row:
    """Calls of one thread, in the same rounds with and without one of another thread that is not answered meanwhile."""
    placement, name = available()[-1], f"{OURS}, no long call"
    with elsewhere.Host(concurrency=2) as host:
        standing = host.spawn(Standing)
        taken: dict[str, list[Calls]] = {OURS: [], name: []}
        with placed(placement, [host.pid or 0]):
            sample = calls(lambda: standing.add(1), effort)
            for _ in range(effort.rounds):
                taken[name].append(sample())
                with waiting_thread(standing):
                    taken[OURS].append(sample())
    figures, tails = medians_and_tails(taken)
    aims = (Aim(1.5, name),)
    return Row(
        "beside", "call beside one that takes long, of another thread", "µs", figures, placement, tails, aims=aims
    )


@contextmanager
def waiting_thread(standing: Standing) -> Generator[None]:
    """Another thread waits for an answer that does not come before the end of the block."""
    begun = elsewhere.get(standing.begun)
    waiting = elsewhere.submit(standing.stand)

    def wait() -> None:
        with suppress(elsewhere.CallCancelled):
            waiting.result()

    thread = threading.Thread(target=wait)
    thread.start()
    while elsewhere.get(standing.begun) == begun:
        pass
    try:
        yield
    finally:
        waiting.cancel(interrupt=True)
        thread.join()


def interrupts(effort: Effort) -> Iterator[Row]:
    """From a signal until KeyboardInterrupt is raised in a call that waits or moves much, by who is signalled."""
    nbytes, rounds = 2 * max(effort.sizes), min(effort.rounds, ROUNDS)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever is started in the background ignores it
    for whom, to_main in (("the main thread", True), ("another thread", False)):
        with elsewhere.Host(concurrency=2) as host:
            standing = host.spawn(Standing)
            waiting = {OURS: [interrupt(standing, to_main=to_main) for _ in range(effort.rounds)]}
        yield Row("beside", f"Ctrl-C ends a call that waits, signalled to {whom}", "µs", waiting, aims=(Aim(LATE),))
        for what, move in (("an argument", send_array), ("a result", bring_array)):
            moving = {OURS: [interrupt_moving(move, nbytes, to_main=to_main) for _ in range(rounds)]}
            title = f"Ctrl-C ends a call with {what}, signalled to {whom}"
            yield Row("beside", title, "µs", moving, point=Point("bytes", nbytes), aims=(Aim(LATE),))


def send_array(standing: Standing, array: Bytes) -> None:
    """Have it go there."""
    standing.take(array)


def bring_array(standing: Standing, array: Bytes) -> None:
    """Have one as large come here."""
    standing.frozen(array.nbytes)


def interrupt_moving(move: Callable[[Standing, Bytes], None], nbytes: int, *, to_main: bool) -> float:
    """Microseconds of one in a new host, whose first array finds no memory that was used before.

    Whatever is shorter than the time until the signal is done again and again, so that there is a call to end.
    """
    array = np.ones(nbytes, np.uint8)
    with elsewhere.Host() as host:
        standing = host.spawn(Standing)
        standing.take(array[:1])  # numpy is imported there
        begun = threading.Event()

        def move_for_ever() -> None:
            begun.set()
            while True:
                move(standing, array)

        return microseconds_to_interrupt(move_for_ever, begun.wait, to_main=to_main)


def interrupt(standing: Standing, *, to_main: bool) -> float:
    """Microseconds of one while an answer does not come."""
    begun = elsewhere.get(standing.begun)
    waiting: elsewhere.Future[None] = elsewhere.submit(standing.stand)

    def wait_begun() -> None:
        while elsewhere.get(standing.begun) == begun:
            pass

    taken = microseconds_to_interrupt(waiting.result, wait_begun, to_main=to_main)
    waiting.cancel(interrupt=True)
    return taken


def microseconds_to_interrupt(wait: Operation, wait_begun: Operation, *, to_main: bool) -> float:
    """From the signal, which is sent some time after `wait_begun` returns, until it ends `wait` in this thread."""
    sent, main = 0.0, threading.get_ident()

    def send() -> None:
        nonlocal sent
        wait_begun()
        time.sleep(QUIET)  # until whoever waits sleeps
        sent = time.perf_counter()
        signal.pthread_kill(main if to_main else threading.get_ident(), signal.SIGINT)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        wait()
    except KeyboardInterrupt:
        return (time.perf_counter() - sent) * 1e6
    finally:
        sender.join()
    raise AssertionError("nothing but the signal ends it")


@contextmanager
def stopped(pid: int, target: Target) -> Generator[None]:
    """Stop a host, and send it arguments until the sender waits; after the block it goes on and takes them."""
    array, is_over, sent = np.ones(FULL, np.uint8), threading.Event(), 0

    def send() -> None:
        nonlocal sent
        while not is_over.is_set():
            elsewhere.post(target.take, array)
            sent += 1

    os.kill(pid, signal.SIGSTOP)
    sender = threading.Thread(target=send)
    sender.start()
    try:
        before = -1
        while before != sent:
            before = sent
            time.sleep(QUIET)
        yield
    finally:
        is_over.set()
        os.kill(pid, signal.SIGCONT)
        sender.join()
        target.add(1)  # behind all of them
