"""What others than the owner of a host find in it: who shows a grant gets the object that it is for.

Owns: the grants that this host has given, who may come back after a fork, object number 0 of a guest. Must not know:
how a host listens (`_core`), what a pickle of a proxy consists of (`_grants`).

A host listens when it is first asked for a grant. There is no key: whoever gets in is a process of this user, and may
do nothing but show a grant. Who has shown one may do what a host's owner may: it was given to somebody who was trusted.
"""

from __future__ import annotations

from . import _core, _errors, _grants

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Guests:
    """What a host has promised to others than its owner."""

    def __init__(self) -> None:
        self.place: str | None = None
        self._grants = _grants.Grants(on_change=_stay)
        self._secrets: dict[bytes, int] = {}
        self._admitted: set[int] = set()

    def listen(self) -> str:
        """Listen, unless this host does. Gives where."""
        if self.place is None:
            from . import _places

            place = _places.new_socket()
            _core._listen_for_guests(place)
            self.place = place
        return self.place

    def grant(self, obj: object) -> bytes:
        """Keep an object for whoever shows the word that this gives."""
        return self._grants.grant(obj)

    def redeem(self, token: bytes) -> Any:
        """Give what was granted under a word, once."""
        return self._grants.redeem(token)

    def admit(self, secret: bytes | None) -> None:
        """Know from now on whoever makes the call that runs, and a fork of it by `secret`."""
        link = _core._calling_link()
        if link is None:
            return
        self._admitted.add(link)
        if secret is not None:
            self._secrets[secret] = link

    def is_admitted(self) -> bool:
        """Whether whoever makes the call that runs has shown a grant."""
        return _core._calling_link() in self._admitted

    def of_parent(self, secret: bytes, number: int) -> Any:
        """Give what the parent of whoever makes this call holds under `number`."""
        link = self._secrets.get(secret)
        held = None if link is None else _core._held_by(link, number)
        if held is None:
            text = "the process that this one was forked from does not hold the object any more"
            raise _errors.ObjectGone(text, outcome="not_started")
        return held

    def dismiss(self) -> None:
        """Let nobody in any more, and end the connections of those who are here, once their calls are answered."""
        if self.place is not None:
            if _core._dismiss_guests():
                import threading

                threading.Thread(target=_see_off, name="elsewhere-guests", daemon=True).start()
            self._grants.close()


class Door:
    """What stands for the host at the connection of a guest: its object number 0."""

    def redeem(self, token: bytes, secret: bytes) -> object:
        """Give what was granted under a word, once."""
        obj = GUESTS.redeem(token)
        GUESTS.admit(secret)
        return obj

    def meet(self, token: bytes) -> object:
        """Give another host of the owner what was granted under a word, once. References go by way of the owner."""
        obj = GUESTS.redeem(token)
        _core._note_sibling()
        return obj

    def revive(self, secret: bytes, number: int) -> object:
        """Give what the parent of a fork holds."""
        obj = GUESTS.of_parent(secret, number)
        GUESTS.admit(None)
        return obj

    def grant(self, obj: object) -> bytes:
        """Keep an object for whoever shows the word that this gives."""
        self._check()
        return GUESTS.grant(obj)

    def run(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Run a function here."""
        self._check()
        return function(*args, **kwargs)

    def root(self) -> object:
        """There is no object that a host serves to whoever comes."""
        text = "a host serves no object of its own: load the pickle of a proxy of an object that lives there"
        raise TypeError(text)

    def end_lane(self) -> None:
        """The last call of a lane: the thread or task of the guest that made its calls has ended."""
        _core.end_lane()

    def _check(self) -> None:
        if not GUESTS.is_admitted():
            text = "who connects to a host has to show a grant first: load the pickle of a proxy"
            raise AttributeError(text)


def _see_off() -> None:
    """Wait for the last answers to guests. Whoever ends this host decides how long that may take."""
    import time

    while _core._dismiss_guests():
        time.sleep(0.001)


def _stay(change: int) -> None:
    """A host goes on for what it has granted, also when its owner is done with it."""
    for _ in range(change):
        _core._add_guest()
    for _ in range(-change):
        _core._remove_guest()


GUESTS = Guests()
DOOR = Door()
