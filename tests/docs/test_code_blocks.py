"""Every Python block of the documents is run as a script of its own; `code_blocks.py` has the conventions."""

from __future__ import annotations

import doctest
import os
import subprocess
import sys
from pathlib import Path

import pytest
from code_blocks import BlockError, Script, scripts_in

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
LIMIT_SECONDS = 25


def all_scripts() -> list[object]:
    return [
        pytest.param(script, id=f"{document.relative_to(ROOT)}:{script.line}")
        for document in DOCUMENTS
        for script in scripts_in(document.read_text(encoding="utf-8"))
        if script.is_run
    ]


@pytest.mark.parametrize("script", all_scripts())
def test_block_runs_as_a_script(script: Script, tmp_path: Path) -> None:
    path = tmp_path / "script.py"
    path.write_text(script.source, encoding="utf-8")
    environment = {**os.environ, "PYTHONWARNINGS": "error", "PYTHONDONTWRITEBYTECODE": "1"}

    ended = subprocess.run(
        [sys.executable, str(path)],
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )

    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    if script.output is not None:
        options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        assert doctest.OutputChecker().check_output(script.output, ended.stdout, options), ended.stdout


def test_documents_are_found() -> None:
    assert ROOT / "README.md" in DOCUMENTS
    assert any(script.output is not None for script in scripts_in((ROOT / "README.md").read_text(encoding="utf-8")))


def test_each_block_stands_alone() -> None:
    text = "```python\na = 1\n```\n\n```python\nb = 2\n```\n"

    assert [script.source for script in scripts_in(text)] == ["a = 1\n", "b = 2\n"]


def test_continued_block_runs_after_the_one_before() -> None:
    text = "```python\na = 1\n```\n\n```python continues\nprint(a)\n```\n"

    assert [script.source for script in scripts_in(text)] == ["a = 1\n\nprint(a)\n"]


def test_continued_block_prints_beyond_what_was_shown() -> None:
    text = "```python\nprint(1)\n```\n<!-- output -->\n```text\n1\n```\n"
    text += "```python continues\nprint(2)\n```\n<!-- output -->\n```text\n2\n```\n"
    text += (
        "```python continues\nprint(3)\n```\n```python continues\nprint(4)\n```\n<!-- output -->\n```text\n3\n4\n```\n"
    )

    assert [script.output for script in scripts_in(text)] == ["1\n", "1\n2\n", "1\n2\n3\n4\n"]


def test_output_belongs_to_the_script_above() -> None:
    text = "```python\nprint(1)\n```\n<!-- output -->\n```text\n1\n```\n"

    assert [script.output for script in scripts_in(text)] == ["1\n"]


def test_exempted_block_is_not_run() -> None:
    (script,) = scripts_in("<!-- not run: needs another machine -->\n```python\nboom()\n```\n")

    assert not script.is_run
    assert script.has_types


def test_block_that_uses_what_is_not_installed_is_neither_run_nor_typed() -> None:
    (script,) = scripts_in("<!-- not run, no types: needs a toolkit -->\n```python\nimport toolkit\n```\n")

    assert (script.is_run, script.has_types) == (False, False)


def test_script_in_place_has_the_line_numbers_of_the_document() -> None:
    text = "# Title\n```python\na = 1\n```\n\n```python continues\nb = 2\n```\n"

    (script,) = scripts_in(text)

    assert script.in_place.splitlines() == ["", "", "a = 1", "", "", "", "b = 2"]


@pytest.mark.parametrize(
    "text",
    [
        "```\nno language\n```\n",
        "```pyhton\na = 1\n```\n",
        "```python sometimes\na = 1\n```\n",
        "```python continues\na = 1\n```\n",
        "<!-- output -->\n```text\n1\n```\n",
        "```python\na = 1\n",
    ],
)
def test_block_outside_the_conventions_is_a_mistake(text: str) -> None:
    with pytest.raises(BlockError):
        scripts_in(text)
