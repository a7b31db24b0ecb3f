"""What peers say that no peer of ours would, before and after they have proven themselves."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import struct
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import elsewhere
from kennel import Dog, error_of
from strangers import (
    CALL,
    CANCEL,
    CHUNKS,
    CLOSE,
    CREDIT,
    ERROR,
    FORGET,
    GOAWAY,
    GREETING,
    HELLO,
    ITEMS,
    MAGIC,
    NO_TEXTS,
    PONG,
    RELEASE,
    REPLY,
    Stranger,
    call,
    frame,
    hello,
    name_of,
    proof_of,
    proven,
    served_by,
)
from visitors import KEY

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def server() -> Iterator[elsewhere.Server]:
    with elsewhere.serve(Dog("rex"), authkey=KEY) as server:
        yield server


@pytest.fixture
def place(tmp_path: Path) -> Path:
    tmp_path.chmod(0o700)
    return tmp_path / "socket"


def test_peer_that_follows_the_rules_by_hand_is_answered(server):
    with proven(server, KEY) as peer:
        peer.say(hello() + call(1))
        first, answer = peer.next_frame(), peer.next_frame()

    assert first is not None
    assert (first.kind, first.id, first.number) == (HELLO, MAGIC, 1)
    assert answer is not None
    assert (answer.kind, answer.id) == (REPLY, 1)


def test_version_that_differs_is_told_by_both_numbers(server):
    with proven(server, KEY) as peer:
        peer.say(hello(version=7))
        last = peer.frames()[-1]

    assert last.kind == GOAWAY
    assert last.body == b"the peer speaks protocol version 7, this side speaks version 1"


def test_server_of_another_version_is_an_error_that_names_both(place):
    def play(peer: Stranger) -> None:
        peer.believe(KEY, place.name)
        peer.say(hello(version=9))
        peer.hear_all()

    with served_by(place, play):
        error = error_of(lambda: elsewhere.connect(place, authkey=KEY))

    assert isinstance(error, elsewhere.ProtocolError)
    assert "version 9" in str(error)
    assert "version 1" in str(error)
    assert error.outcome == "not_started"


def test_server_that_lacks_what_is_needed_is_an_error_that_names_it(place):
    def play(peer: Stranger) -> None:
        peer.believe(KEY, place.name)
        peer.say(hello(capabilities=0))
        peer.hear_all()

    with served_by(place, play):
        error = error_of(lambda: elsewhere.connect(place, authkey=KEY))

    assert isinstance(error, elsewhere.ProtocolError)
    assert "CHUNKS" in str(error)


HEAD_OF_A_CALL = struct.pack("<QIBBH", 0, 0, 0, 0, 0)
ENTRY = struct.pack("<QI", 12345, 1)
FORBIDDEN = {
    "an unknown kind": frame(99),
    "kind 0": frame(0),
    "a reserved flag": frame(CALL, 1, HEAD_OF_A_CALL, flags=2),
    "memory that nobody has": frame(RELEASE, 0, ENTRY, number=1, weight=1),
    "a second hello": hello(),
    "a call without its head": frame(CALL, 1, b"short"),
    "a call that wants what there is not": call(1, want=9),
    "call 0": call(0),
    "a call number twice": call(1025) + call(1),
    "a reply to no call": frame(REPLY, 77, b"\xc0"),
    "items of no call": frame(ITEMS, 77, b"\xc0", number=1),
    "credit of no call": frame(CREDIT, 77, number=1),
    "credit beyond counting": call(1, want=4) + 2 * frame(CREDIT, 1, number=(1 << 32) - 1),
    "posts that were not made": frame(CREDIT, 0, number=1),
    "a cancel of no call": frame(CANCEL, 77),
    "a release of what was not given": frame(RELEASE, 0, ENTRY, number=1),
    "a release of nothing": frame(RELEASE, 0, b"", number=0),
    "a release of another length": frame(RELEASE, 0, ENTRY[:-1], number=1),
    "a forget of what was not shared": frame(FORGET, 0, ENTRY, number=1),
    "a pong that nobody asked for": frame(PONG, 1),
    "a call after the close": frame(CLOSE) + call(1),
    "two closes": 2 * frame(CLOSE),
    "a frame that is too long": frame(CALL, 1, length=262_145),
    "a length of 2**32 - 1": frame(REPLY, 1, length=(1 << 32) - 1),
    "numbers of 2**63": frame(REPLY, 1 << 63, b"\xc0", chain=1 << 63),
    "no text": frame(GOAWAY, 0, b"\xff\xfe"),
}


@pytest.mark.parametrize("kind", FORBIDDEN)
def test_frame_that_is_forbidden_ends_its_connection_alone(server, kind):
    with proven(server, KEY) as other, proven(server, KEY) as peer:
        other.say(hello())
        other.next_frame()
        peer.say(hello() + FORBIDDEN[kind])
        said = peer.frames()
        other.say(call(1))
        answer = other.next_frame()

    assert said[0].kind == HELLO
    assert said[-1].kind == GOAWAY
    assert said[-1].number != 0, "it went away without a reason"
    assert answer is not None
    assert (answer.kind, answer.id) == (REPLY, 1)


def test_object_that_was_not_given_is_not_there(server):
    with proven(server, KEY) as peer:
        peer.say(hello() + call(1, target=12345) + call(2, target=(1 << 64) - 1) + call(3))
        answers = [peer.next_frame() for _ in range(4)][1:]

    assert [answer.kind == REPLY for answer in answers if answer is not None] == [False, False, True]


def test_object_that_was_given_to_another_peer_is_not_there(server):
    """Ids are of one connection: the same number is nothing, or something else, on every other."""
    with proven(server, KEY) as one, proven(server, KEY) as other:
        one.say(hello() + call(1, want=2))
        other.say(hello())
        assert [frame.kind for frame in (one.next_frame(), other.next_frame()) if frame] == [HELLO, HELLO]
        given = one.next_frame()
        assert given is not None
        assert given.kind == REPLY
        found = given.body.index(b"\x08") + 2
        identity = int.from_bytes(given.body[found : found + 8], "little")
        one.say(call(2, target=identity))
        other.say(call(1, target=identity) + call(2))
        answers = [one.next_frame(), other.next_frame(), other.next_frame()]

    assert [answer.kind == REPLY for answer in answers if answer is not None] == [True, False, True]


@pytest.mark.parametrize("kind", FORBIDDEN)
def test_frame_that_is_forbidden_ends_the_connection_of_a_client_alone(place, process_host, kind):
    def play(peer: Stranger) -> None:
        peer.believe(KEY, place.name)
        peer.next_frame()
        peer.say(hello())
        peer.next_frame()
        peer.say(FORBIDDEN[kind])
        peer.hear_all()

    with served_by(place, play):
        error = error_of(lambda: elsewhere.connect(place, authkey=KEY).bark())

    assert isinstance(error, elsewhere.ProtocolError), error
    assert process_host.run(pow, 2, 5) == 32


NONSENSE = {
    "nothing": b"",
    "what no value begins with": b"\xc1",
    "a text that is cut": b"\xa5ab",
    "a text of 4 GiB": b"\xdb" + b"\xff" * 4,
    "bytes of 4 GiB": b"\xc6" + b"\xff" * 4,
    "a list of 4 G": b"\xdd" + b"\xff" * 4,
    "a dict of 4 G": b"\xdf" + b"\xff" * 4,
    "lists in lists": b"\x91" * 100_000 + b"\xc0",
    "a kind that there is not": b"\xc7\x01\x63\x00",
    "a text that is none": b"\xa2\xff\xfe",
    "an object that was not given": b"\xc7\x0e\x08\x01" + b"\x07" * 13,
    "a pickle that is none": b"\xc7\x05\x09" + bytes(5) + b"\xc4\x02\x80\x63",
}


@pytest.mark.parametrize("answer", [REPLY, ERROR])
@pytest.mark.parametrize("kind", NONSENSE)
def test_answer_that_means_nothing_is_an_error_of_its_call(place, process_host, kind, answer):
    def play(peer: Stranger) -> None:
        peer.believe(KEY, place.name)
        peer.next_frame()
        peer.say(hello())
        peer.next_frame()
        peer.say(frame(answer, 1, NONSENSE[kind], lane=1))
        peer.hear_all()

    with served_by(place, play):
        error = error_of(lambda: elsewhere.connect(place, authkey=KEY))

    assert isinstance(error, (elsewhere.ProtocolError, elsewhere.ResultError))
    assert error.outcome == "finished"
    assert process_host.run(pow, 2, 5) == 32


def test_late_cancel_and_credit_are_legal_races(server):
    with proven(server, KEY) as peer:
        peer.say(hello() + call(1))
        peer.next_frame()
        peer.next_frame()
        peer.say(frame(CANCEL, 1) + frame(CREDIT, 1, number=5) + call(2))
        answer = peer.next_frame()

    assert answer is not None
    assert (answer.kind, answer.id) == (REPLY, 2)


def test_server_that_answers_what_was_not_asked_is_left_with_an_error(place):
    def play(peer: Stranger) -> None:
        peer.believe(KEY, place.name)
        peer.say(hello() + frame(REPLY, 4711, b"\xc0"))
        peer.hear_all()

    with served_by(place, play):
        error = error_of(lambda: elsewhere.connect(place, authkey=KEY).bark())

    assert isinstance(error, elsewhere.ProtocolError)


def test_whoever_is_proven_and_offers_no_memory_but_something_else_is_cut_off(server):
    with Stranger.at(server.address) as peer:
        peer.prove(KEY, name_of(server), memory=b"?" + hello() + call(1))

        assert peer.hear_all() == b""


def test_whoever_is_proven_and_says_no_more_has_no_connection(server):
    before = server.stats()["connections"]
    with Stranger.at(server.address) as peer:
        peer.prove(KEY, name_of(server), memory=b"")
        with proven(server, KEY) as other:
            other.say(hello() + call(1))
            assert [frame.kind for frame in (other.next_frame(), other.next_frame()) if frame] == [HELLO, REPLY]

            assert server.stats()["half_open"] == 1
            assert server.stats()["connections"] == before + 1


@pytest.mark.parametrize("kind", ["no descriptor", "a file", "memory that may shrink", "memory of another size"])
def test_memory_that_is_not_as_it_must_be_is_refused_and_the_socket_used(server, kind):
    with Stranger.at(server.address) as peer, contextlib.ExitStack() as stack:
        offered = []
        if kind == "a file":
            offered = [stack.enter_context(Path(__file__).open("rb")).fileno()]
        elif kind != "no descriptor":
            memory = os.memfd_create("offered", os.MFD_ALLOW_SEALING)
            stack.callback(os.close, memory)
            os.truncate(memory, 1 << 20)
            if kind == "memory of another size":
                fcntl.fcntl(memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
            offered = [memory]
        peer.prove(KEY, name_of(server), memory=b"")
        socket.send_fds(peer.raw, [b"M"], offered)

        assert peer.hear(1) == b"R"
        peer.say(hello() + call(1))
        assert [frame.kind for frame in (peer.next_frame(), peer.next_frame()) if frame] == [HELLO, REPLY]


def test_recorded_proof_is_worth_nothing(server):
    nonce = os.urandom(32)
    with Stranger.at(server.address) as recorded:
        recorded.say(GREETING + nonce)
        proof = proof_of(b"C", KEY, recorded.hear(40)[8:], nonce, name_of(server).encode())
        recorded.say(proof)
        assert len(recorded.hear(32)) == 32

    with Stranger.at(server.address) as replay:
        replay.say(GREETING + nonce + proof + hello() + call(1))
        said = replay.hear_all()

    assert len(said) == 40


def test_recorded_server_is_not_believed(server, place):
    """Who plays back what a server once said, and has no key, cannot prove a nonce that it never saw."""
    nonce = os.urandom(32)
    with Stranger.at(server.address) as recorder:
        recorder.say(GREETING + nonce)
        answer = recorder.hear(40)
        recorder.say(proof_of(b"C", KEY, answer[8:], nonce, name_of(server).encode()))
        proof = recorder.hear(32)

    def play(peer: Stranger) -> None:
        peer.hear(64)
        peer.say(answer)
        peer.hear(32)
        peer.say(proof + hello())
        peer.hear_all()

    with served_by(place, play):
        error = error_of(lambda: elsewhere.connect(place, authkey=KEY))

    assert isinstance(error, elsewhere.AuthenticationError)


def let_in(peer: Stranger) -> bytes:
    """What a server does with who comes, up to the proof that it awaits then. Gives the nonce that it shows."""
    peer.hear(64)
    nonce = os.urandom(32)
    peer.say(b"ELSEAUT1" + nonce)
    return nonce


WAYS_TO_GO = {
    "before it reads": (lambda peer: None, elsewhere.ConnectionLost),
    "before it answers": (lambda peer: peer.hear(64), elsewhere.ConnectionLost),
    "before it reads the proof": (
        lambda peer: (let_in(peer), peer.raw.recv(1, socket.MSG_PEEK)),
        elsewhere.ConnectionLost,
    ),
    "because of the proof": (lambda peer: (let_in(peer), peer.hear(32)), elsewhere.AuthenticationError),
}


@pytest.mark.parametrize("key", [None, KEY], ids=["without a key", "with a key"])
@pytest.mark.parametrize("way", WAYS_TO_GO)
def test_server_that_goes_is_lost_and_one_that_has_read_the_proof_has_refused(place, way, key):
    play, kind = WAYS_TO_GO[way]

    with served_by(place, play):
        error = error_of(lambda: elsewhere.connect(place, authkey=key))

    assert type(error) is kind
    assert error.outcome == "not_started"


def test_server_that_reflects_is_not_believed(place):
    """It shows the client its own nonce, and then the client's own proof."""

    def play(peer: Stranger) -> None:
        greeting = peer.hear(64)
        peer.say(b"ELSEAUT1" + greeting[32:])
        peer.say(peer.hear(32))
        peer.hear_all()

    with served_by(place, play):
        error = error_of(lambda: elsewhere.connect(place, authkey=KEY))

    assert isinstance(error, elsewhere.AuthenticationError)


def test_server_connected_to_itself_lets_nobody_in(server):
    """Two connections to one server, each given what the other was told: neither gets anywhere."""
    with Stranger.at(server.address) as one, Stranger.at(server.address) as other:
        one.say(GREETING + os.urandom(32))
        nonce = one.hear(40)[8:]
        other.say(GREETING + nonce)
        one.say(other.hear(40)[8:])
        said = one.hear_all()
        other.say(nonce)

        assert said + other.hear_all() == b""


def test_proof_for_one_server_is_none_for_another_with_the_same_key(server):
    """Somebody between passes on to one server what a client meant for another."""
    with elsewhere.serve([], authkey=KEY) as second, Stranger.at(second.address) as between:
        nonce = os.urandom(32)
        between.say(GREETING + nonce)
        answer = between.hear(40)
        between.say(proof_of(b"C", KEY, answer[8:], nonce, name_of(server).encode()))

        assert between.hear_all() == b""


SLOW = {
    "silent": b"",
    "in the greeting": GREETING[:30],
    "behind the greeting": GREETING + bytes(32),
    "in the proof": GREETING + bytes(32) + bytes(20),
}
SLOW_AT_A_PORT = {
    "silent": b"",
    "in the opening": b"ELSENOI1" + bytes(30),
}


@pytest.mark.slow
def test_strangers_are_cut_off_at_every_stage_however_they_drip(server):
    """All at once: each has said a part, and goes on by a byte at a time where that keeps a reader waiting."""
    with contextlib.ExitStack() as stack:
        port = stack.enter_context(elsewhere.serve([], "127.0.0.1:0", authkey=KEY))
        places = [(server.address, SLOW), (port.address, SLOW_AT_A_PORT)]
        strangers = [
            (kind, said, stack.enter_context(Stranger.at(address)))
            for address, stages in places
            for kind, said in stages.items()
        ]
        for _, said, stranger in strangers:
            stranger.say(said)
        began = time.monotonic()
        left = dict.fromkeys(range(len(strangers)), 0)
        while left:
            for at in list(left):
                kind, said, stranger = strangers[at]
                stranger.raw.settimeout(0.05)
                try:
                    heard = stranger.raw.recv(100)
                    if heard == b"":
                        del left[at]
                    continue
                except TimeoutError:
                    pass
                except ConnectionResetError:
                    del left[at]
                    continue
                if kind.startswith("in ") and left[at] < 8 and left[at] < time.monotonic() - began:
                    left[at] += 1
                    stranger.say(b"\0")
        took = time.monotonic() - began

    assert took > 4, "they were cut off before their time"


def test_server_that_drips_is_given_up_in_time(place):
    over = threading.Event()

    def play(peer: Stranger) -> None:
        peer.hear(64)
        for byte in b"ELSEAUT1" + bytes(31):
            peer.say(bytes([byte]))
            if over.wait(0.05):
                return

    with served_by(place, play):
        try:
            error = error_of(lambda: elsewhere.connect(place, authkey=KEY, timeout=0.2))
        finally:
            over.set()

    assert isinstance(error, elsewhere.CallTimeout)


def test_hello_with_unknown_texts_and_bits_is_understood(server):
    with proven(server, KEY) as peer:
        peer.say(frame(HELLO, MAGIC, b"\x81\xa3new\x01", chain=CHUNKS | 1 << 40, number=1) + call(1))
        kinds = [one.kind for one in (peer.next_frame(), peer.next_frame()) if one is not None]

    assert kinds == [HELLO, REPLY]


def test_first_frame_that_is_no_hello_ends_the_connection(server):
    with proven(server, KEY) as peer:
        peer.say(call(1) + NO_TEXTS)
        last = peer.frames()[-1]

    assert last.kind == GOAWAY
    assert b"hello" in last.body
