"""Pickles of proxies: each carries a grant, by which whoever loads it gets a proxy of its own, once.

Owns: the grants that a server or a host has given, and what a pickle of a proxy consists of. Must not know: how either
is reached.

A grant is a word for one object, and worth something where that lives alone: who shows it must have got in there, with
the key where a server demands one. It is never a key.
"""

from __future__ import annotations

import sys
import threading
import time

from . import _core, _errors, _serve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

LIFE = 60.0
"""Seconds that a grant may wait to be used. What was granted is kept so long."""

TIMEOUT = 10.0
"""Seconds that granting and redeeming may take."""


class Grants:
    """What was granted and nobody has asked for yet."""

    def __init__(self, on_change: Callable[[int], None] | None = None) -> None:
        """Begin with none. `on_change` is told how many more there are, or fewer."""
        self._lock = threading.Lock()
        self._granted: dict[bytes, tuple[float, Any]] = {}
        self._timer: threading.Timer | None = None
        self._on_change = on_change or (lambda _: None)

    def grant(self, obj: object) -> bytes:
        """Keep an object for whoever shows the word that this gives."""
        import secrets

        token = secrets.token_bytes(16)
        with self._lock:
            self._granted[token] = (time.monotonic() + LIFE, obj)
            if self._timer is None:
                self._wait(LIFE)
        self._on_change(1)
        return token

    def redeem(self, token: bytes) -> Any:
        """Give what was granted, once."""
        with self._lock:
            is_known = token in self._granted
            end, obj = self._granted.pop(token, (0.0, None))
            if self._timer is not None and not self._granted:
                self._timer.cancel()  # it has a thread
                self._timer = None
        if is_known:
            self._on_change(-1)
        if end <= time.monotonic():
            text = (
                f"this pickle of a proxy was loaded before, or not within {LIFE:.0f} s; what is to be loaded more than "
                f"once is an address, to connect() to"
            )
            raise _errors.ObjectGone(text, outcome="not_started")
        return obj

    def close(self) -> None:
        """Let go of everything."""
        with self._lock:
            gone = dict(self._granted)
            self._granted.clear()
            timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        self._on_change(-len(gone))
        del gone  # after the lock: it may run code of the user's
        if timer is not None and timer is not threading.current_thread():
            timer.join()

    def _wait(self, seconds: float) -> None:
        self._timer = threading.Timer(seconds, self._forget_old)
        self._timer.daemon = True
        self._timer.name = "elsewhere-grants"
        self._timer.start()

    def _forget_old(self) -> None:
        now = time.monotonic()
        with self._lock:
            if self._timer is not threading.current_thread():
                return
            gone = [self._granted.pop(token) for token, (end, _) in list(self._granted.items()) if end <= now]
            self._timer = None
            if self._granted:
                self._wait(min(end for end, _ in self._granted.values()) - now)
        self._on_change(-len(gone))
        del gone  # after the lock


def reduce(proxy: Any) -> tuple[Any, ...] | None:
    """What a proxy is pickled as; None where nobody but this process can connect to where its object lives."""
    pinned = _core.ref(proxy)
    if not _core.is_proxy(pinned):
        return None
    server = _serve._server_behind(pinned)
    if server is not None:
        # Run where the object is, which is here: it gets the object itself.
        token = _core.submit(server._door.grant, pinned).result()
        return _load, (server.address._place, server.address._key is not None, token, False)
    if _core._is_relayed(pinned):
        granted = _core._grant_by_owner(pinned, TIMEOUT)
        if granted == ():  # it is from somebody else, who runs plain functions
            granted = _core.submit(hand_on, pinned).result(TIMEOUT)
    else:
        granted = _core._grant(pinned, TIMEOUT)
    return None if granted is None else (_load, tuple(granted))


def hand_on(proxy: Any) -> tuple[Any, ...] | None:
    """What a proxy of this process is pickled as by another one, which has it through this one."""
    reduced = reduce(proxy) if _core.is_proxy(proxy) else None
    return None if reduced is None else tuple(reduced[1])


def _load(place: str, has_key: bool, token: bytes, is_host: bool = False) -> Any:
    if is_host:
        guests = sys.modules.get("elsewhere._guests")
        if guests is not None and guests.GUESTS.place == place:
            return guests.GUESTS.redeem(token)  # it is here
        return _core._redeem_at_host(place, token, TIMEOUT)
    server = _serve._server_here(place)
    if server is not None:
        return server._proxy_here(server._door.redeem(token))
    key = _core._known_key(place) if has_key else b""
    if key is None:
        text = (
            f"the proxy is of an object that is served at {place}, which demands a key that this process has not shown "
            f"there: connect() to it first, with its authkey"
        )
        raise _errors.AuthenticationError(text, outcome="not_started")
    return _core._redeem(place, key, token, TIMEOUT)
