"""`make bench`: elsewhere beside a raw multiprocessing.Pipe loop, interleaved in the same process.

Owns: the command line and the list of workloads. Must not know: how they are measured.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import descriptors
import import_time
import report
import special_methods
import w1_sync_call
import w2_pipelined
import w3_attribute
import w5_start
import w7_memory
import w9_chain
import w10_busy_sibling
import without_a_trip
from measure import FULL, QUICK, Effort

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rows import Row

WORKLOADS: dict[str, Callable[[Effort], Iterator[Row]]] = {
    "W1": w1_sync_call.measure,
    "W2": w2_pipelined.measure,
    "W3": w3_attribute.measure,
    "W5": w5_start.measure,
    "W7": w7_memory.measure,
    "W9": w9_chain.measure,
    "W10": w10_busy_sibling.measure,
    "special": special_methods.measure,
    "no trip": without_a_trip.measure,
    "import": import_time.measure,
    "fds": descriptors.measure,
}
DEFAULT_JSON = Path(__file__).resolve().parent / "results" / "latest.json"


def main() -> int:
    """Run the workloads asked for, show the table, write the JSON file."""
    options = parse(sys.argv[1:])
    effort = QUICK if options.quick else FULL
    rows: list[Row] = []
    for name in options.only or WORKLOADS:
        print(f"{name} ...", file=sys.stderr, flush=True)
        rows += WORKLOADS[name](effort)
    report.show(rows)
    report.save(rows, options.json, quick=options.quick)
    print(f"all figures: {options.json}")
    return 0


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="few and short rounds: a smoke test, not a measurement")
    parser.add_argument("--only", nargs="+", choices=list(WORKLOADS), metavar="NAME", help=", ".join(WORKLOADS))
    parser.add_argument("--json", type=Path, default=DEFAULT_JSON, help="where all figures go (%(default)s)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
