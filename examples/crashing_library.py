"""A C library that crashes, and is started again.

`strlen(NULL)` is a segmentation fault: no `try` can catch it, and in this process it would be the end. In a host of its
own it ends that host. Each call then says what is known of it: the one that was running may be to blame and is left
out; those after it did not start, so they go to a new host.
"""

from __future__ import annotations

import ctypes
import signal
from typing import TYPE_CHECKING

import elsewhere

if TYPE_CHECKING:
    from collections.abc import Iterable

TEXTS = (b"wolf", b"sheep", None, b"cabbage", None, b"ferryman")


class Library:
    """The C library, used without care."""

    def __init__(self) -> None:
        self.libc = ctypes.CDLL(None)

    def length(self, text: bytes | None) -> int:
        """Call `strlen`, which believes every pointer."""
        return int(self.libc.strlen(text))


def lengths_of(texts: Iterable[bytes | None]) -> dict[bytes | None, int]:
    """The length of every text that has one, with as many hosts as it takes."""
    lengths: dict[bytes | None, int] = {}
    waiting = list(texts)
    while waiting:
        library = elsewhere.spawn(Library)
        print(f"started the library in {elsewhere.host_of(library)} for {len(waiting)} texts")
        left = list[bytes | None]()
        for text in waiting:
            try:
                lengths[text] = library.length(text)
            except elsewhere.HostDied as death:
                if death.outcome == "not_started":
                    left.append(text)
                else:
                    print(f"  {text!r} ended it: {signal.Signals(death.signal or 0).name}")
        waiting = left
    return lengths


if __name__ == "__main__":
    for text, length in lengths_of(TEXTS).items():
        print(f"{text!r} has {length} characters")
