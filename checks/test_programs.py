"""The demo and the benchmarks run to their end; what they show is for people to judge."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from checks.walls import ROOT

if TYPE_CHECKING:
    from pathlib import Path

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


def test_quick_bench_measures_every_workload(tmp_path: Path) -> None:
    ended = run("benches/run.py", "--quick", "--json", str(tmp_path / "bench.json"))

    assert ended.returncode == 0, ended.stdout + ended.stderr
    measured = json.loads((tmp_path / "bench.json").read_text(encoding="utf-8"))
    assert {row["workload"] for row in measured["rows"]} == {
        "W1",
        "W2",
        "W3",
        "W5",
        "W7",
        "W9",
        "W10",
        "special",
        "no trip",
        "import",
        "fds",
    }
