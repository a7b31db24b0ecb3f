"""Which of the peers are installed here.

Owns: their list. Must not know: how they are used.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contenders.contender import Contender

MODULES = {
    "rpyc": ("peers.with_rpyc", "RPyC"),
    "Pyro5": ("peers.with_pyro5", "Pyro"),
    "uactor": ("peers.with_uactor", "UActor"),
    "ray": ("peers.with_ray", "Ray"),
}


def installed() -> list[type[Contender]]:
    """Those that can be imported; the others are named on stdout."""
    found: list[type[Contender]] = []
    for package, (module, name) in MODULES.items():
        if find_spec(package) is None:
            print(f"{package} is not installed, and left out")
        else:
            found.append(getattr(import_module(module), name))
    return found
