"""Programs in a container: process 1 of a PID namespace, group and session outside it, and little that is allowed."""

from __future__ import annotations

import pytest

from programs import run, run_in_container

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
