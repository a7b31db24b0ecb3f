"""State that workers in several processes share.

The state is an object in a host of its own; the workers get its proxy as an argument and call it. A host runs one call
at a time, so a method is a transaction: no lock is needed. `state.count += 1` is two calls, one that reads and one that
writes, and other workers come in between. The program counts both ways.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import elsewhere

WORD = re.compile(r"[a-z]+")
LIBRARY = Path(re.__file__).parents[1]


class Tally:
    """What all workers know together."""

    def __init__(self) -> None:
        self.words = Counter[str]()
        self.files = 0
        self.files_by_assignment = 0

    def add(self, words: Counter[str]) -> None:
        """Take in the words of one file: one call, so nothing comes in between."""
        self.words.update(words)
        self.files += 1

    def most_common(self, number: int) -> list[tuple[str, int]]:
        """The most frequent words of all files."""
        return self.words.most_common(number)


class Reader:
    """One of the workers."""

    def read(self, paths: list[Path], tally: Tally) -> int:
        """Count the words of some files into the tally."""
        for path in paths:
            tally.add(Counter(WORD.findall(path.read_text(encoding="utf-8"))))
            tally.files_by_assignment += 1  # two calls
        return len(paths)


def main() -> None:
    """Three readers share the work and the tally."""
    paths = sorted(LIBRARY.glob("*.py"))
    tally = elsewhere.spawn(Tally)
    readers = [elsewhere.spawn(Reader) for _ in range(3)]
    shares = [elsewhere.submit(reader.read, paths[number::3], tally) for number, reader in enumerate(readers)]
    print("the readers read", " + ".join(str(share.result()) for share in shares), "=", len(paths), "files")
    print("the tally has", elsewhere.get(tally.files), "files, counted by a method")
    print("the tally has", elsewhere.get(tally.files_by_assignment), "files, counted by +=")
    print("the most frequent words are", ", ".join(word for word, _ in tally.most_common(5)))


if __name__ == "__main__":
    main()
