"""What the libraries put elsewhere. Must not know: any of them."""

from __future__ import annotations

import os

from targets import Target


class Placed(Target):
    """The target, which says where it is."""

    def pid(self) -> int:
        """Its process."""
        return os.getpid()


class Holder:
    """Something that has it: erised as published reaches no attributes but those of attributes."""

    def __init__(self) -> None:
        self.target = Placed()
