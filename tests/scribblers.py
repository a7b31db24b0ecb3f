"""A peer that writes at random into the memory of its connection while calls run."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
from pathlib import Path
from typing import Any

import elsewhere

PAGE = 4096
ANSWERS = 300
"""Calls of each victim."""
PATIENCE = 0.3
"""Seconds for a call whose frames may be anything by now."""
PARTS = {"words": (0, PAGE), "tables": (PAGE, 3 * PAGE), "rings": (3 * PAGE, 1 << 30), "all": (0, 1 << 30)}
"""Where control words lie, the free tables of the buffers, and behind those the recorder and both rings."""


def channels() -> set[tuple[int, int]]:
    """Begin and end of the memory of each connection of this process, as long as no large value has come by any."""
    lines = [line.split() for line in Path("/proc/self/maps").read_text().splitlines()]
    spans = [line[0].split("-") for line in lines if line[-2:] == ["/memfd:elsewhere", "(deleted)"]]
    return {(int(begin, 16), int(end, 16)) for begin, end in spans}


class Scribble:
    """Writes into a part of a connection's memory until the end of its block, from a thread of its own."""

    def __init__(self, span: tuple[int, int], part: str, seed: int) -> None:
        begin, end = span
        low, high = PARTS[part]
        self.places = range(begin + low, min(end, begin + high) - 8, 8)
        self.random = random.Random(seed)
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=self.go_on, daemon=True)

    def __enter__(self) -> None:
        self.thread.start()

    def __exit__(self, *_: object) -> None:
        self.is_over.set()
        self.thread.join()

    def go_on(self) -> None:
        memory = os.open("/proc/self/mem", os.O_RDWR)
        while not self.is_over.is_set():
            for _ in range(self.random.choice((1, 10, 100))):
                place = self.random.choice(self.places)
                was = int.from_bytes(os.pread(memory, 8, place), "little")
                wanted = (self.random.getrandbits(64), 0, (1 << 64) - 1, was + self.random.randrange(-64, 64))
                os.pwrite(memory, (self.random.choice(wanted) % (1 << 64)).to_bytes(8, "little"), place)
            self.is_over.wait(self.random.choice((0, 0.0001, 0.001)))
        os.close(memory)


class Scribbler:
    """Lives in a host and scribbles there; or starts one, and scribbles here."""

    def __init__(self) -> None:
        self.channels = channels()
        self.scribble: Scribble | None = None

    def begin(self, part: str, seed: int) -> None:
        (span,) = self.channels
        Scribble(span, part, seed).thread.start()  # until the host ends

    def echo(self, value: Any) -> Any:
        return value

    def torment(self, part: str, seeds: range) -> list[str]:
        """What calls of hosts end with into whose connections their owner scribbles."""
        ends = []
        for seed in seeds:
            before = channels()
            with elsewhere.Host(start="exec") as host:
                (span,) = channels() - before
                peer = elsewhere.options(host.spawn(Scribbler), timeout=PATIENCE)
                with Scribble(span, part, seed):
                    ends += ends_of_calls(peer, seed)
                host.kill()
        return ends


def torment_me(part: str, seeds: range) -> list[str]:
    """What calls of hosts end with that scribble into their connections, while another host answers."""
    ends = []
    with elsewhere.Host(start="exec") as other:
        quiet = other.spawn(Scribbler)

        def ask() -> None:
            assert quiet.echo(len(ends)) == len(ends)

        for seed in seeds:
            with elsewhere.Host(start="exec") as host:
                peer = elsewhere.options(host.spawn(Scribbler), timeout=PATIENCE)
                with contextlib.suppress(elsewhere.ElsewhereError):
                    peer.begin(part, seed)
                ends += ends_of_calls(peer, seed, ask)
                host.kill()
    return ends


def ends_of_calls(peer: Any, seed: int, between: Any = lambda: None) -> list[str]:
    """How calls ended: "answer", or the name of an exception; a peer that falls over its own feet is raised."""
    sizes = random.Random(~seed)
    ends: list[str] = []
    for number in range(ANSWERS):
        value = [number, sizes.randbytes(sizes.choice((0, 100, 60_000, 100_000)))]
        try:
            peer.echo(value)
            ends.append("answer")
        except elsewhere.HostDied as error:
            if error.signal not in {None, signal.SIGKILL} or "panicked" in error.stderr_tail:
                raise
            ends.append("HostDied")
        except Exception as error:  # it may have been made to call another method, or of other arguments
            ends.append(type(error).__name__)
        between()
        if ends[-5:] == 5 * ["CallTimeout"] or ends[-2:] in (2 * ["HostDied"], 2 * ["ConnectionLost"]):
            break
    return ends
