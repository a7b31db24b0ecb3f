"""What results of uactor's dialect travel as, where they cannot as themselves. Part of `uactor`.

Owns: what is in them. Must not know: proxies, actors, connections.
"""

from __future__ import annotations

from typing import Any


class Stopped:
    """The end of an iteration: StopIteration and StopAsyncIteration themselves do not travel."""

    def __init__(self, kind: type[Exception], args: tuple[Any, ...]) -> None:
        self.kind = kind
        self.args = args


class Owned:
    """A proxy of an actor that the process it comes from has started, and what keeps the actor there.

    An actor ends with its last proxy in the process of its maker, which may have none but what it gives away.
    """

    def __init__(self, proxy: Any, keeper: Any) -> None:
        self.proxy = proxy
        self.keeper = keeper
