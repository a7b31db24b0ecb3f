"""The demo runs to its end, what it shows is for people to judge; and so does what the compiler learns from."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from checks.walls import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env={**os.environ, "PYTHONWARNINGS": "error", "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_demo_runs_to_its_table() -> None:
    ended = run("examples/demo.py")

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stderr == ""
    assert "elsewhere.HostDied: host 'database'" in ended.stdout
    assert "files indexed" in ended.stdout


def test_what_the_compiler_learns_from_runs_to_its_end() -> None:
    ended = run("training/train.py", "0.05")

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout + ended.stderr == ""
