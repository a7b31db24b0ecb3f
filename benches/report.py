"""`make bench-report`: what was measured last, as plots and tables in the documents.

Owns: which files are read and written. Must not know: how anything is drawn or written.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import results
from plots import pages, plan

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from results import Results
    from rows import Row

DOCS = Path(__file__).resolve().parent.parent / "docs"
DOCUMENTS = (DOCS / "performance.md", DOCS / "why.md")
PLOTS = DOCS / "measured"
BESIDE_PEERS = ("calls", "more-calls", "rates", "arrays")
"""The plots that are drawn beside other libraries, too."""
SEEDS_BLOCKS: tuple[str, ...] = ("seeds-provenance", "seeds-figures")


def main() -> int:
    """Renew all documents, and all plots that there are figures for."""
    standard = results.load(results.LATEST)
    peers = results.load(results.WITH_PEERS)
    PLOTS.mkdir(exist_ok=True)
    for path in (*draw_plots(standard, ""), *draw_plots(peers, "peers-")):
        print(path.relative_to(DOCS.parent))
    blocks, kept = blocks_of(standard, peers), SEEDS_BLOCKS
    if results.SEEDS.exists():
        blocks, kept = blocks | blocks_of_seeds(results.load(results.SEEDS)), ()
    for document in DOCUMENTS:
        document.write_text(pages.renewed(document.read_text(encoding="utf-8"), blocks, kept), encoding="utf-8")
        print(document.relative_to(DOCS.parent))
    return 0


def draw_plots(measured: Results, prefix: str) -> Iterator[Path]:
    """Write the plots of one run."""
    from plots import draw  # noqa: PLC0415 - matplotlib is installed only where this runs

    caption = pages.machine_line(measured)
    for plot in plan.plots(measured.rows):
        if prefix and plot.name not in BESIDE_PEERS:
            continue
        path = PLOTS / f"{prefix}{plot.name}.png"
        if isinstance(plot, plan.Bars):
            draw.bars(path, plot.panels, caption)
        else:
            draw.curves(path, plot.panels, caption)
        yield path


def blocks_of(standard: Results, peers: Results) -> dict[str, str]:
    """What stands between the marks of the documents, by their names."""
    return {
        "provenance": pages.provenance(standard),
        "bar": pages.bar(ours_with_aims(standard.rows)),
        "figures": pages.figures(compared(standard.rows)),
        "who": pages.who(standard),
        "faster": pages.faster(compared(standard.rows)),
        "peers-provenance": pages.provenance(peers),
        "peers-bar": pages.bar(beside_them(compared(peers.rows), peers.notes.keys() - standard.notes.keys())),
        "peers-figures": pages.figures(compared(peers.rows)),
        "peers-who": pages.who(peers, beyond=standard),
        "peers-faster": pages.faster(compared(peers.rows), beyond=set(standard.notes)),
        "summary": pages.summary(compared(standard.rows)),
        **{
            name: pages.figures([row for row in standard.rows if row.workload == name])
            for name in ("serving", "beside", "await")
        },
    }


def blocks_of_seeds(measured: Results) -> dict[str, str]:
    """The same of `make bench-seeds`, which need not have been run: what stands there is kept then."""
    return dict(zip(SEEDS_BLOCKS, (pages.provenance(measured), pages.seeds(measured)), strict=True))


def ours_with_aims(rows: list[Row]) -> list[Row]:
    """All but those of single operations, which are for the terminal; numbered workloads first."""
    rest = [row for row in rows if not _number(row) and row.workload not in {"special", "no trip"}]
    return compared(rows) + rest


def beside_them(rows: list[Row], names: Collection[str]) -> list[Row]:
    """The rows with those aims alone that are beside one of these."""
    return [replace(row, aims=tuple(aim for aim in row.aims if aim.beside in names)) for row in rows]


def compared(rows: list[Row]) -> list[Row]:
    """Rows of the numbered workloads, in which others take part, by number."""
    return sorted(filter(_number, rows), key=_number)


def _number(row: Row) -> int:
    """The number of a workload such as W10, and 0 of others."""
    digits = row.workload.removeprefix("W")
    return int(digits) if digits.isdecimal() else 0


if __name__ == "__main__":
    sys.exit(main())
