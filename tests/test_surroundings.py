"""What a host gets from the process that starts it, and what it does not."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import elsewhere
from visitors import Keeper


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
    costly = ["_pickle", "asyncio", "collections", "concurrent.futures", "cloudpickle", "enum", "functools", "logging"]
    costly += ["pickle", "re", "signal", "typing"]
    package = str(Path(elsewhere.__file__).parent.parent)
    code = "import sys; sys.path.append(sys.argv[1]); import elsewhere._host_main; print(*sys.modules)"

    ended = subprocess.run([sys.executable, "-ISc", code, package], capture_output=True, text=True, check=True)

    assert not set(costly) & set(ended.stdout.split())


def test_address_is_reserved_without_the_import_of_what_makes_temporary_files() -> None:
    code = "import sys, elsewhere; elsewhere.reserve(); print(*sys.modules)"

    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "tempfile" not in ended.stdout.split()


@pytest.mark.parametrize("variables", [{}, {"TMPDIR": "/nowhere/at/all"}, {"TEMP": "{own}"}, {"TMPDIR": "{own}"}])
def test_new_sockets_are_where_temporary_files_are(variables: dict[str, str]) -> None:
    left_out = ("TMPDIR", "TEMP", "TMP", "XDG_RUNTIME_DIR")
    environment = {name: value for name, value in os.environ.items() if name not in left_out}
    code = "import elsewhere; place = str(elsewhere.reserve()); import tempfile; print(place, tempfile.gettempdir())"

    with tempfile.TemporaryDirectory(dir="/tmp") as own:
        environment |= {name: value.format(own=own) for name, value in variables.items()}
        ended = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
        )

    place, directory = ended.stdout.split()
    assert place.startswith(f"{directory}/elsewhere-")


def test_plain_object_and_what_has_a_name_cost_the_host_no_import_of_pickle() -> None:
    with elsewhere.Host(start="exec") as host:
        keeper = host.send(Keeper())
        three = host.spawn(eval, "1 + 2")

        assert (elsewhere.get(keeper.held), elsewhere.get(three)) == ([], 3)
        assert "pickle" not in host.module("sys").modules
