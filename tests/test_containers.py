"""Programs in a container: process 1 of a PID namespace, with their group's and session's leaders outside it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from programs import LIMIT

UNSHARE = ["unshare", *(() if os.geteuid() == 0 else ("--user", "--map-root-user")), "--pid", "--fork", "--mount-proc"]

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


@pytest.fixture(scope="module")
def container() -> list[str]:
    """The words before a command that runs it in one."""
    if subprocess.run([*UNSHARE, "true"], capture_output=True, timeout=LIMIT, check=False).returncode:
        pytest.skip("this machine allows no namespaces")
    return UNSHARE


@pytest.mark.parametrize("start", ["exec", "zygote"])
def test_hosts_of_process_one(container, start):
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent)}
    done = subprocess.run(
        [*container, sys.executable, "-c", PROGRAM, start],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=True,
        env=environment,
    )

    assert done.stdout.split("\n") == ["woof True", "0 7", ""]
