"""The wall of checks/dialect_walls.py, tried with deliberate violations, and with what is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from checks import walls
from checks.dialect_walls import dialect_reach_violations, dialect_violations, public_names

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package with two public names."""
    (tmp_path / "dialects").mkdir()
    (tmp_path / "__init__.py").write_text('from ._api import Host, get\n\n__all__ = ["Host", "get"]\n')
    return tmp_path


def test_dialects_of_this_package_keep_it() -> None:
    package = walls.ROOT / "python" / "elsewhere"

    assert len(public_names(package)) > 30
    assert dialect_violations(package) == []
    assert dialect_reach_violations(package) == []


@pytest.mark.parametrize(
    "statement",
    [
        "import elsewhere.dialects.erised",
        "from elsewhere.dialects import pyoad",
        "from elsewhere.dialects.pyoad import ObjectDaemonProxy",
        "from .dialects import pyoad",
        "from . import dialects",
        "from . import dialects as names",
        "def late():\n    from elsewhere import dialects",
        "import elsewhere as e\ne.dialects.erised.Proxy(1)",
        "import elsewhere\ngetattr(elsewhere, 'dialects')",
        "import importlib\nimportlib.import_module('elsewhere.dialects.erised')",
        "import sys\nsys.modules['elsewhere.dialects']",
    ],
)
def test_use_of_a_dialect_is_a_violation(package: Path, statement: str) -> None:
    (package / "_api.py").write_text(statement + "\n")

    assert dialect_violations(package)


def test_dialects_may_use_each_other_and_public_names(package: Path) -> None:
    (package / "dialects" / "erised").mkdir()
    (package / "dialects" / "erised" / "core.py").write_text(
        '"""Speaks of elsewhere._core."""\n'
        "import elsewhere\n"
        "import elsewhere as e\n"
        "from elsewhere import Host, get as fetch\n"
        "from elsewhere.dialects import pyoad, processes\n"
        "from elsewhere.dialects.pyoad import _Daemon\n"
        "from .. import processes as both\n"
        "from . import view\n"
        "from collections import abc\n"
        "log = 'elsewhere'\n"
        "class Proxy:\n"
        "    def __init__(self):\n"
        "        self._host = elsewhere.Host()\n"
        "        self._host.name = e.Host.spawn.__name__\n"
        "    def other(self, proxy):\n"
        "        return proxy._host, processes._kept, getattr(self, '_host')\n"
    )
    (package / "dialects" / "processes.py").write_text("_kept = []\n")

    assert dialect_violations(package) == []
    assert dialect_reach_violations(package) == []


@pytest.mark.parametrize(
    "statement",
    [
        "import numpy",
        "from elsewhere import _errors",
        "from elsewhere import _errors as errors",
        "from elsewhere import *",
        "import elsewhere._core",
        "import elsewhere._core as core",
        "from elsewhere._core import Future",
        "from .. import _api",
        "from .._api import get",
        "elsewhere._core.x()",
        "elsewhere.submodule.x()",
        "elsewhere.__dict__",
        "e._core.x()",
        "e.Host._start()",
        "Host._start()",
        "getattr(e, '_core')",
        "getattr(e, 'submodule')",
        "object.__getattribute__(e, '_core')",
        "setattr(Host, '_start', None)",
        "Host()._process",
        "(lambda host: host._process)(1)",
        "hasattr(Host(), '_process')",
        "vars(elsewhere)['get']",
        "other = e",
        "__import__('elsewhere._core')",
        "importlib.import_module('elsewhere.submodule')",
        "sys.modules['elsewhere._core']",
    ],
)
def test_dialect_that_reaches_behind_the_public_names_is_a_violation(package: Path, statement: str) -> None:
    (package / "dialects" / "erised.py").write_text(
        "import importlib, queue, sys\n"
        "import elsewhere; import elsewhere as e; from elsewhere import Host\n"
        f"{statement}\n"
    )

    violations = dialect_reach_violations(package)

    assert violations
    assert all(":3 " in violation for violation in violations)
