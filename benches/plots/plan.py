"""Which plots there are, and which rows each shows.

Owns: the selection. Must not know: how anything is drawn. A row that was not measured is left out, and a plot without
rows, too: so a run of some workloads renews what it can.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from placement import Placement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rows import Row

ONE, TWO, ANY = Placement.ONE_CORE, Placement.TWO_CORES, Placement.UNPINNED
MIB = 1 << 20


class Measure(Enum):
    """What a curve shows of a row's figures."""

    AS_IT_IS = "as it is"
    GIGABYTES_PER_SECOND = "GB/s"

    def of(self, row: Row, figure: float) -> float:
        """A figure of a row in this measure."""
        if self is Measure.AS_IT_IS or row.point is None:
            return figure
        return row.point.value / figure / 1e3


@dataclass(frozen=True)
class Bars:
    """Panels in lines, each a row with its title."""

    name: str
    panels: list[list[tuple[str, Row]]]


@dataclass(frozen=True)
class Curves:
    """Panels one after another: title, unit of the figures, and the rows that are points of the curve."""

    name: str
    panels: list[tuple[str, str, Measure, list[Row]]]


def plots(rows: Sequence[Row]) -> list[Bars | Curves]:
    """All plots that there are rows for."""
    found: list[Bars | Curves] = [*_bars(rows), *_curves(rows)]
    return [plot for plot in found if plot.panels]


def _bars(rows: Sequence[Row]) -> list[Bars]:
    number, own = "call with a number", "call with an object of the user's class"
    attribute, chain, busy = "value of an attribute", "a.b.c.add(1)", "call beside a busy thread"
    submitted, threads = "calls without waiting, numbers", "8 threads, one proxy"
    start, memory = "start to the first answer", "private memory of an idle process"
    in_a_row = "start to the first answer, 8 without a pause"
    pairs = {
        "calls": [(number, "one number"), (own, "an object of your class")],
        "more-calls": [(attribute, "an attribute"), (chain, "a.b.c.add(1)"), (busy, "beside a busy thread")],
        "rates": [
            (submitted, "calls without waiting"),
            (threads, "eight threads, one proxy"),
            ("items of a generator", "items of a generator"),
        ],
    }
    plots: list[Bars] = []
    for name, lines in pairs.items():
        panels = [
            _line(rows, what, [(ONE, f"{title}, one core"), (TWO, f"{title}, two cores")]) for what, title in lines
        ]
        plots.append(Bars(name, [panel for panel in panels if panel]))
    starts = [
        _line(rows, start, [(ANY, "start to the first answer")])
        + _line(rows, memory, [(None, "private memory, idle")]),
        _line(rows, in_a_row, [(ONE, "starts in a row, one core"), (ANY, "starts in a row, unpinned")]),
    ]
    plots.append(Bars("starts", [line for line in starts if line]))
    return plots


def _line(rows: Sequence[Row], what: str, places: Sequence[tuple[Placement | None, str]]) -> list[tuple[str, Row]]:
    return [(title, row) for place, title in places for row in rows if row.what == what and row.placement is place]


def _curves(rows: Sequence[Row]) -> list[Curves]:
    kinds = {
        "arrays": [
            ("an array as an argument", "an array as an argument", "GB/s", Measure.GIGABYTES_PER_SECOND),
            ("an array there and back, copied out", "there and back, copied out", "GB/s", Measure.GIGABYTES_PER_SECOND),
            ("a shared array as an argument", "a shared array as an argument", "µs", Measure.AS_IT_IS),
            ("a read-only array there and back", "a read-only array there and back", "µs", Measure.AS_IT_IS),
        ],
        "many": [
            ("call, every object in its turn", "call, by objects in the host", "µs", Measure.AS_IT_IS),
            ("private memory of the host", "the host's memory, by objects in it", "MiB", Measure.AS_IT_IS),
            ("call to one of the hosts", "call to one host, by hosts", "µs", Measure.AS_IT_IS),
            ("call, every host in its turn", "call, every host in its turn, by hosts", "µs", Measure.AS_IT_IS),
            ("private memory of a host", "a host's memory, by hosts", "MiB", Measure.AS_IT_IS),
            ("processor time in a quiet second, all hosts", "idle hosts, all together", "ms/s", Measure.AS_IT_IS),
        ],
    }
    plots: list[Curves] = []
    for name, wanted in kinds.items():
        panels = [
            (title, unit, measure, [row for row in rows if row.what == what]) for what, title, unit, measure in wanted
        ]
        plots.append(Curves(name, [panel for panel in panels if panel[3]]))
    return plots
