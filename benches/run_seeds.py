"""`make bench-seeds`: the dialects beside the published packages and beside plain elsewhere, interleaved.

Owns: what is done with each library, in which rounds, and the table of it. Must not know: how a library is used.
"""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.table import Table

import results
from measure import EFFORTS, FULL, Effort, Spread, calls, interleave
from placement import Placement, available, placed
from rows import OURS, Row, figure, medians_and_tails
from seeds.beside import DIALECT, LIMIT, PUBLISHED, beside
from seeds.first import first_start
from seeds.libraries import DIALECTS, LIBRARIES, PLAIN, WHY_NOT, missing, quiet
from workloads.w5_start import milliseconds

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping

    from contenders.contender import Contender
    from measure import Operation

ARRAY = 16 << 20
FIRST = "first start in a program to its first answer"
LATER = "later start to the first answer"
LONG = "16 MiB array as an argument"
"""Some milliseconds a call, and hundreds of them where it is pickled through a pipe."""
MARKS = {True: "[green]met[/green]", False: "[red]missed[/red]", None: ""}


def main() -> int:
    """Measure each library that is here, show the table, write the JSON file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--effort", choices=list(EFFORTS), default=FULL.name, help="how long (%(default)s)")
    parser.add_argument("--only", nargs="+", choices=list(LIBRARIES), default=list(LIBRARIES), metavar="NAME")
    parser.add_argument("--json", type=Path, default=results.SEEDS)
    options = parser.parse_args()
    load_before = os.getloadavg()[0]
    notes: dict[str, str] = {}
    rows: list[Row] = []
    with nothing_printed():
        for name in options.only:
            ways, said = ways_of(name)
            notes[name] = said
            if ways:
                print(f"{name} ...", file=sys.stderr, flush=True)
                rows += measure(name, ways, EFFORTS[options.effort])
    measured = results.Results(results.machine(load_before), options.effort, notes, rows)
    show(measured)
    results.save(measured, options.json)
    print(f"all figures: {options.json}")
    return 0


def ways_of(name: str) -> tuple[dict[str, Callable[[], Contender]], str]:
    """The dialect and the published package, as far as they are here, and what is to be said of that."""
    kind = LIBRARIES[name]
    modules = {DIALECT: DIALECTS + name, PUBLISHED: name}
    lacking = {way: why for way, module in modules.items() if (why := missing(module)) is not None}
    quiet()
    said = "; ".join(
        f"{'the dialect' if way == DIALECT else 'as published'} it is not here "
        f"({WHY_NOT.get(name, why) if way == PUBLISHED else why})"
        for way, why in lacking.items()
    )
    ways: Any = {way: partial(kind, module) for way, module in modules.items() if way not in lacking}
    return (ways if DIALECT in ways else {}), said or "the dialect, and as published"


def measure(name: str, ways: Mapping[str, Callable[[], Contender]], effort: Effort) -> Iterator[Row]:
    """Starts first, with nothing else open; then one of each, for calls."""
    plain = PLAIN[name]
    with placed(Placement.UNPINNED):
        modules = {OURS: "", **{way: {DIALECT: DIALECTS + name, PUBLISHED: name}[way] for way in ways}}
        firsts = {way: partial(first_start, name, module) for way, module in modules.items()}
        yield Row(name, FIRST, "ms", interleave(firsts, effort.starts), Placement.UNPINNED)
        samples = {way: partial(milliseconds, start) for way, start in {OURS: plain, **ways}.items()}
        for sample in samples.values():
            sample()  # the first, which has had its row
        yield Row(name, LATER, "ms", interleave(samples, effort.starts), Placement.UNPINNED)
    with ExitStack() as stack:
        opened = {way: stack.enter_context(start()) for way, start in {OURS: plain, **ways}.items()}
        far_ends = [pid for one in opened.values() for pid in one.pids]
        array = np.ones(ARRAY, np.uint8)
        variants: dict[str, Callable[[Contender], Operation | None]] = {
            "call with a number": lambda one: one.call(),
            "value of an attribute": lambda one: one.attribute(),
            LONG: lambda one: one.take(array),
        }
        for what, ask in variants.items():
            operations = {way: operation for way, one in opened.items() if (operation := ask(one)) is not None}
            if DIALECT not in operations:
                continue
            is_long = what == LONG
            pains = replace(effort, least_calls=min(effort.least_calls, 5)) if is_long else effort
            for placement in available()[-1:] if is_long else available():
                with placed(placement, far_ends):
                    batches = {way: calls(operation, pains) for way, operation in operations.items()}
                    figures, tails = medians_and_tails(interleave(batches, effort.rounds))
                    yield Row(name, what, "µs", figures, placement, {} if is_long else tails)


@contextmanager
def nothing_printed() -> Generator[None]:
    """A block in which neither this process nor those that it forks print: some daemons tell of their start and end."""
    sys.stdout.flush()
    kept = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


def show(measured: results.Results) -> None:
    """Everybody's figures and the two ratios of each dialect."""
    console = Console(width=None if os.isatty(1) else 150)
    caption = (
        "Medians of interleaved rounds \\[quartiles]; ratios are taken within a round. "
        f"Aims: a dialect's call costs at most {LIMIT} times the plain call, and all is faster than as published."
    )
    table = Table(title="the dialects beside the published packages", caption=caption, caption_justify="left")
    for heading in ("library", "workload", "cores"):
        table.add_column(heading)
    for heading in (OURS, DIALECT, PUBLISHED, f"{DIALECT} : {OURS}", "", f"{DIALECT} : {PUBLISHED}", ""):
        table.add_column(heading, justify="right")
    before = ""
    for row in measured.rows:
        line = beside(row)
        if row.workload != before:
            table.add_section()
        table.add_row(
            row.workload if row.workload != before else "",
            row.what,
            row.placement.value if row.placement else "",
            *(_spread(line.spread_of(way), row.unit) for way in (OURS, DIALECT, PUBLISHED)),
            _spread(line.to_plain),
            MARKS[line.is_as_fast_as_plain],
            _spread(line.to_published),
            MARKS[line.is_faster],
        )
        before = row.workload
    console.print(table)
    for name, said in measured.notes.items():
        console.print(f"{name}: {said}", highlight=False)
    here = measured.machine
    console.print(
        f"{here['processor']}, {here['cores']} cores, load {here['load_before']:.1f} before and "
        f"{here['load_after']:.1f} after, {here['python']}, {here['system']}",
        highlight=False,
    )
    if here["load_before"] > here["cores"] / 4:
        console.print("[red]The machine was not quiet: these figures are a smoke test.[/red]")


def _spread(spread: Spread | None, unit: str = "") -> str:
    if spread is None:
        return "not here" if unit else ""
    return f"{figure(spread.median)} {unit}".strip() + f" \\[{figure(spread.low)} {figure(spread.high)}]"


if __name__ == "__main__":
    sys.exit(main())
