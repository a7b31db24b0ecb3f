"""Numbers of the classes that travel by value, so that a fork of this process knows its classes by the same ones.

Owns: which classes have one before cloudpickle is there, and that forks get them. Must not know: pickling.
"""

from __future__ import annotations

import os
import sys

MAIN = ("__main__", "__mp_main__")
"""The program itself, which no other process can import. The second name is its own in children of multiprocessing."""

_known: dict[type, str] = {}
"""The numbers that classes got before cloudpickle was there, whose import takes longer than a fork to start."""


def number_known() -> None:
    """Tell cloudpickle, which is imported now."""
    if not _known:
        return
    from cloudpickle import cloudpickle

    with cloudpickle._DYNAMIC_CLASS_TRACKER_LOCK:
        for cls, number in _known.items():
            cloudpickle._DYNAMIC_CLASS_TRACKER_BY_CLASS.setdefault(cls, number)
            cloudpickle._DYNAMIC_CLASS_TRACKER_BY_ID[number] = cls
    _known.clear()


def know_class(cls: type) -> None:
    """Give a class that travels by value its number now, so that a fork of this process knows it by the same number."""
    if cls.__module__ in MAIN or "<locals>" in cls.__qualname__:
        if "cloudpickle" in sys.modules:
            number_known()
            sys.modules["cloudpickle.cloudpickle"]._get_or_create_tracker_id(cls)
        elif cls not in _known:
            _known[cls] = os.urandom(16).hex()
        for inner in vars(cls).copy().values():
            if isinstance(inner, type) and inner.__qualname__.startswith(f"{cls.__qualname__}."):
                know_class(inner)


_is_numbering = False


def know_main_in_forks() -> None:
    """From now on have every fork of this process know the classes of `__main__` by the numbers that they have here."""
    global _is_numbering
    if not _is_numbering:
        _is_numbering = True
        os.register_at_fork(before=_know_main)


def _know_main() -> None:
    main = sys.modules.get("__main__")
    for value in list(vars(main).values()) if main is not None else ():
        if isinstance(value, type):
            know_class(value)
