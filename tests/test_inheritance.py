"""What other processes get of ours: no socket, no input, no proxy that works on somebody else's connection."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import threading
import traceback
from typing import TYPE_CHECKING

import pytest

import elsewhere
from conftest import open_descriptors
from kennel import Dog
from programs import has_ended, run, start
from workshop import kept_busy

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")

LIST = """
import os
for name in os.listdir("/proc/self/fd"):
    path = "/proc/self/fd/" + name
    if os.path.lexists(path):
        print(os.readlink(path))
"""
"""A program that prints what descriptors it has."""


def in_fork(body: Callable[[], object]) -> str:
    """What `body` gives or raises, as text, in a fork of this process."""
    readable, writable = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            text = repr(body())
        except BaseException as error:
            text = "".join(traceback.format_exception_only(error))
        os.write(writable, text.encode()[:4000])
        os._exit(0)
    os.close(writable)
    with open(readable, encoding="utf-8") as pipe:
        text = pipe.read()
    assert os.waitpid(pid, 0)[1] == 0
    return text


def sockets() -> list[str]:
    return [kind for kind in open_descriptors().values() if kind.startswith("socket:")]


def test_program_started_with_every_descriptor_has_none_of_ours(process_host) -> None:
    process_host.spawn(Dog, "rex").bark()

    printed = subprocess.check_output([sys.executable, "-c", LIST], close_fds=False, text=True)

    assert "socket" not in printed
    assert "anon_inode" not in printed


def test_program_started_by_posix_spawn_has_none_of_ours(process_host) -> None:
    process_host.spawn(Dog, "rex").bark()
    readable, writable = os.pipe()

    pid = os.posix_spawn(
        sys.executable, [sys.executable, "-c", LIST], os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, writable, 1)]
    )
    os.close(writable)
    with open(readable, encoding="utf-8") as pipe:
        printed = pipe.read()

    assert os.waitpid(pid, 0)[1] == 0
    assert "socket" not in printed
    assert "anon_inode" not in printed


def test_program_started_by_a_host_has_none_of_its_descriptors(process_host) -> None:
    printed = process_host.run(subprocess.check_output, [sys.executable, "-c", LIST], close_fds=False, text=True)

    assert "socket" not in printed
    assert "anon_inode" not in printed


def test_fork_has_no_socket_of_ours_open(process_host) -> None:
    dog = process_host.spawn(Dog, "rex")
    before = len(sockets())

    text = in_fork(lambda: len(sockets()))

    assert before >= 1
    assert int(text) == before - 1 - len(elsewhere._core._zygotes())
    assert dog.bark() == "woof"


@pytest.mark.parametrize(
    "use",
    [
        lambda host, dog: dog.bark(),
        lambda host, dog: elsewhere.get(dog.name),
        lambda host, dog: elsewhere.submit(dog.bark),
        lambda host, dog: elsewhere.post(dog.bark),
        lambda host, dog: host.spawn(Dog, "other"),
        lambda host, dog: elsewhere.stream(dog.count_to, 3),
    ],
    ids=["call", "get", "submit", "post", "spawn", "stream"],
)
def test_use_of_a_proxy_in_a_fork_raises_and_says_why(process_host, use) -> None:
    dog = process_host.spawn(Dog, "rex")

    text = in_fork(lambda: use(process_host, dog))

    assert text.startswith("elsewhere.ConnectionLost")
    assert "fork" in text
    assert [dog.echo(number) for number in range(10)] == list(range(10))


def test_use_of_a_local_host_in_a_fork_raises_and_says_why() -> None:
    with elsewhere.Host(start="local") as host:
        dog = host.spawn(Dog, "rex")

        text = in_fork(dog.bark)

        assert text.startswith("elsewhere.ConnectionLost")
        assert "fork" in text
        assert dog.bark() == "woof"


def test_future_in_a_fork_raises_and_the_parents_goes_on(process_host) -> None:
    dog = process_host.spawn(Dog, "rex")
    future = elsewhere.submit(dog.echo, 5)

    text = in_fork(lambda: future.result(5))

    assert text.startswith("elsewhere.ConnectionLost") or text == "5"
    assert future.result() == 5


def test_fork_may_drop_print_and_close_what_it_inherited(process_host) -> None:
    held = [process_host.spawn(Dog, "rex"), process_host]
    dog = held[0]

    def use() -> str:
        text = f"{dog!r} {process_host!r} {process_host.alive}"
        held.clear()
        process_host.close()
        process_host.kill()
        return text

    text = in_fork(use)

    assert "proxy of Dog" in text
    assert dog.bark() == "woof"


def test_fork_may_have_hosts_of_its_own(process_host) -> None:
    dog = process_host.spawn(Dog, "rex")

    def use() -> object:
        with elsewhere.Host() as host:
            done = threading.Event()
            other = host.spawn(Dog, "other")
            with kept_busy(host):
                elsewhere.submit(other.bark).add_done_callback(lambda _: done.set())
            return done.wait(20), other.call(elsewhere.ref(lambda: 7)), host.pid != process_host.pid

    assert in_fork(use) == "(True, 7, True)"
    assert dog.bark() == "woof"


def test_fork_of_a_pseudo_terminal_touches_nothing_of_the_parent(process_host) -> None:
    dog = process_host.spawn(Dog, "rex")

    pid, terminal = pty.fork()
    if pid == 0:
        try:
            dog.bark()
        except elsewhere.ConnectionLost:
            os._exit(0)
        os._exit(1)
    status = os.waitpid(pid, 0)[1]
    os.close(terminal)

    assert status == 0
    assert dog.bark() == "woof"


@pytest.mark.timeout(60)
def test_forks_while_other_threads_call_disturb_nobody(process_host) -> None:
    dog = process_host.spawn(Dog, "rex")
    failures: list[BaseException] = []
    over = threading.Event()

    def work(thread: int) -> None:
        number = 0
        try:
            while not over.is_set():
                number += 1
                assert dog.echo((thread, number)) == (thread, number)
                dog.make_lock()
        except BaseException as error:
            failures.append(error)

    workers = [threading.Thread(target=work, args=(thread,)) for thread in range(4)]
    for worker in workers:
        worker.start()
    texts = [in_fork(dog.bark) for _ in range(30)]
    over.set()
    for worker in workers:
        worker.join()

    assert failures == []
    assert all(text.startswith("elsewhere.ConnectionLost") for text in texts)


def test_fork_that_lives_on_does_not_hide_the_parents_end() -> None:
    program = """
    import os, time
    import elsewhere

    host = elsewhere.Host()
    print(host.pid, flush=True)
    if os.fork() == 0:
        time.sleep(3600)
    os.kill(os.getpid(), 9)
    """
    with start(program, stderr=subprocess.DEVNULL, start_new_session=True) as owner:
        pid = int(owner.stdout.readline())
        assert has_ended(owner.pid)

        assert has_ended(pid)
        os.killpg(owner.pid, 9)


def test_other_threads_go_on_while_the_hooks_of_a_fork_run() -> None:
    program = """
    import os, threading, warnings

    warnings.simplefilter("ignore", DeprecationWarning)  # from 3.12 on each fork of more than one thread has one

    def hook():
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    os.register_at_fork(before=hook)  # runs after what is registered later
    import elsewhere

    hosts = []
    kept = elsewhere.send([])

    def work():
        kept.append(1)
        hosts.extend([elsewhere.Host(), elsewhere.Host(start="local")])
        kept.extend([host.run(abs, -2) for host in hosts])

    pid = os.fork()
    if pid == 0:
        try:
            len(kept)
        except elsewhere.ConnectionLost:
            os._exit(3)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), elsewhere.get(kept))
    """

    assert run(program) == (0, "3 [1, 2, 2]\n", "")


def test_program_that_forks_under_multiprocessing_works(process_host) -> None:
    program = """
    import multiprocessing
    import elsewhere

    def work(queue):
        try:
            kept.append(1)
        except elsewhere.ConnectionLost as error:
            queue.put("fork" in str(error))
        with elsewhere.Host() as host:
            queue.put(host.run(abs, -2))

    kept = elsewhere.send([])
    if __name__ == "__main__":
        context = multiprocessing.get_context("fork")
        queue = context.SimpleQueue()
        child = context.Process(target=work, args=(queue,))
        child.start()
        print(queue.get(), queue.get())
        child.join()
        kept.append(2)
        print(elsewhere.get(kept), child.exitcode)
    """

    assert run(program) == (0, "True 2\n[2] 0\n", "")


def test_host_reads_the_end_of_its_input_and_eats_nothing_of_the_owners() -> None:
    program = """
    import sys
    import elsewhere

    def read():
        try:
            return input()
        except EOFError:
            return "EOF", sys.stdin.read()

    with elsewhere.Host() as host:
        print(host.run(read), host.run(read))
        print(sys.stdin.read() == "first\\n" + "x" * 100_000)
    """

    assert run(program, given="first\n" + "x" * 100_000) == (0, "('EOF', '') ('EOF', '')\nTrue\n", "")


def test_program_started_by_a_host_reads_the_end_of_its_input(process_host) -> None:
    assert process_host.run(subprocess.check_output, ["cat"]) == b""


def test_owner_without_standard_streams_can_start_hosts() -> None:
    program = """
    import os
    for descriptor in (0, 1):
        os.close(descriptor)
    import elsewhere
    with elsewhere.Host() as host:
        assert host.run(abs, -3) == 3
        assert host.run(abs, -4) == 4
    """

    assert run(program) == (0, "", "")
