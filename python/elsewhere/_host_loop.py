"""The event loop of a host: made for the first coroutine, it runs on the main thread, which waits in it from then on.

Owns: that loop. Must not know: which calls it runs when (`_core` does), how they are answered.
The loop's selector waits in the engine, for the owner and for the loop's own descriptors at once: so the thread that
runs the loop is also the one that reads from the owner, and no other thread stands between a call and its coroutine.
"""

from __future__ import annotations

import asyncio
import selectors

from . import _core, _tasks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from ._core import Running


class _Selector(selectors.EpollSelector):
    """Waits for the loop's descriptors and for work at once, and does the work."""

    def __init__(self) -> None:
        super().__init__()
        self.is_serving = True
        # A method that is no coroutine runs between the loop's steps. On a host that runs calls as tasks it is a part
        # of the loop; elsewhere it is none, and may run a loop of its own.
        self._hides_loop = not _core.is_loop_shared()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if not self.is_serving:
            return super().select(timeout)
        loop = asyncio._get_running_loop()
        if self._hides_loop:
            asyncio._set_running_loop(None)
        try:
            self.is_serving = _core.serve_once(self.fileno(), timeout)
        finally:
            if self._hides_loop:
                asyncio._set_running_loop(loop)
        if not self.is_serving and loop is not None:
            loop.stop()
        return super().select(0)


_runner: asyncio.Runner | None = None


_forgotten: list[object] = []


def forget() -> None:
    """In a fork: leave the parent's loop alone, whose descriptors it uses."""
    global _runner
    _forgotten.append(_runner)
    _runner = None


def _get_runner() -> asyncio.Runner:
    global _runner
    if _runner is None:
        # With a factory the thread's own loop stays as it is, should somebody ask for it.
        _runner = asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(_Selector()))
    return _runner


def start(coroutine: Coroutine[Any, Any, Any], running: Running) -> None:
    """Have the loop run a coroutine. To be called on the main thread."""
    _tasks.start(_get_runner().get_loop(), coroutine, running)


def serve() -> None:
    """Run the loop until the owner is done with this process; then what still runs is cancelled."""
    with _get_runner() as runner:
        runner.get_loop().run_forever()
