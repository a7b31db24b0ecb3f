"""What the child of a pipe loop runs: one loop for each kind of request, as lean as it can be and still be right.

Owns: the far end of the reference. Must not know: elsewhere, and what is measured. It imports only the target, because
what it imports would count into the start and the memory of the reference.
"""

from __future__ import annotations

from targets import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from typing import Any

    from pipe_loop import Server


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


def serve_forked(serve: Server, theirs: Connection[Any, Any], ours: Connection[Any, Any]) -> None:
    """Do as `serve`, in a fork of the process whose end `theirs` is."""
    theirs.close()
    serve(ours)
