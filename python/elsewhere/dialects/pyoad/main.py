"""The module `pyoad.main`.

Owns: nothing but the names. Must not know: what they do.
"""

from __future__ import annotations

from elsewhere.dialects.pyoad import InstanceDefinition, ObjectDaemonProxy, init_mp_context

__all__ = ["InstanceDefinition", "ObjectDaemonProxy", "init_mp_context"]
