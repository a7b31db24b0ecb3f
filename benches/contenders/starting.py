"""How the children of multiprocessing are started, by every contender that uses it.

Owns: what such a child may see of the program that starts it. Must not know: what is measured.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Generator


@contextmanager
def main_module_hidden() -> Generator[None]:
    """Keep a child from importing the program that starts it; that import is not the contender's doing."""
    main: Any = sys.modules["__main__"]
    hidden = {name: main.__dict__.pop(name) for name in ("__file__", "__spec__") if name in main.__dict__}
    main.__spec__ = None
    try:
        yield
    finally:
        main.__dict__.update(hidden)
