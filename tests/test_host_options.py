"""The options of a host: what they do, and that a wrong one starts nothing."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import textwrap
import threading

import pytest

import elsewhere
from conftest import children

WRONG = {
    "unknown option": ({"colour": "red"}, TypeError, "colour"),
    "unknown start": ({"start": "teleport"}, ValueError, "teleport"),
    "start of a wrong type": ({"start": 5}, ValueError, "start"),
    "name of a wrong type": ({"name": 5}, TypeError, "name"),
    "env of a wrong type": ({"env": 5}, TypeError, "env"),
    "env with a number": ({"env": {"A": 5}}, TypeError, "env"),
    "env with a bad key": ({"env": {"A=B": "x"}}, ValueError, "A=B"),
    "env with a null": ({"env": {"A": "x\0"}}, ValueError, "environment variable"),
    "cwd that is missing": ({"cwd": "/no/such/directory"}, NotADirectoryError, "/no/such/directory"),
    "cwd that is a file": ({"cwd": __file__}, NotADirectoryError, "not a directory"),
    "cwd of a wrong type": ({"cwd": 5}, TypeError, "path"),
    "cwd of bytes": ({"cwd": b"/tmp"}, TypeError, "str"),
    "path that is one str": ({"path": "/tmp"}, TypeError, "path"),
    "path with a number": ({"path": [5]}, TypeError, "path"),
    "preload that is one str": ({"preload": "json"}, TypeError, "preload"),
    "preload with a number": ({"preload": [5]}, TypeError, "preload"),
    "start_timeout that is none": ({"start_timeout": None}, TypeError, "start_timeout"),
    "start_timeout of zero": ({"start_timeout": 0}, ValueError, "start_timeout"),
    "negative start_timeout": ({"start_timeout": -1}, ValueError, "start_timeout"),
    "start_timeout that is no number": ({"start_timeout": float("nan")}, ValueError, "start_timeout"),
    "local host with a directory": ({"start": "local", "cwd": "/tmp"}, ValueError, "local"),
    "local host with an environment": ({"start": "local", "env": {}}, ValueError, "local"),
}


@pytest.mark.parametrize(("options", "error", "text"), WRONG.values(), ids=WRONG.keys())
def test_wrong_option_is_refused_and_starts_nothing(options, error, text):
    before = children()

    with pytest.raises(error, match=text):
        elsewhere.Host(**options)

    assert children() == before


def test_options_are_keywords_alone():
    with pytest.raises(TypeError):
        elsewhere.Host("exec")


def test_name_stands_in_texts():
    with elsewhere.Host(name="kennel") as host:
        numbers = host.spawn(list)

        assert host.name == "kennel"
        assert f"host 'kennel' ({host.pid})" in repr(host)
        assert "kennel" in repr(numbers)


def test_environment_is_this_ones_and_more(monkeypatch):
    monkeypatch.setenv("FROM_HERE", "here")

    with elsewhere.Host(env={"FROM_THERE": "there"}) as host:
        assert host.run(os.getenv, "FROM_HERE") == "here"
        assert host.run(os.getenv, "FROM_THERE") == "there"
    assert "FROM_THERE" not in os.environ


def test_directory_is_the_owners_or_the_one_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    inner = tmp_path / "inner"
    inner.mkdir()

    with elsewhere.Host() as same, elsewhere.Host(cwd=inner) as other:
        assert same.run(os.getcwd) == str(tmp_path)
        assert other.run(os.getcwd) == str(inner)


def test_import_path_is_the_owners_as_it_is(tmp_path, monkeypatch):
    (tmp_path / "fresh_module_of_the_owner.py").write_text("VALUE = 5\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    with elsewhere.Host() as host:
        assert host.run(import_and_get, "fresh_module_of_the_owner", "VALUE") == 5
        assert host.run(import_path) == [entry or os.getcwd() for entry in sys.path]


def import_and_get(module: str, name: str) -> object:
    return getattr(__import__(module), name)


def import_path() -> list[str]:
    return list(sys.path)


def test_path_comes_before_the_owners(tmp_path):
    (tmp_path / "module_of_the_path.py").write_text("VALUE = 6\n")

    with elsewhere.Host(path=[str(tmp_path)]) as host:
        assert host.run(import_and_get, "module_of_the_path", "VALUE") == 6
        assert host.run(import_path)[0] == str(tmp_path)


@pytest.mark.parametrize("output", ["inherit", "home", "discard"])
@pytest.mark.parametrize("start", ["auto", "exec"])
def test_preload_may_print_more_than_a_pipe_holds(tmp_path, start, output, capfd):
    name = f"chatty_with_{start}_and_{output}"
    text = "import sys\nfor stream in (sys.stdout, sys.stderr):\n    stream.write('.' * 300_000)\n    stream.flush()\n"
    (tmp_path / f"{name}.py").write_text(text)

    with elsewhere.Host(start=start, preload=[name], path=[str(tmp_path)], output=output) as host:
        assert host.run(abs, -1) == 1

    if output == "home":
        assert capfd.readouterr().out.count(".") == 300_000


def test_preloaded_modules_are_there():
    with elsewhere.Host(preload=["colorsys"]) as host:
        assert host.run(is_loaded, "colorsys")
    with elsewhere.Host() as host:
        assert not host.run(is_loaded, "colorsys")


def test_preloaded_module_may_start_threads(tmp_path):
    (tmp_path / "preload_with_a_thread.py").write_text(
        "import threading\n"
        "asked, answered = threading.Event(), threading.Event()\n"
        "def serve():\n"
        "    asked.wait()\n"
        "    answered.set()\n"
        "    threading.Event().wait()\n"
        "threading.Thread(target=serve, daemon=True).start()\n"
        "def ask():\n"
        "    asked.set()\n"
        "    return answered.wait(20)\n"
    )

    with elsewhere.Host(preload=["preload_with_a_thread"], path=[str(tmp_path)]) as host:
        assert host.module("preload_with_a_thread").ask()
        assert host.run(threading.active_count) >= 2


def test_preload_sees_the_hosts_directory_environment_and_path(tmp_path):
    (tmp_path / "preload_that_looks.py").write_text(
        "import os, sys\nseen = [os.getcwd(), os.environ['FROM_THERE'], sys.path[0]]\n"
    )
    directory = str(tmp_path)

    with elsewhere.Host(
        preload=["preload_that_looks"], path=[directory], cwd=directory, env={"FROM_THERE": "there"}
    ) as host:
        assert elsewhere.get(host.module("preload_that_looks").seen) == [directory, "there", directory]


def test_preload_of_a_local_host_happens_here(tmp_path, monkeypatch):
    (tmp_path / "preload_of_here.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))

    with elsewhere.Host(start="local", preload=["preload_of_here"]):
        assert "preload_of_here" in sys.modules
    del sys.modules["preload_of_here"]


def test_preload_of_a_local_host_that_fails_is_a_start_error():
    with pytest.raises(elsewhere.HostStartError, match="no_such_preload") as caught:
        elsewhere.Host(start="local", preload=["no_such_preload"], name="shop")

    assert "shop" in str(caught.value)
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


def is_loaded(name: str) -> bool:
    return name in sys.modules


def test_class_in_a_module_beside_the_script_is_found(tmp_path):
    (tmp_path / "beside.py").write_text("class Dog:\n    def bark(self): return 'woof'\n")
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent("""
        import elsewhere
        from beside import Dog
        dog = elsewhere.spawn(Dog)
        print(dog.bark())
        elsewhere.close(dog)
        """)
    )

    result = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True, cwd="/")

    assert result.stdout == "woof\n"


def test_host_that_was_never_started_says_so():
    host = elsewhere.Host.__new__(elsewhere.Host)

    assert "never started" in repr(host)
    with pytest.raises(RuntimeError, match="never started"):
        host.spawn(list)
    assert not host.alive


@pytest.mark.parametrize("verb", ["spawn", "run"])
def test_what_cannot_be_called_is_refused(host, verb):
    with pytest.raises(TypeError, match="expected a class or a function"):
        getattr(host, verb)(5)


def test_async_with_host_closes_it():
    async def play() -> elsewhere.Host:
        async with elsewhere.Host() as host:
            assert await elsewhere.submit(len, host.spawn(list)) == 0
        return host

    assert not asyncio.run(play()).alive
