"""Code of the program, and values whose classes are in no module, on their way to other interpreters and to hosts."""

from __future__ import annotations

import dataclasses
import enum
import os
import shutil
import sys
from pathlib import Path

import cloudpickle
import pytest

import elsewhere
from elsewhere import ref

OF_SYS = ["version_info", "flags", "float_info", "implementation"]
"""Attributes of `sys` whose classes no module has by their names, or that hold one of those."""


def paint() -> None:
    """Code of the program."""


class Colour(enum.Enum):
    RED = 1


@pytest.mark.parametrize("value", [Colour.RED, Colour, paint], ids=["member", "class", "function"])
@pytest.mark.parametrize("beside", [ref([]), [].append, None], ids=["reference", "method", "nothing"])
def test_code_of_the_program_is_refused_by_another_version_whatever_is_beside_it(oldest, monkeypatch, value, beside):
    for code in (Colour, paint):
        monkeypatch.setattr(code, "__module__", "__main__")
        monkeypatch.setattr(sys.modules["__main__"], code.__name__, code, raising=False)
    with elsewhere.Host(python=oldest) as host:
        host.script("import __main__\n__main__.Colour = __main__.paint = 'theirs'")
        module = host.script("def echo(*values): return len(values)")

        with pytest.raises(elsewhere.ArgumentError, match="code travels by value only between interpreters"):
            module.echo(beside, value)

        assert module.echo(beside, "__main__") == 2


def test_code_travels_to_an_older_cloudpickle(bare_interpreter, tmp_path):
    old = shutil.copytree(Path(cloudpickle.__file__).parent, tmp_path / "cloudpickle")
    with (old / "cloudpickle.py").open("a") as source:
        source.write("\ndel _class_setstate, _function_setstate\n")

    @dataclasses.dataclass
    class Point:
        x: int

    with elsewhere.Host(python=bare_interpreter, path=[str(tmp_path)]) as host:
        assert elsewhere.get(elsewhere.attribute(host.module("cloudpickle"), "__file__")) == str(old / "__init__.py")
        assert host.run(lambda number: number + 1, 2) == 3
        assert host.run(lambda point: point.x, Point(4)) == 4


def check_version(host: elsewhere.Host) -> None:
    there = host.module("sys")
    values = host.script("import sys\ndef of_sys(name): return getattr(sys, name)")

    assert all(elsewhere.is_proxy(values.of_sys(name)) for name in OF_SYS)
    for name in OF_SYS:
        with pytest.raises(elsewhere.ResultError, match="cannot be copied"):
            elsewhere.get(elsewhere.attribute(there, name))
    assert host.run(tuple, there.version_info)[0] == 3


def test_value_whose_class_is_in_no_module_is_a_proxy(host):
    check_version(host)
    with pytest.raises(elsewhere.ArgumentError, match=r"a sys\.version_info, cannot be copied"):
        host.run(len, sys.version_info)


def test_value_whose_class_is_in_no_module_is_a_proxy_of_other_interpreters_too(bare_interpreter, oldest):
    for python in (bare_interpreter, oldest):
        with elsewhere.Host(python=python) as host:
            check_version(host)


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ("raise ValueError('broken')", "did not start: ValueError: broken"),
        (
            "import os; os.write(2, b'last words'); os._exit(9)",
            "ended with exit code 9 before it was ready\nlast words on",
        ),
    ],
)
def test_preload_that_fails_is_told_and_its_interpreter_not_blamed(bare_interpreter, tmp_path, source, word):
    (tmp_path / "failing_preload.py").write_text(source)

    for python in (bare_interpreter, None):
        with pytest.raises(elsewhere.HostStartError) as failed:
            elsewhere.Host(python=python, start="exec", preload=["failing_preload"], path=[str(tmp_path)])

        assert word in str(failed.value)
        assert str(failed.value).count("last words") == source.count("last words") * 2
        assert "must be a CPython" not in str(failed.value)
        assert "configure" not in str(failed.value)


def test_names_that_are_no_text_reach_a_host(tmp_path, monkeypatch):
    directory = os.path.join(str(tmp_path), os.fsdecode(b"d\xff"))
    os.mkdir(directory)
    os.symlink(sys.executable, os.path.join(directory, "python"))
    monkeypatch.setenv("NO_TEXT", os.fsdecode(b"\xfe"))

    with (
        elsewhere.Host(start="exec", env={"MORE": "1"}, cwd=directory) as host,
        elsewhere.Host(python=os.path.join(directory, "python"), env={"MORE": "1"}) as other,
    ):
        for one in (host, other):
            assert one.run(os.getenv, "NO_TEXT") == os.fsdecode(b"\xfe")
            assert one.run(os.getenv, "MORE") == "1"
        assert host.run(os.getcwd) == directory
