"""Forked hosts: what they forget of the process that forked them, how they live and end.

The process that forks is itself a host, since pytest's own has threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import random
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

import elsewhere
from conftest import children, open_descriptors
from kennel import Camera, Dog, error_of
from programs import has_ended, run, start

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def outer():
    """A process with one thread."""
    with elsewhere.Host(start="exec") as host:
        yield host


def descriptors_of_fork() -> tuple[list[str], list[str]]:
    with (
        elsewhere.Host(start="exec") as other,
        elsewhere.Host(start="zygote", output="home") as loud,
        elsewhere.Host(start="local"),
    ):
        other.spawn(Dog, "rex").bark()
        loud.spawn(Dog, "rex").bark()
        before = list(open_descriptors().values())
        with elsewhere.Host(start="fork") as host:
            return before, list(host.run(open_descriptors).values())


def test_fork_has_no_descriptor_of_other_hosts(outer):
    here, there = outer.run(descriptors_of_fork)

    def count(found: list[str], start: str) -> int:
        return sum(kind.startswith(start) for kind in found)

    assert count(here, "socket:") == 4
    assert count(there, "socket:") == 1
    assert count(here, "anon_inode:[pidfd]") == 4
    assert count(there, "anon_inode:[pidfd]") == 1
    assert count(there, "pipe:") <= 3


def use_other_host_in_fork() -> tuple[str, str, str]:
    with elsewhere.Host() as other:
        dog = other.spawn(Dog, "rex")
        with elsewhere.Host(start="fork") as host:
            forwarded = host.run(lambda dog: dog.bark(), dog)
            kept = str(error_of(lambda: elsewhere.Host(start="fork", inherit=[dog])))
        holder = [elsewhere.Host().spawn(Dog, "bello")]  # in a host that does not listen
        with elsewhere.Host(start="fork", inherit=[holder]) as host:
            dead = str(error_of(lambda: host.run(lambda held: held[0].bark(), holder)))
        assert dog.bark() == "woof"
        return forwarded, kept, dead


def test_proxy_of_another_host_is_passed_and_not_inherited(outer):
    forwarded, kept, dead = outer.run(use_other_host_in_fork)

    assert forwarded == "woof"
    assert "cannot be inherited" in kept
    assert "fork" in dead


def signals_of_fork() -> tuple[list[bool], list[bool]]:
    handled = [signal.SIGTERM, signal.SIGUSR1, signal.SIGCHLD]
    before = {number: signal.signal(number, lambda *_: None) for number in handled}
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
    reading, writing = os.pipe2(os.O_NONBLOCK)
    wakeup = signal.set_wakeup_fd(writing)
    try:
        with elsewhere.Host(start="fork") as host:
            there = host.run(look_at_signals, os.fstat(writing).st_ino)
        here = [callable(signal.getsignal(number)) for number in handled]
        here.append(signal.SIGHUP in signal.pthread_sigmask(signal.SIG_BLOCK, []))
    finally:
        signal.set_wakeup_fd(wakeup)
        os.close(reading)
        os.close(writing)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGHUP])
        signal.signal(signal.SIGUSR2, signal.SIG_DFL)
        for number, handler in before.items():
            signal.signal(number, handler)
    return there, here


def look_at_signals(pipe_of_parent: int) -> list[bool]:
    os.kill(os.getpid(), signal.SIGINT)  # is ignored
    return [
        *(signal.getsignal(number) is signal.SIG_DFL for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGCHLD)),
        signal.getsignal(signal.SIGUSR2) is signal.SIG_IGN,
        not signal.pthread_sigmask(signal.SIG_BLOCK, []),
        os.fstat(signal.set_wakeup_fd(-1)).st_ino != pipe_of_parent,
    ]


def test_signals_of_the_fork_are_its_own(outer):
    there, here = outer.run(signals_of_fork)

    assert there == [True] * 6
    assert here == [True] * 4


def test_what_the_parent_left_for_its_end_is_done_once():
    program = """
    import atexit, sys, tempfile, weakref
    import elsewhere

    class Thing:
        def __del__(self): print("del", flush=True)

    def greet(text):
        atexit.register(print, text, flush=True)
        kept.append(Thing2())
        weakref.finalize(kept[-1], print, text + " finalized", flush=True)
    class Thing2: pass
    kept = []

    atexit.register(print, "parent's atexit")
    thing = Thing2()
    weakref.finalize(thing, print, "parent's finalizer")
    garbage = Thing()
    garbage.itself = garbage
    del garbage
    sys.stdout.write("written once, ")
    with tempfile.TemporaryDirectory() as directory:
        try:
            with elsewhere.Host(start="fork") as host:
                host.run(greet, "child's own")
                host.run(__import__("gc").collect)
        finally:
            print("parent's finally")
        __import__("gc").collect()
        import os
        print(os.path.isdir(directory))
    """

    code, printed, complaints = run(program)

    once = ["child's own\n", "child's own finalized", "written once", "parent's finally", "True", "del\n"]
    assert (code, complaints) == (0, "")
    assert {text: printed.count(text) for text in [*once, "parent's finalizer", "parent's atexit"]} == dict.fromkeys(
        [*once, "parent's finalizer", "parent's atexit"], 1
    )


def test_fork_reads_the_end_of_its_input_and_eats_nothing_of_the_parents():
    program = """
    import sys
    import elsewhere

    def read():
        try:
            return input()
        except EOFError:
            return "EOF", sys.stdin.read()

    print(sys.stdin.readline(), end="")
    with elsewhere.Host(start="fork") as host:
        print(host.run(read))
        print(len(sys.stdin.read()))
    """

    assert run(program, given="first\n" + "x" * 100_000) == (0, "first\n('EOF', '')\n100000\n", "")


def die_in_fork(how: str) -> tuple[object, ...]:
    host = elsewhere.Host(start="fork", output="discard")
    deaths = {"exit": lambda: os._exit(7), "signal": lambda: os.kill(os.getpid(), signal.SIGKILL), "abort": os.abort}
    error = error_of(lambda: host.run(say_and, deaths[how]))
    assert isinstance(error, elsewhere.HostDied)
    waited = host.wait(20)
    code = host.exitcode
    host.close()
    return error.exitcode, error.signal, error.stderr_tail, error.outcome, code, waited


def say_and(die: Callable[[], object]) -> None:
    print("farewell", file=sys.stderr)
    die()


@pytest.mark.parametrize(
    ("how", "code", "number"), [("exit", 7, None), ("signal", None, signal.SIGKILL), ("abort", None, signal.SIGABRT)]
)
def test_death_of_a_fork_is_told_as_of_any_host(outer, how, code, number):
    told = outer.run(die_in_fork, how)

    assert told[:2] == (code, number)
    assert told[2].startswith("farewell\n")
    assert told[3:] == ("unknown", code if number is None else -number, True)


@pytest.mark.parametrize("busy", ["idle", "sleep", "spin"])
def test_fork_ends_when_its_owner_is_killed(busy):
    program = """
    import sys, time
    import elsewhere

    def spin():
        while True: pass

    host = elsewhere.Host(start="fork")
    print(host.pid, flush=True)
    if sys.argv[1] == "sleep":
        host.run(time.sleep, 3600)
    if sys.argv[1] == "spin":
        host.run(spin)
    time.sleep(3600)
    """
    with start(program, busy, stderr=subprocess.DEVNULL) as owner:
        pid = int(owner.stdout.readline())
        owner.kill()

        assert has_ended(pid)


def fork_within_fork() -> list[object]:
    camera = Camera()
    with elsewhere.Host(start="fork", inherit=[camera]) as one:
        return one.run(fork_again, camera)


def fork_again(camera: Camera) -> list[object]:
    camera.shoot()
    with elsewhere.Host(start="fork", inherit=[camera]) as two, elsewhere.Host() as three:
        return [two.send(camera).shoot(), camera.shots, two.run(abs, -1), three.run(abs, -2), two.pid != os.getpid()]


def test_fork_may_fork_and_have_hosts_of_its_own(outer):
    assert outer.run(fork_within_fork) == [2, 1, 1, 2, True]


def fork_with_options(directory: str) -> list[object]:
    os.environ["FROM_HERE"] = "here"
    with elsewhere.Host(
        start="fork",
        name="shop",
        env={"FROM_THERE": "there"},
        cwd=directory,
        path=[directory],
        preload=["module_of_the_fork"],
    ) as host:
        there = host.run(lambda: [os.environ["FROM_HERE"], os.environ["FROM_THERE"], os.getcwd(), sys.path[0]])
        loaded = host.run(lambda: "module_of_the_fork" in sys.modules)
        here = ["FROM_THERE" in os.environ, os.getcwd() == directory, "module_of_the_fork" in sys.modules]
        return [there, loaded, here, f"host 'shop' ({host.pid})" in repr(host)]


def test_options_of_a_host_hold_for_a_fork(outer, tmp_path):
    (tmp_path / "module_of_the_fork.py").write_text("")
    directory = str(tmp_path)

    assert outer.run(fork_with_options, directory) == [
        ["here", "there", directory, directory],
        True,
        [False, False, False],
        True,
    ]


def fork_that_fails(directory: str, module: str) -> tuple[str, str, bool]:
    before = children()
    error = error_of(
        lambda: elsewhere.Host(start="fork", path=[directory], preload=[module], start_timeout=0.5, output="discard")
    )
    return type(error).__name__, f"{error} {error.stderr_tail}", children() == before


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("import sys; sys.exit(4)", "SystemExit"),
        ("import os; os.write(2, b'farewell'); os._exit(4)", "farewell"),
        ("import os, time; os.write(2, b'on my way'); time.sleep(3600)", "on my way"),
    ],
    ids=["raises", "exits", "dies", "hangs"],
)
def test_fork_whose_preload_fails_is_a_start_error_and_leaves_nothing(outer, tmp_path, source, word):
    (tmp_path / "preload_that_fails.py").write_text(source)

    kind, text, is_clean = outer.run(fork_that_fails, str(tmp_path), "preload_that_fails")

    assert kind == "HostStartError"
    assert word in text
    assert is_clean


def fork_that_speaks() -> tuple[str, list[tuple[str, str, bool]], int]:
    records = []

    class Collect(logging.Handler):
        def emit(self, record):
            records.append((record.getMessage(), record.processName, record.process == host.pid))

    handler = Collect()
    logging.getLogger("fork").addHandler(handler)
    pipe = Heard()
    with contextlib.redirect_stdout(pipe):
        host = elsewhere.Host(start="fork", name="shop", output="home", logging=True)
        host.run(print, "hello")
        host.run(logging.getLogger("fork").warning, "careful")
        there = host.run(lambda: len(logging.getLogger("fork").handlers))
        host.close()
    logging.getLogger("fork").removeHandler(handler)
    return pipe.text, records, there


class Heard:
    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> None:
        self.text += text

    def flush(self) -> None:
        pass


def test_prints_and_logs_of_a_fork_come_home(outer):
    assert outer.run(fork_that_speaks) == ("hello\n", [("careful", "shop", True)], 0)


def fork_within_loop() -> list[object]:
    async def play():
        ticks = []

        async def tick():
            while len(ticks) < 3:
                ticks.append(1)
                await asyncio.sleep(0)

        ticking = asyncio.ensure_future(tick())
        with elsewhere.Host(start="fork") as host:
            dog = host.spawn(Dog, "rex")
            fetched = await elsewhere.submit(dog.fetch, "ball")
            inside = host.run(loop_of_fork)
        await ticking
        return [fetched, inside, len(ticks)]

    return asyncio.run(play())


def loop_of_fork() -> str:
    async def fetch() -> str:
        await asyncio.sleep(0)
        return "own loop"

    return asyncio.run(fetch())


def test_fork_from_inside_a_loop_has_loops_of_its_own(outer):
    assert outer.run(fork_within_loop) == ["ball", "own loop", 3]


def draw_in_forks() -> tuple[set[float], set[float]]:
    import numpy as np  # noqa: PLC0415 - as above

    random.seed(1)
    np.random.seed(1)
    plain, numpy = set(), set()
    for _ in range(3):
        with elsewhere.Host(start="fork") as host:
            plain.add(host.run(lambda: random.random()))
            numpy.add(float(host.run(lambda: np.random.random())))
    return plain, numpy


def test_forks_draw_other_random_numbers(outer):
    plain, numpy = outer.run(draw_in_forks)

    assert len(plain) == len(numpy) == 3


def write_to_inherited_file(path: str) -> str:
    with open(path, "w", encoding="utf-8") as file:
        file.write("here, ")
        file.flush()
        with elsewhere.Host(start="fork", inherit=[file]) as host:
            twin = host.send(file)
            twin.write("there")
            twin.flush()
    with open(path, encoding="utf-8") as file:
        return file.read()


def test_open_file_is_inherited_open(outer, tmp_path):
    assert outer.run(write_to_inherited_file, str(tmp_path / "file")) == "here, there"


def fork_beside_waiting_futures() -> list[object]:
    with elsewhere.Host() as other:
        dog = other.spawn(Dog, "rex")
        futures = [elsewhere.submit(dog.echo, number) for number in range(100)]
        with elsewhere.Host(start="fork") as host:
            mine = [elsewhere.submit(host.spawn(Dog, "tom").echo, number) for number in range(100)]
            return [future.result() for future in futures] + [future.result() for future in mine]


def test_calls_that_wait_are_not_disturbed_by_a_fork(outer):
    assert outer.run(fork_beside_waiting_futures) == [*range(100), *range(100)]


def test_fork_of_a_program_that_uses_multiprocessing_ends_well():
    program = """
    import multiprocessing, multiprocessing.util
    import elsewhere

    def work(queue): queue.put("worked")

    def use_pool():
        with multiprocessing.get_context("fork").Pool(1) as pool:
            return pool.map(abs, [-1])

    if __name__ == "__main__":
        context = multiprocessing.get_context("fork")
        queue = context.SimpleQueue()
        child = context.Process(target=work, args=(queue,))
        child.start()
        with elsewhere.Host(start="fork") as host:
            print(queue.get(), host.run(use_pool), host.run(multiprocessing.active_children))
        child.join()
        print(child.exitcode, host.exitcode)
    """

    assert run(program) == (0, "worked [1] []\n0 0\n", "")


def trace_into_fork() -> object:
    sys.settrace(lambda *_: None)
    try:
        with elsewhere.Host(start="fork") as host:
            return host.run(lambda: sys.gettrace())
    finally:
        sys.settrace(None)


def test_fork_is_not_traced(outer):
    assert outer.run(trace_into_fork) is None


class Meeting:
    """Methods that end only when two of them run at the same time."""

    def __init__(self) -> None:
        self.barrier = threading.Barrier(2)
        self.all_here = asyncio.Event()
        self.here = 0

    def meet(self) -> str:
        self.barrier.wait(20)
        return threading.current_thread().name

    async def meet_awaiting(self) -> int:
        self.here += 1
        if self.here == 2:
            self.all_here.set()
        await self.all_here.wait()
        return self.here


def meet_in_fork(concurrency: int | str) -> list[object]:
    meeting = Meeting()
    with elsewhere.Host(start="fork", inherit=[meeting], concurrency=concurrency) as host:
        twin = host.send(meeting)
        method = twin.meet_awaiting if concurrency == "async" else twin.meet
        calls = [elsewhere.submit(method) for _ in range(2)]
        return [call.result() for call in calls]


def test_fork_runs_calls_in_threads_or_on_a_loop(outer):
    threads = outer.run(meet_in_fork, 2)

    assert len(set(threads)) == 2
    assert "MainThread" not in threads
    assert outer.run(meet_in_fork, "async") == [2, 2]


class Forker:
    async def fork(self) -> list[object]:
        await asyncio.sleep(0)
        with elsewhere.Host(start="fork") as host:
            here = host.run(loop_of_fork)
            dog = host.spawn(Dog, "rex")
            return [here, await elsewhere.submit(dog.fetch, "ball")]


def test_host_may_fork_from_inside_a_coroutine(outer):
    forker = outer.spawn(Forker)

    assert forker.fork().result() == ["own loop", "ball"]
    assert forker.fork().result() == ["own loop", "ball"]


class Enough(BaseException):
    """What the alarm raises."""


def ring(*_):
    raise Enough


def interrupt_forks(delays: list[float]) -> tuple[int, bool, list[int]]:
    handler, before, interrupted = signal.signal(signal.SIGALRM, ring), children(), 0
    for delay in delays:
        try:
            signal.setitimer(signal.ITIMER_REAL, delay)
            elsewhere.Host(start="fork").close()
            signal.setitimer(signal.ITIMER_REAL, 0)
        except Enough:
            interrupted += 1
    signal.signal(signal.SIGALRM, handler)
    is_masked = bool(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
    while children() - before:
        gc.collect()
        threading.Event().wait(0.01)
    heard: list[int] = []
    with elsewhere.Host(start="fork") as host:
        host.run(lambda hear: hear(1), elsewhere.ref(heard.append))  # the thread that runs it is there again, too
    return interrupted, is_masked, heard


def test_interrupt_at_any_moment_of_a_fork_leaves_no_child_and_stops_nothing(outer):
    interrupted, is_masked, heard = outer.run(interrupt_forks, [0.0001 * number for number in range(1, 120)])

    assert interrupted > 0
    assert not is_masked
    assert heard == [1]


def test_interrupt_of_the_first_start_of_a_program_leaves_no_child():
    for number in range(1, 13):  # what the start imports is interrupted, too
        with elsewhere.Host(start="exec") as host:
            assert host.run(interrupt_forks, [0.0005 * number])[1:] == (False, [1])
