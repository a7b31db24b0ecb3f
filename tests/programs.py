"""Programs that tests run as processes of their own, and what is known of the processes that they leave."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HERE = Path(__file__).resolve().parent
LIMIT = 25.0
"""Seconds after which a program is taken to hang."""


def start(source: str, *arguments: str, flags: Sequence[str] = (), **options) -> subprocess.Popen[str]:
    """Start a Python program that can import what stands beside the tests, with `flags` for its interpreter."""
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    search = os.pathsep.join([str(HERE), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]).rstrip(os.pathsep)
    options = {**streams, "env": {**os.environ, "PYTHONPATH": search}, **options}
    return subprocess.Popen([sys.executable, *flags, "-c", textwrap.dedent(source), *arguments], text=True, **options)


def finish(program: subprocess.Popen[str], given: str | None = None) -> tuple[int, str, str]:
    """Wait for a program's end; its exit code, stdout and stderr. One that hangs is killed, and its stderr shown."""
    try:
        printed, complaints = program.communicate(given, timeout=LIMIT)
    except subprocess.TimeoutExpired:
        program.kill()
        printed, complaints = program.communicate()
        text = f"the program hung; it printed {printed!r} and {complaints!r}"
        raise AssertionError(text) from None
    return program.returncode, printed, complaints


def run(source: str, *arguments: str, given: str | None = None, **options) -> tuple[int, str, str]:
    """Run a Python program to its end."""
    return finish(start(source, *arguments, **options), given)


NO_NAMESPACE = 77
"""The exit code of a program that the machine lets have none."""

UNSHARE = ["unshare", *(() if os.geteuid() == 0 else ("--user", "--map-root-user")), "--pid", "--fork", "--mount"]
PROC = {
    "its own": "mount -t proc proc /proc",
    "that of another namespace": "true",
    "none": "mount -t tmpfs none /proc",
    "one that hides others": "mount -t proc -o hidepid=2 proc /proc",
    "one of processes alone": "mount -t proc -o subset=pid proc /proc",
}
"""What a container has as `/proc`."""
WITHOUT_RIGHTS = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
"""To whom root's rights show what is hidden, it is not hidden."""


def run_in_container(source: str, *arguments: str, proc: str = "its own") -> tuple[int, str, str]:
    """Run a program as process 1 of a PID namespace, whose group and session have their leaders outside it."""
    rights = [] if proc == "its own" else WITHOUT_RIGHTS
    container = [*UNSHARE, "sh", "-c", f'{PROC[proc]} && exec "$@"', "sh", *rights]
    if subprocess.run([*container, "true"], capture_output=True, timeout=LIMIT, check=False).returncode:
        pytest.skip("this machine allows no such namespaces")
    program = [sys.executable, "-c", textwrap.dedent(source), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(HERE)}
    done = subprocess.run(
        [*container, *program], capture_output=True, text=True, timeout=LIMIT, check=False, env=environment
    )
    return done.returncode, done.stdout, done.stderr


APART = f"""
import ctypes, fcntl, os, socket, struct, sys, threading
sys.path.insert(0, {str(HERE)!r})
NEW_MOUNTS, NEW_USER, NEW_NETWORK = 0x20000, 0x10000000, 0x40000000
libc = ctypes.CDLL(None, use_errno=True)
if libc.unshare(NEW_NETWORK | NEW_MOUNTS) and libc.unshare(NEW_USER | NEW_NETWORK | NEW_MOUNTS):
    sys.exit({NO_NAMESPACE})

def link(is_up):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh14x", b"lo", is_up))  # SIOCSIFFLAGS, IFF_UP

link(True)
import elsewhere
"""
"""The beginning of a program in a network of its own."""


def apart(program: str, *arguments: str) -> list[str]:
    """What a program prints that runs in a network of its own."""
    done = subprocess.run(
        [sys.executable, "-c", APART + program, *arguments], capture_output=True, text=True, timeout=LIMIT, check=False
    )
    if done.returncode == NO_NAMESPACE:
        pytest.skip("no network of one's own can be made here")
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def has_ended(pid: int, seconds: float = 10.0) -> bool:
    """Wait until a process that is no child of ours has ended; whether it has, within a time that only a hang takes."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], seconds)[0])
    finally:
        os.close(descriptor)


def numbers(printed: str) -> Iterator[int]:
    """The numbers that a program printed."""
    return (int(word) for word in printed.split() if word.isdigit())
