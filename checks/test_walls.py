"""Each wall of checks/walls.py, tried with a deliberate violation."""

from __future__ import annotations

import copy
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from checks import walls

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def real_metadata() -> dict[str, Any]:
    if shutil.which("cargo") is None:
        pytest.skip("cargo is not on PATH; the walls are then checked where the package is built")
    return walls.read_metadata(walls.ROOT)


@pytest.fixture
def metadata(real_metadata: dict[str, Any]) -> dict[str, Any]:
    return copy.deepcopy(real_metadata)


def package_named(metadata: dict[str, Any], name: str) -> dict[str, Any]:
    return next(package for package in metadata["packages"] if package["name"] == name)


def add_edge(metadata: dict[str, Any], source: str, target: str) -> None:
    node = next(node for node in metadata["resolve"]["nodes"] if node["id"] == package_named(metadata, source)["id"])
    edge = {"pkg": package_named(metadata, target)["id"], "name": target, "dep_kinds": [{"kind": None, "target": None}]}
    node["deps"].append(edge)


def test_this_workspace_keeps_its_walls(metadata: dict[str, Any]) -> None:
    assert walls.all_violations(walls.ROOT, metadata) == []


def test_wall_of_the_dialects_is_one_of_them(metadata: dict[str, Any], tmp_path: Path) -> None:
    package = tmp_path / "python" / "elsewhere"
    (package / "dialects").mkdir(parents=True)
    (package / "_api.py").write_text("from . import dialects\n")
    (package / "dialects" / "erised.py").write_text("from elsewhere import _api\n")

    violations = walls.all_violations(tmp_path, metadata)

    assert "_api.py:1 reaches elsewhere.dialects" in violations
    assert "dialects/erised.py:1 names elsewhere._api, which is not public" in violations


def test_named_dependency_outside_the_list_is_a_violation(metadata: dict[str, Any]) -> None:
    package_named(metadata, "elsewhere-proto")["dependencies"].append({"name": "tokio", "kind": None})

    assert walls.dependency_violations(metadata) == ["elsewhere-proto may not depend on tokio"]


def test_proto_may_not_depend_on_engine(metadata: dict[str, Any]) -> None:
    package_named(metadata, "elsewhere-proto")["dependencies"].append({"name": "elsewhere-engine", "kind": "build"})

    assert walls.dependency_violations(metadata) == ["elsewhere-proto may not depend on elsewhere-engine"]


def test_development_dependencies_are_free(metadata: dict[str, Any]) -> None:
    package_named(metadata, "elsewhere-proto")["dependencies"].append({"name": "anything", "kind": "dev"})

    assert walls.dependency_violations(metadata) == []


def test_crate_without_a_rule_is_a_violation(metadata: dict[str, Any]) -> None:
    package_named(metadata, "elsewhere-proto")["name"] = "elsewhere-utils"

    assert any("elsewhere-utils" in violation for violation in walls.dependency_violations(metadata))


def test_python_reached_through_another_crate_is_a_violation(metadata: dict[str, Any]) -> None:
    add_edge(metadata, "thiserror", "pyo3-ffi")

    assert "elsewhere-proto reaches pyo3-ffi; only elsewhere-python may" in walls.python_violations(metadata)


def test_crate_that_allows_unsafe_is_a_violation(tmp_path: Path) -> None:
    source = tmp_path / "crates" / "elsewhere-proto" / "src"
    source.mkdir(parents=True)
    (source / "lib.rs").write_text("//! Says nothing of unsafe.\n")

    assert "elsewhere-proto does not forbid unsafe code" in walls.unsafe_violations(tmp_path)


def test_forbid_may_stand_in_the_workspace_lints(tmp_path: Path) -> None:
    for crate in walls.FORBID_UNSAFE:
        (tmp_path / "crates" / crate).mkdir(parents=True)
        (tmp_path / "crates" / crate / "Cargo.toml").write_text("[lints]\nworkspace = true\n")
    (tmp_path / "Cargo.toml").write_text('[workspace.lints.rust]\nunsafe_code = "forbid"\n')

    assert walls.unsafe_violations(tmp_path) == []


def test_transport_that_names_another_is_a_violation(tmp_path: Path) -> None:
    transports = tmp_path / walls.TRANSPORTS
    transports.mkdir(parents=True)
    (transports / "mod.rs").write_text("mod memory;\nuse self::memory::Memory;\n")
    (transports / "memory.rs").write_text("use super::Stream; // not super::unix\n")
    (transports / "unix.rs").write_text("use super::memory::Memory;\n")

    assert walls.transport_violations(tmp_path) == ["transport unix:1 names transport memory"]


@pytest.mark.parametrize("statement", ["import cloudpickle", "from elsewhere import _errors", "from . import _errors"])
def test_one_file_host_imports_the_standard_library_only(tmp_path: Path, statement: str) -> None:
    bare = tmp_path / "_bare.py"
    bare.write_text(f"import os, socket\nfrom importlib import util\n{statement}\n")

    violations = walls.bare_violations(bare)

    assert violations
    assert all(":3 " in violation for violation in violations)
