"""`help()` and an editor tell the same: the docstrings of the stub are those of the extension."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest

from elsewhere import _core

STUB = Path(_core.__file__).with_name("_core.pyi")


def documented() -> dict[str, str]:
    """The docstrings of the stub's functions, classes and methods, by their qualified names; "" where there is none.

    Of overloads, the one that has one counts. Names with an underscore are for our own modules.
    """
    found: dict[str, str] = {}
    waiting = [("", ast.parse(STUB.read_text(encoding="utf-8")).body)]
    while waiting:
        prefix, body = waiting.pop()
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                name = prefix + node.name
                found[name] = ast.get_docstring(node) or found.get(name, "")
                if isinstance(node, ast.ClassDef):
                    waiting.append((f"{name}.", node.body))
    return found


def at_run_time(name: str) -> str:
    found: object = _core
    for part in name.split("."):
        found = inspect.getattr_static(found, part)
    return inspect.getdoc(found) or ""


@pytest.mark.parametrize("name", documented())
def test_stub_and_extension_have_the_same_docstring(name: str) -> None:
    assert documented()[name]
    assert at_run_time(name).split() == documented()[name].split()
