"""The target as an actor of uactor's dialect: a class, and so a module of its own, since uactor may be missing."""

from __future__ import annotations

import importlib
from typing import Any

from seeds.placed import Placed

actor: Any = importlib.import_module("elsewhere.dialects.uactor").Actor


class TargetActor(Placed, actor):  # type: ignore[misc]
    """The target."""

    _exposed_ = ("value",)
