"""Runs mypy and pyright, both strict, over a folder of programs that use the package as its users do: installed.

Owns: how the checkers are started, and what they say as one kind of record. Must not know: where the programs come
from, and which errors are wanted.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
OLDEST_PYTHON = "3.11"
CACHE = ROOT / ".mypy_cache" / "as_users"
MYPY = [
    "--strict",
    "--explicit-package-bases",
    "--config-file=",
    f"--python-version={OLDEST_PYTHON}",
    f"--cache-dir={CACHE}",
]
PYRIGHT = {"typeCheckingMode": "strict", "pythonVersion": OLDEST_PYTHON, "pythonPlatform": "Linux"}


@dataclass(frozen=True)
class TypeProblem:
    """One error: who says it, of which file and line, by which of its rules, and in which words."""

    checker: str
    file: str
    line: int
    rule: str
    text: str


class CheckerError(Exception):
    """A checker did not come to a verdict; what it printed."""


def problems_in(folder: Path) -> list[TypeProblem]:
    """What both checkers say of the programs in a folder. A file `pyrightconfig.json` is left there."""
    return [*_from_mypy(folder), *_from_pyright(folder)]


def _from_mypy(folder: Path) -> list[TypeProblem]:
    printed = _run(["mypy", *MYPY, "--output=json", "."], folder)
    said: list[dict[str, Any]] = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    return [
        TypeProblem("mypy", str(one["file"]), int(one["line"]), str(one["code"]), str(one["message"]))
        for one in said
        if one["severity"] == "error"
    ]


def _from_pyright(folder: Path) -> list[TypeProblem]:
    (folder / "pyrightconfig.json").write_text(json.dumps(PYRIGHT), encoding="utf-8")
    printed = _run(["basedpyright", "--outputjson", f"--pythonpath={sys.executable}"], folder)
    said: list[dict[str, Any]] = json.loads(printed)["generalDiagnostics"]
    return [
        TypeProblem(
            "pyright",
            Path(one["file"]).relative_to(folder.resolve()).as_posix(),
            int(one["range"]["start"]["line"]) + 1,
            str(one.get("rule", "syntax")),
            str(one["message"]),
        )
        for one in said
        if one["severity"] == "error"
    ]


def _run(module: list[str], folder: Path) -> str:
    """What a checker printed.

    Raises:
        CheckerError: It ended neither with 0, nothing found, nor with 1, something found.
    """
    command = [sys.executable, "-m", *module]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if ended.returncode not in {0, 1}:
        raise CheckerError(f"{module[0]} ended with {ended.returncode}:\n{ended.stdout}{ended.stderr}")
    return ended.stdout
