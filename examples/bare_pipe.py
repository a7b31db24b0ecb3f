"""A request-reply loop over multiprocessing.Pipe, as one would write it by hand: what a proxy is measured against.

Owns: the child process and the pipe. Must not know: elsewhere. It does the least that is correct for one caller at a
time: no errors are carried, nothing is named, nothing can be in flight twice.
"""

from __future__ import annotations

import multiprocessing
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from multiprocessing.connection import Connection


def serve(connection: Connection[Any, Any], target: object) -> None:
    """Answer requests until the other end is closed."""
    try:
        while True:
            name, arguments = connection.recv()
            connection.send(getattr(target, name)(*arguments))
    except EOFError:
        return


class BarePipe:
    """Holds `target` in a child process; `call` asks it and waits."""

    def __init__(self, target: object) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, target), daemon=True)
        self._process.start()
        theirs.close()

    def call(self, name: str, *arguments: object) -> Any:
        """Call a method of the target by its name and give its result."""
        self._connection.send((name, arguments))
        return self._connection.recv()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._connection.close()
        self._process.join()
