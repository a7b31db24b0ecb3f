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


UNSHARE = ["unshare", *(() if os.geteuid() == 0 else ("--user", "--map-root-user")), "--pid", "--fork", "--mount-proc"]


def run_in_container(source: str, *arguments: str) -> tuple[int, str, str]:
    """Run a program as process 1 of a PID namespace, whose group and session have their leaders outside it."""
    if subprocess.run([*UNSHARE, "true"], capture_output=True, timeout=LIMIT, check=False).returncode:
        pytest.skip("this machine allows no namespaces")
    program = [sys.executable, "-c", textwrap.dedent(source), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(HERE)}
    done = subprocess.run(
        [*UNSHARE, *program], capture_output=True, text=True, timeout=LIMIT, check=False, env=environment
    )
    return done.returncode, done.stdout, done.stderr


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
