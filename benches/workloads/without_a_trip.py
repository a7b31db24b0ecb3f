"""What is done with a proxy without asking its object: paths, `repr`, equality of twins, a hash that is known.

Owns: this workload. Must not know: the other workloads, the report. Each should stay under a microsecond.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import elsewhere
from measure import interleave, per_call_microseconds
from rows import OURS, Aim, Row
from targets import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from contenders.contender import Contender
    from measure import Effort


def operations(target: Any, twin: Any) -> dict[str, Callable[[], object]]:
    """Each with the text that the report shows."""
    return {
        "a path: target.value": lambda: target.value,
        "a path: target['key']": lambda: target["key"],
        "three steps: target.a.b.c": lambda: target.a.b.c,
        "repr(target)": lambda: repr(target),
        "repr(target.value)": lambda: repr(target.value),
        "target == twin": lambda: target == twin,
        "hash(target) again": lambda: hash(target),
        "is_proxy(target)": lambda: elsewhere.is_proxy(target),
        "callable(target)": lambda: callable(target),
        "target._repr_html_()": target._repr_html_,
    }


def measure(effort: Effort, _kinds: Sequence[type[Contender]]) -> Iterator[Row]:
    """Each of them, with a host that is not asked."""
    with elsewhere.Host() as host:
        target = host.spawn(Target)
        twin = elsewhere.options(target)
        assert twin is not target
        made = {
            name: per_call_microseconds(action, effort, time.thread_time)
            for name, action in operations(target, twin).items()
        }
        for name, figures in interleave(made, effort.rounds).items():
            yield Row("no trip", name, "µs", {OURS: figures}, aims=(Aim(1),))
