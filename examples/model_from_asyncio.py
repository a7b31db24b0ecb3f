"""A model in a process of its own, fed from asyncio.

The model takes a while to load and keeps a CPU busy whenever it answers. Neither holds up the event loop here: the
model is started in a thread, questions are awaited like any other I/O, and a long answer arrives word by word. A
heartbeat counts how often the loop came round in the meantime.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter, defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING

import elsewhere

if TYPE_CHECKING:
    from collections.abc import Iterator


class Model:
    """Guesses the next word, from the words that follow each other in Python's language reference."""

    def __init__(self) -> None:
        from pydoc_data.topics import topics  # noqa: PLC0415 - only the process that holds the model needs it

        self.followers: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for word, follower in pairwise(" ".join(topics.values()).split()):
            self.followers[word][follower] += 1

    def next_word(self, word: str) -> str:
        """The most frequent follower."""
        return self.followers[word].most_common(1)[0][0]

    def write(self, word: str, length: int) -> Iterator[str]:
        """A text of `length` words that begins with `word`."""
        dice = random.Random(word)  # noqa: S311 - the same text each time
        for _ in range(length):
            yield word
            followers = self.followers[word]
            (word,) = dice.choices(list(followers), list(followers.values()))


async def main() -> None:
    """Load the model, ask it, let it write."""
    beats = Counter[str]()
    heartbeat = asyncio.create_task(beat(beats))
    model = await asyncio.to_thread(elsewhere.spawn, Model)
    print(f"the model is in process {elsewhere.host_of(model).pid}, the event loop in {os.getpid()}")

    words = ["import", "class", "for", "is", "the", "a"]
    answers = await asyncio.gather(*(elsewhere.submit(model.next_word, word) for word in words))
    for word, answer in zip(words, answers, strict=True):
        print(f"after {word!r} comes {answer!r}")

    print("it writes:", end="")
    async for word in elsewhere.stream(model.write, "The", 12):
        print(f" {word}", end="", flush=True)
    heartbeat.cancel()
    print(f"\nmeanwhile the event loop came round {beats['heart']} times")


async def beat(beats: Counter[str]) -> None:
    """Count the event loop's rounds, a millisecond apart."""
    while True:
        beats["heart"] += 1
        await asyncio.sleep(0.001)


if __name__ == "__main__":
    asyncio.run(main())
