"""When a process ends that somebody is waited for in.

Owns: the descriptor that tells it. Must not know: what the process is to do.
"""

from __future__ import annotations

import os

from . import _errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def end_of(process: Any) -> tuple[int | None, bool]:
    """A descriptor that is readable when a process has ended, and whether it is ours to close."""
    if process is None:
        return None, False
    sentinel = getattr(process, "sentinel", None)
    if isinstance(sentinel, int):
        return sentinel, False
    pid = process if isinstance(process, int) else getattr(process, "pid", None)
    if not isinstance(pid, int) or isinstance(process, bool):
        text = f"process must be a process or its id, not {process!r}"
        raise TypeError(text)
    try:
        return os.pidfd_open(pid), True
    except ProcessLookupError as error:
        text = f"{process!r} has ended"
        raise _errors.HostStartError(text) from error


def is_readable(descriptor: int) -> bool:
    """Whether it is so now."""
    import select

    look = select.poll()
    look.register(descriptor, select.POLLIN)
    return bool(look.poll(0))
