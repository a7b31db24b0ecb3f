"""Programs in a container: process 1 of a PID namespace, group and session outside it, and little that is allowed."""

from __future__ import annotations

import errno
import os

import pytest

from programs import PROC, run, run_in_container

NOT_TO_BE_HAD = 77
"""The exit code of a program that cannot refuse itself calls here."""

PROGRAM = """
import os
import sys

import elsewhere
from kennel import Dog

assert (os.getpid(), os.getpgrp(), os.getsid(0)) == (1, 0, 0)
with elsewhere.Host(start=sys.argv[1]) as host:
    dog = host.spawn(Dog, "rex")
    print(dog.bark(), dog.pid() == host.pid)
died = elsewhere.Host(start=sys.argv[1])
try:
    died.run(os._exit, 7)
except elsewhere.HostDied as error:
    print(host.exitcode, error.exitcode)
"""


@pytest.mark.parametrize("start", ["exec", "zygote"])
def test_hosts_of_process_one(start):
    assert run_in_container(PROGRAM, start) == (0, "woof True\n0 7\n", "")


FATES = """
import logging
import os
import signal
import subprocess
import sys

import elsewhere
from kennel import Dog
from programs import has_ended

logging.basicConfig(format="%(levelname)s %(name)s: %(message)s", stream=sys.stdout)
start = sys.argv[1]


def interrupt(owner):
    os.kill(owner, signal.SIGINT)
    signal.pause()


try:
    with elsewhere.Host(start=start) as host:
        dog, data = host.spawn(Dog, "rex"), bytes(range(256)) * 4096
        print(dog.bark(), dog.pid() == host.pid, host.run(bytes, data) == data)
    print("closed:", host.exitcode)
    died = elsewhere.Host(start=start)
    try:
        died.run(os._exit, 7)
    except elsewhere.HostDied as error:
        print("died:", error.exitcode, died.exitcode)
    killed = elsewhere.Host(start=start)
    os.kill(killed.pid, signal.SIGKILL)
    try:
        killed.run(signal.pause)
    except elsewhere.HostDied as error:
        print("killed:", error.signal)
    interrupted = elsewhere.Host(start=start)
    try:
        interrupted.run(interrupt, os.getpid())
    except KeyboardInterrupt:
        interrupted.kill()
        print("interrupted")
    owner = f"import elsewhere, sys; print(elsewhere.Host(start={start!r}).pid, flush=True); sys.stdin.read()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    with subprocess.Popen([sys.executable, "-c", owner], **pipes) as process:
        left = int(process.stdout.readline())
        process.kill()
    print("left alone:", has_ended(left))
except elsewhere.HostStartError as error:
    print(error)
"""
ALL_WELL = ["woof True True", "closed: 0", "died: 7 7", "killed: 9", "interrupted", "left alone: True"]
PROC_IS_MISSED = {
    ("exec", "none"): [],
    ("zygote", "none"): ["what it would inherit cannot be told (/proc/thread-self/status: No such file or directory"],
    ("fork", "none"): ["it cannot be told which threads run (/proc/thread-self: No such file or directory"],
    ("zygote", "that of another namespace"): ["/proc does not show what this process may do"],
}
"""What is said, and then done without."""


@pytest.mark.parametrize("start", ["exec", "zygote", "fork"])
@pytest.mark.parametrize("proc", [kind for kind in PROC if kind != "its own"])
def test_hosts_begin_and_end_whatever_is_seen_of_other_processes_or_the_error_names_it(start, proc):
    code, printed, complaints = run_in_container(FATES, start, proc=proc)

    said = printed.splitlines()
    missed = PROC_IS_MISSED.get((start, proc), [])
    assert code == 0, complaints
    assert [text for text, line in zip(missed, said, strict=False) if text in line] == missed
    if (start, proc) == ("fork", "none"):
        assert len(said) == 1
    else:
        assert said[len(missed) :] == ALL_WELL
    assert complaints == ""


VISITS = """
import subprocess
import sys

import elsewhere
from kennel import Dog

key = bytes(32)
visit = '''
import elsewhere, sys
dog = elsewhere.connect(sys.argv[1], authkey=bytes(32))
print(dog.bark(), flush=True)
sys.stdin.read()
'''
pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
for place in (None, "127.0.0.1:0"):
    with elsewhere.serve(Dog("rex"), place, authkey=key) as server:
        with subprocess.Popen([sys.executable, "-c", visit, str(server.address)], **pipes) as client:
            print(client.stdout.readline().strip(), server.stats()["connections"])
            client.kill()
        while server.stats()["connections"]:
            pass
    try:
        elsewhere.connect(str(server.address), authkey=key)
    except elsewhere.ConnectionLost as error:
        print("nobody serves" in str(error))
"""


@pytest.mark.parametrize("proc", [kind for kind in PROC if kind != "its own"])
def test_objects_are_served_whatever_is_seen_of_other_processes(proc):
    assert run_in_container(VISITS, proc=proc) == (0, "woof 1\nTrue\n" * 2, "")


WITHOUT_MEMORY = """
import logging
import resource
import sys

import elsewhere
from kennel import Dog

logging.basicConfig(format="%(levelname)s %(name)s: %(message)s", stream=sys.stdout)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
for _ in range(2):
    with elsewhere.Host(start="exec") as host:
        print(host.spawn(Dog, "rex").bark(), flush=True)
"""


def test_hosts_are_reached_over_sockets_where_no_memory_can_be_shared():
    code, printed, complaints = run(WITHOUT_MEMORY)

    assert (code, complaints) == (0, "")
    warning, *barks = printed.splitlines()
    assert warning.startswith("WARNING elsewhere: hosts are reached over sockets, not through shared memory")
    assert "the limit on the size of files is 4096 bytes" in warning
    assert barks == ["woof", "woof"]


REFUSED = """
import ctypes
import logging
import platform
import struct
import sys

import elsewhere
from kennel import Dog

NUMBERS = {
    "memfd_create": {"x86_64": 319, "aarch64": 279},
    "pidfd_open": {"x86_64": 434, "aarch64": 434},
    "pidfd_send_signal": {"x86_64": 424, "aarch64": 424},
}


def refuse(call, error):
    \"""Have the system refuse a call from now on, here and in children: what containers and old systems do.\"""
    number = NUMBERS[call].get(platform.machine())
    if number is None:
        sys.exit(77)
    # Load the number of the call; where it is that one, refuse, else allow.
    lines = [(0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, 0x50000 | error), (0x06, 0, 0, 0x7FFF0000)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in lines))
    filter = ctypes.create_string_buffer(struct.pack("@HP", len(lines), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, filter, 0, 0):
        sys.exit(77)  # PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP


logging.basicConfig(format="%(levelname)s %(name)s: %(message)s", stream=sys.stdout)
call, error, start = sys.argv[1:4]
refuse(call, int(error))
"""
PLAIN = """
try:
    for _ in range(2):
        with elsewhere.Host(start=start) as host:
            dog = host.spawn(Dog, "rex")
            data = bytes(range(256)) * 4096
            print(dog.bark(), host.run(bytes, data) == data, flush=True)
except elsewhere.HostStartError as problem:
    print(problem)
"""


@pytest.mark.parametrize("start", ["exec", "zygote", "fork"])
@pytest.mark.parametrize("error", [errno.ENOSYS, errno.EPERM, errno.ENOMEM])
def test_hosts_are_reached_over_sockets_where_memory_is_refused(start, error):
    code, printed, complaints = run(REFUSED + PLAIN, "memfd_create", str(error), start)

    if code == NOT_TO_BE_HAD:
        pytest.skip("this machine lets no process refuse itself calls")
    assert (code, complaints) == (0, "")
    warning, *answers = printed.splitlines()
    assert warning.startswith("WARNING elsewhere: hosts are reached over sockets, not through shared memory")
    assert "memfd_create" in warning
    assert answers == ["woof True", "woof True"]


@pytest.mark.parametrize("start", ["exec", "zygote", "fork"])
@pytest.mark.parametrize("error", [errno.ENOSYS, errno.EPERM])
def test_host_whose_death_could_not_be_told_is_not_started(start, error):
    code, printed, _ = run(REFUSED + PLAIN, "pidfd_open", str(error), start)

    if code == NOT_TO_BE_HAD:
        pytest.skip("this machine lets no process refuse itself calls")
    assert code == 0
    assert f"the system refuses pidfd_open ({os.strerror(error)}" in printed


BUSY = """
import threading

for end in (elsewhere.Host.kill, lambda host: host.close(timeout=0)):
    host = elsewhere.Host(start=start)
    waiting = elsewhere.submit(host.spawn(threading.Event).wait)
    end(host)
    print(type(waiting.exception()).__name__, host.exitcode < 0)
"""


@pytest.mark.parametrize("start", ["exec", "zygote", "fork"])
@pytest.mark.parametrize("error", [errno.ENOSYS, errno.EPERM])
def test_busy_host_is_ended_where_signals_by_descriptors_are_refused(start, error):
    code, printed, complaints = run(REFUSED + BUSY, "pidfd_send_signal", str(error), start)

    if code == NOT_TO_BE_HAD:
        pytest.skip("this machine lets no process refuse itself calls")
    assert (code, complaints) == (0, "")
    assert printed == "HostDied True\nHostClosed True\n"
