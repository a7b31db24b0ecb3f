"""An inverted index of Python source: which identifier stands in which file, on which lines.

Owns: the postings and the statistics of the files it was given. Must not know: elsewhere, processes, the disk. It is a
class like any other; the demo puts it into another process without changing a line of it.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

WORD = re.compile(r"[A-Za-z_][A-Za-z_0-9]+")


class Hit(NamedTuple):
    """One line that contains the word looked for."""

    path: str
    line: int
    text: str


class FileStatistics(NamedTuple):
    """What the index counted in one file."""

    path: str
    lines: int
    words: int


class WordIndex:
    """Holds texts and finds words in them."""

    def __init__(self) -> None:
        self.total_words = 0
        self._lines: dict[str, list[str]] = {}
        self._postings: dict[str, dict[str, list[int]]] = {}
        self._counts: Counter[str] = Counter()

    def add(self, path: str, source: bytes) -> FileStatistics:
        """Take in one file. What is not UTF-8 is replaced: some of CPython's test files are broken on purpose."""
        lines = source.decode("utf-8", errors="replace").splitlines()
        words = 0
        for number, line in enumerate(lines, start=1):
            found = WORD.findall(line)
            words += len(found)
            self._counts.update(found)
            for word in set(found):
                self._postings.setdefault(word, {}).setdefault(path, []).append(number)
        self._lines[path] = lines
        self.total_words += words
        return FileStatistics(path, len(lines), words)

    def __len__(self) -> int:
        """How many files the index holds."""
        return len(self._lines)

    def __contains__(self, word: str) -> bool:
        return word in self._postings

    def count(self, word: str) -> int:
        """How often the word stands in all files."""
        return self._counts[word]

    def most_common(self, number: int) -> list[tuple[str, int]]:
        """The `number` most frequent words with their counts."""
        return self._counts.most_common(number)

    def files_with(self, *words: str) -> list[str]:
        """The files that contain all of the words, in order of their paths."""
        holders = [set(self._postings.get(word, ())) for word in words]
        return sorted(holders[0].intersection(*holders)) if holders else []

    def search(self, word: str) -> Iterator[Hit]:
        """The lines that contain the word, one after another; nothing is collected beforehand."""
        for path, numbers in self._postings.get(word, {}).items():
            lines = self._lines[path]
            for number in numbers:
                yield Hit(path, number, lines[number - 1].strip())
