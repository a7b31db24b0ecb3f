"""Blocks with wrong types are refused, at the line of the document that they stand in."""

from __future__ import annotations

import pytest

from checks.document_types import violations_of
from checks.type_checkers import CheckerError

SPAWN = "# Title\n\n```python\nimport elsewhere\n\nprint(elsewhere.spawn(dict[str, int], {}).get({}))\n```\n"
DOCUMENTS = {
    "right.md": SPAWN.format("a=1", '"a"'),
    "misuse.md": SPAWN.format("1", '"a"'),
    "folder/misuse.md": SPAWN.format("a=1", "1"),
    "untyped.md": "```python\ndef f(x):\n    return x\n```\n",
    "not_run.md": '<!-- not run: it would fail -->\n```python\na: int = "1"\n```\n',
    "no_types.md": "<!-- not run, no types: not installed -->\n```python\nimport no_such_package\n```\n",
    "continued.md": "```python\na = 1\n```\n\n```python continues\nprint(a + 1)\n```\n",
}


@pytest.fixture(scope="module")
def violations() -> list[str]:
    """What is said of all the documents; both checkers are started once."""
    return violations_of(DOCUMENTS)


def said_of(document: str, violations: list[str]) -> set[str]:
    """The lines of a document with errors, each with the checker that finds it."""
    return {
        " ".join(violation.removeprefix(f"{document}:").split()[:2])
        for violation in violations
        if violation.startswith(f"{document}:")
    }


def test_block_with_right_types_is_accepted(violations: list[str]) -> None:
    assert said_of("right.md", violations) == set()


def test_misuse_of_a_verb_is_an_error_for_both_checkers(violations: list[str]) -> None:
    assert said_of("misuse.md", violations) == {"6: mypy", "6: pyright"}


def test_misuse_of_an_object_that_is_elsewhere_is_an_error_for_both_checkers(violations: list[str]) -> None:
    assert said_of("folder/misuse.md", violations) == {"6: mypy", "6: pyright"}


def test_function_without_types_is_an_error_for_both_checkers(violations: list[str]) -> None:
    assert said_of("untyped.md", violations) >= {"2: mypy", "2: pyright"}


def test_block_that_is_not_run_has_types_all_the_same(violations: list[str]) -> None:
    assert said_of("not_run.md", violations) == {"3: mypy", "3: pyright"}


def test_block_that_uses_what_is_not_installed_is_left_out(violations: list[str]) -> None:
    assert said_of("no_types.md", violations) == set()


def test_continued_block_knows_the_names_of_the_one_before(violations: list[str]) -> None:
    assert said_of("continued.md", violations) == set()


def test_block_that_is_no_python_is_an_error() -> None:
    with pytest.raises(CheckerError, match="mypy"):
        violations_of({"x.md": "```python\ndef\n```\n"})


def test_documents_without_blocks_are_an_error() -> None:
    assert violations_of({"x.md": "# Title\n"}) != []
