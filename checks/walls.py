"""Who may depend on whom: the walls between the crates and inside the Python package.

Owns: the list of walls and how each is recognised. Must not know: what the code behind the walls does.

Each rule is a function from what it reads (`cargo metadata`, a source tree) to a list of violations in words, so that
the tests can hand it a deliberate violation.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from checks.dialect_walls import dialect_reach_violations, dialect_violations

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).resolve().parent.parent

# What a crate may name under [dependencies] and [build-dependencies]; dev-dependencies are free, they reach nobody.
ALLOWED_DEPENDENCIES: dict[str, frozenset[str]] = {
    "elsewhere-proto": frozenset({"thiserror"}),
    "elsewhere-shm": frozenset({"rustix", "thiserror"}),
    "elsewhere-engine": frozenset(
        {"crossbeam-queue", "elsewhere-proto", "elsewhere-shm", "hmac", "rustix", "sha2", "snow", "thiserror"}
    ),
    "elsewhere-python": frozenset({"elsewhere-engine", "elsewhere-proto", "pyo3", "rustix"}),
}
# The only crate from which Python may be reached, also through the dependencies of its dependencies.
PYTHON_CRATE = "elsewhere-python"
PYTHON_PACKAGES = frozenset({"pyo3", "pyo3-ffi", "python3-sys", "cpython"})
TRANSPORTS = Path("crates/elsewhere-engine/src/transport")
FORBID_UNSAFE = ("elsewhere-proto", "elsewhere-engine")


def dependency_violations(metadata: Mapping[str, Any]) -> list[str]:
    """Workspace crates that name a dependency they may not have, or that no rule covers."""
    violations: list[str] = []
    for package in _workspace_packages(metadata):
        name = package["name"]
        allowed = ALLOWED_DEPENDENCIES.get(name)
        if allowed is None:
            violations.append(f"{name}: a new crate needs its own line in checks/walls.py")
            continue
        named = {entry["name"] for entry in package["dependencies"] if entry["kind"] != "dev"}
        violations += [f"{name} may not depend on {extra}" for extra in sorted(named - allowed)]
    return violations


def python_violations(metadata: Mapping[str, Any]) -> list[str]:
    """Workspace crates other than the binding from which pyo3 can be reached, by whatever way."""
    names = {package["id"]: package["name"] for package in metadata["packages"]}
    edges = {
        node["id"]: [
            entry["pkg"] for entry in node["deps"] if any(kind["kind"] != "dev" for kind in entry["dep_kinds"])
        ]
        for node in metadata["resolve"]["nodes"]
    }
    violations: list[str] = []
    for package in _workspace_packages(metadata):
        if package["name"] == PYTHON_CRATE:
            continue
        reached = sorted(names[found] for found in _reachable(package["id"], edges) if names[found] in PYTHON_PACKAGES)
        violations += [f"{package['name']} reaches {found}; only {PYTHON_CRATE} may" for found in reached]
    return violations


def unsafe_violations(root: Path) -> list[str]:
    """Crates that must forbid unsafe code and do not, in their lib.rs or in the lint table of their manifest."""
    violations: list[str] = []
    for crate in FORBID_UNSAFE:
        folder = root / "crates" / crate
        library = folder / "src" / "lib.rs"
        in_source = library.is_file() and "#![forbid(unsafe_code)]" in library.read_text(encoding="utf-8").splitlines()
        if not (in_source or _manifest_forbids_unsafe(folder / "Cargo.toml", root / "Cargo.toml")):
            violations.append(f"{crate} does not forbid unsafe code")
    return violations


def transport_violations(root: Path) -> list[str]:
    """Transports of the engine that name another transport; what they share stands in `transport/mod.rs`."""
    modules = [path for path in sorted((root / TRANSPORTS).rglob("*.rs")) if path.name != "mod.rs"]
    names = {path.stem for path in modules}
    return [
        f"transport {path.stem}:{number} names transport {found}"
        for path in modules
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        for found in re.findall(r"\b(?:super|transport)::(\w+)", line.partition("//")[0])
        if found in names - {path.stem}
    ]


def bare_violations(bare: Path) -> list[str]:
    """Imports of the one-file host that are not of the standard library; it runs where nothing else is installed."""
    if not bare.is_file():
        return []
    return [
        f"{bare.name}:{line} imports {module}, which is not in the standard library"
        for module, line in _imports(bare)
        if module.startswith(".") or module.split(".")[0] not in sys.stdlib_module_names
    ]


def all_violations(root: Path, metadata: Mapping[str, Any]) -> list[str]:
    """What every rule says of this repository."""
    package = root / "python" / "elsewhere"
    return [
        *dependency_violations(metadata),
        *python_violations(metadata),
        *unsafe_violations(root),
        *transport_violations(root),
        *dialect_violations(package),
        *dialect_reach_violations(package),
        *bare_violations(package / "_bare.py"),
    ]


def read_metadata(root: Path) -> dict[str, Any]:
    """What cargo knows of the workspace, its packages and how they depend on each other."""
    command = ["cargo", "metadata", "--format-version", "1", "--all-features"]
    found: dict[str, Any] = json.loads(subprocess.run(command, cwd=root, check=True, stdout=subprocess.PIPE).stdout)
    return found


def _workspace_packages(metadata: Mapping[str, Any]) -> list[dict[str, Any]]:
    members = set(metadata["workspace_members"])
    return [package for package in metadata["packages"] if package["id"] in members]


def _reachable(start: str, edges: Mapping[str, list[str]]) -> set[str]:
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        for neighbour in edges[waiting.pop()]:
            if neighbour not in seen:
                seen.add(neighbour)
                waiting.append(neighbour)
    return seen


def _manifest_forbids_unsafe(manifest: Path, workspace: Path) -> bool:
    if not manifest.is_file():
        return False
    lints = tomllib.loads(manifest.read_text(encoding="utf-8")).get("lints", {})
    if lints.get("workspace"):
        lints = tomllib.loads(workspace.read_text(encoding="utf-8")).get("workspace", {}).get("lints", {})
    level: str | dict[str, Any] | None = lints.get("rust", {}).get("unsafe_code")
    return level == "forbid" or (isinstance(level, dict) and level.get("level") == "forbid")


def _imports(path: Path) -> Iterator[tuple[str, int]]:
    """Every module that the file imports, wherever in it, with the line; a relative one begins with dots."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            yield base, node.lineno
            for alias in node.names:
                yield f"{base}.{alias.name}" if node.module else base + alias.name, node.lineno


def main() -> int:
    """Run every rule on this repository; print what is violated."""
    violations = all_violations(ROOT, read_metadata(ROOT))
    for violation in violations:
        print(f"wall broken: {violation}", file=sys.stderr)
    if not violations:
        print("walls: 7 rules hold")
    return bool(violations)


if __name__ == "__main__":
    sys.exit(main())
