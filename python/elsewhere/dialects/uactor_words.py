"""Errors, addresses and keys of uactor's dialect, and what they are in ours. Part of `uactor`.

Owns: those words. Must not know: proxies, actors, connections.
"""

from __future__ import annotations

import functools
from typing import Any, NoReturn

import elsewhere


class UActorException(Exception):
    """What all errors of this module are."""


class ProxyError(UActorException):
    """A proxy cannot be made, or cannot be used."""


class AuthkeyError(ProxyError):
    """An actor was reached without its key."""


class ActorGoneError(ProxyError, BrokenPipeError, ConnectionRefusedError, FileNotFoundError, EOFError):
    """The actor was shut down, has died, or was never there; its cause says more.

    It is each of the errors that uactor raises then, depending on thread and moment.
    """


def tell(error: elsewhere.ElsewhereError) -> NoReturn:
    """Raise what users of uactor expect."""
    if error.remote:
        raise error  # the method's own
    if isinstance(error.__cause__, UActorException):
        raise error.__cause__
    if isinstance(error, elsewhere.AuthenticationError):
        text = "Actor process rejected provided authkey"
        raise AuthkeyError(text) from error
    if isinstance(error, elsewhere.HostClosed | elsewhere.HostDied | elsewhere.ConnectionLost):
        raise ActorGoneError(str(error)) from error
    raise error


def place_of(address: Any) -> str:
    """What uactor calls an address, as ours."""
    if not isinstance(address, tuple):
        return str(address)
    host, port = address
    return f"tcp://[{host}]:{port}" if ":" in host else f"tcp://{host}:{port}"


def checked_key(key: Any) -> Any:
    """A key as plain bytes, or None."""
    if key is not None and not isinstance(key, bytes):
        text = f"authkey must be bytes, not {type(key).__name__}"
        raise TypeError(text)
    return None if key is None else bytes(key)


@functools.lru_cache
def secret(key: bytes) -> bytes:
    """The key that both sides prove to have: a short one is made costly to try out."""
    if len(key) >= 16:
        return key
    import hashlib  # which loads OpenSSL, and few need it

    return hashlib.scrypt(key, salt=b"uactor", n=1 << 14, r=8, p=1, dklen=32)
