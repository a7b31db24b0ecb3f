"""What is in the wheel: everything that is in the tree, the types and the licences, and no dependency but cloudpickle.

Owns: the list of what must be there. Must not know: how it was built. The tests run against the tree (an editable
install); this looks at what a user gets.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from email.parser import Parser
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "python"
TAG = "-cp311-abi3-"
DEPENDENCIES = {"cloudpickle"}


def violations_of(wheel: Path, wanted: set[str]) -> list[str]:
    """What is wrong with the wheel; `wanted` are the files of the package that it must hold."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (metadata_name,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(archive.read(metadata_name).decode())
    found = [f"the wheel lacks {name}" for name in sorted(wanted - names)]
    required = {text.split(">")[0].split(";")[0].strip() for text in metadata.get_all("Requires-Dist", [])}
    if required != DEPENDENCIES:
        found.append(f"the wheel requires {sorted(required)}, not {sorted(DEPENDENCIES)}")
    if TAG not in wheel.name:
        found.append(f"{wheel.name} is not built against the stable ABI ({TAG})")
    if len([name for name in names if name.startswith("elsewhere/_core.") and name.endswith(".so")]) != 1:
        found.append("the wheel does not hold exactly one extension module")
    if sum("/licenses/" in name for name in names) != 2:
        found.append("the wheel does not hold both licences")
    return found


def files_of_the_package() -> set[str]:
    """Sources, stubs and the marker of a typed package, as the wheel names them."""
    files = [path for path in SOURCES.rglob("*") if path.suffix in {".py", ".pyi"} or path.name == "py.typed"]
    return {str(path.relative_to(SOURCES)) for path in files} | {"elsewhere/py.typed", "elsewhere/_core.pyi"}


def main() -> int:
    """Build the wheel and look into it."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["maturin", "build", "--profile", "wheel", "--quiet", "--out", folder], cwd=ROOT, check=True)
        (wheel,) = Path(folder).glob("*.whl")
        violations = violations_of(wheel, files_of_the_package())
        size = wheel.stat().st_size
    for violation in violations:
        print(violation, file=sys.stderr)
    if not violations:
        print(f"wheel: {wheel.name}, {size / 1024:,.0f} KiB, complete")
    return bool(violations)


if __name__ == "__main__":
    sys.exit(main())
