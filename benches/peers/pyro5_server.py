"""What the process at Pyro5's far end runs.

Owns: the exposed object. Must not know: elsewhere, and what is measured.
"""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import Pyro5.api

from targets import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@Pyro5.api.expose
class ExposedTarget:
    """The target with what Pyro wants of it: properties, and bytes where it carries no objects."""

    def __init__(self) -> None:
        self._target = Target()

    @property
    def value(self) -> int:
        """Give the target's attribute."""
        return self._target.value

    def add(self, number: int) -> int:
        """Call the target's method."""
        return self._target.add(number)

    def next_order(self, pickled: bytes) -> bytes:
        """Take an order and give the one after it, as pickles made by hand."""
        return pickle.dumps(self._target.next_order(pickle.loads(pickled)))

    def numbers(self, count: int) -> Iterator[int]:
        """Call the target's method."""
        return self._target.numbers(count)

    def take(self, data: bytes) -> int:
        """Call the target's method."""
        return self._target.take(data)

    def echo(self, data: bytes) -> bytes:
        """Call the target's method."""
        return self._target.echo(data)


def serve(path: str, tell: Callable[[str], object]) -> None:
    """Listen until the process is ended."""
    daemon: Any = Pyro5.api.Daemon(unixsocket=path)
    tell(str(daemon.register(ExposedTarget(), "target")))
    daemon.requestLoop()
