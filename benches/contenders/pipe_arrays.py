"""What one writes by hand for large arrays: their bytes on a Pipe without pickle, or shared memory beside a Pipe.

Owns: both ways. Must not know: elsewhere, and what is measured. They carry arrays of one type and nothing else, so they
do no more than that; the block of shared memory is made once and used again for every call, which is the fast way.
"""

from __future__ import annotations

from multiprocessing.shared_memory import SharedMemory
from typing import TYPE_CHECKING

import numpy as np

from contenders import pipe_server
from contenders.contender import Contender
from contenders.pipe import PipeLoop

if TYPE_CHECKING:
    from contenders.contender import Bytes
    from measure import Operation


class RawPipe(Contender):
    """Bytes that are sent as they are."""

    name = "Pipe, raw bytes"
    note = "send_bytes and recv_bytes_into by hand, no pickle"

    def __init__(self) -> None:
        self._loop = PipeLoop(pipe_server.serve_raw_bytes)

    def close(self) -> None:
        self._loop.close()

    @property
    def pids(self) -> list[int]:
        return [self._loop.pid]

    def call(self) -> None:
        return None

    def take(self, array: Bytes) -> Operation:
        send, receive = self._loop.connection.send_bytes, self._loop.connection.recv_bytes

        def trip() -> object:
            send(array.data)
            return receive()

        return trip

    def echo(self, array: Bytes) -> Operation:
        connection = self._loop.connection
        target = np.zeros_like(array)

        def trip() -> object:
            connection.send_bytes(b"echo")
            connection.send_bytes(array.data)
            return connection.recv_bytes_into(target.data)

        return trip


class PipeWithSharedMemory(Contender):
    """A copy into a block that both sides map, and a message that says how much is in it."""

    name = "Pipe + SharedMemory"
    note = "a copy into a block of multiprocessing.shared_memory that is used again, by hand"

    def __init__(self, nbytes: int = 1 << 20) -> None:
        self._block = SharedMemory(create=True, size=nbytes)
        self._loop = PipeLoop(pipe_server.serve_shared_memory, "spawn", self._block.name)

    def close(self) -> None:
        self._loop.close()
        self._block.close()
        self._block.unlink()

    @property
    def pids(self) -> list[int]:
        return [self._loop.pid]

    def call(self) -> None:
        return None

    def take(self, array: Bytes) -> Operation:
        return self._trip("take", array)

    def echo(self, array: Bytes) -> Operation:
        return self._trip("echo", array)

    def take_shared(self, array: Bytes) -> Operation:
        return self._shared("take", array)

    def echo_shared(self, array: Bytes) -> Operation:
        return self._shared("echo", array)

    def _shared(self, method: str, array: Bytes) -> Operation:
        connection, request = self._loop.connection, (method, array.nbytes)
        np.ndarray(array.nbytes, np.uint8, self._block.buf)[:] = array

        def trip() -> object:
            connection.send(request)
            return connection.recv()

        return trip

    def _trip(self, method: str, array: Bytes) -> Operation:
        send, receive = self._loop.connection.send, self._loop.connection.recv
        buffer, count = self._block.buf, array.nbytes
        target = np.zeros_like(array) if method == "echo" else None

        def trip() -> object:
            view = np.ndarray(count, np.uint8, buffer)
            view[:] = array
            send((method, count))
            answer: object = receive()
            if target is not None:
                target[:] = view
            return answer

        return trip
