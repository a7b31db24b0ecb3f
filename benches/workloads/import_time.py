"""What `import elsewhere` adds to the start of an interpreter.

Owns: this workload. Must not know: the other workloads, the report.
"""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

from measure import interleave
from rows import OURS, Aim, Row

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from contenders.contender import Contender
    from measure import Effort


def measure(effort: Effort, _kinds: Sequence[type[Contender]]) -> Iterator[Row]:
    """An interpreter that imports elsewhere, minus one that does nothing, within each round."""
    samples = {
        "import": lambda: interpreter_milliseconds("import elsewhere"),
        "bare": lambda: interpreter_milliseconds("pass"),
    }
    interleave(samples, 1)  # fills the caches
    figures = interleave(samples, effort.starts)
    added = [imported - bare for imported, bare in zip(figures["import"], figures["bare"], strict=True)]
    yield Row("import", "import elsewhere, beyond a bare start", "ms", {OURS: added}, aims=(Aim(30),))


def interpreter_milliseconds(code: str) -> float:
    """From starting an interpreter to its end."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, stdin=subprocess.DEVNULL)
    return (time.perf_counter() - began) * 1e3
