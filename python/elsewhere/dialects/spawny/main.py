"""The module `spawny.main`.

Owns: nothing but the names. Must not know: what they do.
"""

from __future__ import annotations

from elsewhere.dialects.spawny import (
    DaemonCouldNotSendMsgError,
    DaemonProxy,
    Definition,
    InstanceDefinition,
    ModuleDefinition,
    ObjectDaemonProxy,
    ObjectProxy,
    ScriptDefinition,
    UnknownException,
    run_module,
    run_object,
    run_script,
)

__all__ = [
    "DaemonCouldNotSendMsgError",
    "DaemonProxy",
    "Definition",
    "InstanceDefinition",
    "ModuleDefinition",
    "ObjectDaemonProxy",
    "ObjectProxy",
    "ScriptDefinition",
    "UnknownException",
    "run_module",
    "run_object",
    "run_script",
]
