"""Futures: what `submit` gives, alone, under concurrent.futures and under asyncio."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import subprocess
import sys
import threading
import weakref

import pytest

import elsewhere
from elsewhere import submit
from kennel import Dog
from workshop import Book, kept_busy


@pytest.fixture
def dog(host: elsewhere.Host) -> Dog:
    return host.spawn(Dog, "rex", age=3)


@pytest.fixture
def distant_dog(process_host: elsewhere.Host) -> Dog:
    return process_host.spawn(Dog, "rex", age=3)


def test_result_is_the_value(dog):
    future = submit(dog.bark, loud=True)

    assert future.result() == "WOOF"
    assert future.result() == "WOOF"
    assert future.done()
    assert not future.running()
    assert not future.cancelled()
    assert future.exception() is None


def test_result_raises_what_the_call_raised(dog):
    future = submit(dog.fail, ValueError("no"))

    with pytest.raises(ValueError, match="no"):
        future.result()
    assert isinstance(future.exception(), ValueError)


def test_timeout_is_the_builtin_error_and_the_call_goes_on(process_host, distant_dog):
    with kept_busy(process_host):
        future = submit(distant_dog.bark)

        with pytest.raises(TimeoutError) as caught:
            future.result(timeout=0.01)
        with pytest.raises(TimeoutError):
            future.exception(timeout=0)

        assert type(caught.value) is TimeoutError
        assert future.running()
    assert future.result() == "woof"


@pytest.mark.parametrize("timeout", [-1, float("nan"), "soon"])
def test_timeout_that_means_nothing_is_refused(dog, timeout):
    future = submit(dog.bark)

    with pytest.raises((ValueError, TypeError)):
        future.result(timeout=timeout)
    assert future.result() == "woof"


def test_done_takes_in_what_has_arrived(distant_dog):
    future = submit(distant_dog.bark)

    while not future.done():
        threading.Event().wait(0.001)

    assert future.result() == "woof"


def test_future_of_a_busy_host_is_running(host, dog):
    with kept_busy(host):
        future = submit(dog.bark)

        assert future.running()
        assert not future.done()
    assert future.result() == "woof"


def test_cancelled_call_that_waits_does_not_run(host):
    book = host.spawn(Book)
    with kept_busy(host):
        future = submit(book.write, 1)

        assert future.cancel()
        assert future.cancelled()
        assert future.done()
    assert book.read() == []


def test_result_of_a_cancelled_future_is_call_cancelled(host, dog):
    with kept_busy(host):
        future = submit(dog.bark)
        future.cancel()

    with pytest.raises(elsewhere.CallCancelled):
        future.result()
    with pytest.raises(concurrent.futures.CancelledError):
        future.exception()


def test_finished_future_cannot_be_cancelled(dog):
    future = submit(dog.bark)
    future.result()

    assert not future.cancel()
    assert future.result() == "woof"


def test_cancelling_one_call_leaves_the_others(host):
    book = host.spawn(Book)
    with kept_busy(host):
        futures = [submit(book.write, number) for number in range(5)]
        futures[2].cancel()

    assert book.read() == [0, 1, 3, 4]


def test_callback_runs_when_the_call_has_ended(dog):
    called = threading.Event()
    results: list[str] = []
    future = submit(dog.bark)

    future.add_done_callback(lambda future: (results.append(future.result()), called.set()))
    called.wait()

    assert results == ["woof"]


def test_callback_on_a_finished_future_runs_at_once(dog):
    future = submit(dog.bark)
    future.result()
    results: list[object] = []

    future.add_done_callback(results.append)

    assert results == [future]


def test_callback_may_be_given_by_the_name_that_it_has_in_the_standard_library(dog):
    future = submit(dog.bark)
    future.result()
    results: list[object] = []

    future.add_done_callback(fn=results.append)

    assert results == [future]


def test_callbacks_run_in_the_order_they_were_added(distant_dog, process_host):
    called = threading.Event()
    order: list[int] = []
    with kept_busy(process_host):
        future = submit(distant_dog.bark)
        for number in range(5):
            future.add_done_callback(lambda _, number=number: order.append(number))
        future.add_done_callback(lambda _: called.set())

    called.wait()

    assert order == [0, 1, 2, 3, 4]


def test_callback_that_raises_is_logged_and_spoils_nothing(dog, caplog):
    called = threading.Event()
    future = submit(dog.bark)
    future.result()

    future.add_done_callback(lambda _: 1 // 0)
    future.add_done_callback(lambda _: called.set())

    called.wait()
    assert "ZeroDivisionError" in caplog.text


def test_callback_of_a_cancelled_future_runs(host, dog):
    called = threading.Event()
    with kept_busy(host):
        future = submit(dog.bark)
        future.cancel()
        future.add_done_callback(lambda _: called.set())

        assert called.wait()


def test_callback_may_call_the_host(distant_dog, process_host):
    called = threading.Event()
    results: list[str] = []

    def again(_: object) -> None:
        results.append(distant_dog.bark(loud=True))
        called.set()

    with kept_busy(process_host):
        submit(distant_dog.bark).add_done_callback(again)
    called.wait()

    assert results == ["WOOF"]


def test_future_is_one_to_isinstance(dog):
    future = submit(dog.bark)

    assert isinstance(future, concurrent.futures.Future)
    assert isinstance(future, elsewhere.Future)
    future.result()


def test_wait_waits_for_all(dog):
    futures = [submit(dog.echo, number) for number in range(20)]

    done, pending = concurrent.futures.wait(futures)

    assert done == set(futures)
    assert not pending


def test_wait_returns_at_the_first_that_ends(process_host):
    with elsewhere.Host() as other:
        dog, tom = process_host.spawn(Dog, "rex"), other.spawn(Dog, "tom")
        with kept_busy(process_host):
            slow, fast = submit(dog.bark), submit(tom.bark)

            done, pending = concurrent.futures.wait([slow, fast], return_when=concurrent.futures.FIRST_COMPLETED)

            assert done == {fast}
            assert pending == {slow}
        slow.result()


def test_wait_sees_the_first_exception(dog):
    futures = [submit(dog.fail, ValueError("no")), submit(dog.bark)]

    done, _ = concurrent.futures.wait(futures, return_when=concurrent.futures.FIRST_EXCEPTION)

    assert futures[0] in done
    futures[1].result()


def test_wait_with_a_timeout_tells_what_is_not_done(process_host, distant_dog):
    with kept_busy(process_host):
        future = submit(distant_dog.bark)

        done, pending = concurrent.futures.wait([future], timeout=0.01)

        assert (done, pending) == (set(), {future})
    assert future.result() == "woof"


def test_as_completed_gives_each_once(dog):
    futures = [submit(dog.echo, number) for number in range(20)]

    results = [future.result() for future in concurrent.futures.as_completed(futures)]

    assert sorted(results) == list(range(20))


def test_futures_mix_with_those_of_an_executor(dog):
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        futures = [executor.submit(lambda: "here"), submit(dog.bark)]

        results = {future.result() for future in concurrent.futures.as_completed(futures)}

    assert results == {"here", "woof"}


def test_await_gives_the_value(dog):
    async def play() -> str:
        return await submit(dog.bark)

    assert asyncio.run(play()) == "woof"


def test_await_raises_what_the_call_raised(dog):
    async def play() -> None:
        await submit(dog.fail, KeyError("no"))

    with pytest.raises(KeyError, match="no"):
        asyncio.run(play())


def test_finished_future_is_awaited_at_once(dog):
    future = submit(dog.bark)
    future.result()

    async def play() -> str:
        return await future

    assert asyncio.run(play()) == "woof"


def test_answer_that_is_there_is_awaited_without_a_turn_of_the_loop(dog):
    future = submit(dog.bark)
    future.result()
    turns = []

    async def play() -> str:
        asyncio.get_running_loop().call_soon(turns.append, "a turn")
        return await future

    async def count() -> tuple[str, list[str]]:
        return await play(), list(turns)

    with concurrent.futures.ThreadPoolExecutor(1) as pool:  # of a thread's awaits some have a turn, but never the first
        assert pool.submit(asyncio.run, count()).result() == ("woof", [])


def test_future_is_awaited_twice(dog):
    async def play() -> list[str]:
        future = submit(dog.bark)
        return [await future, await future]

    assert asyncio.run(play()) == ["woof", "woof"]


def test_gather_gives_all_in_order(dog):
    async def play() -> list[int]:
        return await asyncio.gather(*(submit(dog.echo, number) for number in range(50)))

    assert asyncio.run(play()) == list(range(50))


def test_gather_of_two_hosts_waits_for_both(process_host):
    async def play() -> list[str]:
        with elsewhere.Host() as other:
            dog, tom = process_host.spawn(Dog, "rex"), other.spawn(Dog, "tom")
            return await asyncio.gather(submit(dog.bark), submit(tom.bark, loud=True))

    assert asyncio.run(play()) == ["woof", "WOOF"]


def test_loop_goes_on_while_a_call_runs(process_host, distant_dog):
    async def play() -> list[str]:
        events: list[str] = []

        async def call() -> None:
            await submit(distant_dog.bark)
            events.append("answered")

        task = asyncio.create_task(call())
        for _ in range(3):
            await asyncio.sleep(0)
        events.append("went on")
        return events, task

    async def main() -> list[str]:
        with kept_busy(process_host):
            events, task = await play()
        await task
        return events

    assert asyncio.run(main()) == ["went on", "answered"]


def test_wait_for_times_out_and_cancels_the_call(process_host):
    book = process_host.spawn(Book)

    async def play() -> None:
        with kept_busy(process_host), pytest.raises(TimeoutError):
            await asyncio.wait_for(submit(book.write, 1), 0.01)

    asyncio.run(play())

    assert book.read() == []


def test_asyncio_timeout_cancels_the_call(process_host):
    book = process_host.spawn(Book)

    async def play() -> None:
        with kept_busy(process_host), pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await submit(book.write, 1)

    asyncio.run(play())

    assert book.read() == []


def test_cancelled_task_cancels_its_call(process_host):
    book = process_host.spawn(Book)

    async def call() -> None:
        await submit(book.write, 1)

    async def play() -> None:
        with kept_busy(process_host):
            task = asyncio.create_task(call())
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(play())

    assert book.read() == []


def test_future_that_is_cancelled_ends_its_awaiter(process_host, distant_dog):
    async def play() -> None:
        with kept_busy(process_host):
            future = submit(distant_dog.bark)
            task = asyncio.ensure_future(future)
            await asyncio.sleep(0)
            future.cancel()
            with pytest.raises((elsewhere.CallCancelled, asyncio.CancelledError)):
                await task

    asyncio.run(play())


def test_shielded_call_survives_its_waiter(process_host):
    book = process_host.spawn(Book)

    async def play() -> None:
        with kept_busy(process_host), pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(submit(book.write, 1)), 0.01)

    asyncio.run(play())

    assert book.read() == [1]


def test_wrap_future_works(dog):
    async def play() -> str:
        return await asyncio.wrap_future(submit(dog.bark))

    assert asyncio.run(play()) == "woof"


def test_await_outside_of_asyncio_says_what_to_do(dog):
    future = submit(dog.bark)

    with pytest.raises(RuntimeError, match="asyncio"):
        future.__await__().send(None)
    future.result()


def test_two_loops_one_after_the_other_work(dog):
    async def play() -> str:
        return await submit(dog.bark)

    assert [asyncio.run(play()) for _ in range(3)] == ["woof"] * 3


def test_loops_in_several_threads_work_at_once(distant_dog):
    async def play(number: int) -> list[int]:
        return await asyncio.gather(*(submit(distant_dog.echo, number + step) for step in range(20)))

    with concurrent.futures.ThreadPoolExecutor(4) as executor:
        results = list(executor.map(lambda number: asyncio.run(play(number)), [0, 100, 200, 300]))

    assert results == [[start + step for step in range(20)] for start in [0, 100, 200, 300]]


def test_several_threads_wait_for_one_future(process_host, distant_dog):
    with concurrent.futures.ThreadPoolExecutor(4) as executor:
        with kept_busy(process_host):
            future = submit(distant_dog.bark)
            waiting = [executor.submit(future.result) for _ in range(4)]

        assert [one.result() for one in waiting] == ["woof"] * 4


def test_several_threads_wait_for_futures_of_one_host(distant_dog):
    def play(number: int) -> list[int]:
        return [submit(distant_dog.echo, number + step).result() for step in range(50)]

    with concurrent.futures.ThreadPoolExecutor(4) as executor:
        results = list(executor.map(play, [0, 100, 200, 300]))

    assert results == [[start + step for step in range(50)] for start in [0, 100, 200, 300]]


def test_dropped_future_is_forgotten_and_its_call_runs(host):
    book = host.spawn(Book)

    submit(book.write, 1)
    gc.collect()

    assert book.read() == [1]
    assert host.stats()["calls"] == 0


def test_dropped_future_releases_the_proxy_it_would_have_given(process_host):
    dog = process_host.spawn(Dog, "rex")
    before = process_host.stats()["imports"]

    submit(dog.make_lock)
    dog.bark()
    gc.collect()

    assert process_host.stats()["imports"] == before


def test_failed_future_and_what_its_traceback_holds_are_collected(dog):
    class Local:
        pass

    def fail() -> weakref.ref[Local]:
        local = Local()
        local.future = submit(dog.fail, ValueError("no"))
        with pytest.raises(ValueError, match="no"):
            local.future.result()
        return weakref.ref(local)

    weak = fail()
    gc.collect()

    assert weak() is None


def test_future_ends_with_the_death_of_its_host(process_host, distant_dog):
    with kept_alive_until_killed(process_host):
        future = submit(distant_dog.bark)

    with pytest.raises(elsewhere.HostDied):
        future.result()


class kept_alive_until_killed:
    """A block at whose end the host is killed."""

    def __init__(self, host: elsewhere.Host) -> None:
        self.host = host
        self.blocked = host.spawn(Dog, "busy")

    def __enter__(self) -> None:
        self.future = submit(self.blocked.sleep, 60)

    def __exit__(self, *_: object) -> None:
        self.host.kill()
        with pytest.raises(elsewhere.HostDied):
            self.future.result()


def test_repr_names_call_and_host(dog):
    future = submit(dog.bark)

    assert "Dog.bark" in repr(future)
    assert "host" in repr(future)
    future.result()


def test_import_does_not_load_concurrent_futures_asyncio_trio_or_logging():
    source = (
        "import sys; before = set(sys.modules); import elsewhere; loaded = set(sys.modules) - before; "
        "print(sorted({'concurrent.futures', 'asyncio', 'trio', 'logging', 'pickle', 'cloudpickle'} & loaded))"
    )

    output = subprocess.run([sys.executable, "-c", source], check=True, capture_output=True, text=True).stdout

    assert output.strip() == "[]"


def test_simple_calls_do_not_load_concurrent_futures():
    source = (
        "import elsewhere, sys\n"
        "numbers = elsewhere.spawn(list)\n"
        "numbers.append(1)\n"
        "assert elsewhere.submit(len, numbers).result() == 1\n"
        "print('concurrent.futures' in sys.modules)\n"
        "elsewhere.close(numbers)\n"
    )

    output = subprocess.run([sys.executable, "-c", source], check=True, capture_output=True, text=True).stdout

    assert output.strip() == "False"


def test_service_thread_is_one_daemon_that_watching_starts():
    source = (
        "import elsewhere, threading\n"
        "def service(): return [t.daemon for t in threading.enumerate() if t is not threading.main_thread()]\n"
        "dogs = [elsewhere.spawn(list) for _ in range(3)]\n"
        "elsewhere.submit(len, dogs[0]).result()\n"
        "before = service()\n"
        "done = threading.Semaphore(0)\n"
        "for dog in dogs: elsewhere.submit(len, dog).add_done_callback(lambda _: done.release())\n"
        "for dog in dogs: elsewhere.host_of(dog).on_death(print)\n"
        "for dog in dogs: done.acquire()\n"
        "print(before, service())\n"
    )

    ended = subprocess.run([sys.executable, "-c", source], check=True, capture_output=True, text=True)

    assert ended.stdout.splitlines()[0] == "[] [True]"
