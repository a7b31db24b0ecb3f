"""Hosts where a zygote would give what this process lacks, or cannot be: rights, groups, namespaces, streams, room."""

from __future__ import annotations

import logging
import os
import signal

import pytest

import elsewhere
from confined import IMPOSSIBLE
from conftest import retire_zygotes
from programs import finish, has_ended, run, run_in_container, start


@pytest.fixture(autouse=True)
def no_zygote_of_another_test() -> None:
    retire_zygotes()


def zygote() -> elsewhere.Host:
    return elsewhere.Host(start="zygote")


# Rights that were given up are not had again through a zygote.


def test_host_has_no_rights_that_this_process_gave_up():
    program = """
    import os, elsewhere, confined

    with elsewhere.Host(start="zygote") as before:
        confined.give_up_rights()
        with elsewhere.Host(start="zygote") as after:
            print(before.run(confined.has_given_up_rights), after.run(confined.has_given_up_rights))
            print(before.run(os.getppid) != after.run(os.getppid) != os.getpid())
    """

    assert run(program) == (0, "False True\nTrue\n", "")


def test_zygote_from_before_rights_were_given_up_refuses_whoever_asks():
    program = """
    import os, threading, elsewhere, confined

    def look() -> None:
        given_up.wait()
        with elsewhere.Host(start="zygote") as host:  # of a thread that still has them, so that its zygote is asked
            print(host.run(os.getppid) == os.getpid())

    given_up = threading.Event()
    thread = threading.Thread(target=look)
    thread.start()
    elsewhere.Host(start="zygote").close()
    confined.give_up_rights()
    given_up.set()
    thread.join()
    """

    code, printed, complaints = run(program)

    assert (code, printed) == (0, "True\n")
    assert "may not do the same as the one that is to fork it" in complaints


# What a process is counted in and what it sees.


def test_host_is_in_the_control_group_of_this_process():
    program = """
    import os, pathlib, elsewhere, confined

    elsewhere.Host(start="zygote").close()
    with confined.control_group() as name:
        with elsewhere.Host(start="zygote") as host:
            own = pathlib.Path("/proc/self/cgroup").read_text()
            print(host.run(pathlib.Path("/proc/self/cgroup").read_text) == own, name in own)
            print(host.run(os.getppid) != os.getpid())
        elsewhere._core._retire_zygotes()
    """

    ended = run(program)

    if ended[0] == IMPOSSIBLE:
        pytest.skip("this machine lets nobody make control groups")
    assert ended == (0, "True True\nTrue\n", "")


def test_host_is_in_the_namespaces_of_this_process():
    program = """
    import os, elsewhere, confined

    names = "/proc/self/ns/uts"
    elsewhere.Host(start="zygote").close()
    confined.unshare(confined.NEW_NAMES)
    with elsewhere.Host(start="zygote") as host:
        print(host.run(os.readlink, names) == os.readlink(names), host.run(os.getppid) != os.getpid())
    """

    ended = run(program)

    if ended[0] == IMPOSSIBLE:
        pytest.skip("this machine allows no namespaces")
    assert ended == (0, "True True\n", "")


def test_host_is_executed_where_children_get_process_ids_of_their_own():
    program = """
    import os, elsewhere, confined

    elsewhere.Host(start="zygote").close()
    confined.unshare(confined.NEW_PROCESSES)
    with elsewhere.Host(start="zygote") as host:
        print(host.run(os.getpid))
    """

    code, printed, complaints = run(program)

    if code == IMPOSSIBLE:
        pytest.skip("this machine allows no namespaces")
    assert (code, printed) == (0, "1\n")
    assert "PID namespace" in complaints


# Standard streams: those of this process, which may be others than when the zygote started, or none.


def test_host_prints_wherever_it_is_to_although_its_zygote_began_with_a_file(tmp_path):
    program = """
    import sys, elsewhere

    def look() -> str:
        return " ".join(f"{s.name} {s.encoding} {s.errors} {s.line_buffering}" for s in (sys.stdout, sys.stderr))

    with elsewhere.Host(start="zygote") as host:
        host.run(print, "to the file")
    with elsewhere.Host(start="zygote", output="home") as host:
        host.run(print, "to here")
    for start in ("exec", "zygote"):
        with elsewhere.Host(start=start) as host:
            print(host.run(look))
    """

    with open(tmp_path / "printed", "w") as file:
        assert finish(start(program, stdout=file))[0] == 0

    *lines, by_exec, by_zygote = (tmp_path / "printed").read_text().splitlines()
    assert lines == ["to the file", "to here"]
    assert by_exec == by_zygote


@pytest.mark.parametrize("closed", ["stdin", "stdout", "stderr"])
def test_program_without_a_standard_stream_has_a_zygote_all_the_same(closed):
    program = f"""
    import os, sys, elsewhere

    told = os.dup({2 if closed == "stdout" else 1})
    os.close(sys.{closed}.fileno())
    with elsewhere.Host() as one, elsewhere.Host() as other:
        other.run(print, "to wherever", flush=True)
        os.write(told, b"%d" % (one.run(os.getppid) == other.run(os.getppid) != os.getpid()))
    """

    code, printed, complaints = run(program)

    assert code == 0
    assert (printed + complaints).replace("to wherever\n", "") == "1"


# Where the system or a preload refuses.


def test_host_that_has_room_by_exec_has_room_by_a_zygote():
    program = """
    import os, resource
    import elsewhere

    def starts(way: str) -> bool:
        try:
            elsewhere.Host(start=way).close()
        except elsewhere.HostStartError:
            return False
        return True

    elsewhere.Host(start="exec").close()
    used = max(map(int, os.listdir("/proc/self/fd")))
    by_exec, by_zygote = [], []
    for number in range(used, used + 16):
        resource.setrlimit(resource.RLIMIT_NOFILE, (number, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        by_exec.append(starts("exec"))
        by_zygote.append(starts("zygote"))
        elsewhere._core._retire_zygotes()
        while elsewhere._core._zygotes():
            os.sched_yield()
    print(by_exec == by_zygote, by_exec[0], by_exec[-1])
    """

    code, printed, complaints = run(program)

    assert (code, printed) == (0, "True False True\n")
    assert "the system refuses what it needs" in complaints


FORK_THAT_ENDS = """
import os

os.register_at_fork(after_in_child=lambda: os._exit(9))
"""


def test_preload_that_does_not_bear_a_fork_is_executed_and_the_log_names_it(tmp_path, caplog):
    (tmp_path / "preload_that_bears_no_fork.py").write_text(FORK_THAT_ENDS)

    with caplog.at_level(logging.WARNING, "elsewhere"):
        for _ in range(2):
            with elsewhere.Host(start="zygote", preload=["preload_that_bears_no_fork"], path=[str(tmp_path)]) as host:
                assert host.run(os.getppid) == os.getpid()

    (record,) = caplog.records
    assert "preload_that_bears_no_fork" in record.getMessage()
    assert "its fork ended with exit code 9 before it was ready" in record.getMessage()


# Polite signals, and orphans.


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=["term", "hup"])
def test_zygote_that_is_asked_to_end_outlives_its_hosts(number):
    host = zygote()
    parent = host.run(os.getppid)
    os.kill(parent, number)
    other = parent
    while other == parent:  # until it has heard of it
        with zygote() as another:
            other = another.run(os.getppid)

    assert other != os.getpid()
    assert host.run(os.getppid) == parent
    with pytest.raises(elsewhere.HostDied, match="exited with code 7"):
        host.run(os._exit, 7)
    assert has_ended(parent)


def test_host_ends_by_the_signals_that_a_zygote_outlives():
    for number in (signal.SIGTERM, signal.SIGHUP):
        host = zygote()
        os.kill(host.pid, number)
        host.wait()

        assert host.exitcode == -number


def test_signal_to_the_whole_group_is_told_of_each_host():
    program = """
    import os, signal
    import elsewhere

    os.setpgrp()
    hosts = [elsewhere.Host() for _ in range(3)]
    signal.signal(signal.SIGTERM, lambda *_: None)
    os.killpg(0, signal.SIGTERM)
    print([host.wait() and host.exitcode for host in hosts])
    """

    assert run(program) == (0, "[-15, -15, -15]\n", "")


def test_handlers_of_a_preload_for_polite_signals_are_those_of_its_hosts(tmp_path):
    (tmp_path / "preload_that_handles.py").write_text(
        "import os, signal\nsignal.signal(signal.SIGTERM, lambda *_: os._exit(42))\n"
    )

    host = elsewhere.Host(start="zygote", preload=["preload_that_handles"], path=[str(tmp_path)])
    parent = host.run(os.getppid)
    os.kill(parent, signal.SIGTERM)
    while not host.wait(0.1):
        os.kill(host.pid, signal.SIGTERM)  # the handler of one that sleeps may have to wait for the next

    assert parent != os.getpid()
    assert host.exitcode == 42


def test_first_process_of_a_container_learns_how_orphans_ended_and_reaps_them():
    program = """
    import os, signal
    import elsewhere
    from conftest import children_of

    host = elsewhere.Host(start="zygote")
    os.kill(host.run(os.getppid), signal.SIGKILL)
    while host.run(os.getppid) != os.getpid():
        os.sched_yield()
    try:
        host.run(os._exit, 7)
    except elsewhere.HostDied as error:
        print(error.exitcode, children_of(os.getpid()))
    """

    assert run_in_container(program) == (0, "7 set()\n", "")
