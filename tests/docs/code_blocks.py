"""Finds the code blocks of a Markdown file and says how each is to be tried.

Owns: the conventions that the documents follow. Must not know: pytest, and how a script is run.

* A ``python`` block is a script of its own: it is run as `__main__` and must end well, with nothing on stderr.
* ``python continues`` goes on where the python block before it ended: both are run as one script.
* An HTML comment `<!-- not run: reason -->` on the line before a python block exempts it, with a reason.
* `<!-- output -->` on the line before a ``text`` block: what the script above prints; `...` stands for any text.
* ``console`` and ``text`` blocks are for people, ``{eval-rst}`` ones for the site. Any other language, or none, is a
  mistake.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

FENCE = re.compile(r"^```(?P<info>.*)$")
COMMENT = re.compile(r"^<!--\s*(?P<text>.*?)\s*-->$")
NEVER_RUN = frozenset({"console", "text", "{eval-rst}"})


class BlockError(Exception):
    """A block that follows none of the conventions."""


@dataclass
class Script:
    """One script of a document: the line of its last block, its source, and what it prints (None: anything)."""

    line: int
    source: str
    output: str | None = None


@dataclass
class _Block:
    line: int
    info: str
    comment: str
    body: str = ""
    lines: list[str] = field(default_factory=list)


def scripts_in(text: str) -> list[Script]:
    """The scripts of a Markdown text, in order.

    Raises:
        BlockError: a block has no known language, continues nothing, or is the output of nothing.
    """
    scripts: list[Script] = []
    for block in _blocks(text):
        language, _, rest = block.info.partition(" ")
        if language == "python":
            _take_python(block, rest, scripts)
        elif block.info == "text" and block.comment == "output":
            if not scripts or scripts[-1].output is not None:
                raise BlockError(f"line {block.line}: the output of nothing")
            scripts[-1].output = block.body
        elif block.info not in NEVER_RUN:
            raise BlockError(f"line {block.line}: a block in no language we know: {block.info!r}")
    return scripts


def _take_python(block: _Block, rest: str, scripts: list[Script]) -> None:
    if rest not in {"", "continues"}:
        raise BlockError(f"line {block.line}: {rest!r} means nothing here")
    if block.comment.startswith("not run:"):
        return
    if rest == "":
        scripts.append(Script(block.line, block.body))
    elif scripts and scripts[-1].output is None:
        before = scripts.pop()
        scripts.append(Script(block.line, before.source + "\n" + block.body))
    elif scripts:
        scripts.append(Script(block.line, scripts[-1].source + "\n" + block.body))
    else:
        raise BlockError(f"line {block.line}: continues nothing")


def _blocks(text: str) -> Iterator[_Block]:
    block: _Block | None = None
    before = ""
    for number, line in enumerate(text.splitlines(), start=1):
        fence = FENCE.match(line)
        if block is None and fence is not None:
            comment = COMMENT.match(before)
            block = _Block(number, fence["info"].strip(), comment["text"] if comment else "")
        elif block is not None and line == "```":
            block.body = "".join(f"{kept}\n" for kept in block.lines)
            yield block
            block = None
        elif block is not None:
            block.lines.append(line)
        before = line
    if block is not None:
        raise BlockError(f"line {block.line}: the block never ends")
