"""What every source file of ours looks like: a header that says what it owns, and no more than 600 lines.

Owns: both rules. Must not know: what is in the files. A file may be longer where its header says why, in a line that
contains "Long because".
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LINES_MAX = 600
HEADER_LINES = 30
REASON = "Long because"


def violations_of(path: Path, text: str) -> list[str]:
    """What is wrong with one source file; `path` is only named."""
    lines = text.splitlines()
    found: list[str] = []
    header = "//!" if path.suffix == ".rs" else '"""'
    code = [line for line in lines if line.strip() and not line.startswith(("#!", "# "))]
    if code and not code[0].startswith((header, "r" + header)):
        found.append(f"{path}: does not open with a header ({header} what it owns and must not know)")
    if len(lines) > LINES_MAX and not any(REASON in line for line in lines[:HEADER_LINES]):
        found.append(
            f"{path}: {len(lines)} lines, more than {LINES_MAX}; split it, or say '{REASON} ...' in its header"
        )
    return found


def source_files(root: Path) -> list[Path]:
    """The Rust and Python files of the repository, tracked or new, relative to `root`; ignored ones are left out."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.rs", "*.py"]
    listed = subprocess.run(command, cwd=root, check=True, stdout=subprocess.PIPE).stdout.decode()
    return [Path(name) for name in sorted(listed.split("\0")) if name and (root / name).is_file()]


def main() -> int:
    """Check every source file; print what is wrong."""
    files = source_files(ROOT)
    violations = [found for path in files for found in violations_of(path, (ROOT / path).read_text(encoding="utf-8"))]
    for violation in violations:
        print(violation, file=sys.stderr)
    if not violations:
        print(f"sources: {len(files)} files have a header and at most {LINES_MAX} lines")
    return bool(violations)


if __name__ == "__main__":
    sys.exit(main())
