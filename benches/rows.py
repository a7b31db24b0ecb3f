"""What a workload hands to the report: one row for each thing measured in one placement.

Owns: the shape of a row, its ratios, its aims and whether they are met. Must not know: how rows are shown or kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from measure import Spread, ratios

if TYPE_CHECKING:
    from collections.abc import Mapping

    from measure import Calls
    from placement import Placement

OURS = "elsewhere"
"""The name of the contender whose aims these are."""


class Of(Enum):
    """Which of a row's figures is meant: the median one, or what 99 of 100 calls stay below."""

    MEDIAN = "p50"
    TAIL = "p99"


@dataclass(frozen=True)
class Aim:
    """The bound that our figure should keep; with `beside` it is a bound of the ratio to that contender's figure."""

    bound: float
    beside: str | None = None
    at_least: bool = False
    of: Of = Of.MEDIAN


@dataclass(frozen=True)
class Point:
    """Where a row stands on a curve: how many or how large what grows is."""

    of: str
    value: int


@dataclass(frozen=True)
class Row:
    """Figures of every contender, one for each round; of calls timed one by one also the tail of each round."""

    workload: str
    what: str
    unit: str
    figures: Mapping[str, list[float]]
    placement: Placement | None = None
    tails: Mapping[str, list[float]] = field(default_factory=dict[str, list[float]])
    point: Point | None = None
    aims: tuple[Aim, ...] = ()
    remark: str = ""

    def spread(self, name: str) -> Spread:
        """Of one contender's figures."""
        return Spread.of(self.figures[name])

    def tail(self, name: str) -> Spread | None:
        """Of one contender's tails, where there are any."""
        return Spread.of(self.tails[name]) if name in self.tails else None

    def ratio(self, beside: str, of: Of = Of.MEDIAN) -> Spread:
        """Our figure over that of another, within each round."""
        figures = self.figures if of is Of.MEDIAN else self.tails
        return Spread.of(ratios(figures[OURS], figures[beside]))

    @property
    def others(self) -> list[str]:
        """Who was measured beside us."""
        return [name for name in self.figures if name != OURS]

    @property
    def measured_aims(self) -> list[Aim]:
        """The aims that can be judged: those beside somebody who was there."""
        return [aim for aim in self.aims if aim.beside is None or aim.beside in self.figures]

    def judged(self, aim: Aim) -> float:
        """The figure or ratio that an aim bounds."""
        if aim.beside is not None:
            return self.ratio(aim.beside, aim.of).median
        return Spread.of((self.figures if aim.of is Of.MEDIAN else self.tails)[OURS]).median

    def is_met(self, aim: Aim) -> bool:
        """Whether the median keeps the bound."""
        value = self.judged(aim)
        return value >= aim.bound if aim.at_least else value <= aim.bound

    def text_of(self, aim: Aim) -> str:
        """The bound as people write it."""
        sign = "≥" if aim.at_least else "≤"
        what = f"× {aim.beside}" if aim.beside is not None else self.unit  # noqa: RUF001 - times
        of = f"{aim.of.value} " if self.tails else ""
        return f"{of}{sign} {figure(aim.bound)} {what}"


def medians_and_tails(taken: Mapping[str, list[Calls]]) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Batches of calls as the figures and the tails of a row."""
    medians = {name: [batch.median for batch in batches] for name, batches in taken.items()}
    tails = {name: [batch.tail for batch in batches] for name, batches in taken.items()}
    return medians, tails


def figure(value: float) -> str:
    """Three significant digits, or whole thousands."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def title(row: Row) -> str:
    """What was measured, with the point of its curve."""
    if row.point is None:
        return row.what
    if row.point.of == "bytes":
        return f"{row.what}: {size(row.point.value)}"
    of = row.point.of if row.point.value != 1 else row.point.of.removesuffix("s")
    return f"{row.what}: {row.point.value:,} {of}"


def size(nbytes: int) -> str:
    """Bytes in the unit that people use."""
    return f"{nbytes >> 20} MiB" if nbytes >= 1 << 20 else f"{nbytes >> 10} KiB"
