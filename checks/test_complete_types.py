"""Types that are missing, partial or to be guessed are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from checks.complete_types import export, names_of, violations_of

if TYPE_CHECKING:
    from pathlib import Path

WHOLE = "class Dog:\n    age: int\n    def bark(self, loud: bool = False) -> str: ...\n"


def made(folder: Path, stub: str) -> Path:
    """A folder with a package whose private module has the stub, and one that exports what that defines."""
    private = folder / "dogs"
    private.mkdir()
    (private / "py.typed").touch()
    (private / "__init__.py").touch()
    (private / "_core.pyi").write_text(stub, encoding="utf-8")
    export(names_of(stub), "dogs._core", "names_of_dogs", folder)
    return folder


def test_complete_types_are_accepted(tmp_path: Path) -> None:
    assert violations_of("names_of_dogs", made(tmp_path, WHOLE)) == []


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("loud: bool = False", "loud=False"),
        (" -> str", ""),
        ("age: int", "age: list"),
    ],
)
def test_type_that_is_missing_or_partial_is_refused(tmp_path: Path, right: str, wrong: str) -> None:
    violations = violations_of("names_of_dogs", made(tmp_path, WHOLE.replace(right, wrong)))

    assert any(violation.startswith("dogs._core.Dog.") for violation in violations), violations


def test_package_without_a_mark_that_it_has_types_is_refused(tmp_path: Path) -> None:
    folder = made(tmp_path, WHOLE)
    (folder / "names_of_dogs" / "py.typed").unlink()

    assert violations_of("names_of_dogs", folder) != []


def test_package_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert violations_of("cats", tmp_path) != []


def test_names_of_a_stub_are_its_classes_functions_and_variables() -> None:
    stub = "import os\nx: int\nclass A: ...\ndef f(): ...\n@overload\ndef f(a): ...\ndef _g(): ...\n"

    assert names_of(stub) == ["A", "f", "x"]
