"""Runs the Python tests as two halves beside each other: most of a test's time is waiting for a process.

Owns: which file belongs to which half. Must not know: what is tested. The second half is shown when it has ended.
Usage: python -m checks.two_halves
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

SECOND_FROM = "test_i"
"""Files of `tests` whose names come here or later are the second half; it takes about as long as the rest."""


def halves() -> tuple[list[str], list[str]]:
    """Give the files and directories of both halves, which together are all that pytest finds by itself."""
    files = sorted((ROOT / "tests").glob("test_*.py"))
    first = [
        "checks",
        "tests/docs",
        "tests/dialects",
        *(f"tests/{file.name}" for file in files if file.name < SECOND_FROM),
    ]
    return first, [f"tests/{file.name}" for file in files if file.name >= SECOND_FROM]


def main() -> int:
    """Run both, and give 0 where all tests passed."""
    first, second = halves()
    command = [sys.executable, "-m", "pytest"]
    with tempfile.TemporaryFile() as output:
        later = subprocess.Popen([*command, *second], cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
        status = subprocess.run([*command, *first], cwd=ROOT, check=False).returncode
        status = later.wait() or status
        output.seek(0)
        sys.stdout.flush()
        sys.stdout.buffer.write(output.read())
    return status


if __name__ == "__main__":
    sys.exit(main())
