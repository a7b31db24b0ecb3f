"""Calls that are given up: in the queue they never run, on the way they go on or are broken off, and all is told."""

from __future__ import annotations

import asyncio
import threading

import pytest

import elsewhere
from elsewhere import get, ref, submit
from workshop import Book, kept_busy


class Worker:
    """Runs for as long as it is told to."""

    def __init__(self) -> None:
        self.ended: list[str] = []

    def wait_for(self, there, go) -> str:
        """Tell that the call runs, from a thread that no caller waits in, and wait until `go` returns."""
        teller = threading.Thread(target=there)
        teller.start()
        teller.join()
        waiter = threading.Thread(target=go)
        waiter.start()
        waiter.join()
        self.ended.append("by itself")
        return "done"


@pytest.fixture
def worker(process_host):
    return process_host.spawn(Worker)


def outcome_of(future: elsewhere.Future[object]) -> str | None:
    with pytest.raises(elsewhere.CallCancelled) as caught:
        future.result()
    return caught.value.outcome


def test_cancelled_half_of_a_queue_never_runs_and_says_so(host) -> None:
    book = host.spawn(Book)
    with kept_busy(host):
        queued = [submit(book.write, number) for number in range(100)]

        assert [future.cancel() for future in queued[::2]] == [True] * 50
        assert [outcome_of(future) for future in queued[::2]] == ["not_started"] * 50

    assert [future.result() for future in queued[1::2]] == [None] * 50
    assert book.read() == list(range(1, 100, 2))


def test_text_of_a_cancelled_call_says_what_is_known(host) -> None:
    book = host.spawn(Book)
    with kept_busy(host):
        future = submit(book.write, 1)
        future.cancel()

        with pytest.raises(elsewhere.CallCancelled, match=r"Book\.write on .* was cancelled; it had not started"):
            future.result()


def test_running_call_that_is_cancelled_is_unknown_and_goes_on(worker) -> None:
    running, go = threading.Event(), threading.Event()
    future = submit(worker.wait_for, ref(running.set), ref(go.wait))
    running.wait()

    assert future.cancel()
    assert outcome_of(future) == "unknown"
    go.set()

    assert get(worker.ended) == ["by itself"]


def test_cancelled_call_that_is_known_to_have_ended_says_so(worker) -> None:
    running, go = threading.Event(), threading.Event()
    future = submit(worker.wait_for, ref(running.set), ref(go.wait))
    running.wait()
    future.cancel()
    go.set()

    assert get(worker.ended) == ["by itself"]  # behind the answer of the cancelled call

    assert outcome_of(future) == "finished"


def test_each_look_at_a_cancelled_future_tells_the_same(host) -> None:
    book = host.spawn(Book)
    with kept_busy(host):
        future = submit(book.write, 1)
        future.cancel()
        with pytest.raises(elsewhere.CallCancelled) as first:
            future.result()

    with pytest.raises(elsewhere.CallCancelled) as second:
        future.exception()

    assert first.value is second.value


def test_cancelled_call_of_a_host_that_is_killed_ends_all_the_same(worker) -> None:
    running, go = threading.Event(), threading.Event()
    future = submit(worker.wait_for, ref(running.set), ref(go.wait))
    running.wait()
    future.cancel()
    elsewhere.host_of(worker).kill()
    go.set()

    assert outcome_of(future) == "unknown"


def test_loop_does_not_stand_still_for_what_is_known_of_a_cancelled_call(worker) -> None:
    async def main() -> str | None:
        running, go = threading.Event(), threading.Event()
        future = submit(worker.wait_for, ref(running.set), ref(go.wait))
        await asyncio.to_thread(running.wait)
        future.cancel()
        with pytest.raises(elsewhere.CallCancelled) as caught:
            await future
        go.set()
        return caught.value.outcome

    assert asyncio.run(main()) == "unknown"
