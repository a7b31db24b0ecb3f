"""Modules of a host: imported there, by name, from a directory or from a file, and used through a proxy."""

from __future__ import annotations

import sys
import traceback

import pytest

import elsewhere

TOOLS = """
import helper_of_tools

VALUES = {"deep": [{"er": 5}]}


class Camera:
    made = 0

    def __init__(self, name="front"):
        self.name = name
        Camera.made += 1

    def shoot(self, times=1):
        return [self.name] * times

    def twin(self):
        return Camera(self.name)

    def part(self):
        return helper_of_tools.Part()


class Boom(Exception):
    pass


def double(number):
    return 2 * number


def fail():
    raise Boom("no film")


def divide(number):
    return 1 / number
"""


@pytest.fixture(autouse=True)
def _own_imports(monkeypatch):
    """Local hosts import into this process: what they change is put back."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if "tools" in name or "module_" in name:
            del sys.modules[name]


@pytest.fixture
def lab(tmp_path):
    """A directory with a module, a module it imports, and a package."""
    (tmp_path / "tools.py").write_text(TOOLS)
    (tmp_path / "helper_of_tools.py").write_text("class Part:\n    pass\n")
    package = tmp_path / "package_of_tools"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "inner.py").write_text("from helper_of_tools import Part\nNAME = __name__\n")
    return tmp_path


@pytest.fixture
def tools(host, lab):
    return host.module("tools", lab)


def test_module_of_the_import_path_is_found_by_name(host):
    assert host.module("os.path").basename("a/b") == "b"
    assert host.module("colorsys").rgb_to_hls(1.0, 1.0, 1.0) == (0.0, 1.0, 0.0)


def test_module_is_the_same_object_each_time(host):
    assert host.module("colorsys") == host.module("colorsys")


def test_functions_classes_and_values_are_reachable_at_any_depth(tools):
    assert tools.double(4) == 8
    assert elsewhere.get(tools.VALUES["deep"][0]["er"]) == 5
    assert tools.Camera("side").shoot(2) == ["side", "side"]
    assert elsewhere.get(tools.Camera.made) == 1


def test_values_of_a_module_can_be_set(tools):
    tools.VALUES = 3
    tools.Camera.made = 40

    assert elsewhere.get(tools.VALUES) == 3
    assert tools.Camera.made + 2 == 42


def test_object_of_a_class_that_is_only_there_arrives_as_a_proxy(tools):
    camera = tools.Camera("rear")

    assert elsewhere.is_proxy(camera)
    assert elsewhere.is_proxy(camera.twin())
    assert camera.shoot() == ["rear"]


def test_object_of_a_module_beside_it_arrives_as_a_proxy(tools):
    assert elsewhere.is_proxy(tools.Camera().part())


def test_element_of_a_class_that_is_only_there_arrives_as_a_proxy(host, tools):
    one, two = host.run(lambda camera: [1, camera.twin()], tools.Camera())

    assert one == 1
    assert elsewhere.is_proxy(two)


def test_copy_of_an_object_that_is_only_there_is_refused_and_says_why(tools):
    with pytest.raises(elsewhere.ResultError, match=r"Camera exists only there, in tools"):
        elsewhere.get(tools.Camera())
    with pytest.raises(elsewhere.ResultError, match=r"double exists only there, in tools"):
        elsewhere.get(tools.double)


def test_object_of_a_class_that_both_sides_import_arrives_as_a_copy(host):
    moment = host.module("datetime").date(2024, 2, 29)

    assert not elsewhere.is_proxy(moment)
    assert moment.isoformat() == "2024-02-29"


def test_spawn_of_a_modules_class_always_gives_a_proxy(host):
    moment = host.spawn(host.module("datetime").date, 2024, 2, 29)

    assert elsewhere.is_proxy(moment)
    assert moment.isoformat() == "2024-02-29"


def test_object_that_is_only_there_goes_back_as_itself(host, tools):
    camera = tools.Camera()

    assert host.run(lambda one, other: one is other, camera, camera)


def test_exception_of_a_class_that_is_only_there_stands_in_with_its_name(tools):
    with pytest.raises(elsewhere.RemoteError, match="no film") as caught:
        tools.fail()

    assert type(caught.value).__name__ == "Boom"
    assert caught.value.type_name == "tools.Boom"


def test_traceback_shows_the_modules_line(tools):
    with pytest.raises(ZeroDivisionError) as caught:
        tools.divide(0)

    assert "return 1 / number" in "".join(traceback.format_exception(caught.value))


def test_module_of_a_package_is_found_in_its_directory(host, lab):
    inner = host.module("package_of_tools.inner", lab)

    assert elsewhere.get(inner.NAME) == "package_of_tools.inner"
    assert elsewhere.is_proxy(inner.Part())


def test_module_is_loaded_from_a_file_under_any_name(host, tmp_path):
    file = tmp_path / "some file.py"
    file.write_text("NAME = __name__\nclass Thing:\n    pass\n")

    loaded = host.module("module_of_a_file", file)

    assert elsewhere.get(loaded.NAME) == "module_of_a_file"
    assert elsewhere.is_proxy(loaded.Thing())
    assert host.module("module_of_a_file", file) == loaded


def test_relative_path_means_the_owners_directory(lab, monkeypatch):
    monkeypatch.chdir(lab)

    with elsewhere.Host(cwd="/") as host:
        assert host.module("tools", ".").double(2) == 4
        assert host.module("module_by_file", "helper_of_tools.py") is not None


def test_module_of_the_same_name_from_another_place_is_refused(host, tmp_path):
    (tmp_path / "colorsys.py").write_text("")
    host.module("colorsys")

    for path in (tmp_path, tmp_path / "colorsys.py"):
        with pytest.raises(ImportError, match="loaded already"):
            host.module("colorsys", path)


def test_missing_module_is_an_import_error(host, tmp_path):
    with pytest.raises(ModuleNotFoundError, match="no_such_module_of_tools"):
        host.module("no_such_module_of_tools")
    with pytest.raises(ModuleNotFoundError, match="no_such_module_of_tools"):
        host.module("no_such_module_of_tools", tmp_path)


def test_missing_path_is_told(host, tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        host.module("tools", tmp_path / "nowhere")


def test_file_that_is_no_python_is_refused(host, tmp_path):
    file = tmp_path / "picture.png"
    file.write_text("")

    with pytest.raises(ImportError, match="no Python file"):
        host.module("module_of_a_picture", file)


@pytest.mark.parametrize("from_file", [True, False], ids=["file", "directory"])
def test_error_while_importing_shows_the_line_and_leaves_no_module(host, tmp_path, from_file):
    file = tmp_path / "module_that_fails.py"
    file.write_text("first = 1\nraise OSError('not today')\n")
    path = file if from_file else tmp_path

    with pytest.raises(OSError, match="not today") as caught:
        host.module("module_that_fails", path)
    file.write_text("first = 2\n")
    again = host.module("module_that_fails", path)

    text = "".join(traceback.format_exception(caught.value))
    assert "raise OSError('not today')" in text
    assert "importlib" not in text
    assert elsewhere.get(again.first) == 2


def test_syntax_error_of_a_module_has_its_file_and_line(host, tmp_path):
    file = tmp_path / "module_with_a_slip.py"
    file.write_text("fine = 1\nnot fine = 2\n")

    with pytest.raises(SyntaxError) as caught:
        host.module("module_with_a_slip", tmp_path)

    assert (caught.value.filename, caught.value.lineno, caught.value.text) == (str(file), 2, "not fine = 2\n")


@pytest.mark.parametrize(
    ("name", "path", "error"),
    [(5, None, TypeError), ("", None, ValueError), (".tools", None, ValueError), ("tools", 5, TypeError)],
    ids=["number", "empty", "relative", "path"],
)
def test_wrong_name_or_path_is_refused(host, name, path, error):
    with pytest.raises(error):
        host.module(name, path)


def test_class_of_a_directory_that_only_the_host_looks_into_arrives_as_a_proxy(tmp_path):
    (tmp_path / "plugin_of_tools.py").write_text("class Plugin:\n    def size(self): return 3\n")

    with elsewhere.Host(path=[str(tmp_path)]) as host:
        plugin = host.module("plugin_of_tools").Plugin()

        assert elsewhere.is_proxy(plugin)
        assert plugin.size() == 3


def test_module_of_main_is_the_hosts_own():
    with elsewhere.Host() as host:
        main = host.module("__main__")

        main.mark = "x"

        assert not hasattr(sys.modules["__main__"], "mark")
        assert elsewhere.get(main.mark) == "x"
