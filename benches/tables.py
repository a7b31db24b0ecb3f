"""Shows rows as tables on a terminal.

Owns: their layout. Must not know: how anything is measured or kept.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from rows import OURS, figure, title

if TYPE_CHECKING:
    from results import Results
    from rows import Row

MARKS = {True: "[green]met[/green]", False: "[red]missed[/red]"}
CAPTION = (
    "Medians of interleaved rounds \\[quartiles]; p99 is the median of the rounds' own; a ratio is ours over theirs, "
    "taken within a round."
)


def show(results: Results) -> None:
    """Everybody's figures, then what was aimed at."""
    console = Console(width=None if os.isatty(1) else 150)
    console.print(_figures(results.rows))
    console.print(_aims(results.rows))
    here = results.machine
    console.print(
        f"{here['processor']}, {here['cores']} cores, load {here['load_before']:.1f} before and "
        f"{here['load_after']:.1f} after, {here['python']}, {here['system']}",
        highlight=False,
    )
    if here["load_before"] > here["cores"] / 4:
        console.print("[red]The machine was not quiet: these figures are a smoke test.[/red]")


def _figures(rows: list[Row]) -> Table:
    table = Table(title="elsewhere beside others and the machine's limits", caption=CAPTION, caption_justify="left")
    for heading in ("", "workload", "cores", "who"):
        table.add_column(heading)
    for heading in ("p50", "quartiles", "p99", "ratio"):
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_section()
        for name in row.figures:
            first = name == OURS
            spread, tail = row.spread(name), row.tail(name)
            table.add_row(
                row.workload if first else "",
                title(row) if first else "",
                row.placement.value if first and row.placement else "",
                name,
                f"{figure(spread.median)} {row.unit}",
                f"\\[{figure(spread.low)} {figure(spread.high)}]",
                figure(tail.median) if tail else "",
                figure(row.ratio(name).median) if not first and all(row.figures[name]) else "",
            )
    return table


def _aims(rows: list[Row]) -> Table:
    table = Table(title="What was aimed at")
    for heading in ("", "workload", "cores"):
        table.add_column(heading)
    for heading in ("aim", "measured", ""):
        table.add_column(heading, justify="right")
    for row in rows:
        for aim in row.measured_aims:
            placement = row.placement.value if row.placement else ""
            measured = figure(row.judged(aim))
            table.add_row(row.workload, title(row), placement, row.text_of(aim), measured, MARKS[row.is_met(aim)])
    return table
