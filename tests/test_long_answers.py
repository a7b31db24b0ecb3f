"""Answers that are longer than what the stream takes at a time, and what comes behind them."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

import elsewhere
from elsewhere import options, post, submit
from workers import Pipe, be_told, tell

if TYPE_CHECKING:
    from pathlib import Path

LONG = 2000
"""Lines, of a kilobyte each."""

pytestmark = pytest.mark.usefixtures("shares")


class Writer:
    def lines(self, count: int) -> list[str]:
        return ["-" * 1000] * count

    def lines_later(self, count: int, begun: str, go: str) -> list[str]:
        tell(begun)
        be_told(go)
        return self.lines(count)

    def tell(self, path: str) -> None:
        tell(path)

    def serve(self) -> str:
        self.server = elsewhere.serve(Writer()).start()
        return str(self.server.address)

    def die(self, path: str) -> None:
        with open(path, "w"):
            os.kill(os.getpid(), signal.SIGKILL)


def die_behind_a_long_answer(writer, path: Path, error: type[elsewhere.ElsewhereError]) -> None:
    """It comes, and the call that brought the death is not taken for one that never began."""
    long = submit(writer.lines, LONG)

    with pytest.raises(error) as caught:
        writer.die(str(path))

    assert path.exists()
    assert caught.value.outcome == "unknown"
    assert len(long.result()) == LONG


@pytest.mark.parametrize("concurrency", ["serial", "async", 1])
def test_answer_before_a_death_comes_and_what_brought_the_death_may_have_run(concurrency, tmp_path: Path):
    for number in range(5):
        with elsewhere.Host(concurrency=concurrency, start="exec") as host:
            writer = host.spawn(Writer)
            die_behind_a_long_answer(writer, tmp_path / f"died {number}", elsewhere.HostDied)


def test_the_same_of_who_is_served(tmp_path: Path):
    for number in range(5):
        with elsewhere.Host(start="exec") as host:
            writer = elsewhere.connect(host.spawn(Writer).serve())
            die_behind_a_long_answer(writer, tmp_path / f"died {number}", elsewhere.ConnectionLost)


def keep_it(writer, begun: Pipe, go: Pipe):
    future = submit(writer.lines_later, LONG, begun.path, go.path)
    begun.wait()
    tell(go.path)
    return future


def drop_it(writer, begun: Pipe, go: Pipe) -> None:
    keep_it(writer, begun, go)


def cancel_it(writer, begun: Pipe, go: Pipe) -> None:
    future = submit(writer.lines_later, LONG, begun.path, go.path)
    begun.wait()
    future.cancel()
    tell(go.path)


def give_it_up(writer, begun: Pipe, go: Pipe) -> None:
    with pytest.raises(elsewhere.CallTimeout):
        options(writer, timeout=0.05).lines_later(LONG, begun.path, go.path)
    begun.wait()
    tell(go.path)


def leave_items(writer, begun: Pipe, go: Pipe):
    items = elsewhere.stream(writer.lines_later, LONG, begun.path, go.path)
    begun.wait()
    tell(go.path)
    return items


@pytest.mark.parametrize("way", [keep_it, drop_it, cancel_it, give_it_up, leave_items])
def test_post_runs_behind_a_long_answer_that_nobody_reads(way, tmp_path: Path):
    begun, go, told = (Pipe(tmp_path, name) for name in ("begun", "go", "told"))
    with elsewhere.Host(start="exec") as host:
        writer = host.spawn(Writer)

        kept = way(writer, begun, go)
        post(writer.tell, told.path)

        told.wait()
        assert len(writer.lines(LONG)) == LONG
    del kept
