"""What a host gets from the process that starts it, and what it does not."""

from __future__ import annotations

import os
import subprocess
import sys

import elsewhere


def test_descriptor_that_the_owner_made_inheritable_is_closed_in_the_host() -> None:
    read, write = os.pipe()
    os.set_inheritable(write, True)
    os.set_blocking(read, False)

    with elsewhere.Host():
        os.close(write)
        end_of_pipe = os.read(read, 1)  # would raise BlockingIOError while anybody could still write

    os.close(read)
    assert end_of_pipe == b""


def test_import_of_the_package_loads_nothing_that_costs() -> None:
    costly = ["asyncio", "concurrent.futures", "cloudpickle", "logging", "pickle", "signal", "typing"]
    code = "import sys; before = set(sys.modules); import elsewhere; print(*sys.modules.keys() - before)"

    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert not set(costly) & set(ended.stdout.split())
