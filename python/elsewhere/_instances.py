"""Instances that peers describe by a class and its attributes.

Owns: finding such a class where it has to be imported, and making an instance as the class says. Must not know: how
instances are written; pickle, whose import takes longer than the start of a host.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def find_class(module: str, qualname: str) -> Any:
    """Give the class that a peer names."""
    __import__(module)
    found: Any = sys.modules[module]
    for name in qualname.split("."):
        found = getattr(found, name)
    return found


def make_instance(kind: Any, attributes: dict[str, Any]) -> Any:
    """Make an instance of a class as unpickling makes one from its class and attributes."""
    made = kind.__new__(kind)
    if attributes:
        set_state = getattr(made, "__setstate__", None)
        if set_state is None:
            made.__dict__.update(attributes)
        else:
            set_state(attributes)
    return made
