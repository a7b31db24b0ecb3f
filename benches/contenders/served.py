"""An object that another process serves, and by hand what its bytes need: a loop over plain sockets.

Owns: the connections to both, over TCP and over Unix sockets. Must not know: what is measured.
"""

from __future__ import annotations

import secrets
import socket
import tempfile
from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

import elsewhere
from contenders import socket_server
from contenders.contender import Contender
from contenders.pipe import PipeLoop
from rows import OURS
from targets import Target

if TYPE_CHECKING:
    from contenders.contender import Bytes
    from measure import Operation

LOCALHOST = "127.0.0.1"
REQUEST, ANSWER = 64, 40
"""Bytes of the plain loop's messages: what a small call of ours and its answer take, encrypted or not."""


class Served(Contender):
    """An object served in another process."""

    name = OURS
    place: ClassVar[str | None]

    def __init__(self) -> None:
        key = secrets.token_bytes(32)
        self._loop = PipeLoop(socket_server.serve_target, "spawn", self.place, key)
        self.target = elsewhere.connect(self._loop.connection.recv(), Target, authkey=key)

    def close(self) -> None:
        elsewhere.close(self.target)
        self._loop.close()

    @property
    def pids(self) -> list[int]:
        return [self._loop.pid]

    def call(self) -> Operation:
        target = self.target
        return lambda: target.add(1)

    def take(self, array: Bytes) -> Operation:
        target = self.target
        return lambda: target.take(array)

    def echo(self, array: Bytes) -> Operation:
        target = self.target
        return lambda: target.echo(array)


class ServedOverTcp(Served):
    """At a port of this machine, encrypted."""

    note = "an object served at a port, encrypted by Noise"
    place = f"{LOCALHOST}:0"


class ServedOverUnix(Served):
    """At a Unix socket."""

    note = "an object served at a Unix socket"
    place = None


class Loop(Contender):
    """So many bytes there, so many back: blocking sockets, `sendall` and `recv_into`, nothing else."""

    family: ClassVar[int]

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self._loop = PipeLoop(socket_server.serve_plain, "spawn", self.family, self._place(self._directory.name))
        self._address = self._loop.connection.recv()
        self._sockets: list[socket.socket] = []

    @abstractmethod
    def _place(self, directory: str) -> str:
        """Where to listen."""

    def close(self) -> None:
        for connected in self._sockets:
            connected.close()
        self._loop.close()
        self._directory.cleanup()

    @property
    def pids(self) -> list[int]:
        return [self._loop.pid]

    def call(self) -> Operation:
        return self._trip(bytes(REQUEST), ANSWER)

    def take(self, array: Bytes) -> Operation:
        return self._trip(array.data, ANSWER)

    def echo(self, array: Bytes) -> Operation:
        return self._trip(array.data, array.nbytes)

    def _trip(self, request: memoryview | bytes, answer_len: int) -> Operation:
        connected = socket.socket(self.family)
        self._sockets.append(connected)
        connected.connect(self._address)
        socket_server.at_once(connected, self.family)
        connected.sendall(len(request).to_bytes(8, "little") + answer_len.to_bytes(8, "little"))
        answer = memoryview(bytearray(answer_len))

        def trip() -> object:
            connected.sendall(request)
            return socket_server.receive(connected, answer)

        return trip


class TcpLoop(Loop):
    """Over a port of this machine, in the clear."""

    name = "TCP loop"
    note = "as many bytes there and back by hand: blocking sockets, sendall and recv_into, in the clear"
    family = socket.AF_INET

    def _place(self, directory: str) -> str:  # noqa: ARG002 - a port needs none
        return LOCALHOST


class UnixLoop(Loop):
    """Over a Unix socket."""

    name = "Unix loop"
    note = "the same over a Unix socket"
    family = socket.AF_UNIX

    def _place(self, directory: str) -> str:
        return f"{directory}/loop"
