"""The reference: a request-reply loop over multiprocessing.Pipe.

Owns: the child and our end of the pipe. Must not know: elsewhere, and what is measured. No errors are carried and
nothing is checked; that would only slow the reference down.
"""

from __future__ import annotations

import multiprocessing
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, Self

import pipe_server

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

    Server = Callable[[Connection[Any, Any]], None]


class PipeLoop:
    """A child process that runs a function of `pipe_server`; `connection` is our end of its pipe."""

    def __init__(
        self, server: Server = pipe_server.serve_calls, start: Literal["spawn", "forkserver", "fork"] = "spawn"
    ) -> None:
        context = multiprocessing.get_context(start)
        self.connection, theirs = context.Pipe()
        make_process: Callable[..., BaseProcess] = getattr(context, "Process")  # noqa: B009 - typeshed's base of contexts lacks it
        if start == "fork":  # the child has our end, too, and would never see it close
            self._process = make_process(target=pipe_server.serve_forked, args=(server, self.connection, theirs))
        else:
            self._process = make_process(target=server, args=(theirs,), daemon=True)
        with main_module_hidden():
            self._process.start()
        theirs.close()

    @property
    def pid(self) -> int:
        """The child's process id."""
        pid: int | None = self._process.pid
        assert pid is not None
        return pid

    def close(self) -> None:
        """End the child and wait for it."""
        self.connection.close()
        self._process.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


@contextmanager
def main_module_hidden() -> Generator[None]:
    """Keep the child from importing the program that starts it; that import is not the pipe's doing."""
    main: Any = sys.modules["__main__"]
    hidden = {name: main.__dict__.pop(name) for name in ("__file__", "__spec__") if name in main.__dict__}
    main.__spec__ = None
    try:
        yield
    finally:
        main.__dict__.update(hidden)
