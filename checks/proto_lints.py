"""Proves that the lints around the protocol crate bite: each file in its `tests/walls/` must be refused.

Owns: how a deliberate violation is compiled. Must not know: which calls are banned; that stands in the crate's
clippy.toml. The attributes that are tested are those of the crate's own lib.rs.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CRATE = ROOT / "crates" / "elsewhere-proto"
EXPECTED = re.compile(r"^//! Must trip ([\w:]+):")


def lint_attributes(library: str) -> str:
    """The inner attributes of a lib.rs, from the first to the line before the first item."""
    found = re.search(r"^#!\[.*?(?=^(?:pub )?(?:mod|use) )", library, re.MULTILINE | re.DOTALL)
    return found.group() if found else ""


def lints_tripped(source: str, attributes: str) -> set[str]:
    """The lints that refuse this source when it stands under these attributes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "wall.rs"
        path.write_text(attributes + "\n" + source.replace("//!", "//"), encoding="utf-8")
        command = ["clippy-driver", "--edition=2024", "--crate-type=lib", "--crate-name=wall", "--emit=metadata"]
        command += ["--error-format=json", f"--out-dir={folder}", str(path)]
        environment = os.environ | {"CLIPPY_CONF_DIR": str(CRATE)}
        done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True, cwd=ROOT)
    return set(re.findall(r'"code":\{"code":"([\w:]+)"[^{}]*\},"level":"error"', done.stderr))


def violations(folder: Path, attributes: str) -> list[str]:
    """Files whose deliberate violation is let through."""
    found: list[str] = []
    for path in sorted(folder.glob("*.rs")):
        source = path.read_text(encoding="utf-8")
        expected = EXPECTED.search(source)
        if expected is None:
            found.append(f"{path.name} does not say which lint it must trip")
        elif expected.group(1) not in lints_tripped(source, attributes):
            found.append(f"{path.name} does not trip {expected.group(1)}")
    return found


def main() -> int:
    """Try every deliberate violation; print those that are let through."""
    attributes = lint_attributes((CRATE / "src" / "lib.rs").read_text(encoding="utf-8"))
    walls = CRATE / "tests" / "walls"
    found = violations(walls, attributes)
    for violation in found:
        print(f"lint without teeth: {violation}", file=sys.stderr)
    if not found:
        print(f"protocol crate: {len(list(walls.glob('*.rs')))} deliberate violations are refused")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
