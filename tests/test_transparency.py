"""Where a proxy differs from its object: what docs/transparency.md lists and no other test holds."""

from __future__ import annotations

import copy
import os
import pickle
import re
import subprocess
import sys
import types
import weakref
from pathlib import Path

import numpy as np
import pytest

import elsewhere
from curious import Curious

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "transparency.md"


def subclass(proxy):
    return type("Sub", (proxy,), {})


def use_as_descriptor(proxy):
    holder = type("Holder", (), {"place": proxy})
    instance = holder()
    assert instance.place is proxy
    instance.place = 1
    assert instance.place == 1
    del instance.place


async def wait_for(proxy):
    return await proxy


def run_coroutine(proxy):
    coroutine = wait_for(proxy)
    try:
        coroutine.send(None)
    finally:
        coroutine.close()


NOT_FORWARDED = {
    "__del__": lambda proxy: elsewhere.ref(proxy),  # a handle that comes and goes
    "__init__": lambda proxy: proxy.__init__(),
    "__new__": lambda proxy: proxy.__new__(type(proxy)),
    "__init_subclass__": subclass,
    "__class_getitem__": lambda proxy: proxy.__class_getitem__(int),
    "__mro_entries__": subclass,
    "__set_name__": use_as_descriptor,
    "__get__": use_as_descriptor,
    "__set__": use_as_descriptor,
    "__delete__": use_as_descriptor,
    "__instancecheck__": lambda proxy: isinstance(1, proxy),
    "__subclasscheck__": lambda proxy: issubclass(int, proxy),
    "__getstate__": pickle.dumps,
    "__setstate__": lambda proxy: proxy.__setstate__({}),
    "__reduce__": pickle.dumps,
    "__reduce_ex__": pickle.dumps,
    "__copy__": copy.copy,
    "__deepcopy__": copy.deepcopy,
    "__sizeof__": sys.getsizeof,
    "__dict__": vars,
    "__slots__": lambda proxy: proxy.__slots__,
    "__weakref__": weakref.ref,
    "__array__": np.asarray,
    "__buffer__": memoryview,
    "__fspath__": os.fspath,
    "__missing__": lambda proxy: proxy.__missing__("key"),
    "__prepare__": lambda proxy: proxy.__prepare__("Name", ()),
    "__await__": run_coroutine,
}


@pytest.mark.parametrize("name", NOT_FORWARDED)
def test_special_method_that_is_not_forwarded_asks_the_object_nothing(process_host, name: str) -> None:
    curious = process_host.spawn(Curious)
    curious.forget()

    try:
        NOT_FORWARDED[name](curious)
    except (TypeError, AttributeError):
        pass

    assert curious.questions() == []


def test_list_of_what_is_not_forwarded_is_the_documented_one() -> None:
    section = DOCUMENT.read_text(encoding="utf-8").partition("## What is not forwarded")[2].partition("\n## ")[0]

    assert set(re.findall(r"`(__\w+__)`", section)) == set(NOT_FORWARDED)


@pytest.mark.parametrize(
    "use",
    [subclass, open, memoryview, os.fspath, vars, lambda proxy: isinstance(1, proxy), run_coroutine],
    ids=["base class", "open", "buffer", "path", "vars", "isinstance", "await"],
)
def test_proxy_cannot_stand_in_for_what_only_the_interpreter_knows(process_host, use) -> None:
    with pytest.raises(TypeError):
        use(process_host.send("/tmp"))


def test_two_paths_are_never_the_same_object(host) -> None:
    dog = host.send(types.SimpleNamespace(toys=[]))

    assert dog.toys is not dog.toys


def test_two_paths_cannot_be_swapped(host) -> None:
    dog = host.send(types.SimpleNamespace(left=1, right=2))

    dog.left, dog.right = dog.right, dog.left

    assert (elsewhere.get(dog.left), elsewhere.get(dog.right)) == (2, 2)


@pytest.mark.parametrize(
    ("use", "value"),
    [
        (int, 2),
        (float, 2.5),
        (complex, 2.5 + 0j),
        (round, 2),
        (bytes, b"\x00\x00"),
        (lambda proxy: "abc"[proxy], "c"),
    ],
    ids=["int", "float", "complex", "round", "bytes", "index"],
)
def test_conversion_gives_a_value(host, use, value) -> None:
    proxy = host.send(2 if isinstance(value, (bytes, str)) else 2.5)

    converted = use(proxy)

    assert (type(converted), converted) == (type(value), value)


@pytest.mark.parametrize(
    ("options", "expression", "value"),
    [
        (["-O"], "sys.flags.optimize", "1"),
        (["-W", "ignore::ImportWarning"], "sys.warnoptions", "['ignore::ImportWarning']"),
        (["-X", "dev"], "sys.flags.dev_mode", "True"),
        (["-X", "utf8"], "sys.flags.utf8_mode", "1"),
    ],
    ids=lambda given: given if isinstance(given, str) else " ".join(given),
)
def test_flag_of_the_interpreter_goes_along(options: list[str], expression: str, value: str, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        f"import sys, elsewhere\nwith elsewhere.Host() as host:\n    print(host.run(lambda: {expression}))\n"
    )

    printed = subprocess.run(
        [sys.executable, *options, str(program)], capture_output=True, text=True, check=True
    ).stdout

    assert printed.strip() == value


def test_arguments_of_the_program_do_not_go_along(process_host) -> None:
    assert process_host.run(lambda: sys.argv[1:]) == []
    assert process_host.run(lambda: sys.argv) != sys.argv


def test_input_finds_nothing(process_host) -> None:
    with pytest.raises(EOFError):
        process_host.run(input)
