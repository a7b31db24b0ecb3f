"""The module `erised.proxy`.

Owns: nothing but the name. Must not know: what it does.
"""

from __future__ import annotations

from elsewhere.dialects.erised import Proxy

__all__ = ["Proxy"]
