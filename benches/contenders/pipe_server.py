"""What the child of a pipe loop runs: one loop for each kind of request, as lean as it can be and still be right.

Owns: the far end of the reference. Must not know: elsewhere, and what is measured. It imports only the target, because
what it imports would count into the start and the memory of the reference.
"""

from __future__ import annotations

from targets import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection
    from typing import Any


def serve_calls(connection: Connection[Any, Any]) -> None:
    """Answer `(method name, arguments)` until the other end is closed."""
    target = Target()
    receive, send = connection.recv, connection.send
    try:
        while True:
            name, arguments = receive()
            send(getattr(target, name)(*arguments))
    except EOFError:
        return


def serve_attributes(connection: Connection[Any, Any]) -> None:
    """Answer the name of an attribute with its value until the other end is closed."""
    target = Target()
    receive, send = connection.recv, connection.send
    try:
        while True:
            send(getattr(target, receive()))
    except EOFError:
        return


def serve_chain(connection: Connection[Any, Any]) -> None:
    """Answer the argument of `target.a.b.c.add` with its result until the other end is closed: one trip, no names."""
    target = Target()
    receive, send = connection.recv, connection.send
    try:
        while True:
            send(target.a.b.c.add(receive()))
    except EOFError:
        return


def serve_numbers(connection: Connection[Any, Any]) -> None:
    """Answer a count with so many items of a generator, each a message, without waiting to be asked for the next."""
    target = Target()
    receive, send = connection.recv, connection.send
    try:
        while True:
            for number in target.numbers(receive()):
                send(number)
    except EOFError:
        return


def serve_raw_bytes(connection: Connection[Any, Any]) -> None:
    """Answer bytes, which nobody pickles: with their last byte, or after a message `echo` with themselves."""
    target = Target()
    receive, send = connection.recv_bytes, connection.send_bytes
    try:
        while True:
            data = receive()
            if data == b"echo":
                send(target.echo(receive()))
            else:
                send(bytes([target.take(data)]))
    except EOFError:
        return


def serve_shared_memory(connection: Connection[Any, Any], name: str) -> None:
    """Answer `(method, count)` about the first bytes of a block of shared memory: what comes back is written there."""
    from multiprocessing.shared_memory import SharedMemory  # noqa: PLC0415

    import numpy as np  # noqa: PLC0415 - only this loop needs it

    target = Target()
    block = SharedMemory(name)
    view = np.ndarray(block.size, np.uint8, block.buf)
    receive, send = connection.recv, connection.send
    try:
        while True:
            method, count = receive()
            answer = getattr(target, method)(view[:count])
            if method == "take":
                send(answer)
            else:  # the bytes are where they belong: the target gave back what it was given
                send(len(answer))
            del answer
    except EOFError:
        del view
        block.close()


def serve_forked(serve: Callable[..., None], theirs: Connection[Any, Any], ours: Connection[Any, Any]) -> None:
    """Do as `serve`, in a fork of the process whose end `theirs` is."""
    theirs.close()
    serve(ours)
