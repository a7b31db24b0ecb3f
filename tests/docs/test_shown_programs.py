"""What a document shows as the output of a program of `examples/` is what it prints; the programs stand in the guides.

A text block behind `<!-- output of examples/NAME.py -->`: `...` stands for any text, and any number for any other.
"""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GUIDES = sorted((ROOT / "docs" / "guides").glob("*.md"))
SHOWN = re.compile(r"<!-- output of (examples/\w+\.py) -->\n```text\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INCLUDED = re.compile(r"^:::\{literalinclude\} \.\./\.\./(examples/\w+\.py)$", re.MULTILINE)
FOR_THE_DEMO = {"examples/bare_pipe.py", "examples/demo.py", "examples/word_index.py"}


def shown_outputs() -> list[tuple[str, str]]:
    return [found for guide in GUIDES for found in SHOWN.findall(guide.read_text(encoding="utf-8"))]


def without_numbers(text: str) -> str:
    return re.sub(r"\d+", "0", text)


@pytest.mark.parametrize(("program", "shown"), shown_outputs(), ids=lambda value: value.partition("\n")[0][:40])
def test_program_prints_what_a_guide_shows(program: str, shown: str, tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, str(ROOT / program)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONWARNINGS": "error", "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=25,
        check=True,
    )

    printed = without_numbers(ended.stdout.replace(f"{ROOT}/", ""))
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    assert doctest.OutputChecker().check_output(without_numbers(shown), printed, options), ended.stdout


def test_every_example_stands_in_a_guide_and_in_the_readme() -> None:
    programs = {str(path.relative_to(ROOT)) for path in (ROOT / "examples").glob("*.py")} - FOR_THE_DEMO
    included = {name for guide in GUIDES for name in INCLUDED.findall(guide.read_text(encoding="utf-8"))}
    readme = (ROOT / "README.md").read_text(encoding="utf-8")

    assert included == programs
    assert {name for name in programs if f"]({name})" not in readme} == set()
