"""Somebody between a client and a server who listens, changes and cuts."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

UP, DOWN = "to the server", "to the client"


class Between:
    """Passes each connection on to the server at `address`, and does what it is told to the bytes of one direction.

    `cut` ends the connection behind that byte of the direction, `flip` changes one bit of that byte, `slip` says before
    it what nobody said, and `hold` passes nothing on behind it before `resume` is set; `is_held` says that it came so
    far. What went through is in `seen`.
    """

    def __init__(
        self,
        address: object,
        direction: str = UP,
        *,
        cut: int | None = None,
        flip: int | None = None,
        slip: tuple[int, bytes] | None = None,
        hold: int | None = None,
    ) -> None:
        host, _, port = str(address).removeprefix("tcp://").rpartition(":")
        self._server = (host, int(port))
        self._direction, self._cut, self._flip, self._slip, self._hold = direction, cut, flip, slip, hold
        self.is_held, self.resume = threading.Event(), threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self.seen = {UP: bytearray(), DOWN: bytearray()}
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.resume.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for one in list(self._sockets):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in list(self._threads):
            thread.join()
        for one in self._sockets:
            one.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._server)
                self._sockets += [client, server]
                for one in (client, server):
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as without somebody between
                pair = threading.Lock()
                for direction, source, sink in ((UP, client, server), (DOWN, server, client)):
                    thread = threading.Thread(target=self._pass, args=(direction, source, sink, pair), daemon=True)
                    self._threads.append(thread)
                    thread.start()

    def _pass(self, direction: str, source: socket.socket, sink: socket.socket, pair: threading.Lock) -> None:
        passed = 0
        is_cut = False
        with contextlib.suppress(OSError):
            while not is_cut and (data := source.recv(65536)):
                came = len(data)
                if direction == self._direction:
                    if self._hold is not None and passed >= self._hold:
                        self.is_held.set()
                        self.resume.wait()
                    data, is_cut = self._spoil(data, passed)
                passed += came
                with pair:
                    self.seen[direction] += data
                sink.sendall(data)
        for one in (source, sink) if is_cut else (sink,):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR if is_cut else socket.SHUT_WR)

    def _spoil(self, data: bytes, passed: int) -> tuple[bytes, bool]:
        if self._flip is not None and passed <= self._flip < passed + len(data):
            at = self._flip - passed
            data = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        if self._slip is not None and passed <= self._slip[0] < passed + len(data):
            at = self._slip[0] - passed
            data = data[:at] + self._slip[1] + data[at:]
        if self._cut is not None and passed + len(data) >= self._cut:
            return data[: self._cut - passed], True
        return data, False
