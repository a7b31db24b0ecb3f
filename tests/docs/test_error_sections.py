"""Every public error class has its section in docs/errors.md: what happened, what is known, what to do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import elsewhere

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "errors.md").read_text(encoding="utf-8")
ERRORS = [name for name in elsewhere.__all__ if isinstance(getattr(elsewhere, name), type(Exception))]
ERRORS = [name for name in ERRORS if issubclass(getattr(elsewhere, name), Exception)]
QUESTIONS = ["What happened.", "What is known.", "What to do."]


def sections() -> dict[str, str]:
    """The text below each heading of the third level."""
    parts = re.split(r"^### (.+)$", TEXT.partition("## Each error")[2], flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_sections_are_those_of_the_public_errors() -> None:
    assert sorted(sections()) == sorted(ERRORS)


@pytest.mark.parametrize("name", ERRORS)
def test_section_of_an_error_answers_three_questions_in_order(name: str) -> None:
    assert re.findall(r"^\*\*(.+?)\*\*", sections()[name], re.MULTILINE) == QUESTIONS


@pytest.mark.parametrize("name", [name for name in ERRORS if name != "ElsewhereError"])
def test_table_names_the_builtin_that_an_error_also_is(name: str) -> None:
    (also,) = re.findall(rf"^\| \[{name}\]\(#{name.lower()}\) \| (.+?) \|", TEXT, re.MULTILINE)

    bases = {base.__name__ for base in getattr(elsewhere, name).__mro__} - {name, "ElsewhereError"}
    expected = {"CallCancelled": "concurrent.futures.CancelledError", "RemoteError": "the nearest builtin"}
    assert also.strip("`") in bases | {expected.get(name)}
