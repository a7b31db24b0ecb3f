"""Raises what a statement raises where an object lacks the methods for it, in the words of this interpreter.

Owns: nothing. Must not know: proxies. Each function is given only objects that lack a method for the statement, so
nothing is entered or begun.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def context(thing: Any) -> None:
    """Raise the TypeError of `with`."""
    with thing:
        pass


def async_context(thing: Any) -> None:
    """Raise the TypeError of `async with`."""

    async def enter() -> None:
        async with thing:
            pass

    enter().send(None)


def async_iteration(thing: Any) -> None:
    """Raise the TypeError of `async for`."""

    async def iterate() -> None:
        async for _ in thing:
            pass

    iterate().send(None)
