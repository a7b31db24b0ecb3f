"""What the documents promise is held by tests, which stand beside it: `<!-- held by test_calls: name, name; ... -->`.

Names are those of test functions without `test_`; a file stands in `tests/`. Each item of a list and each paragraph
that begins in bold has such a comment, and so has each section, but for those that promise nothing.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "docs" / name for name in ("promises.md", "faults.md", "transparency.md")]
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
