"""Finds the lines of the migration guides' tables ("their line, our line") and runs them.

Owns: what of a cell is code, in which order it is run, what it gives. Must not know: what the lines are about.

* Each code span of a cell is a line. They are run one after another; "the same" stands for the other cell.
* A line that ends with a colon has the lines after it inside, up to the word "then".
* `except X` is tried with what the test lets go wrong there; `class A(B)` asks whether A is one; `return x` gives x.
* A span of one word, such as a method's name, in quotes or behind a dot or `def`, only mentions something. So does
  `except*`.
"""

from __future__ import annotations

import ast
import re
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

SPAN = re.compile(r"`([^`]+)`")
RULE = re.compile(r"\|(?:\s*:?-+:?\s*\|)+")
SAME = re.compile(r"the same\b")
CLASS = re.compile(r"class (\w+)\((.*)\)$")
MENTION = re.compile(r'\.?\w+|"\w+"|def \w+.*|except\*')

NOTHING = object()
"""What a statement gives."""


@dataclass(frozen=True)
class Pair:
    """One row of a table: the heading of its left column, its line in the document, and its two cells."""

    heading: str
    line: int
    theirs: str
    ours: str


def pairs_in(text: str) -> list[Pair]:
    """The rows of all tables of a Markdown text that have two columns."""
    return list(_pairs(text.splitlines()))


def _pairs(lines: list[str]) -> Iterator[Pair]:
    heading = ""
    for number, line in enumerate(lines, start=1):
        if not line.startswith("|"):
            heading = ""
        elif number < len(lines) and RULE.fullmatch(lines[number].strip()):
            heading = _cells(line)[0]
        elif heading and not RULE.fullmatch(line.strip()):
            theirs, ours = _cells(line)
            yield Pair(heading, number, theirs, ours)


def _cells(row: str) -> list[str]:
    """Split a row at its bars, but not at those inside of code."""
    hidden = SPAN.sub(lambda span: span[0].replace("|", "\0"), row.strip().strip("|"))
    return [cell.strip().replace("\0", "|") for cell in hidden.split("|")]


def lines_of(cell: str, other: str = "") -> list[str]:
    """What of a cell is run: lines of Python, blocks in one, and without what is only mentioned."""
    if SAME.match(cell):
        return lines_of(other)
    lines: list[str] = []
    block = False
    end = 0
    for span in SPAN.finditer(cell):
        block = block and "then" not in re.findall(r"\w+", cell[end : span.start()])
        end = span.end()
        code = span[1].strip()
        if MENTION.fullmatch(code):
            continue
        if block:
            lines[-1] += "\n" + textwrap.indent(code, "    ")
        else:
            lines.append(code)
        block = block or (code.endswith(":"))
    return lines


def run(line: str, names: dict[str, Any], *, inside: str = "", wrong: str = "pass") -> Any:
    """Run one line, or some, and give the value of what is last if it has one, else NOTHING; it is `_` then.

    Args:
        line: The line.
        names: What it may speak of, and where what it names is kept.
        inside: What is run inside of a block, behind what it has.
        wrong: What an `except` is tried with.

    Raises:
        Exception: what the line raises; AssertionError where an `except` has nothing to catch.
    """
    if line.startswith("except "):
        line = f"try:\n{textwrap.indent(wrong, '    ')}\n    assert False, 'nothing went wrong'\n{line}:\n    pass"
    elif line.startswith("return "):
        line = line.removeprefix("return ")
    elif line.startswith("@"):
        line = line[1:]
    elif found := CLASS.match(line):
        line = f"assert issubclass({found[1]}, {found[2]})"
    elif ":\n" in f"{line}\n" and line.split("\n")[0].endswith(":"):
        inside = inside or ("" if "\n" in line else "pass")
        line += "\n" + textwrap.indent(inside, "    ")
    tree = ast.parse(line)
    body = tree.body
    while body and isinstance(body[-1], ast.With):
        body = body[-1].body
    if not (body and isinstance(body[-1], ast.Expr)):
        exec(compile(tree, line, "exec"), names)
        return NOTHING
    body[-1] = ast.Assign([ast.Name("_", ast.Store())], body[-1].value)
    exec(compile(ast.fix_missing_locations(tree), line, "exec"), names)
    return names["_"]
