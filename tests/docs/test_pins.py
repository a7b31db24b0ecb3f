"""What the documents promise is held by tests, which stand beside it: `<!-- held by test_calls: name, name; ... -->`.

Names are those of test functions without `test_`; a file stands in `tests/`, or is a path to one in Rust. Each item of
a list and each paragraph that begins in bold has such a comment, and so has each section, but for those that promise
nothing.
The rules of the public face stand in `tests/RULES.md`: each is there, and is held over every kind of host.
"""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "tests" / "RULES.md"
DOCUMENTS = [*(ROOT / "docs" / name for name in ("promises.md", "faults.md", "transparency.md")), RULES]
PROMISE_NOTHING = {"What is not promised", "Time"}
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
SECTION = re.compile(r"^## (.+)$", re.MULTILINE)
PIN = re.compile(r"<!-- held by (.+?)\s+-->", re.DOTALL)


def sections_of(text: str) -> dict[str, str]:
    """The text below each heading of the second level, without code, for sections that promise something."""
    parts = SECTION.split(FENCED.sub("", text))
    found = dict(zip(parts[1::2], parts[2::2], strict=True))
    return {title: body for title, body in found.items() if title not in PROMISE_NOTHING}


def unpinned(text: str) -> list[str]:
    """The first lines of items and of bold paragraphs that no pin follows, and the titles of sections without any."""
    found: list[str] = []
    for title, body in sections_of(text).items():
        if not PIN.search(body):
            found.append(title)
        claims = [match.start() for match in re.finditer(r"^(?:- |\*\*)", body, re.MULTILINE)]
        for start, end in zip(claims, [*claims[1:], len(body)], strict=False):
            if not PIN.search(body, start, end):
                found.append(body[start:end].partition("\n")[0])
    return found


def pinned_tests(text: str) -> list[tuple[str, str]]:
    """Each file and test that a pin names."""
    found: list[tuple[str, str]] = []
    for pin in PIN.findall(text):
        for part in pin.split(";"):
            file, _, names = part.partition(":")
            found += [(file.strip(), name.strip()) for name in names.split(",")]
    return found


def all_pins() -> list[tuple[str, str]]:
    return sorted({pin for document in DOCUMENTS for pin in pinned_tests(document.read_text(encoding="utf-8"))})


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_everything_that_is_promised_names_its_tests(document: Path) -> None:
    assert unpinned(document.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(("file", "name"), all_pins())
def test_test_that_holds_a_promise_is_there(file: str, name: str) -> None:
    if file.endswith(".rs"):
        assert f"fn {name}(" in (ROOT / file).read_text(encoding="utf-8")
    else:
        assert f"def test_{name}(" in (ROOT / "tests" / f"{file}.py").read_text(encoding="utf-8")


def test_claims_without_tests_are_found() -> None:
    held = "<!-- held by test_a: b -->"
    text = f"## A\n- one\n  {held}\n- two\n\n**Three.** Text.\n\n{held}\n\n## B\n\nText.\n"

    assert unpinned(text) == ["- two", "B"]


def test_pin_over_several_lines_names_all_its_tests() -> None:
    assert pinned_tests("<!-- held by test_a: b,\n  c; test_d: e -->") == [
        ("test_a", "b"),
        ("test_a", "c"),
        ("test_d", "e"),
    ]


# ---------------------------------------------------------------- the rules
NUMBERS = [*range(1, 38)]
"""The rules that there are."""

OF_PROCESSES_ALONE = {25, 31, 32, 33, 34, 36}
"""Rules about what only a process has: threads of its own, a connection that a fork inherits, an import path."""


def rules_of(text: str) -> dict[int, list[tuple[str, str]]]:
    """By the number of each rule, the tests that are named behind it."""
    parts = re.split(r"^- \*\*(\d+)\.\*\* ", text, flags=re.MULTILINE)
    return {int(number): pinned_tests(body) for number, body in zip(parts[1::2], parts[2::2], strict=True)}


def functions_of(source: str) -> dict[str, ast.FunctionDef]:
    return {node.name: node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)}


@functools.cache
def over_every_host(file: str) -> set[str]:
    """The tests of a file that are run over each kind of host: by `host`, a fixture made of it, or one of their own."""
    functions = functions_of((ROOT / "tests" / f"{file}.py").read_text(encoding="utf-8"))
    found = {"shared_host"} & functions.keys() or ({"host"} - functions.keys())
    while True:
        users = {name for name, node in functions.items() if found & {argument.arg for argument in node.args.args}}
        if users <= found:
            return {name.removeprefix("test_") for name in found if name.startswith("test_")}
        found |= users


def test_every_rule_is_there_once() -> None:
    assert list(rules_of(RULES.read_text(encoding="utf-8"))) == NUMBERS


@pytest.mark.parametrize("number", [number for number in NUMBERS if number not in OF_PROCESSES_ALONE])
def test_rule_is_held_over_every_kind_of_host(number: int) -> None:
    pins = rules_of(RULES.read_text(encoding="utf-8"))[number]

    held = [name for file, name in pins if not file.endswith(".rs") and name in over_every_host(file)]

    assert held != []


def test_rule_that_is_missing_or_twice_is_found() -> None:
    held = "<!-- held by test_a: b -->"

    assert list(rules_of(f"- **1.** One.\n  {held}\n- **3.** Three.\n  {held}\n")) == [1, 3]
    assert rules_of(f"- **2.** Two.\n  {held}\n") == {2: [("test_a", "b")]}


def test_fixtures_are_followed_to_the_host() -> None:
    assert "path_is_read_when_it_is_used" in over_every_host("test_paths")
    assert "lost_host_is_never_missing" not in over_every_host("test_paths")
    assert "calls_give_their_values_in_every_mode" not in over_every_host("test_concurrency")
