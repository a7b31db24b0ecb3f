"""Signals that interrupt no system call of the main thread: their handlers run all the same, at once.

Such is one that arrives just before the main thread sleeps, which no test can hit, and one that arrives in another
thread. To the main thread both are the same: its handler is noted down as due, and its sleep goes on.
"""

from __future__ import annotations

import asyncio
import os
import queue
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import elsewhere

if TYPE_CHECKING:
    from collections.abc import Callable


def main_sleeps() -> bool:
    """Whether the main thread of this process sleeps, and has for a while."""

    def look() -> tuple[str, str]:
        status = Path(f"/proc/self/task/{os.getpid()}/status").read_text()
        lines = dict(line.split(":", 1) for line in status.splitlines())
        return lines["State"].split()[0], lines["voluntary_ctxt_switches"]

    first = look()
    return first[0] == "S" and all(look() == first for _ in range(100))


def raise_aside() -> None:
    """Raise a signal in this thread while the main thread sleeps."""
    while not main_sleeps():
        pass
    signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)


class Alarmed:
    """Has a handler, and a thread that a signal is raised in."""

    def __init__(self) -> None:
        self.handled = threading.Event()

    def listen(self) -> None:
        signal.signal(signal.SIGUSR1, lambda *_: self.handled.set())

    async def listen_in_loop(self) -> None:
        """Do the same in the main thread of any host, which waits in a loop from now on."""
        self.listen()

    def begin(self, tell: Callable[[bool], None], times: int) -> None:
        threading.Thread(target=self._raise, args=(tell, times)).start()

    def _raise(self, tell: Callable[[bool], None], times: int) -> None:
        for _ in range(times):
            self.handled.clear()
            raise_aside()
            if not self.handled.wait(10):
                tell(False)
                return
        tell(True)


@pytest.mark.parametrize("start", ["exec", "zygote"])
def test_signal_that_interrupts_nothing_is_handled_in_an_idle_host(start):
    said: queue.Queue[bool] = queue.Queue()
    with elsewhere.Host(start=start) as host:
        alarmed = host.spawn(Alarmed)
        alarmed.listen()
        alarmed.begin(elsewhere.ref(said.put), 3)

        assert said.get()


@pytest.mark.parametrize("concurrency", ["serial", "async", "caller", 2])
def test_signal_that_interrupts_nothing_is_handled_in_a_host_that_waits_in_its_loop(concurrency):
    said: queue.Queue[bool] = queue.Queue()
    with elsewhere.Host(concurrency=concurrency) as host:
        alarmed = host.spawn(Alarmed)
        asyncio.run(alarmed.listen_in_loop())
        alarmed.begin(elsewhere.ref(said.put), 3)

        assert said.get()


@pytest.mark.parametrize("concurrency", ["serial", 2])
def test_signal_that_interrupts_nothing_is_handled_in_a_server_that_runs_in_the_main_thread(concurrency):
    program = f"""
import signal, sys, threading
sys.path.insert(0, {str(Path(__file__).parent)!r})
import elsewhere
from test_signals import raise_aside

def leave(*_):
    raise SystemExit(17)

signal.signal(signal.SIGUSR1, leave)
server = elsewhere.serve([], concurrency={concurrency!r})
threading.Thread(target=raise_aside, daemon=True).start()
try:
    server.run()
finally:
    print(signal.set_wakeup_fd(-1))
    server.close()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=False)

    assert (done.returncode, done.stdout) == (17, "-1\n"), done.stderr


def test_who_wants_to_be_told_of_signals_in_a_host_is_told(process_host):
    def told() -> bytes:
        import socket  # noqa: PLC0415 - it is used over there

        here, there = socket.socketpair()
        there.setblocking(False)
        before = signal.set_wakeup_fd(there.fileno())
        signal.signal(signal.SIGUSR1, lambda *_: None)
        signal.raise_signal(signal.SIGUSR1)
        said = here.recv(1)
        signal.set_wakeup_fd(before)
        here.close()
        there.close()
        return said

    assert process_host.run(told) == bytes([signal.SIGUSR1])


def test_fork_of_a_host_tells_its_parent_of_no_signals(process_host):
    def forked() -> bool:
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGUSR1, lambda *_: None)
            signal.raise_signal(signal.SIGUSR1)
            os._exit(os.stat(signal.set_wakeup_fd(-1)).st_rdev != os.stat(os.devnull).st_rdev)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

    assert process_host.run(forked)
