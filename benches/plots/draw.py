"""Draws rows as plots: bars that compare contenders, curves over sizes and numbers.

Owns: how they look. Must not know: how anything was measured, which plots there are.
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator
from PIL import Image

from limits import is_limit
from rows import OURS, figure, size

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from plots.plan import Measure
    from rows import Row

mpl.use("Agg")
STYLE = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}
COLOURS = {
    OURS: "#1565a9",
    "Pipe": "#d9792b",
    "Pipe, raw bytes": "#b0561a",
    "Pipe + SharedMemory": "#7a3b10",
    "managers": "#3d9a50",
    "executor": "#8a62b0",
    "RPyC": "#c0392f",
    "Pyro5": "#c2a21c",
    "uactor": "#2a9d9a",
    "Ray": "#d05f94",
}
LIMIT = "#8c8c8c"
WIDTH = 9.6
SHADES = 256
"""Colours of a file, which make it half as large, and nobody sees it."""
BAR = 0.24
"""Inches that one bar takes."""
WIDE = 20
"""From which ratio on between the largest and the least a curve's scale is logarithmic."""


def colour(name: str) -> str:
    """The same for a contender in every plot; its variants have its own."""
    if is_limit(name):
        return LIMIT
    return COLOURS.get(name) or next((known for key, known in COLOURS.items() if name.startswith(key)), "#555555")


def bars(path: Path, panels: Sequence[Sequence[tuple[str, Row]]], caption: str) -> None:
    """One horizontal bar for each contender, on a logarithmic scale; a stroke shows the tail where there is one."""
    heights = [max(len(row.figures) for _, row in line) for line in panels]
    with plt.rc_context(STYLE):
        shape = (len(panels), max(map(len, panels)))
        inches = (WIDTH, sum(heights) * BAR + 0.8 * len(panels) + 0.3)
        drawing, axes = plt.subplots(*shape, figsize=inches, squeeze=False, height_ratios=heights)
        for line, places in zip(panels, axes, strict=True):
            for place in places[len(line) :]:
                place.set_visible(False)
            for (title, row), axis in zip(line, places, strict=False):
                _bars(axis, title, row)
        _save(drawing, path, caption)


def _bars(axis: Any, title: str, row: Row) -> None:
    names = list(row.figures)[::-1]
    for place, name in enumerate(names):
        _bar(axis, place, row, name)
    axis.set_yticks(range(len(names)), names)
    axis.get_yticklabels()[-1].set_fontweight("bold")
    axis.set_xscale("log")
    ends = [row.spread(name).median for name in names]
    ends += [tail.median for name in names if (tail := row.tail(name))]
    axis.set_xlim(min(ends) / 2, max(ends) * (12 if row.tails else 5))  # the figures need room
    _plain(axis.xaxis)
    axis.grid(visible=False, axis="y")
    axis.tick_params(axis="y", length=0)
    axis.set_xlabel(f"{row.unit}: p50 / p99" if row.tails else row.unit, fontsize=8)
    axis.set_title(title)


def _bar(axis: Any, place: int, row: Row, name: str) -> None:
    value, tail = row.spread(name).median, row.tail(name)
    hatch = "////" if is_limit(name) else None
    axis.barh(place, value, color=colour(name), alpha=0.45 if hatch else 1, hatch=hatch, edgecolor="white", height=0.8)
    end, text = value, figure(value)
    if tail is not None:
        axis.plot([value, tail.median], [place, place], color="#333333", linewidth=0.9)
        axis.plot([tail.median], [place], "|", color="#333333", markersize=6)
        end, text = max(value, tail.median), f"{text} / {figure(tail.median)}"
    axis.annotate(text, (end, place), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8)


def curves(
    path: Path,
    panels: Sequence[tuple[str, str, Measure, Sequence[Row]]],
    caption: str,
) -> None:
    """One line for each contender over the points of its rows."""
    with plt.rc_context(STYLE):
        columns = 2
        lines = -(-len(panels) // columns)
        drawing, axes = plt.subplots(lines, columns, figsize=(WIDTH, 3.3 * lines + 0.8), squeeze=False)
        flat = [axis for places in axes for axis in places]
        for axis in flat[len(panels) :]:
            axis.set_visible(False)
        for (title, unit, measure, rows), axis in zip(panels, flat, strict=False):
            _curve(axis, rows, measure.of)
            axis.set_title(title)
            axis.set_ylabel(unit)
        known = {label: line for axis in flat for line, label in zip(*axis.get_legend_handles_labels(), strict=True)}
        drawing.legend(known.values(), known.keys(), loc="outside upper left", ncols=5, fontsize=8)
        _save(drawing, path, caption)


def _curve(axis: Any, rows: Sequence[Row], value: Callable[[Row, float], float]) -> None:
    shown: list[float] = []
    for name in dict.fromkeys(name for row in rows for name in row.figures):
        known = [row for row in rows if row.point and name in row.figures]
        across = [row.point.value for row in known if row.point]
        spreads = [row.spread(name) for row in known]
        middle = [value(row, spread.median) for row, spread in zip(known, spreads, strict=True)]
        low = [value(row, spread.low) for row, spread in zip(known, spreads, strict=True)]
        high = [value(row, spread.high) for row, spread in zip(known, spreads, strict=True)]
        width, order = (2.4, 3) if name == OURS else (1.3, 2)  # ours above the others
        look = {"color": colour(name), "linewidth": width, "markersize": 3.5, "zorder": order}
        axis.plot(across, middle, _line(name), label=name, **look)
        axis.fill_between(across, low, high, color=colour(name), alpha=0.12, linewidth=0)
        shown += middle
    points = {row.point.value: _tick(row) for row in rows if row.point}
    axis.set_xscale("log")
    axis.set_xticks(list(points), list(points.values()))
    axis.xaxis.set_minor_locator(NullLocator())
    if max(shown) > WIDE * min(shown) > 0:
        axis.set_yscale("log")
        _plain(axis.yaxis)
    else:
        axis.set_ylim(bottom=0, top=1.25 * max(shown) or 1)


def _line(name: str) -> str:
    """Contenders have a full line with points; what is only there to compare with has none."""
    if name.startswith(f"{OURS} at") or "warm" in name:
        return "--"
    return ":" if is_limit(name) else "-o"


def _tick(row: Row) -> str:
    assert row.point is not None
    return size(row.point.value).replace(" ", "\n") if row.point.of == "bytes" else f"{row.point.value:,}"


def _plain(axis: Any) -> None:
    """Numbers as people write them, and not as powers; short, for labels must not touch."""

    def formatted(value: float, _place: int) -> str:
        for step, letter in ((1e6, "M"), (1e3, "k")):
            if value >= step:
                return f"{figure(value / step)}{letter}"
        return figure(value)

    axis.set_major_formatter(FuncFormatter(formatted))
    axis.set_minor_formatter(NullFormatter())


def _save(drawing: Any, path: Path, caption: str) -> None:
    """Write the file; the same figures give the same bytes."""
    drawing.supxlabel(caption, fontsize=7, color="#666666", x=0.01, ha="left")
    content = BytesIO()
    drawing.savefig(content, dpi=110)
    plt.close(drawing)
    with Image.open(content) as image:
        fewer = image.convert("RGB").quantize(SHADES, kmeans=2, dither=Image.Dither.NONE)
        fewer.save(path, optimize=True)
