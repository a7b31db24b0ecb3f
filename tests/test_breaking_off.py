"""Calls that are broken off where they run: at the next bytecode, in that call and in no other."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import os
import signal
import threading
import time
from typing import Any

import pytest

import elsewhere
from elsewhere import get, options, post, ref, stream, submit
from programs import run


def tell(there) -> None:
    """Call back from a thread of its own: not the caller's waiting thread runs it, but its service thread."""
    teller = threading.Thread(target=there)
    teller.start()
    teller.join()


class Worker:
    """Does something for ever, and writes down how it ended."""

    def __init__(self) -> None:
        self.ended: list[str] = []

    def _run(self, there, work, *args) -> object:
        try:
            tell(there)
            return work(*args)
        except BaseException as error:
            self.ended.append(type(error).__name__)
            raise

    def sleep(self, there) -> None:
        self._run(there, time.sleep, 3600)

    def compute(self, there) -> None:
        def count() -> None:
            number = 0
            while number >= 0:
                number = abs(number + 1)

        self._run(there, count)

    def wait_for_a_lock(self, there) -> None:
        self._run(there, threading.Event().wait)

    def call(self, there, function, *args) -> object:
        return self._run(there, function, *args)

    def ask(self, there, other) -> object:
        return self._run(there, other.sleep, there)

    def swallow(self, there) -> str:
        try:
            self._run(there, time.sleep, 3600)
        except elsewhere.CallCancelled:
            return "went on"
        return "was not broken off"

    def items(self, there):
        try:
            yield 1
            self._run(there, time.sleep, 3600)
            yield 2
        finally:
            self.ended.append("closed")

    def echo(self, value):
        return value


@pytest.fixture
def worker(process_host):
    return process_host.spawn(Worker)


def fails(kind: type[Exception], function, *args) -> None:
    """What a thread does that waits for a call which is given up."""
    with pytest.raises(kind):
        function(*args)


def interrupted(future: elsewhere.Future[object], running: threading.Event) -> elsewhere.CallCancelled:
    """Break a call off as soon as it runs; gives what its caller is told."""
    running.wait()
    assert future.cancel(interrupt=True)
    with pytest.raises(elsewhere.CallCancelled) as caught:
        future.result()
    return caught.value


@pytest.mark.parametrize("way", ["sleep", "compute", "wait_for_a_lock"])
def test_running_method_is_broken_off(worker, way: str) -> None:
    running = threading.Event()

    error = interrupted(submit(getattr(worker, way), ref(running.set)), running)

    assert error.outcome == "unknown"
    assert get(worker.ended) == ["CallCancelled"]


def test_running_method_goes_on_where_nobody_wants_it_broken_off(worker) -> None:
    running, go = threading.Event(), threading.Event()
    future = submit(worker.call, ref(running.set), ref(go.wait))
    running.wait()

    future.cancel()
    go.set()

    assert get(worker.ended) == []


def test_method_that_waits_for_a_call_of_its_own_is_broken_off(worker) -> None:
    with elsewhere.Host() as third:
        other, running = third.spawn(Worker), threading.Event()

        interrupted(submit(worker.ask, ref(running.set), other), running)

        assert get(worker.ended) == ["CallCancelled"]
        third.kill()


def test_call_that_runs_inside_another_one_is_not_broken_off_with_it(worker) -> None:
    held, free, inner_runs, go = (threading.Event() for _ in range(4))
    seen: list[object] = []

    def hold() -> None:
        held.set()
        free.wait()

    def inner() -> None:
        free.set()
        seen.append(worker.call(ref(inner_runs.set), ref(go.wait)))

    with elsewhere.Host() as third:
        holding = submit(third.spawn(Worker).call, int, ref(hold))
        held.wait()  # the thread that serves this process is needed for what `inner` waits for, and must not run it
        futures: list[elsewhere.Future[object]] = []
        waiter = threading.Thread(target=lambda: futures.append(submit(worker.call, int, ref(inner))))
        waiter.start()
        waiter.join()
        watcher = threading.Thread(target=lambda: fails(elsewhere.CallCancelled, futures[0].result))
        watcher.start()
        inner_runs.wait()

        futures[0].cancel(interrupt=True)
        go.set()
        watcher.join()
        holding.result()

    assert worker.echo(1) == 1
    assert get(worker.ended) == ["CallCancelled"]
    assert seen == [True]


def test_queued_call_is_not_started_and_nothing_is_broken_off(worker) -> None:
    running, go = threading.Event(), threading.Event()
    first = submit(worker.call, ref(running.set), ref(go.wait))
    running.wait()
    queued = submit(worker.echo, 1)

    queued.cancel(interrupt=True)
    with pytest.raises(elsewhere.CallCancelled) as caught:
        queued.result()
    go.set()

    assert caught.value.outcome == "not_started"
    assert first.result() is True
    assert get(worker.ended) == []


def test_interrupt_that_comes_too_late_breaks_nothing_off(worker) -> None:
    for number in range(300):
        submit(worker.echo, number).cancel(interrupt=True)

        assert worker.echo(number) == number


def test_method_may_catch_it_and_go_on(worker) -> None:
    running = threading.Event()
    future = submit(worker.swallow, ref(running.set))
    running.wait()
    future.cancel(interrupt=True)
    assert get(worker.ended) == ["CallCancelled"]  # behind the answer

    with pytest.raises(elsewhere.CallCancelled) as caught:
        future.result()

    assert caught.value.outcome == "finished"


def test_timeout_breaks_off_what_is_to_be_broken_off(worker) -> None:
    with pytest.raises(elsewhere.CallTimeout):
        options(worker, timeout=0.2, interrupt=True).sleep(ref(lambda: None))

    assert get(worker.ended) == ["CallCancelled"]


def test_option_goes_to_the_paths_and_can_be_taken_back(worker) -> None:
    breaking = options(worker, interrupt=True)
    running, go = threading.Event(), threading.Event()
    future = submit(options(breaking.call, interrupt=False), ref(running.set), ref(go.wait))
    running.wait()

    future.cancel()
    go.set()

    assert get(worker.ended) == []


def test_interrupt_option_is_a_bool(worker) -> None:
    with pytest.raises(TypeError):
        options(worker, interrupt="yes")  # type: ignore[arg-type]


def test_ctrl_c_breaks_off_what_is_to_be_broken_off(worker) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            options(worker, interrupt=True).sleep(ref(lambda: os.kill(os.getpid(), signal.SIGINT)))
    finally:
        signal.signal(signal.SIGINT, before)

    assert get(worker.ended) == ["CallCancelled"]


def test_closed_stream_breaks_off_its_generator(worker) -> None:
    running = threading.Event()
    items = stream(options(worker, interrupt=True).items, ref(running.set))
    assert next(items) == 1
    running.wait()

    items.close()

    assert get(worker.ended) == ["CallCancelled", "closed"]


def test_call_on_a_thread_of_this_process_is_broken_off() -> None:
    with elsewhere.Host(start="local") as host:
        worker, running = host.spawn(Worker), threading.Event()
        future = submit(worker.compute, running.set)
        waiter = threading.Thread(target=lambda: fails(elsewhere.CallCancelled, future.result))
        waiter.start()

        interrupted(future, running)
        waiter.join()

        assert get(worker.ended) == ["CallCancelled"]


def test_callback_at_home_is_broken_off(worker) -> None:
    """Here a thread waits for its call and runs the callback, and the host gives the callback up."""
    ended: list[str] = []

    def count() -> None:
        ended.append("begun")
        try:
            number = 0
            while number >= 0:
                number = abs(number + 1)
        except elsewhere.CallCancelled:
            ended.append("CallCancelled")
            raise

    while not ended:  # on a busy machine the time is over before it has begun
        asker = threading.Thread(target=lambda: fails(elsewhere.CallTimeout, ask, worker, ref(count)))
        asker.start()
        asker.join()

    assert ended == ["begun", "CallCancelled"]


def ask(worker, function) -> object:
    return elsewhere.host_of(worker).run(give_up_soon, function)


def give_up_soon(function) -> object:
    return options(function, timeout=0.2, interrupt=True)()


def test_signal_that_nobody_asked_for_does_nothing(process_host, worker) -> None:
    running, go = threading.Event(), threading.Event()
    future = submit(worker.call, ref(running.set), ref(go.wait))
    running.wait()

    for _ in range(20):
        os.kill(process_host.pid, signal.SIGURG)
    go.set()

    assert future.result() is True
    assert get(worker.ended) == []


def test_interpreter_is_as_it_was_after_a_thread_was_broken_off() -> None:
    """CPython 3.11 traces for ever where it was told of an exception for a thread and then of none."""
    source = """
    import sys, threading
    import elsewhere

    class Worker:
        def compute(self, there):
            there()
            number = 0
            while number >= 0:
                number = abs(number + 1)

    with elsewhere.Host(start="local") as host:
        worker, running = host.spawn(Worker), threading.Event()
        future = elsewhere.submit(worker.compute, running.set)
        waiter = threading.Thread(target=future.exception, daemon=True)
        threading.excepthook = lambda args: print(args.exc_type.__name__)
        waiter.start()
        running.wait()
        future.cancel(interrupt=True)
        waiter.join()

    lines = []

    def trace(frame, event, argument):
        lines.append(event)
        return trace

    def traced():
        return 1

    sys.settrace(trace)
    traced()
    sys.settrace(None)
    print(lines)
    """

    assert run(source) == (0, "CallCancelled\n['call', 'line', 'return']\n", "")


class Sink:
    def __init__(self) -> None:
        self.begun = threading.Event()

    def take(self, content: object) -> None:
        self.begun.set()

    def refuse(self, content: object) -> None:
        self.begun.set()
        raise ValueError


def call(sink, content) -> None:
    while True:
        sink.take(content)


def call_in_vain(sink, content) -> None:
    while True:
        with contextlib.suppress(ValueError):
            sink.refuse(content)


def set_an_attribute(sink, content) -> None:
    sink.take(content)
    while True:
        sink.content = content


def ask_futures(sink, content) -> None:
    while True:
        future = submit(sink.take, content)
        future.add_done_callback(lambda _: None)
        future.result()


def look_at_futures(sink, content) -> None:
    while True:
        future = submit(sink.take, content)
        while not future.done():
            pass


def wait_for_futures(sink, content) -> None:
    while True:
        concurrent.futures.wait([submit(sink.take, content) for _ in range(3)])


def ask_in_chains(sink, content) -> None:
    while True:
        submit(sink.take, submit(sink.take, content)).result()


def say(sink, content) -> None:
    while True:
        post(sink.take, content)


WAYS_TO_CALL = [
    call,
    call_in_vain,
    set_an_attribute,
    ask_futures,
    look_at_futures,
    wait_for_futures,
    ask_in_chains,
    say,
]


@pytest.mark.parametrize("way", WAYS_TO_CALL)
def test_call_that_makes_calls_is_broken_off_at_any_moment(way) -> None:
    """Long messages: a signal that comes while one is written is handled in the step that is next."""
    content = [bytearray(50_000) for _ in range(100)]
    with elsewhere.Host() as host:
        for moment in range(30):
            sink = Sink()
            future = submit(host.run, way, ref(sink), content)
            sink.begun.wait()
            sum(range(10_000 * moment))
            future.cancel(interrupt=True)

            assert host.run(len, "ab") == 2


def test_thread_of_this_process_that_makes_calls_is_broken_off_at_any_moment() -> None:
    content = [bytearray(50_000) for _ in range(100)]
    with elsewhere.Host() as other, elsewhere.Host(start="local") as host:
        sink = other.spawn(Sink)
        for moment in range(30):
            running = threading.Event()
            future = submit(host.run, call_when_told, running.set, sink, content)
            waiter = threading.Thread(target=fails, args=(elsewhere.CallCancelled, future.result))
            waiter.start()
            running.wait()
            sum(range(10_000 * moment))
            future.cancel(interrupt=True)
            waiter.join()

            assert host.run(len, "ab") == 2


def call_when_told(tell_it, sink, content) -> None:
    tell_it()
    call(sink, content)


class Endless:
    """Whoever makes a copy of it, or reads one, is at it for ever; `said` hears of that."""

    said: Any = None

    def __init__(self, is_written: bool) -> None:
        self.is_written = is_written

    def __reduce__(self) -> object:
        if self.is_written:
            linger()
        return linger, ()


def linger(_: object = None) -> None:
    if Endless.said is None:
        return
    tell(Endless.said)
    number = 0
    while number >= 0:
        number = abs(number + 1)


class Giver:
    def give(self) -> Endless:
        return Endless(is_written=False)

    def items(self):
        while True:
            yield Endless(is_written=False)

    def take(self, value: object) -> None:
        pass


def write(giver) -> None:
    giver.take(Endless(is_written=True))


def post_it(giver) -> None:
    post(giver.take, Endless(is_written=True))


def read(giver) -> None:
    giver.give()


def read_a_future(giver) -> None:
    submit(giver.give).exception()


def look_at_a_future(giver) -> None:
    future = submit(giver.give)
    while not future.done():
        pass


def be_called_back(giver) -> None:
    future = submit(giver.take, None)
    concurrent.futures.wait([future])
    future.add_done_callback(linger)


def read_a_stream(giver) -> None:
    next(giver.items())


def read_ahead(giver) -> None:
    next(stream(giver.items))


def await_it(giver) -> None:
    async def run() -> None:
        with contextlib.suppress(elsewhere.ResultError):
            await submit(giver.give)

    asyncio.run(run())


STEPS = [
    write,
    post_it,
    read,
    read_a_future,
    look_at_a_future,
    be_called_back,
    read_a_stream,
    read_ahead,
    await_it,
]


def go_on(step, giver, said) -> None:
    Endless.said = said
    while True:
        with contextlib.suppress(elsewhere.ArgumentError, elsewhere.ResultError):
            step(giver)


@pytest.mark.parametrize("step", STEPS)
def test_interrupt_in_the_midst_of_a_step_of_the_library_is_the_callers(process_host, step) -> None:
    running = threading.Event()

    interrupted(submit(process_host.run, go_on, step, ref(Giver()), ref(running.set)), running)

    assert process_host.run(len, "ab") == 2
