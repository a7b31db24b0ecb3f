"""Peers that speak the protocol by hand, and so can say what no client and no server of ours would."""

from __future__ import annotations

import contextlib
import hmac
import os
import pickle
import socket
import struct
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    import elsewhere

HEADER = struct.Struct("<IBBHQQII")
MAGIC = int.from_bytes(b"ELSEWHER", "little")
HELLO, CALL, REPLY, ERROR, CANCEL, RELEASE, ITEMS, CREDIT, PING, PONG, GOAWAY, CLOSE, FORGET = range(1, 14)
CHUNKS = 1
GREETING = b"ELSEAUT1" + bytes(24)
"""The client's first message, without the nonce at its end."""
NO_MEMORY = b"N"
"""What a client says after the proof that shares no memory."""
NO_TEXTS = b"\x80"
"""A map without entries: a hello that tells nothing."""


class Frame(NamedTuple):
    """What came."""

    kind: int
    id: int
    chain: int
    lane: int
    number: int
    body: bytes


def frame(
    kind: int,
    number_of_it: int = 0,
    body: bytes = b"",
    *,
    flags: int = 0,
    weight: int = 0,
    chain: int = 0,
    lane: int = 0,
    number: int = 0,
    length: int | None = None,
) -> bytes:
    """Give the bytes of a frame, which may announce another length than it has."""
    announced = len(body) if length is None else length
    return HEADER.pack(announced, kind, flags, weight, number_of_it, chain, lane, number) + body


def hello(version: int = 1, capabilities: int = CHUNKS) -> bytes:
    """Give a hello."""
    return frame(HELLO, MAGIC, NO_TEXTS, chain=capabilities, number=version)


def call(number: int, steps: bytes = b"", *, target: int = 0, count: int = 0, want: int = 0) -> bytes:
    """Give a call of the object `target`, with `count` steps."""
    return frame(CALL, number, struct.pack("<QIBBH", target, 0, want, 0, count) + steps, lane=1, number=number)


class Bomb:
    """Creates a file when it is unpickled."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> Any:
        return Path.touch, (self.place,)


def explosive(place: Path) -> bytes:
    """Give a value, as it stands in frames, that is a pickle of a bomb."""
    bomb = pickle.dumps(Bomb(place), protocol=5)
    return b"\xc7\x05\x09" + bytes(5) + b"\xc4" + bytes([len(bomb)]) + bomb


def explosive_call(place: Path) -> bytes:
    """Give the frames of a hello and a legal call, of `root` with a bomb, from one who has said nothing yet."""
    return hello() + call(1, b"\x00\xa4root" + b"\x02" + explosive(place), count=2)


def explosive_reply(place: Path) -> bytes:
    """Give the frame of a legal reply to the first call of a client."""
    return frame(REPLY, 1, explosive(place), lane=1)


def proof_of(role: bytes, key: bytes, of_server: bytes, of_client: bytes, name: bytes) -> bytes:
    """Give what one side proves that it has the key with."""
    text = b"elsewhere-auth-1" + role + of_server + of_client + bytes(17) + name
    return hmac.digest(key, text, "sha256")


class Stranger:
    """One end of a connection, on which nothing is said by itself."""

    def __init__(self, raw: socket.socket) -> None:
        self.raw = raw
        self.raw.settimeout(10)  # a test that waits longer has failed, and is to say where

    @classmethod
    def at(cls, place: object) -> Self:
        """Connect to a Unix socket or a port."""
        text = str(place)
        if not text.startswith("tcp://"):
            raw = socket.socket(socket.AF_UNIX)
            raw.connect(text)
            return cls(raw)
        host, _, port = text.removeprefix("tcp://").rpartition(":")
        return cls(socket.create_connection((host, int(port))))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.raw.close()

    def say(self, data: bytes) -> None:
        """Send all of it, or as much as the other side takes before it ends the connection."""
        try:
            self.raw.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def hear(self, count: int) -> bytes:
        """Read `count` bytes, fewer where the other side ends first."""
        heard = b""
        try:
            while len(heard) < count and (data := self.raw.recv(count - len(heard))):
                heard += data
        except ConnectionResetError:
            pass
        return heard

    def hear_all(self) -> bytes:
        """Read until the other side ends."""
        return self.hear(1 << 30)

    def prove(self, key: bytes, name: str, memory: bytes = NO_MEMORY) -> None:
        """Prove to the server `name` that this has the key, have it prove the same, and say whether there is memory."""
        nonce = os.urandom(32)
        self.raw.sendall(GREETING + nonce)
        answer = self.hear(40)
        assert answer.startswith(b"ELSEAUT1")
        self.raw.sendall(proof_of(b"C", key, answer[8:], nonce, name.encode()))
        assert self.hear(32) == proof_of(b"S", key, answer[8:], nonce, name.encode())
        self.raw.sendall(memory)

    def believe(self, key: bytes, name: str) -> None:
        """Do the same as the server `name`."""
        greeting = self.hear(64)
        nonce = os.urandom(32)
        self.raw.sendall(b"ELSEAUT1" + nonce)
        assert self.hear(32) == proof_of(b"C", key, nonce, greeting[32:], name.encode())
        self.raw.sendall(proof_of(b"S", key, nonce, greeting[32:], name.encode()))
        assert self.hear(1) == b"M"
        self.raw.sendall(b"R")

    def next_frame(self) -> Frame | None:
        """Read a frame; None at the end."""
        head = self.hear(HEADER.size)
        if len(head) < HEADER.size:
            return None
        length, kind, _, _, number_of_it, chain, lane, number = HEADER.unpack(head)
        return Frame(kind, number_of_it, chain, lane, number, self.hear(length))

    def frames(self) -> list[Frame]:
        """Read all frames until the other side ends."""
        found = []
        while (one := self.next_frame()) is not None:
            found.append(one)
        return found


def name_of(server: elsewhere.Server) -> str:
    """Give what a server at a Unix socket is called in proofs."""
    return Path(str(server.address)).name


def proven(server: elsewhere.Server, key: bytes) -> Stranger:
    """Give somebody who has the key, and has shown it."""
    stranger = Stranger.at(server.address)
    stranger.prove(key, name_of(server))
    return stranger


@contextlib.contextmanager
def served_by(place: Path, play: Callable[[Stranger], None]) -> Iterator[None]:
    """Be a server for one client, that does what the test wants."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place))
        listener.listen()

        def serve() -> None:
            raw, _ = listener.accept()
            with Stranger(raw) as stranger:
                play(stranger)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            thread.join()
