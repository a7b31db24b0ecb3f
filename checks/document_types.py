"""What mypy and pyright, both strict, say of the Python blocks in the documents: nothing.

Owns: how a script becomes a file: its lines have the numbers that they have in the document. Must not know: how blocks
are found (`tests/docs/code_blocks.py` does), how the checkers are run (`checks/type_checkers.py` does).
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.docs.code_blocks import scripts_in

from checks.type_checkers import problems_in

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parent.parent


def violations_of(documents: Mapping[str, str]) -> list[str]:
    """Errors in the scripts of documents, which are given as texts by their names, with the lines they are in."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        written: dict[str, str] = {}
        for document, text in documents.items():
            for script in filter(lambda script: script.has_types, scripts_in(text)):
                path = folder / (re.sub(r"\W", "_", f"{document}_{script.line}") + ".py")
                path.write_text(script.in_place, encoding="utf-8")
                written[path.name] = document
        if not written:
            return ["no document has a Python block"]
        return [
            f"{written[one.file]}:{one.line}: {one.checker} says: {one.text} [{one.rule}]"
            for one in problems_in(folder)
        ]


def main() -> int:
    """Check every block of every document; print what is wrong."""
    paths = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
    documents = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in paths}
    violations = violations_of(documents)
    for violation in violations:
        print(violation, file=sys.stderr)
    if not violations:
        scripts = sum(script.has_types for text in documents.values() for script in scripts_in(text))
        print(f"types in documents: {scripts} scripts pass mypy and pyright, both strict")
    return bool(violations)


if __name__ == "__main__":
    sys.exit(main())
