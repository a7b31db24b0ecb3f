"""Shows rows as a table and keeps them as JSON.

Owns: both formats. Must not know: how anything is measured.
"""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from pathlib import Path

    from measure import Spread
    from rows import Row

MARKS = {None: "", True: "[green]met[/green]", False: "[red]missed[/red]"}
CAPTION = "Figures are medians of interleaved rounds; ratios are taken within a round: median \\[quartiles]."


def show(rows: list[Row]) -> None:
    """Print one line for each row."""
    table = Table(title="elsewhere beside multiprocessing.Pipe", caption=CAPTION, caption_justify="left")
    for heading in ("", "workload", "cores"):
        table.add_column(heading)
    for heading in ("elsewhere", "beside", "ratio", "aim", ""):
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(
            row.workload,
            row.what + (f"\n[dim]{row.remark}[/dim]" if row.remark else ""),
            row.placement.value if row.placement else "",
            f"{figure(row.spread.median)} {row.unit}",
            f"{row.reference}: {figure(row.reference_spread.median)}" if row.reference_spread else "",
            spread(row.ratio) if row.ratio else f"\\[{figure(row.spread.low)}-{figure(row.spread.high)}]",
            str(row.aim or ""),
            MARKS[row.is_met],
        )
    console = Console(width=None if os.isatty(1) else 150)
    console.print(table)
    here = machine()
    console.print(
        f"{here['cores']} cores, load {here['load']:.1f} at the end, CPython {here['python']}, {here['system']}",
        highlight=False,
    )


def save(rows: list[Row], path: Path, *, quick: bool) -> None:
    """Write everything that was measured, round by round."""
    content = {"machine": machine(), "quick": quick, "rows": [entry(row) for row in rows]}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def machine() -> dict[str, Any]:
    """Where the figures come from."""
    return {
        "system": platform.platform(),
        "processor": platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "elsewhere": version("elsewhere"),
    }


def entry(row: Row) -> dict[str, Any]:
    """One row as plain values, with its summaries."""
    plain = asdict(row)
    plain["placement"] = row.placement.value if row.placement else None
    plain["median"] = row.spread.median
    plain["ratio"] = asdict(row.ratio) if row.ratio else None
    plain["is_met"] = row.is_met
    return plain


def spread(values: Spread) -> str:
    """The median with its quartiles."""
    return f"{values.median:.2f} \\[{values.low:.2f}-{values.high:.2f}]"


def figure(value: float) -> str:
    """Three significant digits, or whole thousands."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
