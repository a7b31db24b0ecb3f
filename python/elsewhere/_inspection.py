"""What `inspect.signature` says of a proxy, without asking its object.

Owns: that answer. Must not know: proxies, connections; it is given the class, where that is imported here.
Without an answer `inspect` would compare the proxy with `type` and with `object`, and each comparison is a call.
"""

from __future__ import annotations

import inspect
import types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_ANYTHING = inspect.Signature(
    [
        inspect.Parameter("args", inspect.Parameter.VAR_POSITIONAL),
        inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD),
    ]
)


def signature(cls: type | None, name: str) -> inspect.Signature:
    """The signature of the method `name` of an object of `cls`; `(*args, **kwargs)` where nothing is known of it."""
    if cls is None:
        return _ANYTHING
    try:
        return _of_method(inspect.getattr_static(cls, name), cls)
    except (AttributeError, TypeError, ValueError):
        return _ANYTHING


def _of_method(found: Any, cls: type) -> inspect.Signature:
    if isinstance(found, (staticmethod, classmethod, types.ClassMethodDescriptorType)):
        return inspect.signature(found.__get__(None, cls))
    if not isinstance(found, (types.FunctionType, types.MethodDescriptorType)):
        return _ANYTHING
    whole = inspect.signature(found)
    first, *others = whole.parameters.values()
    if first.kind is inspect.Parameter.VAR_POSITIONAL:
        return whole
    return whole.replace(parameters=others)
