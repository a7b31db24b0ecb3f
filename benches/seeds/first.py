"""How long the first start of a library in a program takes: `python -m seeds.first NAME [MODULE]`.

Owns: that program, which has numpy and the library imported. Must not know: what it is compared with.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

from seeds.libraries import LIBRARIES, PLAIN, quiet
from workloads.w5_start import milliseconds

BENCHES = Path(__file__).parent.parent


def first_start(name: str, module: str = "") -> float:
    """Milliseconds until the first answer, in a program of its own; without a module, of plain elsewhere."""
    command = [sys.executable, "-m", "seeds.first", name, *([module] if module else [])]
    told = subprocess.run(command, cwd=BENCHES, check=True, stdout=subprocess.PIPE, text=True).stdout
    return float(told.split()[-1])


def main() -> None:
    """Start once. Whatever the library prints comes before the figure."""
    name, *modules = sys.argv[1:]
    importlib.import_module("numpy")
    start = PLAIN[name]
    if modules:
        kind = LIBRARIES[name]
        kind.load(modules[0])
        start = partial(kind, modules[0])
    quiet()
    taken = milliseconds(start)
    print(f"\n{taken}", flush=True)
    os._exit(0)  # some libraries leave threads behind that wait


if __name__ == "__main__":
    main()
