"""What a generator function yields in the background, read from its start on, as the page of remoteobj 0.4.0 does."""

from __future__ import annotations

import functools
import multiprocessing as mp

import pytest

from elsewhere.dialects.remoteobj import job

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


def count(n):
    yield from range(n)


@pytest.mark.parametrize("threaded", [True, False], ids=["thread", "process"])
def test_result_of_a_generator_function_is_a_generator_at_once(threaded):
    start = functools.partial(job, threaded_=threaded)
    gate = mp.Event()

    def work():
        gate.wait()
        yield 1

    with start(work) as one, start(functools.partial(count, 3)) as other, start(count, 3, results_=False) as silent:
        items = one.result
        gate.set()
        assert list(items) == [1]
        assert list(other.result) == [0, 1, 2]
        assert silent.result is None
