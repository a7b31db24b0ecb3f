"""What the far ends of sockets run: an object that is served, and loops of plain sockets beside it.

Owns: the far end of what is measured over sockets. Must not know: what is measured.
"""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

from targets import Target

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from typing import Any

LENGTHS = 16
"""Bytes of what a connection begins with: how long a request is, and how long its answer."""


def serve_target(connection: Connection[Any, Any], place: str | None, key: bytes) -> None:
    """Serve a target at `place`, tell where that is, and go on until the other end is closed."""
    import elsewhere  # noqa: PLC0415 - the plain sockets are not to wait for it

    server = elsewhere.serve(Target(), place, authkey=key)
    connection.send(str(server.address))
    threading.Thread(target=_close_at_end, args=(connection, server), daemon=True).start()
    server.run()


def _close_at_end(connection: Connection[Any, Any], server: Any) -> None:
    try:
        connection.recv()
    except EOFError:
        server.close()


def serve_plain(connection: Connection[Any, Any], family: int, place: str) -> None:
    """Answer so many bytes with so many others, each connection on its own thread, until the other end is closed."""
    with socket.socket(family) as listener:
        listener.bind(place if family == socket.AF_UNIX else (place, 0))
        listener.listen()
        connection.send(listener.getsockname())
        threading.Thread(target=_accept, args=(listener, family), daemon=True).start()
        try:
            connection.recv()
        except EOFError:
            return


def _accept(listener: socket.socket, family: int) -> None:
    while True:
        try:
            accepted, _ = listener.accept()
        except OSError:
            return
        at_once(accepted, family)
        threading.Thread(target=_answer, args=(accepted,), daemon=True).start()


def _answer(accepted: socket.socket) -> None:
    with accepted:
        head = accepted.recv(LENGTHS, socket.MSG_WAITALL)
        request = memoryview(bytearray(int.from_bytes(head[:8], "little")))
        answer = bytes(int.from_bytes(head[8:], "little"))
        while receive(accepted, request):
            accepted.sendall(answer)


def at_once(connected: socket.socket, family: int) -> None:
    """Have small messages leave when they are sent."""
    if family != socket.AF_UNIX:
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def receive(connected: socket.socket, into: memoryview) -> bool:
    """Fill all of `into`; False at the end of the stream."""
    filled = 0
    while filled < len(into):
        count = connected.recv_into(into[filled:])
        if not count:
            return False
        filled += count
    return True
