"""Runs the Python tests under every CPython from 3.11 on that this machine has, with one wheel for all of them.

Owns: finding interpreters, and an environment `.venv-<version>` for each. Must not know: what is tested. That the same
wheel serves all of them is part of what is checked: it is built against the stable ABI.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MINORS = range(11, 15)
WHEELS = ROOT / "dist"


def interpreters() -> dict[str, Path]:
    """The CPythons found on PATH and among pyenv's versions, by their minor version."""
    candidates = [shutil.which(f"python3.{minor}") for minor in MINORS]
    candidates += [str(path) for path in sorted(Path.home().glob(".pyenv/versions/3.*/bin/python"))]
    found: dict[str, Path] = {}
    for candidate in candidates:
        version = version_of(candidate) if candidate else None
        if candidate and version and int(version.split(".")[1]) in MINORS:
            found.setdefault(version, Path(candidate))
    return dict(sorted(found.items(), key=lambda item: int(item[0].split(".")[1])))


def version_of(interpreter: str) -> str | None:
    """`3.12` for a working CPython 3.12, else None; shims of versions that are not installed do not work."""
    code = "import sys; print('%d.%d' % sys.version_info[:2] if sys.implementation.name == 'cpython' else '')"
    ended = subprocess.run([interpreter, "-c", code], capture_output=True, text=True, check=False)
    return ended.stdout.strip() or None if ended.returncode == 0 else None


def build_wheel() -> Path:
    """Build the one wheel."""
    shutil.rmtree(WHEELS, ignore_errors=True)
    subprocess.run(["make", "wheel"], cwd=ROOT, check=True)
    (wheel,) = WHEELS.glob("*.whl")
    return wheel


def environment(version: str, interpreter: Path, wheel: Path) -> Path:
    """The interpreter of a fresh environment with the locked tools and the wheel."""
    folder = ROOT / f".venv-{version}"
    python = folder / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "--quiet"]
    subprocess.run([str(interpreter), "-m", "venv", "--clear", str(folder)], check=True)
    subprocess.run([*install, "--require-hashes", "-r", str(ROOT / "requirements" / "dev.txt")], check=True)
    subprocess.run([*install, "--no-deps", str(wheel)], check=True)
    return python


def main() -> int:
    """Test under each interpreter; the arguments go to pytest."""
    wheel = build_wheel()
    failed: list[str] = []
    found = interpreters()
    for version, interpreter in found.items():
        print(f"\n== CPython {version} ({interpreter})", flush=True)
        python = environment(version, interpreter, wheel)
        if subprocess.run([str(python), "-m", "pytest", *sys.argv[1:]], cwd=ROOT, check=False).returncode != 0:
            failed.append(version)
    print(f"\nCPython {', '.join(found)}: " + (f"failed under {', '.join(failed)}" if failed else "all passed"))
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
