"""A program that ends, in whatever state: with its own exit code, without a word on stderr, and its hosts end too."""

from __future__ import annotations

import textwrap

import pytest

from programs import finish, has_ended, start

PROLOGUE = """
import atexit, os, sys, threading, time, weakref
import elsewhere

class Worker:
    def nap(self, seconds): time.sleep(seconds)
    def echo(self, x): return x
    def count(self, n): yield from range(n)
    def call(self, function, *args): return function(*args)

worker = elsewhere.spawn(Worker)
there = threading.Event()
print(elsewhere.host_of(worker).pid, flush=True)
"""

STATES = {
    "nothing in flight": "",
    "daemon threads in calls": """
        def work():
            while True:
                worker.echo(1)
                there.set()
        for _ in range(4):
            threading.Thread(target=work, daemon=True).start()
        there.wait()
        """,
    "daemon threads that send pickles": """
        class Pickled:
            def __reduce__(self):
                return sum, (list(range(100)),)
        def work():
            while True:
                worker.echo(Pickled())
                there.set()
        for _ in range(4):
            threading.Thread(target=work, daemon=True).start()
        there.wait()
        """,
    "daemon threads that get and drop proxies": """
        def work():
            while True:
                worker.call(threading.Lock)
                elsewhere.ref(worker.echo)
                there.set()
        for _ in range(4):
            threading.Thread(target=work, daemon=True).start()
        there.wait()
        """,
    "a local host with proxies and posts": """
        host = elsewhere.Host(start="local")
        local = host.spawn(Worker)
        elsewhere.post(local.echo, 1)
        kept = [elsewhere.submit(local.echo, 2), local.call(threading.Lock)]
        """,
    "futures pending that end soon": "futures = [elsewhere.submit(worker.nap, 0.005) for _ in range(20)]",
    "futures pending with callbacks": """
        for _ in range(20):
            elsewhere.submit(worker.nap, 0.005).add_done_callback(lambda future: future.result())
        """,
    "proxies in globals, in a cycle, in a module that ends last": """
        import builtins
        class Holder: pass
        holder = Holder()
        holder.itself, holder.proxy, holder.path = holder, worker, worker.a.b[0]
        holder.host = elsewhere.host_of(worker)
        builtins.kept = holder
        sys.kept = elsewhere.submit(worker.echo, 1)
        """,
    "calls in a destructor that runs last": """
        import builtins
        class Holder:
            def __del__(self, worker=worker):
                try:
                    worker.echo(1)
                except Exception:
                    pass
        builtins.kept = Holder()
        """,
    "an uncaught SystemExit in a daemon thread": """
        def work():
            elsewhere.submit(worker.nap, 0.005)
            there.set()
            sys.exit(3)
        threading.Thread(target=work, daemon=True).start()
        there.wait()
        """,
    "the service thread spins in a callback": """
        def spin():
            there.set()
            while True:
                pass
        elsewhere.post(worker.call, elsewhere.ref(spin))
        there.wait()
        """,
    "the service thread polls in a callback": """
        def poll():
            there.set()
            while True:
                time.sleep(0.001)
        elsewhere.post(worker.call, elsewhere.ref(poll))
        there.wait()
        """,
    "a daemon thread spins in a callback of its own call": """
        def spin():
            there.set()
            while True:
                pass
        threading.Thread(target=worker.call, args=(elsewhere.ref(spin),), daemon=True).start()
        there.wait()
        """,
    "the service thread polls in a done callback": """
        def poll(future):
            there.set()
            while True:
                time.sleep(0.001)
        added = threading.Event()
        future = elsewhere.submit(worker.call, elsewhere.ref(added.wait))
        future.add_done_callback(poll)
        added.set()
        there.wait()
        """,
    "the service thread polls in an on_death callback": """
        def poll(host):
            there.set()
            while True:
                time.sleep(0.001)
        host = elsewhere.Host()
        host.on_death(poll)
        host.kill()
        there.wait()
        """,
    "a stream being read by a daemon thread": """
        def read():
            for item in elsewhere.stream(worker.count, 10**9):
                there.set()
        threading.Thread(target=read, daemon=True).start()
        there.wait()
        """,
    "a stream left in the middle": """
        items = elsewhere.stream(worker.count, 10**9)
        next(items)
        """,
    "a long call in a daemon thread": """
        def work():
            there.set()
            worker.nap(60)
        threading.Thread(target=work, daemon=True).start()
        there.wait()
        """,
    "long calls awaited by nobody": "futures = [elsewhere.submit(worker.nap, 60) for _ in range(3)]",
    "a local host with calls in its queue": """
        host = elsewhere.Host(start="local")
        local = host.spawn(Worker)
        futures = [elsewhere.submit(local.echo, n) for n in range(5)]
        """,
    "a cancelled asyncio task": """
        import asyncio
        async def main():
            async def ask():
                await elsewhere.submit(worker.nap, 60)
            task = asyncio.ensure_future(ask())
            await asyncio.sleep(0)
            other = asyncio.wrap_future(elsewhere.submit(worker.nap, 60))
        asyncio.run(main())
        """,
}

AT_ONCE = 4
"""Runs of each state, all at the same time, so that they disturb each other."""


def ends(source: str, *, runs: int = AT_ONCE) -> list[tuple[int, str, str]]:
    """How so many runs of a program end: exit code, stdout without the first line, stderr. Their hosts have ended."""
    programs = [start(PROLOGUE + textwrap.dedent(source)) for _ in range(runs)]
    found = []
    for program in programs:
        code, printed, complaints = finish(program)
        pid, _, rest = printed.partition("\n")
        assert has_ended(int(pid)), "the host lives on"
        found.append((code, rest, complaints))
    return found


@pytest.mark.slow
@pytest.mark.timeout(100)
@pytest.mark.parametrize("state", STATES)
def test_program_ends_quietly_with_its_hosts(state: str) -> None:
    assert ends(STATES[state]) == [(0, "", "")] * AT_ONCE


def test_exit_code_of_sys_exit_is_kept() -> None:
    assert ends("elsewhere.submit(worker.nap, 0.01); sys.exit(7)") == [(7, "", "")] * AT_ONCE


def test_uncaught_exception_ends_with_its_own_traceback_and_code() -> None:
    (end,) = ends("future = elsewhere.submit(worker.nap, 0.01)\n1 / 0", runs=1)

    assert end[0] == 1
    assert end[2].startswith("Traceback")
    assert end[2].endswith("ZeroDivisionError: division by zero\n")


def test_exit_code_of_os_exit_is_kept_with_calls_in_flight() -> None:
    assert ends("future = elsewhere.submit(worker.nap, 60); os._exit(9)") == [(9, "", "")] * AT_ONCE


def test_calls_work_in_atexit_handlers() -> None:
    source = "atexit.register(lambda: print(worker.echo(5)))"

    assert ends(source, runs=1) == [(0, "5\n", "")]


def test_stream_that_nobody_reads_on_is_closed_at_exit() -> None:
    source = """
    def count():
        try:
            yield from range(10**9)
        finally:
            print("closed")
    numbers = elsewhere.stream(elsewhere.host_of(worker).run(lambda: elsewhere.ref(count)))
    next(numbers)
    """

    assert ends(source, runs=1) == [(0, "closed\n", "")]


def test_calls_work_in_finalizers_at_exit() -> None:
    source = """
    class Thing: pass
    thing = Thing()
    weakref.finalize(thing, lambda: print(worker.echo(6)))
    """

    assert ends(source, runs=1) == [(0, "6\n", "")]


def test_calls_after_our_own_exit_handler_raise_host_closed() -> None:
    source = """
    import atexit

    def late():
        for attempt in (lambda: kept.append(1), lambda: elsewhere.Host()):
            try:
                attempt()
            except elsewhere.ElsewhereError as error:
                print(type(error).__name__)

    atexit.register(late)
    import elsewhere
    kept = elsewhere.send([])
    """

    code, printed, complaints = finish(start(source))

    assert (code, complaints) == (0, "")
    assert printed.splitlines()[0] == "HostClosed"


def test_program_killed_by_sigterm_takes_its_hosts_along() -> None:
    program = start(PROLOGUE + "future = elsewhere.submit(worker.nap, 60)\nprint('go', flush=True)\nthere.wait()")
    pid = int(program.stdout.readline())
    program.stdout.readline()

    program.terminate()

    assert finish(program)[0] == -15
    assert has_ended(pid)
