"""How a process begins that a dialect puts objects into. Part of `erised`, `pyoad`, `spawny` and `uactor`.

Owns: the choice between a fork of this program and an interpreter of its own. Must not know: what is put there.

Those libraries fork the program, so that is done here, too: all of the program is there, and nothing has to be started
and imported first. What may hang is left out: a fork has only the calling thread, and what others hold stays locked in
it, so beside other threads the process is a host like any other. What comes out of calls is the same either way.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import elsewhere

_refused_in = 0
"""The process that cannot be forked because of threads of libraries, which take 50 ms to be seen to stay."""


def start(**options: Any) -> elsewhere.Host:
    """Start a process: a fork of this one where it has one thread, else as hosts start by default.

    Raises:
        elsewhere.HostStartError: it did not get ready.
    """
    return fork(**options) or elsewhere.Host(**options)


def fork(**options: Any) -> elsewhere.Host | None:
    """Start a fork of this process, if it has one thread."""
    global _refused_in
    if _refused_in == os.getpid():
        return None
    try:
        return elsewhere.Host(start="fork", **options)
    except elsewhere.HostStartError:  # nothing is left of it
        if not _has_threads():
            _refused_in = os.getpid()
        return None


def _has_threads() -> bool:
    """Whether Python knows of threads beside this one and the library's own."""
    threading = sys.modules.get("threading")
    if threading is None:
        return False
    this = threading.current_thread()
    return any(thread is not this and "elsewhere-" not in thread.name for thread in threading.enumerate())
