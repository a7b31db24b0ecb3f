"""Operators and special methods run where the object is, and give what they would give at home."""

from __future__ import annotations

import collections
import datetime as dt
import fractions
import math
import operator
import warnings

import pytest

import elsewhere

BINARY = [
    operator.add, operator.sub, operator.mul, operator.truediv, operator.floordiv, operator.mod, operator.pow,
    operator.lshift, operator.rshift, operator.and_, operator.or_, operator.xor, operator.matmul, divmod,
    operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge, operator.contains, operator.getitem,
]  # fmt: skip
UNARY = [
    operator.neg, operator.pos, operator.abs, operator.invert, operator.index, int, float, complex, bool, len, bytes,
    str, math.floor, math.ceil, math.trunc, round, operator.length_hint, lambda x: list(reversed(x)),
    lambda x: list(iter(x)),
]  # fmt: skip
IN_PLACE = [
    operator.iadd, operator.isub, operator.imul, operator.itruediv, operator.ifloordiv, operator.imod, operator.ipow,
    operator.ilshift, operator.irshift, operator.iand, operator.ior, operator.ixor, operator.imatmul,
]  # fmt: skip
VALUES = [
    7, -3, 2.5, True, "abc", b"ab", [1, 2], (1, 2), {1, 2}, frozenset({2}), {"a": 1}, 3 + 2j, range(4), bytearray(b"x"),
    fractions.Fraction(7, 2), dt.timedelta(seconds=90), collections.Counter("aab"), collections.deque([1, 2]),
]  # fmt: skip
OPERANDS = [2, 1.5, "a", [3], {2}, dt.timedelta(seconds=30), collections.Counter("a"), None]


def outcome(function, *arguments):
    """What a call gives, copied here, or the class of what it raises."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a host in a process has filters of its own
            result = function(*arguments)
        return elsewhere.get(result) if elsewhere.is_proxy(result) else result
    except Exception as error:
        return type(error)


def same(here, there) -> bool:
    return type(here) is type(there) and here == there


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_unary_operations_agree_with_a_local_twin(host, value):
    for function in UNARY:
        if function is operator.invert and isinstance(value, bool):
            continue  # from 3.12 on it warns, which is an error here and none in a host
        proxy = host.send(value)

        there = outcome(function, proxy)

        assert same(outcome(function, value), there), function


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_binary_operations_agree_with_a_local_twin(host, value):
    proxy = host.send(value)
    for function in BINARY:
        for operand in OPERANDS:
            there = outcome(function, proxy, operand)

            assert same(outcome(function, value, operand), there), (function, operand)


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_reflected_operations_agree_with_a_local_twin(host, value):
    proxy = host.send(value)
    for function in BINARY[:14]:
        for operand in (2, 1.5, dt.timedelta(seconds=30)):
            there = outcome(function, operand, proxy)

            assert same(outcome(function, operand, value), there), (function, operand)


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_in_place_operations_agree_with_a_local_twin(host, value):
    for function in IN_PLACE:
        for operand in (2, [3], {2}):
            twin, proxy = elsewhere.get(host.send(value)), host.send(value)

            there = outcome(function, proxy, operand)

            assert same(outcome(function, twin, operand), there), (function, operand)
            assert same(twin, elsewhere.get(proxy)), (function, operand)


def test_in_place_operation_on_its_operand_gives_the_proxy_itself(host):
    proxy = before = host.send([1])

    proxy += [2]

    assert proxy is before
    assert elsewhere.get(before) == [1, 2]


def test_in_place_operation_on_a_path_stores_what_it_gave(host):
    box = host.spawn(collections.UserDict)
    box.items_kept = [1]
    box.count = 5

    box.items_kept += [2]
    box.count -= 2

    assert elsewhere.get(box.items_kept) == [1, 2]
    assert elsewhere.get(box.count) == 3


def test_in_place_operation_on_a_name_leaves_the_place_alone(host):
    box = host.spawn(collections.UserDict)
    box.count = 5

    kept = box.count
    kept += 1

    assert kept == 6
    assert elsewhere.get(box.count) == 5


def test_in_place_operation_on_a_path_makes_two_trips(host):
    box = host.spawn(collections.UserDict)
    box.count = 5
    made = host._calls_made()

    box.count += 1

    assert host._calls_made() - made == 2


def test_in_place_operation_on_an_item_stores_there(host):
    ages = host.send({"rex": [3]})

    ages["rex"][0] += 1
    ages |= {"tom": [1]}

    assert elsewhere.get(ages) == {"rex": [4], "tom": [1]}


def test_result_of_an_in_place_operation_that_is_another_object_travels_as_a_result(host):
    pair = before = host.send((1,))

    pair += (2,)

    assert pair == (1, 2)
    assert type(pair) is tuple
    assert elsewhere.get(before) == (1,)
