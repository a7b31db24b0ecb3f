"""`make bench`: elsewhere beside what the standard library has, interleaved in the same process; beside others, too.

Owns: the command line and the lists of workloads and contenders. Must not know: how anything is measured.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import limits
import results
import tables
from contenders.executor import Executor
from contenders.managers import Managers
from contenders.ours import Ours
from contenders.pipe import Pipe
from contenders.pipe_arrays import PipeWithSharedMemory, RawPipe
from contenders.served import TcpLoop, UnixLoop
from measure import EFFORTS, FULL, Effort
from peers.everyone import installed
from workloads import (
    await_call,
    bare_host,
    beside,
    descriptors,
    import_time,
    many_hosts,
    many_objects,
    serving,
    special_methods,
    w1_sync_call,
    w2_pipelined,
    w3_attribute,
    w4_arrays,
    w5_start,
    w6_threads,
    w7_memory,
    w8_generator,
    w9_chain,
    w10_busy_sibling,
    without_a_trip,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from contenders.contender import Contender
    from rows import Row

STANDARD: tuple[type[Contender], ...] = (Ours, Pipe, Managers, Executor)
# Starts and memory come first: a fork costs more, and has more, the more this process has imported.
WORKLOADS: dict[str, Callable[[Effort, Sequence[type[Contender]]], Iterator[Row]]] = {
    "W5": w5_start.measure,
    "W7": w7_memory.measure,
    "W1": w1_sync_call.measure,
    "W2": w2_pipelined.measure,
    "W3": w3_attribute.measure,
    "W4": w4_arrays.measure,
    "W6": w6_threads.measure,
    "W8": w8_generator.measure,
    "W9": w9_chain.measure,
    "W10": w10_busy_sibling.measure,
    "await": await_call.measure,
    "objects": many_objects.measure,
    "hosts": many_hosts.measure,
    "special": special_methods.measure,
    "bare": bare_host.measure,
    "serving": serving.measure,
    "beside": beside.measure,
    "no trip": without_a_trip.measure,
    "import": import_time.measure,
    "fds": descriptors.measure,
}


def main() -> int:
    """Run the workloads asked for, show the tables, write the JSON file."""
    options = parse(sys.argv[1:])
    kinds = [*STANDARD, *installed()] if options.peers else STANDARD
    load_before = os.getloadavg()[0]
    rows: list[Row] = []
    for name in options.only or WORKLOADS:
        began = time.perf_counter()
        print(f"{name} ...", end=" ", file=sys.stderr, flush=True)
        rows += WORKLOADS[name](EFFORTS[options.effort], kinds)
        print(f"{time.perf_counter() - began:.1f} s", file=sys.stderr, flush=True)
    everyone: tuple[type[Contender], ...] = (*kinds, RawPipe, PipeWithSharedMemory, TcpLoop, UnixLoop)
    notes = {kind.name: kind.note for kind in everyone} | limits.NOTES
    measured = results.Results(results.machine(load_before), options.effort, notes, rows)
    tables.show(measured)
    whole = results.WITH_PEERS if options.peers else results.LATEST
    path = options.json or (results.PART if options.only else whole)
    results.save(measured, path)
    print(f"all figures: {path}")
    return 0


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--effort", choices=list(EFFORTS), default=FULL.name, help="how long: %(choices)s (%(default)s)"
    )
    parser.add_argument("--peers", action="store_true", help="beside other libraries, too, as far as installed")
    parser.add_argument("--only", nargs="+", choices=list(WORKLOADS), metavar="NAME", help=", ".join(WORKLOADS))
    where = f"{results.LATEST.name}, with --peers {results.WITH_PEERS.name}, with --only {results.PART.name}"
    parser.add_argument("--json", type=Path, help=f"where all figures go (in {results.FOLDER}: {where})")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
