"""Iterators in a daemon of spawny's, and what ends an iteration."""

from __future__ import annotations

import pytest

from elsewhere.dialects.spawny import InstanceDefinition, run_object, run_script

ITERATORS = [iter([1, 2]), enumerate("ab", 1), InstanceDefinition("itertools", "count", 1), iter("ab")]


@pytest.mark.parametrize("what", ITERATORS, ids=["list", "enumerate", "count", "text"])
def test_iterator_is_an_object_like_any_other(what):
    there = run_object(what)

    first, second = there.__next__(), there.__next__()

    assert [first, second] in ([1, 2], [(1, "a"), (2, "b")], ["a", "b"])
    assert str(there) == repr(there)
    assert list(run_object(iter([1, 2, 3]))) == [1, 2, 3]


def ends_of(remote):
    ends = []
    for error in (StopIteration(), StopIteration([2]), StopAsyncIteration()):
        try:
            remote.throw(error)
        except (StopIteration, StopAsyncIteration) as end:
            ends.append((type(end), end.args))
    return ends


def test_end_of_an_iteration_is_raised_as_itself():
    expected = [(StopIteration, ()), (StopIteration, ([2],)), (StopAsyncIteration, ())]

    assert ends_of(run_script("def throw(error):\n    raise error\n")) == expected


def test_source_may_be_bytes_as_they_stand_in_a_file():
    assert run_script(b"# -*- coding: latin-1 -*-\nword = '\xe9'\n").word == "é"
