"""Objects that are served: small calls and a large array over TCP and over Unix sockets, beside plain sockets.

Owns: this workload and its aims. Must not know: the other workloads, the report. What is encrypted is measured beside
the cipher alone, and all that is copied beside one copy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

import limits
from contenders.contender import offered, opened
from contenders.served import ServedOverTcp, ServedOverUnix, TcpLoop, UnixLoop
from measure import interleave
from placement import Placement, available, placed
from rows import Aim, Point, Row, medians_and_tails
from workloads.calls_beside import rows_of_calls
from workloads.w4_arrays import LARGE, fewer, warm_calls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from contenders.contender import Contender
    from measure import Effort, Operation
    from workloads.calls_beside import Aims, Ask

GIGABYTES = 1.5
"""A second, of an argument."""
NETWORKS: Mapping[str, tuple[type[Contender], type[Contender]]] = {
    "TCP": (ServedOverTcp, TcpLoop),
    "Unix": (ServedOverUnix, UnixLoop),
}
WAYS: Mapping[str, Callable[[Contender, np.ndarray[tuple[int], np.dtype[np.uint8]]], Operation | None]] = {
    "argument": lambda one, array: one.take(array),
    "argument and result": lambda one, array: one.echo(array),
}


def measure(effort: Effort, _kinds: Sequence[type[Contender]]) -> Iterator[Row]:
    """Calls and arrays, network by network, in every placement."""
    for network, kinds in NETWORKS.items():
        with opened(kinds) as contenders:
            beside = contenders[1].name
            aims: Aims = {placement: (Aim(1.5, beside),) for placement in available()}
            variants: Mapping[str, tuple[Ask, Aims]] = {f"call over {network}": (lambda one: one.call(), aims)}
            yield from rows_of_calls("serving", variants, contenders, effort)
            yield from arrays(network, contenders, effort)


def arrays(network: str, contenders: Sequence[Contender], effort: Effort) -> Iterator[Row]:
    """One large array there, and there and back."""
    nbytes = min(LARGE, max(effort.sizes))
    array, few = np.ones(nbytes, np.uint8), fewer(effort, nbytes)
    far_ends = [pid for one in contenders for pid in one.pids]
    with limits.measurable(effort) as machine, limits.cipher() as encrypting:
        floors = {limits.WARM_COPY: machine.copies(nbytes)[limits.WARM_COPY]}
        if network == "TCP":
            floors[limits.CIPHER] = encrypting(nbytes)
        for what, way in WAYS.items():
            operations = offered(contenders, lambda one, way=way: way(one, array))  # type: ignore[misc]
            samples = {name: warm_calls(operation, few) for name, operation in operations.items()}
            for placement in available():
                with placed(placement, far_ends):
                    figures, _ = medians_and_tails(interleave(samples | floors, few.rounds))
                fastest = what == "argument" and placement is Placement.TWO_CORES and nbytes == LARGE
                aims = (Aim(nbytes / GIGABYTES / 1e3),) if fastest else ()
                title = f"{what} over {network}"
                yield Row("serving", title, "µs", figures, placement, point=Point("bytes", nbytes), aims=aims)
