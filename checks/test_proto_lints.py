"""The check of the protocol crate's lints finds lints that do not bite."""

from __future__ import annotations

from typing import TYPE_CHECKING

from checks import proto_lints

if TYPE_CHECKING:
    from pathlib import Path

ATTRIBUTES = proto_lints.lint_attributes((proto_lints.CRATE / "src" / "lib.rs").read_text(encoding="utf-8"))
CLOCK = (proto_lints.CRATE / "tests" / "walls" / "clock.rs").read_text(encoding="utf-8")


def test_attributes_of_the_crate_are_found() -> None:
    assert "forbid(unsafe_code)" in ATTRIBUTES
    assert "clippy::disallowed_methods" in ATTRIBUTES
    assert "mod " not in ATTRIBUTES


def test_deliberate_violation_is_refused() -> None:
    assert "clippy::disallowed_methods" in proto_lints.lints_tripped(CLOCK, ATTRIBUTES)


def test_harmless_code_trips_nothing() -> None:
    assert proto_lints.lints_tripped("pub fn one() -> u8 {\n    1\n}\n", ATTRIBUTES) == set()


def test_lint_that_is_not_denied_is_reported(tmp_path: Path) -> None:
    (tmp_path / "clock.rs").write_text(CLOCK, encoding="utf-8")

    assert proto_lints.violations(tmp_path, "#![forbid(unsafe_code)]") == [
        "clock.rs does not trip clippy::disallowed_methods"
    ]
