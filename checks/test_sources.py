"""The rules of checks/sources.py, tried on small texts."""

from __future__ import annotations

from pathlib import Path

from checks import sources

LONG = "value = 1\n" * sources.LINES_MAX


def test_file_with_a_header_and_few_lines_is_in_order() -> None:
    assert sources.violations_of(Path("a.py"), '"""Owns nothing."""\n') == []
    assert sources.violations_of(Path("a.rs"), "//! Owns nothing.\n\n#![forbid(unsafe_code)]\n") == []


def test_script_may_open_with_its_interpreter() -> None:
    assert sources.violations_of(Path("a.py"), '#!/usr/bin/env python3\n"""Owns nothing."""\n') == []


def test_missing_header_is_a_violation() -> None:
    assert sources.violations_of(Path("a.rs"), "use std::fmt;\n") != []
    assert sources.violations_of(Path("a.py"), "import os\n") != []


def test_long_file_is_a_violation() -> None:
    assert len(sources.violations_of(Path("a.py"), '"""Owns much."""\n' + LONG)) == 1


def test_long_file_with_a_reason_in_its_header_is_in_order() -> None:
    assert sources.violations_of(Path("a.py"), '"""Owns much. Long because a table is one thing."""\n' + LONG) == []
