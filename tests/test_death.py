"""Hosts that die, are killed, cannot start, or lose their owner."""

from __future__ import annotations

import asyncio
import faulthandler
import os
import signal
import sys
import threading
import time
import weakref
from typing import TYPE_CHECKING

import pytest

import elsewhere
from conftest import children, open_descriptors
from doomed import Doomed
from kennel import Dog
from programs import has_ended, numbers, start

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def doomed(process_host):
    return process_host.spawn(Doomed)


def failure_of(call, *args) -> elsewhere.HostDied:
    with pytest.raises(elsewhere.HostDied) as caught:
        call(*args)
    return caught.value


def test_call_that_exits_its_process_raises_host_died_with_the_code(process_host, doomed) -> None:
    error = failure_of(doomed.exit, 7)

    assert (error.exitcode, error.signal, error.outcome) == (7, None, "unknown")
    assert (error.pid, error.method) == (process_host.pid, "Doomed.exit")
    assert "exited with code 7" in str(error)


def test_calls_queued_behind_a_death_have_not_started(doomed) -> None:
    futures = [elsewhere.submit(doomed.bark) for _ in range(3)]
    all_are_queued = threading.Event()
    futures.append(elsewhere.submit(doomed.exit_after, elsewhere.ref(all_are_queued.wait), 7))
    futures += [elsewhere.submit(doomed.bark) for _ in range(5)]
    all_are_queued.set()

    answers = [future.result() for future in futures[:3]]
    outcomes = [future.exception().outcome for future in futures[3:]]

    assert answers == ["woof"] * 3
    assert outcomes == ["unknown"] + ["not_started"] * 5


def test_proxies_of_a_dead_host_raise_at_each_use_and_still_print(doomed) -> None:
    failure_of(doomed.exit, 7)

    for use in (
        doomed.bark,
        lambda: elsewhere.get(doomed.x),
        lambda: len(doomed),
        lambda: elsewhere.submit(doomed.bark),
    ):
        error = failure_of(use)
        assert (error.exitcode, error.outcome) == (7, "not_started")
    assert "Doomed" in repr(doomed)
    assert str(doomed) == repr(doomed)


@pytest.mark.parametrize("delay", [0.0, 0.0005, 0.002, 0.01])
def test_call_in_flight_ends_when_its_host_is_killed(process_host, doomed, delay: float) -> None:
    running = threading.Event()
    killer = threading.Thread(target=lambda: (running.wait(), time.sleep(delay), os.kill(process_host.pid, 9)))
    killer.start()

    error = failure_of(doomed.enter, elsewhere.ref(running.set))
    killer.join()

    assert (error.exitcode, error.signal, error.outcome) == (None, 9, "unknown")
    for word in (str(process_host.pid), "signal 9", "SIGKILL", "Doomed.enter", "out of memory"):
        assert word in str(error)


def test_host_that_is_killed_from_here_says_so(process_host, doomed) -> None:
    running = threading.Event()
    future = elsewhere.submit(doomed.enter, elsewhere.ref(running.set))
    running.wait()

    process_host.kill()

    error = failure_of(future.result)
    assert (error.signal, error.outcome) == (9, "unknown")
    assert "SIGKILL, by kill() here" in str(error)
    assert "out of memory" not in str(error)


@pytest.mark.parametrize(("method", "number"), [("segfault", signal.SIGSEGV), ("abort", signal.SIGABRT)])
def test_crash_in_c_is_told_with_its_signal_and_last_words(method: str, number: int) -> None:
    with elsewhere.Host() as host:
        doomed = host.spawn(Doomed)
        host.run(enable_faulthandler)

        error = failure_of(getattr(doomed, method))

    assert error.signal == number
    assert f"in {method}" in error.stderr_tail
    assert f"in {method}" in str(error)


def enable_faulthandler() -> None:
    faulthandler.enable()


def test_last_four_kilobytes_of_stderr_are_kept(doomed) -> None:
    error = failure_of(doomed.say_and_exit, "x" * 10_000 + "the end")

    assert error.stderr_tail.endswith("the end")
    assert len(error.stderr_tail) <= 4096


def test_memory_error_reaches_the_caller_and_the_host_lives(doomed) -> None:
    with pytest.raises(MemoryError):
        doomed.eat_memory()

    assert doomed.bark() == "woof"


def test_idle_host_that_is_killed_is_noticed_once_by_itself() -> None:
    told: list[elsewhere.Host] = []
    noticed = threading.Semaphore(0)
    host = elsewhere.Host()
    doomed = host.spawn(Doomed)
    host.on_death(lambda host: (told.append(host), noticed.release()))

    os.kill(host.pid, signal.SIGKILL)

    assert noticed.acquire(timeout=20)
    assert (host.alive, host.exitcode, host.wait(5)) == (False, -9, True)
    error = failure_of(doomed.bark)
    assert (error.outcome, error.signal) == ("not_started", 9)
    host.close()
    assert not noticed.acquire(timeout=0.05)
    assert told == [host]


def test_on_death_after_the_death_is_called_at_once(process_host) -> None:
    process_host.kill()
    process_host.wait()
    told: list[elsewhere.Host] = []

    process_host.on_death(told.append)

    assert told == [process_host]


def test_on_death_is_called_once_when_the_host_is_closed() -> None:
    told: list[elsewhere.Host] = []
    noticed = threading.Semaphore(0)
    host = elsewhere.Host()
    host.on_death(lambda host: (told.append(host), noticed.release()))

    host.close()
    host.close()

    assert noticed.acquire(timeout=20)
    assert not noticed.acquire(timeout=0.05)
    assert told == [host]


def test_each_on_death_callback_is_called_also_behind_one_that_raises(process_host, caplog) -> None:
    noticed = threading.Semaphore(0)

    def fail(host: elsewhere.Host) -> None:
        raise ValueError("no")

    process_host.on_death(fail)
    process_host.on_death(lambda host: noticed.release())

    process_host.kill()

    assert noticed.acquire(timeout=20)
    assert "on_death" in caplog.text


class Bulky:
    """Cannot be copied, so it travels by reference."""

    def __init__(self) -> None:
        self.lock = threading.Lock()


def test_what_a_callback_gives_to_a_host_that_died_meanwhile_is_let_go(process_host) -> None:  # row 6
    dog = process_host.spawn(Dog, "rex")
    given: list[weakref.ref] = []
    over = threading.Event()

    def give() -> Bulky:
        process_host.kill()
        process_host.close()
        bulky = Bulky()
        given.append(weakref.ref(bulky, lambda _: over.set()))
        return bulky

    future = elsewhere.submit(dog.call, elsewhere.ref(give))

    assert over.wait(20)
    assert isinstance(future.exception(), (elsewhere.HostDied, elsewhere.HostClosed))


BROKEN = {
    "raises": ("1 / 0", "ZeroDivisionError"),
    "exits": ("import sys; sys.exit(4)", "SystemExit"),
    "dies": ("import os; os.write(2, b'farewell'); os._exit(4)", "farewell"),
    "kills itself": ("import os; os.kill(os.getpid(), 9)", "signal 9"),
    "is interrupted": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "is missing": (None, "ModuleNotFoundError"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_host_whose_preload_fails_does_not_start_and_leaves_nothing(tmp_path, fault: str) -> None:
    source, word = BROKEN[fault]
    if source is not None:
        (tmp_path / "broken_preload.py").write_text(source)
    before = children()

    with pytest.raises(elsewhere.HostStartError) as caught:
        elsewhere.Host(preload=["broken_preload"], path=[str(tmp_path)])

    assert word in str(caught.value)
    assert isinstance(caught.value, RuntimeError)
    assert children() == before


def test_host_that_hangs_at_its_start_is_given_up(tmp_path) -> None:
    (tmp_path / "hanging_preload.py").write_text("import os, time; os.write(2, b'on my way'); time.sleep(3600)")
    before = children()

    with pytest.raises(elsewhere.HostStartError) as caught:
        elsewhere.Host(preload=["hanging_preload"], path=[str(tmp_path)], start_timeout=0.3)

    assert caught.value.stderr_tail == "on my way"
    assert children() == before


@pytest.mark.parametrize(
    ("program", "word"),
    [
        ("/nowhere/python", "/nowhere/python"),
        ("/bin/true", "code 0"),
        ("/bin/false", "code 1"),
        ("/etc/passwd", "/etc/passwd"),
    ],
)
def test_interpreter_that_is_none_is_a_start_error(monkeypatch, program: str, word: str) -> None:
    monkeypatch.setattr(sys, "executable", program)
    before = children()

    with pytest.raises(elsewhere.HostStartError) as caught:
        elsewhere.Host()

    assert word in str(caught.value)
    assert children() == before


def test_interpreter_that_never_speaks_is_given_up_and_killed(monkeypatch, tmp_path) -> None:
    silent = tmp_path / "silent"
    silent.write_text("#!/bin/sh\necho who is there >&2\nexec sleep 3600\n")
    silent.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(silent))
    before = children()

    with pytest.raises(elsewhere.HostStartError) as caught:
        elsewhere.Host(start_timeout=0.3)

    assert caught.value.stderr_tail == "who is there\n"
    assert children() == before


def test_interpreter_that_speaks_another_language_is_a_start_error(monkeypatch, tmp_path) -> None:
    babbler = tmp_path / "babbler"
    babbler.write_text("#!/bin/sh\necho HTTP/1.1 200 OK and so on and so forth >&0\nexec sleep 3600\n")
    babbler.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(babbler))
    before = children()

    with pytest.raises(elsewhere.HostStartError):
        elsewhere.Host()

    assert children() == before


FAMILY = """
import os, sys, time
import elsewhere

class Parent:
    def spawn(self):
        self.child = elsewhere.spawn(Parent)
        return elsewhere.host_of(self.child).pid
    def idle(self): pass
    def sleep(self): time.sleep(3600)
    def spin(self):
        while True: pass
    def hold(self):
        import re
        re.match("(a+)+b", "a" * 64)

parent = elsewhere.spawn(Parent)
child = parent.spawn()
print(elsewhere.host_of(parent).pid, child, flush=True)
elsewhere.post(getattr(parent, sys.argv[1]))
elsewhere.post(parent.idle)
print("ready", flush=True)
time.sleep(3600)
"""


@pytest.mark.parametrize("state", ["idle", "sleep", "spin", "hold"])
def test_hosts_and_their_hosts_end_when_the_owner_is_killed(state: str) -> None:
    with start(FAMILY, state) as owner:
        pids = [*numbers(owner.stdout.readline())]
        assert owner.stdout.readline() == "ready\n"

        owner.kill()

        assert [has_ended(pid) for pid in pids] == [True, True]


def test_death_is_noticed_although_a_grandchild_keeps_the_descriptors(process_host, doomed) -> None:
    grandchild = doomed.start_grandchild()
    running = threading.Event()
    future = elsewhere.submit(doomed.enter, elsewhere.ref(running.set))
    running.wait()

    process_host.kill()

    error = future.exception()
    os.kill(grandchild, signal.SIGKILL)
    assert (type(error), error.signal) == (elsewhere.HostDied, 9)


def test_clean_end_is_noticed_although_a_grandchild_keeps_the_descriptors() -> None:
    with elsewhere.Host() as host:
        doomed = host.spawn(Doomed)
        grandchild = doomed.start_grandchild()

    os.kill(grandchild, signal.SIGKILL)
    assert (host.alive, host.exitcode) == (False, 0)


def test_items_that_arrived_before_a_death_are_kept(doomed) -> None:  # what you got you keep
    items = iter(elsewhere.stream(doomed.count_and_die, 100))

    got: list[int] = []
    with pytest.raises(elsewhere.HostDied) as caught:
        got.extend(items)

    assert got == list(range(len(got)))
    assert caught.value.exitcode == 5


def test_stream_raises_host_died_when_its_host_is_killed(process_host, doomed) -> None:
    items = elsewhere.stream(doomed.count, 10**9)
    first = next(items)

    process_host.kill()

    assert first == 0
    with pytest.raises(elsewhere.HostDied):
        for _ in items:
            pass
    assert list(items) == []


def test_next_item_that_a_death_forestalls_is_told_as_one_and_not_as_the_generator(process_host, doomed) -> None:
    items = doomed.count(3)
    assert next(items) == 0

    process_host.kill()
    error = failure_of(next, items)

    assert error.outcome == "not_started"
    assert "generator (next item) had not begun; the items before it had" in str(error)
    assert "safe to call again" not in str(error)


def test_awaited_call_raises_host_died(process_host, doomed) -> None:
    async def main() -> elsewhere.HostDied:
        running = asyncio.Event()
        loop = asyncio.get_running_loop()
        future = elsewhere.submit(doomed.enter, elsewhere.ref(lambda: loop.call_soon_threadsafe(running.set)))
        waiter = asyncio.ensure_future(asyncio.wait_for(future, None))
        await running.wait()
        process_host.kill()
        with pytest.raises(elsewhere.HostDied) as caught:
            await waiter
        return caught.value

    assert asyncio.run(main()).outcome == "unknown"


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_two_hundred_starts_and_deaths_leave_nothing() -> None:
    def live_and_die(number: int) -> None:
        host = elsewhere.Host()
        proxy = host.spawn(dict)
        if number % 4 == 0:
            failure_of(host.run, os._exit, 3)
        elif number % 4 == 1:
            host.kill()
            host.wait()
        elif number % 4 == 2:
            host.close()
        else:
            del proxy
            del host

    def wait_for(is_so: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 20
        while not is_so() and time.monotonic() < deadline:
            threading.Event().wait(0.01)

    def traces() -> tuple[int, int, int]:
        return len(open_descriptors()), threading.active_count(), tasks()

    for number in range(8):
        live_and_die(number)
    wait_for(lambda: not children())
    before = traces()

    for number in range(200):
        live_and_die(number)

    wait_for(lambda: not children() and traces() == before)  # descriptors are closed a moment after their process
    assert children() == set()
    assert traces() == before


def tasks() -> int:
    """Threads of this process, Rust's too."""
    return len(os.listdir("/proc/self/task"))
