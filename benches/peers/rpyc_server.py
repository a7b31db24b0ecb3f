"""What the process at RPyC's far end runs.

Owns: the service. Must not know: elsewhere, and what is measured.
"""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import rpyc
from rpyc.utils.server import ThreadedServer

from targets import Order, Target

if TYPE_CHECKING:
    from collections.abc import Callable


class TargetService(rpyc.Service):  # type: ignore[misc]
    """Gives its target away; what RPyC would only lend is taken and given as a pickle by hand."""

    def __init__(self) -> None:
        self.exposed_target = Target()

    def exposed_next_order(self, pickled: bytes) -> bytes:
        """Take an order and give the one after it."""
        order: Order = pickle.loads(pickled)
        return pickle.dumps(self.exposed_target.next_order(order))


def serve(path: str, tell: Callable[[str], object]) -> None:
    """Listen until the process is ended."""
    config: dict[str, Any] = {"allow_public_attrs": True}
    server = ThreadedServer(TargetService(), socket_path=path, protocol_config=config)
    server._listen()  # `start` does it, too, but does not say when
    tell("ready")
    server.start()
