"""Places that cannot be used: directories where no socket can lie, and ways that lead nowhere from where somebody is.

Mounts are made in a namespace of the program's own, which the test starts.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import elsewhere
from kennel import Dog
from programs import apart

if TYPE_CHECKING:
    from collections.abc import Iterator

OWN = f"/tmp/elsewhere-{os.geteuid()}"
"""The last directory that is tried."""

RESERVE = """
import elsewhere
print(elsewhere.reserve())
"""

MOUNTS = """
import ctypes
def mount(kind, place, options=b"", flags=0):
    assert libc.mount(kind, place, kind, ctypes.c_ulong(flags), options) == 0, os.strerror(ctypes.get_errno())
# What follows is for this one alone.
assert libc.mount(b"none", b"/", None, ctypes.c_ulong(1 << 14 | 1 << 18), None) == 0
READ_ONLY = 1
os.environ.pop("XDG_RUNTIME_DIR", None)
"""


def reserved_with(**environment: str) -> str:
    """The address that a program reserves with these variables."""
    own = {name: value for name, value in os.environ.items() if name not in ("TMPDIR", "XDG_RUNTIME_DIR")}
    done = subprocess.run(
        [sys.executable, "-c", RESERVE], capture_output=True, text=True, check=True, env={**own, **environment}
    )
    return done.stdout.strip()


@pytest.fixture
def short() -> Iterator[Path]:
    """A directory whose path leaves room for the name of a socket."""
    with tempfile.TemporaryDirectory(dir="/tmp") as path:
        yield Path(path)


@pytest.fixture
def long(tmp_path: Path) -> Path:
    """A directory whose path leaves no room for the name of a socket."""
    path = tmp_path / ("long" * 25)
    path.mkdir(mode=0o700)
    return path


def test_directory_of_the_session_comes_first(short):
    assert reserved_with(XDG_RUNTIME_DIR=str(short)).startswith(f"{short}/elsewhere/")


@pytest.mark.parametrize("variable", ["TMPDIR", "XDG_RUNTIME_DIR"])
def test_directory_whose_path_is_too_long_is_passed_over(long, variable):
    assert reserved_with(**{variable: str(long)}).startswith(OWN)
    assert list(long.iterdir()) == []


@pytest.mark.parametrize("variable", ["TMPDIR", "XDG_RUNTIME_DIR"])
def test_directory_that_is_not_there_is_passed_over(short, variable):
    assert reserved_with(**{variable: str(short / "missing")}).startswith(OWN)


def test_directory_that_others_may_write_to_is_passed_over(short):
    short.chmod(0o777)
    (short / "elsewhere").mkdir()
    (short / "elsewhere").chmod(0o777)

    assert reserved_with(XDG_RUNTIME_DIR=str(short)).startswith(OWN)


def test_directory_that_is_a_link_is_passed_over(short):
    (short / "there").mkdir(mode=0o700)
    (short / "elsewhere").symlink_to(short / "there")

    assert reserved_with(XDG_RUNTIME_DIR=str(short)).startswith(OWN)
    assert list((short / "there").iterdir()) == []


def test_full_and_read_only_directories_are_passed_over(short):
    said = apart(
        MOUNTS
        + f"""
for kind, options, flags in ((b"full", b"nr_inodes=2", 0), (b"read-only", b"", READ_ONLY)):
    mount(b"tmpfs", {str(short)!r}.encode(), options, flags)
    os.environ["XDG_RUNTIME_DIR"] = {str(short)!r}
    print(elsewhere.reserve())
"""
    )

    assert len(said) == 2
    assert all(place.startswith(OWN) for place in said)


def test_without_any_directory_the_error_names_what_was_tried_and_hosts_work():
    said = apart(
        MOUNTS
        + """
import tempfile
import elsewhere._serve, elsewhere._places, elsewhere._zygote, elsewhere._host_main
os.chdir("/proc")
mount(b"tmpfs", b"/run", b"", READ_ONLY)
os.environ["XDG_RUNTIME_DIR"] = "/run"
tempfile.tempdir = "/run"
os.makedirs("/dev/shm", exist_ok=True)
with elsewhere.Host() as host:
    host.run(pow, 2, 5)  # what is imported for it may lie there
    mount(b"tmpfs", b"/tmp", b"", READ_ONLY)
    try:
        elsewhere.reserve()
    except OSError as error:
        print(error)
    print(host.run(pow, 2, 5))
"""
    )

    text, answer = said
    assert "/run/elsewhere cannot be made (Read-only file system" in text
    assert f"{OWN} cannot be made (Read-only file system" in text
    assert answer == "32"


def test_pickle_of_a_proxy_that_comes_where_no_way_leads_back_is_an_error_at_once(process_host):
    """From another mount namespace, as in a container: the owner lives, and its socket cannot be seen."""
    with elsewhere.serve(Dog("rex")) as server:
        pickles = [pickle.dumps(elsewhere.connect(server.address)), pickle.dumps(process_host.spawn(Dog, "rex"))]
        said = apart(
            MOUNTS
            + f"""
import pickle, kennel
import elsewhere._grants
mount(b"tmpfs", b"/tmp")
for data in {pickles!r}:
    try:
        pickle.loads(data)
    except elsewhere.ElsewhereError as error:
        print(type(error).__name__, error.outcome)
"""
        )

        assert said == ["ConnectionLost not_started"] * 2
        assert server.stats()["connections"] == 0
