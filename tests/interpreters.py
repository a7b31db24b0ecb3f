"""The interpreters of this machine, each in a virtual environment without packages."""

from __future__ import annotations

import functools
import glob
import os
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

VERSIONS = [f"3.{minor}" for minor in range(6, 15)]
NAMES = [*VERSIONS, "pypy"]
HERE = "{}.{}".format(*sys.version_info)


@functools.cache
def installed() -> dict[str, str]:
    """The path of one interpreter of each version, "3.8" and the like, and of PyPy."""
    root = os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv"))
    candidates = sorted(glob.glob(f"{root}/versions/*/bin/python"))
    candidates += [
        path for name in (*(f"python{version}" for version in VERSIONS), "pypy3") if (path := shutil.which(name))
    ]
    found: dict[str, str] = {}
    for candidate in candidates:
        version = version_of(candidate)
        if version is not None:
            found.setdefault(version, candidate)
    return found


def some() -> list[str]:
    """The oldest version here, this one, and PyPy. Without another one a version of which all tests are passed over."""
    others = [version for version in VERSIONS if version in installed() and version != HERE]
    return [others[0] if others else NAMES[0], HERE, *(["pypy"] if "pypy" in installed() else [])]


def version_of(program: str) -> str | None:
    """What an interpreter says that it is; None for what is none, or does not work here."""
    code = "import sys; print(sys.implementation.name, '%d.%d' % sys.version_info[:2])"
    try:
        asked = subprocess.run([program, "-c", code], capture_output=True, text=True, timeout=20, check=False)
    except OSError:
        return None
    match = re.fullmatch(r"(\w+) (\d\.\d+)\n", asked.stdout)
    if match is None or asked.returncode:
        return None
    return match[2] if match[1] == "cpython" else match[1]


def in_empty_environment(program: str, directory: Path) -> str:
    """The interpreter `program` in a new virtual environment in `directory`, without pip and without any package."""
    subprocess.run([program, "-m", "venv", "--without-pip", str(directory)], check=True)
    return str(directory / "bin" / "python")


def too_old() -> str | None:
    """An interpreter that is too old for a host."""
    root = os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv"))
    found = [*glob.glob(f"{root}/versions/2.7*/bin/python"), *glob.glob(f"{root}/versions/3.5*/bin/python")]
    return next(iter(found), None) or shutil.which("python2")
