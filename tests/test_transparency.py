"""Where a proxy differs from its object: what docs/transparency.md lists and no other test holds."""

from __future__ import annotations

import collections
import fractions
import math
import operator
import os
import subprocess
import sys
import types
import unittest.mock
from typing import TYPE_CHECKING

import numpy as np
import pytest

import elsewhere
from kennel import Dog

if TYPE_CHECKING:
    from pathlib import Path


def subclass(proxy):
    return type("Sub", (proxy,), {})


async def wait_for(proxy):
    return await proxy


def run_coroutine(proxy):
    coroutine = wait_for(proxy)
    try:
        coroutine.send(None)
    finally:
        coroutine.close()


@pytest.mark.parametrize(
    "use",
    [subclass, open, memoryview, os.fspath, vars, lambda proxy: isinstance(1, proxy), run_coroutine],
    ids=["base class", "open", "buffer", "path", "vars", "isinstance", "await"],
)
def test_proxy_cannot_stand_in_for_what_only_the_interpreter_knows(process_host, use) -> None:
    with pytest.raises(TypeError):
        use(process_host.send("/tmp"))


@pytest.fixture
def number(host):
    return host.send(2)


def test_text_formatting_takes_a_proxy_for_a_mapping(number):
    assert operator.mod("%s", number) == "2"
    assert operator.mod("no place for it", number) == "no place for it"
    with pytest.raises(TypeError):
        operator.mod("no place for it", 2)


def test_power_of_a_fraction_by_a_proxy_is_a_float_where_fractions_know_no_better(number):
    assert fractions.Fraction(1, 2) ** 2 == fractions.Fraction(1, 4)
    assert type(fractions.Fraction(1, 2) ** number) is (float if sys.version_info < (3, 13) else fractions.Fraction)


@pytest.mark.parametrize("make", [bytearray, memoryview])
def test_proxy_lends_no_buffer_to_a_comparison(host, make):
    numbers = host.send(np.array([97], dtype=np.uint8))

    assert (make(b"a") == elsewhere.get(numbers)) is True
    assert type(make(b"a") == numbers) is np.ndarray


def test_error_of_a_mirrored_comparison_names_the_mirror(number):
    with pytest.raises(TypeError, match="'>' not supported between instances of 'int' and 'str'"):
        "a" < number


def test_proxy_is_no_modulus(number):
    with pytest.raises(TypeError, match="unsupported operand"):
        pow(5, 3, number)


@pytest.mark.parametrize(
    "function",
    [
        lambda p: int(p, 16),
        lambda p: str(p, "utf-8"),
        lambda p: ",".join([p]),  # noqa: FLY002 - what is tested
        open,
        lambda p: bytearray(b"x").join([p]),
    ],
)
def test_function_that_looks_into_its_argument_takes_no_proxy(host, function):
    with pytest.raises(TypeError):
        function(host.send("ff"))


def test_dict_of_a_proxy_has_paths_for_values(host):
    ages = host.send({"rex": 3})

    copied = dict(ages)
    unpacked = {**ages}

    ages["rex"] = 4
    assert copied["rex"] == 4
    assert unpacked["rex"] == 4
    assert elsewhere.is_proxy(copied["rex"])


def test_list_that_is_here_is_not_extended_in_place_by_a_proxy(host):
    here = before = [1]

    here += host.send([2])

    assert here == [1, 2]
    assert before == [1]


def test_proxies_of_one_nan_are_equal(host):
    nan = host.send(math.nan)

    assert nan == nan
    assert elsewhere.get(nan) != elsewhere.get(nan)


def test_proxies_of_one_array_are_equal_as_a_whole(host):
    numbers = host.send(np.array([1, 2]))

    assert (numbers == numbers) is True
    assert (numbers == np.array([1, 2])).tolist() == [True, True]


def test_proxy_matches_no_pattern(process_host):
    ages = process_host.send({"rex": 3})
    asked = process_host._calls_made()

    match ages:
        case {"rex": _} | [*_] | dict() | collections.abc.Mapping():
            matched = True
        case _:
            matched = False

    assert not matched
    assert process_host._calls_made() == asked


def test_patched_attribute_of_a_proxy_is_not_put_back(host):
    dog = host.spawn(Dog, "rex")

    with unittest.mock.patch.object(dog, "name", "tom"):
        assert elsewhere.get(dog.name) == "tom"

    assert elsewhere.get(dog.name, default="gone") == "gone"


def test_hash_of_a_text_is_that_of_its_process(process_host):
    text = process_host.send("rex")

    assert hash(text) == process_host.run(hash, "rex")


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
