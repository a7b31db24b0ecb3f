"""Finds the code blocks of a Markdown file and says how each is to be tried.

Owns: the conventions that the documents follow. Must not know: pytest, and how a script is run.

* A ``python`` block is a script of its own: it is run as `__main__` and must end well, with nothing on stderr.
* ``python continues`` goes on where the python block before it ended: both are run as one script, and what the document
  shows as the output of the first is not shown again.
* An HTML comment `<!-- not run: reason -->` on the line before a python block exempts it from that, with a reason.
* What the checkers say of the types is tried of all of them (`checks/document_types.py`), except of those behind
  `<!-- not run, no types: reason -->`, which use what is not installed here.
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
    """One script of a document: its blocks, and what it prints (None: anything)."""

    blocks: list[Block]
    output: str | None = None
    shown_before: str = ""

    @property
    def line(self) -> int:
        """The line of the document that its last block begins in."""
        return self.blocks[-1].line

    @property
    def source(self) -> str:
        """What is run."""
        return "\n".join(block.body for block in self.blocks)

    @property
    def is_run(self) -> bool:
        """Whether it is run; one that is not has types all the same."""
        return not any(block.comment.startswith(("not run:", "not run, no types:")) for block in self.blocks)

    @property
    def has_types(self) -> bool:
        """Whether the type checkers can make something of it."""
        return not any(block.comment.startswith("not run, no types:") for block in self.blocks)

    @property
    def in_place(self) -> str:
        """The source with each line at the number that it has in the document."""
        lines: list[str] = []
        for block in self.blocks:
            lines += [""] * (block.line - len(lines)) + block.lines
        return "\n".join(lines) + "\n"


@dataclass
class Block:
    """One block: the line of the document that its fence stands in, what stands there and before, and its lines."""

    line: int
    info: str
    comment: str
    lines: list[str] = field(default_factory=list[str])

    @property
    def body(self) -> str:
        """Its text."""
        return "".join(f"{line}\n" for line in self.lines)


def scripts_in(text: str) -> list[Script]:
    """The scripts of a Markdown text, in order, also those that are not run.

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
            scripts[-1].output = scripts[-1].shown_before + block.body
        elif block.info not in NEVER_RUN:
            raise BlockError(f"line {block.line}: a block in no language we know: {block.info!r}")
    return scripts


def _take_python(block: Block, rest: str, scripts: list[Script]) -> None:
    if rest not in {"", "continues"}:
        raise BlockError(f"line {block.line}: {rest!r} means nothing here")
    if rest == "":
        scripts.append(Script([block]))
    elif scripts and scripts[-1].output is None:
        scripts[-1].blocks.append(block)
    elif scripts:
        before = scripts[-1]
        scripts.append(Script([*before.blocks, block], shown_before=before.output or ""))
    else:
        raise BlockError(f"line {block.line}: continues nothing")


def _blocks(text: str) -> Iterator[Block]:
    block: Block | None = None
    before = ""
    for number, line in enumerate(text.splitlines(), start=1):
        fence = FENCE.match(line)
        if block is None and fence is not None:
            comment = COMMENT.match(before)
            block = Block(number, fence["info"].strip(), comment["text"] if comment else "")
        elif block is not None and line == "```":
            yield block
            block = None
        elif block is not None:
            block.lines.append(line)
        before = line
    if block is not None:
        raise BlockError(f"line {block.line}: the block never ends")
