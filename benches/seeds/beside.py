"""A dialect's figures beside the plain ones and the published package's: ratios, and what is aimed at.

Owns: the two ratios and their aims. Must not know: how anything is measured or shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from measure import Spread, ratios
from rows import OURS

if TYPE_CHECKING:
    from rows import Row

DIALECT = "dialect"
PUBLISHED = "published"
LIMIT = 1.5
"""What a dialect's call may cost, in plain calls."""


@dataclass(frozen=True)
class Beside:
    """One row with its ratios; those to what was not there are None."""

    row: Row
    to_plain: Spread
    to_published: Spread | None

    def spread_of(self, way: str) -> Spread | None:
        """Of the figures of one way, if it was there."""
        return self.row.spread(way) if way in self.row.figures else None

    @property
    def is_as_fast_as_plain(self) -> bool | None:
        """Whether a call keeps the limit; None of anything but calls."""
        return self.to_plain.median <= LIMIT if self.row.what.startswith("call") else None

    @property
    def is_faster(self) -> bool | None:
        """Whether the dialect is faster than the published package; None where that is not here."""
        return self.to_published.median < 1 if self.to_published else None


def beside(row: Row) -> Beside:
    """Compare, within the rounds."""
    figures = row.figures
    published = figures.get(PUBLISHED)
    return Beside(
        row,
        Spread.of(ratios(figures[DIALECT], figures[OURS])),
        Spread.of(ratios(figures[DIALECT], published)) if published else None,
    )
