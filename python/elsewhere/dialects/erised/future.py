"""The module `erised.future`.

Owns: nothing but the name. Must not know: what it does.
"""

from __future__ import annotations

from elsewhere.dialects.erised import Future

__all__ = ["Future"]
