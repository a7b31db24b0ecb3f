"""The module `pipeproxy.proxy`."""

from __future__ import annotations

from elsewhere.dialects.pipeproxy import createProxy

__all__ = ["createProxy"]
