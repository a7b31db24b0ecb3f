"""What two hosts of this process say to each other by way of it, while their calls go straight from one to the other.

Owns: what one host has handed over for another one, which has not asked for it yet. Must not know: how they reach each
other (`_core`), how they listen (`_guests`).
"""

from __future__ import annotations

import contextlib
import math
import os
import threading
import time

from . import _async_stream, _core, _errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LIFE = 60.0
"""Seconds that what a host has handed over outlives that host: the message that names it may not be read yet."""

TIMEOUT = 10.0
"""Seconds that whoever asks waits for what is on its way, and that a grant may take."""

TICK = 0.05
"""Seconds after which whoever waits here looks up: so a thread comes home at the end of the program."""

END_TIMEOUT = 1.0
"""Seconds that a host may take to end whose stream has ended."""


class Kept:
    """What a host hands over for another one, or says that it hands over no more: either word may come first."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.obj: Any = None
        self.link = _core._calling_link()
        self.end = math.inf
        self.is_here = False
        self.was_here = False
        self.is_dropped = False


_kept: dict[bytes, Kept] = {}
_givers: dict[bytes, int] = {}
"""The connections of those who have handed something over, by what all their words end with."""
_gone: dict[bytes, float] = {}
"""Those who are gone, and until when that is known: what is still to be read of them is thrown away."""
GIVER = slice(8, 16)
_change = threading.Condition()


class Handle:
    """In a host: what the one that an object is given to holds until it has it, or has thrown the message away."""

    def __init__(self, token: bytes) -> None:
        """Stand for what is handed over under a word."""
        self._token = token
        self._pid = os.getpid()
        self.is_given = False

    def __del__(self) -> None:
        if self.is_given and self._pid == os.getpid():
            with contextlib.suppress(Exception):  # the owner is gone, or everything is about to be
                _core._take_back(self._token)


def keep(token: bytes, obj: Any) -> None:
    """Keep what a host hands over for another one."""
    with _change:
        kept = _kept.setdefault(token, Kept())
        if kept.link is not None:
            _givers[token[GIVER]] = kept.link
        if kept.is_dropped:
            del _kept[token]
            return
        kept.obj, kept.is_here, kept.was_here = obj, True, True
        _change.notify_all()
    if kept.link is not None and not _core._is_known_link(kept.link):
        give_time(kept.link)  # that was told while this ran


def fetch(token: bytes) -> Any:
    """Give a host what another one has handed over for it, once."""
    end = time.monotonic() + TIMEOUT
    with _change:
        while not ((kept := _kept.get(token)) and kept.is_here) and time.monotonic() < end:
            if token[GIVER] in _gone:
                break
            _change.wait(TICK)
        obj, is_here = (kept.obj, kept.is_here) if kept is not None else (None, False)
        if kept is not None:
            kept.obj, kept.is_here = None, False  # its end is told by `drop`
            if kept.end < math.inf:
                _kept.pop(token, None)  # or by nobody: who handed it over is gone
    if not is_here:
        raise _errors.ObjectGone("what was handed over did not arrive, or was asked for before", outcome="not_started")
    is_name = _core.is_proxy(obj) or isinstance(obj, (_core.Stream, _async_stream.AsyncStream))
    return obj if is_name else _core.ref(obj)


def drop(token: bytes) -> None:
    """Let go of what was handed over: nobody will ask for it any more. Told once of each, before or after `keep`."""
    with _change:
        kept = _kept.setdefault(token, Kept())
        kept.is_dropped = True
        if kept.was_here:
            del _kept[token]
    del kept  # after the lock: it may run code of the user's


def give_time(link: int) -> None:
    """Let go some time from now of what a host has handed over that is gone."""
    now = time.monotonic()
    with _change:
        for giver in [giver for giver, end in _gone.items() if end <= now]:
            del _gone[giver]
        for giver in [giver for giver, other in _givers.items() if other == link]:
            del _givers[giver]
            _gone[giver] = now + LIFE
        _change.notify_all()  # who waits for something of theirs waits no longer
        for token, kept in list(_kept.items()):
            if kept.link != link:
                continue
            if kept.is_here:
                kept.end = min(kept.end, now + LIFE)
            else:
                del _kept[token]  # it was asked for, or thrown away


def let_go() -> bool:
    """Let go of what nobody has asked for in time. Whether anything is left that time is given."""
    now = time.monotonic()
    with _change:
        gone = [_kept.pop(token) for token, kept in list(_kept.items()) if kept.end <= now]
        is_left = any(kept.end < math.inf for kept in _kept.values())
    del gone  # after the lock: it may run code of the user's
    return is_left


def way(proxy: Any) -> tuple[str, bytes, str] | None:
    """Where a host finds the object of a proxy that it has from us, what to show there, and what that host is called.

    None where it has to go by way of us.
    """
    if not _core.is_proxy(proxy):
        return None
    label = _core._may_go_straight(proxy)
    granted = None if label is None else _core._grant(proxy, TIMEOUT)
    return None if granted is None or label is None else (granted[0], granted[2], label)


def grant(proxy: Any) -> tuple[Any, ...] | None:
    """What a proxy that a host has from us is pickled as there: see `_grants`."""
    from . import _grants

    return _grants.hand_on(proxy)


def end(proxy: Any) -> tuple[Any, ...] | None:
    """How the host of a proxy has ended: see `_core._end_of`."""
    return _core._end_of(proxy, END_TIMEOUT) if _core.is_proxy(proxy) else None


def _forget() -> None:
    """In a fork: what is kept is the parent's."""
    global _change
    _change = threading.Condition()
    _kept.clear()
    _givers.clear()
    _gone.clear()


os.register_at_fork(after_in_child=_forget)
