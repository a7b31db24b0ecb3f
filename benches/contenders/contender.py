"""What a way to use an object elsewhere can be asked to do. What it cannot do it does not offer.

Owns: the list of operations that workloads ask for. Must not know: the workloads, any contender. Each operation is
prepared once, so that what a user would write before a loop stands before the loop.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, ClassVar, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from measure import Operation, Run
    from targets import Order

    Bytes = NDArray[np.uint8]

IN_FLIGHT = 256
"""How many calls are under way at once where calls are made without waiting for each."""


class Contender(ABC):
    """One target in another process. A method gives None where this contender cannot do it."""

    name: ClassVar[str]
    note: ClassVar[str]
    """How it is used here, in a line."""

    @abstractmethod
    def close(self) -> None:
        """End the other process and wait for it."""

    @property
    @abstractmethod
    def pids(self) -> list[int]:
        """The processes at the far end."""

    @abstractmethod
    def call(self) -> Operation | None:
        """`target.add(1)`."""

    def shared_call(self) -> Operation | None:
        """The same, such that several threads may make it at once."""
        return self.call()

    def pickled_call(self, order: Order) -> Operation | None:  # noqa: ARG002 - as are the other defaults below
        """`target.next_order(order)`, with a value of the user's own class there and back."""
        return None

    def attribute(self) -> Operation | None:
        """The value of `target.value`."""
        return None

    def chain(self) -> Operation | None:
        """`target.a.b.c.add(1)`."""
        return None

    def take(self, array: Bytes) -> Operation | None:  # noqa: ARG002
        """`target.take(array)`, which answers with a number."""
        return None

    def echo(self, array: Bytes) -> Operation | None:  # noqa: ARG002
        """`target.echo(array)`: the same bytes come back and are there to be written to."""
        return None

    def take_shared(self, array: Bytes) -> Operation | None:  # noqa: ARG002
        """As `take`, where the bytes are in memory that both sides map already."""
        return None

    def echo_shared(self, array: Bytes) -> Operation | None:  # noqa: ARG002
        """As `echo`, where the bytes are in memory that both sides map already: what comes back is there, too."""
        return None

    def echo_read_only(self, array: Bytes) -> Operation | None:  # noqa: ARG002
        """As `echo`, with bytes that nobody may write to and that came from over there."""
        return None

    def pipelined(self) -> Mapping[str, Run]:
        """`target.add(1)` so many times, IN_FLIGHT at once: by the name that each way to do it is shown under."""
        return {}

    def pipelined_pickled(self, order: Order) -> Mapping[str, Run]:  # noqa: ARG002
        """The same with `target.next_order(order)`."""
        return {}

    def items(self) -> Run | None:
        """So many items of `target.numbers(count)`, which is a generator over there."""
        return None

    @classmethod
    def ways_to_start(cls) -> Mapping[str, Callable[[], Contender]]:
        """What starts one, by the name that it is shown under."""
        return {cls.name: cls}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


@contextmanager
def opened(kinds: Iterable[type[Contender]]) -> Generator[list[Contender]]:
    """One of each kind, all at once."""
    with ExitStack() as stack:
        yield [stack.enter_context(kind()) for kind in kinds]


def offered(contenders: Iterable[Contender], ask: Callable[[Contender], Operation | None]) -> dict[str, Operation]:
    """What those do who can, by name."""
    asked = {contender.name: ask(contender) for contender in contenders}
    return {name: operation for name, operation in asked.items() if operation is not None}
