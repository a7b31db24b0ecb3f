"""Both halves of the tests together are what pytest finds by itself."""

from __future__ import annotations

from checks.two_halves import ROOT, halves


def test_every_file_of_tests_is_in_one_half() -> None:
    files = {
        str(file.relative_to(ROOT)) for folder in ("tests", "checks") for file in (ROOT / folder).rglob("test_*.py")
    }

    places = {file: sum(is_in(file, half) for half in halves()) for file in files}

    assert places == dict.fromkeys(files, 1)


def is_in(file: str, half: list[str]) -> bool:
    """Whether it is named, or a directory that it lies in."""
    return any(file == part or file.startswith(f"{part}/") for part in half)
