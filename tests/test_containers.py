"""Programs in a container: process 1 of a PID namespace, with their group's and session's leaders outside it."""

from __future__ import annotations

import pytest

from programs import run_in_container

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
