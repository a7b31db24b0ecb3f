"""Every public name of the package has a type that is whole and that no checker has to guess; so has the private stub.

Owns: what is asked of `basedpyright --verifytypes`. Must not know: whether the types are right (`tests/typing` says).
What other packages (numpy) leave open is theirs.
The verifier passes over modules with an underscore. So a package is made that exports what the stub of the extension
defines; what has an underscore there, too, pyright's strict mode holds to the same (`make lint`).
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
STUB = ROOT / "python" / "elsewhere" / "_core.pyi"


def violations_of(package: str, folder: Path | None = None) -> list[str]:
    """What is incomplete in a package that is installed, or that lies in `folder`."""
    report = _verify(package, folder)
    violations = [str(one["message"]) for one in report["generalDiagnostics"]]
    completeness: dict[str, Any] = report["typeCompleteness"]
    for symbol in completeness["symbols"]:
        if not symbol["isTypeKnown"] or symbol["isTypeAmbiguous"]:
            reasons = "; ".join(str(one["message"]).replace("\n", " ") for one in symbol["diagnostics"])
            violations.append(f"{symbol['name']}: {reasons or 'its type is not known'}")
    if not violations and completeness["completenessScore"] != 1:
        violations.append(f"{package}: {completeness['completenessScore']:.0%} complete")
    return violations


def names_of(stub: str) -> list[str]:
    """What a stub defines at its top, without what has an underscore."""
    found: set[str] = set()
    for node in ast.parse(stub).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
    return sorted(name for name in found if not name.startswith("_"))


def export(names: list[str], module: str, package: str, folder: Path) -> None:
    """Make a package in `folder` that exports names of a module."""
    made = folder / package
    made.mkdir()
    (made / "py.typed").touch()
    imports = "".join(f"from {module} import {name} as {name}\n" for name in names)
    (made / "__init__.pyi").write_text(f"{imports}__all__ = {names!r}\n", encoding="utf-8")


def _verify(package: str, folder: Path | None) -> dict[str, Any]:
    """The verifier's report. It finds packages where the interpreter does that is first on PATH."""
    bin_folder = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}", "VIRTUAL_ENV": sys.prefix}
    if folder is not None:
        environment["PYTHONPATH"] = str(folder)
    command = [sys.executable, "-m", "basedpyright", "--verifytypes", package, "--outputjson"]
    if folder is None:
        command.append("--ignoreexternal")  # to a package that was made, what it exports is external
    ended = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, check=False)
    report: dict[str, Any] = json.loads(ended.stdout)
    return report


def main() -> int:
    """Verify the package and the stub; print what is incomplete."""
    names = names_of(STUB.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        export(names, "elsewhere._core", "names_of_core", Path(folder))
        violations = [*violations_of("elsewhere"), *violations_of("names_of_core", Path(folder))]
    for violation in violations:
        print(violation, file=sys.stderr)
    if not violations:
        print(f"complete types: every public name of elsewhere, and the {len(names)} names of its stub")
    return bool(violations)


if __name__ == "__main__":
    sys.exit(main())
