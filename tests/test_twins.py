"""Random programs of operations, run on an object elsewhere and on its twin here: each step gives the same value or the
same error, and leaves the same state.

`ELSEWHERE_PROGRAMS` is how many programs each type gets (25); with another number they are others each time.
"""

from __future__ import annotations

import copy
import decimal
import os
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import elsewhere
from twins import (
    BINARY,
    COMMON,
    IN_PLACE,
    KINDS,
    REFLECTED,
    SPECIFICATIONS,
    UNARY,
    Kind,
    Twin,
    agree,
    is_left_to_chance,
    state,
)
from workshop import Keeper

PROGRAMS = os.environ.get("ELSEWHERE_PROGRAMS")
STEPS_MAX = 12
SIZE_MAX = 20_000
"""A program ends when its object has grown beyond this."""


OF_THE_OBJECT_ITSELF = [("unary", "hash"), ("unary", "iter"), ("unary", "with")]
"""What a path has not, or gives as the object rather than as the path."""


@pytest.fixture(scope="module", params=["exec", "local"])
def shared_host(request):
    with elsewhere.Host(start=request.param) as host:
        if host.pid:
            host.run(warnings.simplefilter, "ignore")
            host.run(np.seterr, all="ignore")
        yield host


def steps(kind: Kind) -> st.SearchStrategy[tuple]:
    """One step of a program for objects of a kind."""
    operand = st.sampled_from([*COMMON, *kind.operands * 3])
    names = st.sampled_from([*kind.attributes(), "nowhere"])
    # pow(0, "", Decimal(1)) ends the interpreter of CPython 3.13.0
    modulus = operand.filter(lambda value: not isinstance(value, decimal.Decimal))
    possible = [
        st.tuples(st.just("unary"), st.sampled_from(list(UNARY))),
        st.tuples(st.just("binary"), st.sampled_from(list(BINARY)), operand),
        st.tuples(st.just("reflected"), st.sampled_from(REFLECTED), operand),
        st.tuples(st.just("in place"), st.sampled_from(IN_PLACE), operand),
        st.tuples(st.just("ternary"), st.sampled_from(["pow", "rpow"]), operand, modulus),
        st.tuples(st.just("ternary"), st.just("setitem"), operand, operand),
        st.tuples(st.just("ternary"), st.just("setattr"), names, operand),
        st.tuples(st.just("delete item"), operand),
        st.tuples(st.just("delete"), names),
        st.tuples(st.just("format"), st.sampled_from(SPECIFICATIONS)),
        st.tuples(st.just("get"), st.sampled_from([*kind.attributes(), "nowhere"])),
    ]
    if methods := kind.methods():
        called = st.tuples(st.just("method"), st.sampled_from(methods), st.lists(operand, max_size=2), st.just({}))
        possible += [called, called, called]
    return st.one_of(possible)


def programs(kind: Kind) -> st.SearchStrategy[tuple]:
    """Where to begin, with which second object, whether at the end of a path, and what to do."""
    value = st.sampled_from(range(len(kind.values)))
    return st.tuples(value, value, st.booleans(), st.lists(steps(kind), min_size=1, max_size=STEPS_MAX))


def run(host: elsewhere.Host, kind: Kind, start: int, second: int, is_path: bool, program: list[tuple]) -> None:
    """Run a program on both twins and compare them after each step."""
    here = Twin(copied(kind.values[start]), copied(kind.values[second]))
    there = Twin(*(put(host, kind.values[number], is_path) for number in (start, second)))
    for number, step in enumerate(program):
        if is_left_to_chance(kind, step, here.value, not host.pid) or (is_path and step in OF_THE_OBJECT_ITSELF):
            continue
        before = here.value
        expected, found = here.outcome(step), there.outcome(step)

        assert agree(step, expected, found, before, is_path), (
            f"step {number} of {program}: {found} there, {expected} here"
        )
        left = state(here.value)
        assert state(there.value) == left, f"state after step {number} of {program}"
        assert state(there.other) == state(here.other), f"second object after step {number} of {program}"
        if len(repr(left)) > SIZE_MAX:
            break


def put(host: elsewhere.Host, value: object, is_path: bool) -> object:
    """A copy of a value elsewhere: its proxy, or a path to it."""
    return host.spawn(Keeper, value).thing if is_path else host.send(value)


def copied(value: object) -> object:
    if isinstance(value, memoryview):
        return memoryview(bytes(value) if value.readonly else bytearray(value))
    return copy.deepcopy(value)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.timeout(600 if PROGRAMS else 30)
def test_programs_do_elsewhere_what_they_do_at_home(shared_host, kind):
    @settings(
        max_examples=int(PROGRAMS or 25),
        derandomize=not PROGRAMS,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(programs(kind))
    def check(drawn: tuple) -> None:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            run(shared_host, kind, *drawn)

    check()
