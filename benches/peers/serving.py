"""A process that serves at a Unix socket, for peers that leave starting one to their users.

Owns: its start, and its end. Must not know: what it serves.
"""

from __future__ import annotations

import multiprocessing
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from contenders.starting import main_module_hidden

if TYPE_CHECKING:
    from collections.abc import Callable


class Served:
    """A spawned process that runs `serve(path, tell)`, which calls `tell` with any text once it listens at the path."""

    def __init__(self, serve: Callable[[str, Callable[[str], object]], None]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="bench-")
        self.path = str(Path(self._folder.name) / "socket")
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        self._process = context.Process(target=run, args=(serve, self.path, theirs), daemon=True)
        with main_module_hidden():
            self._process.start()
        theirs.close()
        self.told: str = ours.recv()
        ours.close()

    @property
    def pids(self) -> list[int]:
        """The one process."""
        pid = self._process.pid
        assert pid is not None
        return [pid]

    def close(self) -> None:
        """End it: it has nothing to save."""
        self._process.terminate()
        self._process.join()
        self._folder.cleanup()


def run(serve: Callable[[str, Callable[[str], object]], None], path: str, connection: object) -> None:
    """What the process runs."""
    serve(path, connection.send)  # type: ignore[attr-defined]
