"""What a workload hands to the report: one row for each thing measured in one placement.

Owns: the shape of a row, what it is compared with and whether its aim is met. Must not know: how rows are shown.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from measure import Spread, ratios

if TYPE_CHECKING:
    from placement import Placement


@dataclass(frozen=True)
class Aim:
    """The bound that a row should keep: the median of its ratio (or, without a reference, of its figures)."""

    bound: float
    at_least: bool = False

    def is_met_by(self, median: float) -> bool:
        """Whether the median keeps the bound."""
        return median >= self.bound if self.at_least else median <= self.bound

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.bound:g}"


@dataclass(frozen=True)
class Row:
    """Figures of elsewhere and, round by round, of what it is compared with."""

    workload: str
    what: str
    unit: str
    figures: list[float]
    placement: Placement | None = None
    reference: str | None = None
    reference_figures: list[float] = field(default_factory=list)
    aim: Aim | None = None
    remark: str = ""

    @property
    def spread(self) -> Spread:
        """Of elsewhere's own figures."""
        return Spread.of(self.figures)

    @property
    def reference_spread(self) -> Spread | None:
        """Of the reference's figures."""
        return Spread.of(self.reference_figures) if self.reference is not None else None

    @property
    def ratio(self) -> Spread | None:
        """Elsewhere's figure over the reference's, within each round."""
        return Spread.of(ratios(self.figures, self.reference_figures)) if self.reference is not None else None

    @property
    def is_met(self) -> bool | None:
        """Whether the aim is met; None where there is none."""
        if self.aim is None:
            return None
        return self.aim.is_met_by((self.ratio or self.spread).median)
