"""Pickles of who has proven nothing: whenever they come, on either side and over every way, nobody reads them.

Each stands in a frame of which a test shows that it is dangerous: its receiver unpickles it once its sender is proven.
"""

from __future__ import annotations

import contextlib
import os
import socket
from typing import TYPE_CHECKING

import pytest

import elsewhere
from chaos import DOWN, UP, Between
from kennel import Dog
from ledgers import Ledger, connect, serve
from strangers import (
    GREETING,
    NO_MEMORY,
    Stranger,
    explosive_call,
    explosive_reply,
    hello,
    name_of,
    proof_of,
    proven,
    served_by,
)
from visitors import KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

OPENING, ANSWER = 80, 48
"""The lengths of the first messages of both sides at a port."""
REFUSED = (elsewhere.AuthenticationError, elsewhere.ConnectionLost, elsewhere.ProtocolError)


@pytest.fixture
def exploded(tmp_path: Path) -> Path:
    """The file that is created by who reads one of them."""
    return tmp_path / "exploded"


@pytest.fixture
def server() -> Iterator[elsewhere.Server]:
    with elsewhere.serve(Dog("rex"), authkey=KEY) as server:
        yield server


@pytest.fixture
def port(ledger: Ledger) -> Iterator[elsewhere.Server]:
    with serve(ledger) as server:
        yield server


def as_record(frame: bytes) -> bytes:
    """The frame where an encrypted one of that length would stand."""
    return len(frame).to_bytes(2, "big") + frame


def test_frames_are_dangerous_of_who_is_proven(server, exploded, tmp_path):
    def play(peer: Stranger) -> None:
        peer.believe(KEY, "place")
        peer.next_frame()
        peer.say(hello())
        peer.next_frame()
        peer.say(explosive_reply(exploded))
        peer.hear_all()

    with proven(server, KEY) as peer:
        peer.say(explosive_call(exploded))
        peer.next_frame()
        peer.next_frame()
        assert exploded.exists(), "the server has not read it"

    exploded.unlink()
    tmp_path.chmod(0o700)
    with served_by(tmp_path / "place", play), contextlib.suppress(elsewhere.ElsewhereError):
        elsewhere.connect(tmp_path / "place", authkey=KEY)
    assert exploded.exists(), "the client has not read it"


def test_server_reads_none_at_any_stage_of_the_proof(server, exploded):
    nonce = os.urandom(32)
    said = GREETING + nonce + bytes(32)
    for at in range(len(said) + 1):
        with Stranger.at(server.address) as stranger:
            stranger.say(said[:at] + explosive_call(exploded))
            stranger.raw.shutdown(socket.SHUT_WR)

            assert len(stranger.hear_all()) <= 40, "the server said more than its nonce"

    assert not exploded.exists()


def test_recorded_session_is_not_run_again(server, exploded):
    """With all that a good client said: its nonce, the proof for that of the server, and a call."""
    nonce = os.urandom(32)
    with Stranger.at(server.address) as good:
        good.say(GREETING + nonce)
        proof = proof_of(b"C", KEY, good.hear(40)[8:], nonce, name_of(server).encode())
        said = GREETING + nonce + proof + NO_MEMORY + explosive_call(exploded)
        good.say(said[64:])
        assert len(good.hear(32)) == 32
        good.next_frame()
        good.next_frame()
    assert exploded.exists()
    exploded.unlink()

    for pieces in ([said], [said[:64], said[64:]]):
        with Stranger.at(server.address) as replay:
            for piece in pieces:
                replay.say(piece)

            assert len(replay.hear_all()) <= 40, "the server said more than its nonce"

    assert not exploded.exists()


STAGES: dict[str, Callable[[Stranger], object]] = {
    "at once": lambda peer: None,
    "for the nonce": lambda peer: peer.hear(64),
    "behind the nonce": lambda peer: (peer.hear(64), peer.say(b"ELSEAUT1" + bytes(32))),
    "for the proof": lambda peer: (peer.hear(64), peer.say(b"ELSEAUT1" + bytes(32)), peer.hear(32)),
    "behind a wrong proof": lambda peer: (
        peer.hear(64),
        peer.say(b"ELSEAUT1" + bytes(32)),
        peer.hear(32),
        peer.say(bytes(32)),
    ),
}


@pytest.mark.parametrize("stage", STAGES)
def test_client_reads_none_at_any_stage_of_the_proof(exploded, tmp_path, stage):
    def play(peer: Stranger) -> None:
        STAGES[stage](peer)
        peer.say(hello() + explosive_reply(exploded))
        peer.hear_all()

    tmp_path.chmod(0o700)
    with served_by(tmp_path / "place", play), pytest.raises(REFUSED):
        elsewhere.connect(tmp_path / "place", authkey=KEY)

    assert not exploded.exists()


@pytest.mark.parametrize("form", [bytes, as_record])
def test_port_reads_none_behind_any_part_of_what_somebody_else_said(port, exploded, form):
    with Between(port.address) as between:
        connect(between).back("value")
        said = bytes(between.seen[UP])

    for at in range(len(said) + 1):
        with Stranger.at(port.address) as stranger:
            stranger.say(said[:at] + form(explosive_call(exploded)))
            with contextlib.suppress(OSError):
                stranger.raw.shutdown(socket.SHUT_WR)

            assert len(stranger.hear_all()) <= ANSWER

    assert len(said) > OPENING
    assert not exploded.exists()
    with Between(port.address) as between:
        assert connect(between).back("value") == "value"


@pytest.mark.parametrize("form", [bytes, as_record])
@pytest.mark.parametrize("direction", [UP, DOWN])
def test_none_is_read_that_is_slipped_into_the_stream_between_two_machines(port, exploded, direction, form):
    with Between(port.address) as between:
        connect(between).back("value")
        length = len(between.seen[direction])
    frames = explosive_call(exploded) if direction == UP else hello() + explosive_reply(exploded)

    refused = 0
    for at in range(length):
        with Between(port.address, direction, slip=(at, form(frames))) as between:
            try:
                ledger = elsewhere.connect(between.address, Ledger, authkey=KEY, timeout=0.5)
                assert elsewhere.options(ledger, timeout=0.5).back("value") == "value"
            except elsewhere.ElsewhereError:
                refused += 1  # only what came after the value may have had anything slipped in without that

    assert refused > length // 2
    assert not exploded.exists()
