"""Strangers in numbers: what a server has of descriptors and memory meanwhile, and who is served all the same.

Each server is a process of its own, so that what is counted is its own.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from conftest import EVENT
from strangers import GREETING, Stranger
from test_serve_faults import GARBAGE
from test_serve_faults_deaths import doomed, own_connection
from visitors import KEY

if TYPE_CHECKING:
    from collections.abc import Iterator

HALF_OPEN = 64
"""Strangers that a server waits for at a time."""
CROWD = 500
MEMORY = 1024
"""KiB that garbage may cost."""
OPENING = b"ELSENOI1" + bytes(72)
"""What comes first at a port, and never gets further."""


@pytest.fixture(params=["", "127.0.0.1:0"], ids=["socket", "port"])
def served(request: pytest.FixtureRequest) -> Iterator[tuple[int, str]]:
    """The process id of a server, and where it serves."""
    with doomed(request.param, key=KEY) as (server, address):
        yield server.pid, address


def descriptors(process: int) -> int:
    """All but those that a thread gets when it first sleeps."""
    count = 0
    for entry in Path(f"/proc/{process}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # it was closed meanwhile
            count += os.readlink(entry) != EVENT
    return count


def field(process: int, name: str) -> int:
    """KiB, as the system counts them."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines())
    return int(status[name].split()[0])


def is_served(address: str) -> bool:
    """Whether somebody with the key gets in and has an answer."""
    return own_connection(address, KEY).entered == 0


def say(address: str, garbage: bytes) -> bytes:
    """What a server answers to it."""
    with Stranger.at(address) as stranger:
        stranger.say(garbage)
        return stranger.hear(1)


def test_garbage_costs_no_memory_not_even_for_a_moment(served):
    server, address = served
    for garbage in GARBAGE.values():
        say(address, garbage)
    assert is_served(address)

    Path(f"/proc/{server}/clear_refs").write_text("5")  # from here on it keeps the most that there was
    before = field(server, "VmRSS")
    for _ in range(20):
        with contextlib.ExitStack() as stack:
            for garbage in GARBAGE.values():
                assert say(address, garbage) == b""
                stack.enter_context(Stranger.at(address)).say(garbage)
            assert is_served(address)

    assert field(server, "VmHWM") - before <= MEMORY


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_five_hundred_that_are_silent_or_drip_leave_room_for_who_has_the_key(served):
    server, address = served
    opening = OPENING if address.startswith("tcp:") else GREETING + bytes(32)
    base = descriptors(server)
    with contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(Stranger.at(address)) for _ in range(CROWD)]
        began, most, visits, dripped = time.monotonic(), 0, 0, 0
        while (now := time.monotonic() - began) < 6 or visits < 100:
            if dripped < now:
                for at in range(0, CROWD, 2):  # the others say nothing
                    crowd[at].say(opening[dripped : dripped + 1])
                dripped += 1
            assert is_served(address)
            visits += 1
            most = max(most, descriptors(server))
            if now > 3:  # before, those that are left have time to drip
                at = visits % CROWD
                crowd[at].raw.close()
                crowd[at] = stack.enter_context(Stranger.at(address))

    assert most - base <= HALF_OPEN + 1, "one of them has the key"
    while descriptors(server) != base:
        threading.Event().wait(0.001)
