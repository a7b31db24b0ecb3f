"""The reference shows every public name, as the sources define it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import elsewhere
import public_api

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference.md"
SHOWN = re.compile(r"^\.\. public::((?:[ \n]+\w+)+)", re.MULTILINE)


def shown_names() -> list[str]:
    return [name for found in SHOWN.findall(REFERENCE.read_text(encoding="utf-8")) for name in found.split()]


def everything() -> list[public_api.Entry]:
    entries = [public_api.entry(name) for name in elsewhere.__all__]
    return entries + [
        public_api.Entry(f"{entry.name}.{member.name}", member.kind, member.signatures, member.documentation)
        for entry in entries
        for member in entry.members
        if entry.kind != "exception"  # the docstring of an exception tells of its attributes
    ]


def test_every_public_name_is_shown_once() -> None:
    assert sorted(shown_names()) == sorted(elsewhere.__all__)


def test_public_names_are_read_from_the_sources() -> None:
    assert public_api.public_names() == elsewhere.__all__


@pytest.mark.parametrize("entry", everything(), ids=lambda entry: entry.name)
def test_public_name_has_a_docstring_and_a_signature(entry: public_api.Entry) -> None:
    assert entry.documentation
    assert entry.signatures


def test_overloads_are_shown_one_by_one() -> None:
    assert public_api.entry("get").signatures == [
        "get(path: T, /) -> T",
        "get(path: T, /, *, default: None) -> T | None",
        "get(path: T, /, *, default: D) -> T | D",
    ]


def test_overloads_of_a_method_are_shown_without_the_body_that_follows_them() -> None:
    methods = [member for member in public_api.entry("Host").members if member.name == "run"]

    assert [len(method.signatures) for method in methods] == [2]


def test_class_with_overloads_is_shown_as_its_body_has_it() -> None:
    assert public_api.entry("using").signatures == ["using(proxy: Any, /)"]


def test_class_shows_the_members_of_its_private_base() -> None:
    assert {"spawn", "close", "pid"} <= {member.name for member in public_api.entry("Host").members}


def test_renamed_class_is_shown_by_its_public_name() -> None:
    assert public_api.entry("deadline").signatures == ["deadline(seconds: float, /)"]


def test_default_that_is_a_named_number_is_shown_as_the_number() -> None:
    assert "start_timeout: float=30.0" in public_api.entry("Host").signatures[0]


def test_unknown_name_is_a_mistake() -> None:
    with pytest.raises(LookupError):
        public_api.entry("spawnn")
