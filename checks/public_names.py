"""The list of public names in README.md is `elsewhere.__all__`, no more and no less.

Owns: how the list is written (one list item a name, or several, in code spans before the first colon).
Must not know: what the names mean.
"""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEADING = "## The whole API"


def listed_names(readme: str) -> set[str]:
    """The names at the head of the top-level list items of README's section on the API."""
    section = readme.partition(HEADING + "\n")[2]
    section = re.split(r"^## ", section, maxsplit=1, flags=re.MULTILINE)[0]
    heads = re.findall(r"^- ((?:`[^`]+`(?:, | and )?)+)", section, flags=re.MULTILINE)
    return {name for head in heads for name in re.findall(r"`([A-Za-z_]\w*)", head)}


def violations_of(readme: str, exported: set[str]) -> list[str]:
    """Names that stand on one side only. Dunder names (`__version__`) need no line in README."""
    listed = listed_names(readme)
    exported = {name for name in exported if not name.startswith("__")}
    return [f"README lists {name}, which elsewhere does not export" for name in sorted(listed - exported)] + [
        f"elsewhere exports {name}, which README does not list" for name in sorted(exported - listed)
    ]


def main() -> int:
    """Compare README.md with the installed package; print what differs."""
    exported = set(importlib.import_module("elsewhere").__all__)
    violations = violations_of((ROOT / "README.md").read_text(encoding="utf-8"), exported)
    for violation in violations:
        print(violation, file=sys.stderr)
    if not violations:
        print(f"public names: README lists all {len(exported)}")
    return bool(violations)


if __name__ == "__main__":
    sys.exit(main())
