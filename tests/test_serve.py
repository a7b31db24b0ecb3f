"""Objects that stay home: served to other processes, other threads and this very process."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import select
import signal
import subprocess
import sys
import threading
from multiprocessing import forkserver, resource_tracker
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import elsewhere
from kennel import Dog, error_of
from visitors import Keeper, echoes_of_threads, serve_dog, use_dog

if TYPE_CHECKING:
    from collections.abc import Iterator


class Echo:
    """Says what it is told, counts who is in it, and waits where it is told to."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.entered = threading.Semaphore(0)
        self.said: list[Any] = []

    def say(self, what: Any) -> Any:
        self.said.append(what)
        return what

    def wait(self) -> str:
        self.entered.release()
        self.gate.wait()
        return "waited"

    def thread(self) -> int:
        return threading.get_ident()

    def ask(self, back: Any) -> Any:
        return back(1)

    async def nap(self) -> str:
        await asyncio.sleep(0)
        return "slept"

    async def loop(self) -> int:
        return id(asyncio.get_running_loop())


@pytest.fixture
def keeper(process_host: elsewhere.Host) -> Keeper:
    """A visitor in another process."""
    return process_host.spawn(Keeper)


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
def server(echo: Echo) -> Iterator[elsewhere.Server]:
    """A server in a thread of its own."""
    with elsewhere.serve(echo) as server:
        yield server


def wait_for(server: elsewhere.Server, what: str, count: int) -> None:
    """Wait until a count of the server is what it should be; the watchdog ends it where it never is."""
    while server.stats()[what] != count:
        threading.Event().wait(0.001)


def test_object_that_cannot_be_pickled_is_used_from_another_process(keeper):
    dog = Dog("rex", 3)

    with elsewhere.serve(dog) as server:
        keeper.visit(server.address)
        keeper.call("grow", 2)
        age = keeper.read("age")
        keeper.set("name", "bello")

    assert age == 5
    assert dog.name == "bello"


@pytest.fixture(params=["fork", "forkserver", "spawn"])
def context(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Each way of multiprocessing to start a process; what it keeps running for that is ended."""
    yield multiprocessing.get_context(request.param)
    forkserver._forkserver._stop()
    resource_tracker._resource_tracker._stop()


def test_address_made_beforehand_is_served_by_the_child(context):
    address = elsewhere.reserve()
    child = context.Process(target=serve_dog, args=(address, 7), daemon=True)
    child.start()

    address.wait_ready(20, child)
    dog: Any = elsewhere.connect(address)
    grown = dog.grow()
    elsewhere.post(dog.leave)
    child.join()

    assert grown == 8
    assert child.exitcode == 0


def test_address_made_beforehand_is_used_by_the_child(context):
    address = elsewhere.reserve()
    answers = context.SimpleQueue()
    child = context.Process(target=use_dog, args=(address, answers), daemon=True)

    with elsewhere.serve(Dog("rex", 1), address):
        child.start()
        said = answers.get()
        child.join()
    answers.close()

    assert said == ("WOOF", 2, child.pid)


def test_calls_of_the_serving_process_run_in_the_thread_that_makes_them(server, echo):
    here: Any = elsewhere.connect(server.address)
    lock = threading.Lock()

    thread = here.thread()
    said = here.say(lock)

    assert thread == threading.get_ident()
    assert said is lock


def test_proxies_of_one_object_are_equal_and_hash_alike(server, keeper):
    keeper.visit(server.address)
    keeper.visit(server.address)

    assert keeper.use(lambda _: True)
    assert elsewhere.submit(lambda keeper: keeper.held[0] == keeper.held[1], keeper).result()
    assert elsewhere.submit(lambda keeper: hash(keeper.held[0]) == hash(keeper.held[1]), keeper).result()
    wait_for(server, "connections", 1)


def test_every_thread_gets_its_own_answers(server, process_host):
    wrong = process_host.run(echoes_of_threads, server.address, 8, 50)

    assert wrong == 0


def test_calls_of_several_clients_run_one_at_a_time():
    with elsewhere.serve(Dog("rex")) as kennel, elsewhere.Host() as one, elsewhere.Host() as other:
        keepers = [host.spawn(Keeper) for host in (one, other)]
        for keeper in keepers:
            keeper.visit(kennel.address)
        grown = [elsewhere.submit(keeper.use, lambda dog: [dog.grow() for _ in range(50)]) for keeper in keepers]

        ages = [age for future in grown for age in future.result()]

    assert sorted(ages) == list(range(1, 101))


def test_clients_that_ask_in_turns_are_all_heard_however_many_calls_each_makes():
    with elsewhere.serve(Dog("rex")) as kennel, elsewhere.Host() as one, elsewhere.Host() as other:
        keepers = [host.spawn(Keeper) for host in (one, other)]
        for keeper in keepers:
            keeper.visit(kennel.address)

        ages = [keeper.call("grow") for count in (1, 10, 2, 10) for keeper in keepers for _ in range(count)]

    assert ages == list(range(1, 47))


def test_client_is_heard_after_the_one_that_was_read_has_gone(server, keeper):
    with elsewhere.Host() as other:
        gone = other.spawn(Keeper)
        for visitor in (keeper, gone):
            visitor.visit(server.address)
        for _ in range(10):
            gone.call("say", "I come often")

    assert keeper.call("say", "and I seldom") == "and I seldom"


def test_shared_array_of_a_client_on_this_machine_is_the_same_memory_here(server, echo, keeper):
    def play(echo: Any) -> None:
        array = elsewhere.shared_array(5, "u1")
        echo.say(array)
        array[0] = 7

    keeper.visit(server.address)
    keeper.use(play)

    assert echo.said.pop()[0] == 7


def test_large_array_of_a_client_comes_back_as_it_was_and_can_be_written_to(server, keeper):
    def play(echo: Any) -> tuple[bool, int]:
        sent = np.arange(300_000)
        back = echo.say(sent)
        same = bool((back == sent).all())
        back[0] = 5
        return same, int(sent[0])

    keeper.visit(server.address)

    assert keeper.use(play) == (True, 0)


def test_callback_runs_in_the_client_that_waits(server, keeper):
    keeper.visit(server.address)

    where = keeper.use(lambda echo: echo.ask(elsewhere.ref(lambda _: os.getpid())))

    assert where == elsewhere.host_of(keeper).pid


def test_function_of_a_client_runs_where_the_object_is(server, keeper):
    keeper.visit(server.address)

    where = keeper.apply(lambda _: os.getpid())

    assert where == os.getpid()


def test_server_that_nobody_started_says_so_to_who_connects(echo):
    script = "import sys, elsewhere; elsewhere.connect(sys.argv[1], timeout=0.2)"
    server = elsewhere.serve(echo)

    # Not a host of ours: who waits for one runs what belongs to that call.
    done = subprocess.run(
        [sys.executable, "-c", script, str(server.address)], capture_output=True, text=True, check=False
    )

    assert "CallTimeout" in done.stderr
    assert "is it started (`with server:`, `start()`, `run()`) or polled" in done.stderr
    server.close()


def test_poll_runs_what_was_asked_for_on_the_calling_thread(echo, keeper):
    server = elsewhere.serve(echo)
    asking = elsewhere.submit(keeper.visit, server.address)
    while not asking.done():
        server.poll(timeout=0.05)
    thread = elsewhere.submit(keeper.call, "thread")

    select.select([server.fileno()], [], [])
    count = server.poll()

    assert count == 1
    assert thread.result() == threading.get_ident()
    assert server.poll() == 0
    assert not select.select([server.fileno()], [], [], 0)[0]
    server.close()


def test_method_that_poll_runs_asks_its_client_which_asks_back(echo, keeper):
    server = elsewhere.serve(echo)
    asking = elsewhere.submit(keeper.visit, server.address)
    while not asking.done():
        server.poll(timeout=0.05)

    answer = elsewhere.submit(keeper.use, lambda echo: echo.ask(elsewhere.ref(lambda _: echo.say("meanwhile"))))
    while not answer.done():
        server.poll(timeout=0.05)

    assert answer.result() == "meanwhile"
    assert echo.said == ["meanwhile"]
    server.close()


def test_poll_runs_no_more_than_it_is_told(echo, keeper):
    server = elsewhere.serve(echo)
    asking = elsewhere.submit(keeper.visit, server.address)
    while not asking.done():
        server.poll(timeout=0.05)
    keeper.aside(lambda echo: [elsewhere.post(echo.say, number) for number in range(3)])
    wait_for(server, "waiting", 3)

    counts = [server.poll(2), server.poll(2)]

    assert counts == [2, 1]
    assert echo.said == [0, 1, 2]
    server.close()


def test_poll_and_the_descriptor_tell_of_a_client_that_was_waited_for_before(echo, keeper):
    server = elsewhere.serve(echo)
    asking = elsewhere.submit(
        lambda keeper, address: (keeper.visit(address), [keeper.call("say", 1) for _ in range(20)]),
        keeper,
        server.address,
    )
    while not asking.done():
        server.poll(timeout=0.05)

    first = elsewhere.submit(keeper.call, "say", 2)
    while not server.poll():
        pass
    second = elsewhere.submit(keeper.call, "say", 3)
    select.select([server.fileno()], [], [])

    assert server.poll() == 1
    assert first.result() == 2
    assert second.result() == 3
    server.close()


def test_poll_with_a_timeout_waits_for_a_call_whatever_else_comes(echo, keeper):
    def let_go_of_many(echo: Any) -> None:
        for _ in range(200):
            elsewhere.ref(echo.gate)  # dropped at once, which the server is told before the next

    server = elsewhere.serve(echo)
    asking = elsewhere.submit(keeper.visit, server.address)
    while not asking.done():
        server.poll(timeout=0.05)
    taking = elsewhere.submit(keeper.use, let_go_of_many)

    counts = [server.poll(1, 60.0) for _ in range(200)]

    assert counts == [1] * 200
    taking.result()
    server.close()


def test_poll_is_not_called_inside_itself(echo, keeper):
    server = elsewhere.serve(echo)
    echo.say = lambda _: server.poll()  # type: ignore[method-assign, assignment]
    asking = elsewhere.submit(
        lambda keeper, address: (keeper.visit(address), keeper.call("say", 1)), keeper, server.address
    )

    while not asking.done():
        server.poll(timeout=0.05)

    assert isinstance(asking.exception(), RuntimeError)
    server.close()


def test_server_goes_along_with_a_running_loop(echo, keeper):
    async def main() -> tuple[int, int, str]:
        server = elsewhere.serve(echo)
        loop = asyncio.get_running_loop()
        loop.add_reader(server.fileno(), server.poll)
        await elsewhere.submit(keeper.visit, server.address)
        there = await elsewhere.submit(keeper.use, lambda echo: echo.loop().result())
        slept = await elsewhere.submit(keeper.use, lambda echo: echo.nap().result())
        loop.remove_reader(server.fileno())
        server.close()
        return there, id(loop), slept

    there, here, slept = asyncio.run(main())

    assert there == here
    assert slept == "slept"


@pytest.mark.parametrize("concurrency", ["serial", 2, "async", "caller"])
def test_coroutines_run_in_every_mode(echo, keeper, concurrency):
    with elsewhere.serve(echo, concurrency=concurrency) as server:
        keeper.visit(server.address)

        slept = keeper.use(lambda echo: echo.nap().result())

    assert slept == "slept"


def test_threads_run_as_many_calls_as_there_are_at_once(echo, keeper):
    with elsewhere.serve(echo, concurrency=2) as server:
        keeper.visit(server.address)
        both = elsewhere.submit(
            keeper.aside, lambda echo: [future.result() for future in [elsewhere.submit(echo.wait) for _ in range(2)]]
        )

        for _ in range(2):
            echo.entered.acquire()
        echo.gate.set()

        assert both.result() == ["waited", "waited"]


def test_each_calling_thread_has_a_thread_of_its_own(echo, keeper):
    echo.lock = threading.RLock()  # type: ignore[attr-defined]
    with elsewhere.serve(echo, concurrency="caller") as server:
        keeper.visit(server.address)

        held = keeper.aside(lambda echo: [(echo.lock.acquire(), echo.thread(), echo.lock.release()) for _ in range(3)])

    assert len({thread for _, thread, _ in held}) == 1


def test_loop_of_an_async_server_runs_methods_too(echo, keeper):
    with elsewhere.serve(echo, concurrency="async") as server:
        keeper.visit(server.address)

        threads = keeper.aside(lambda echo: {echo.thread() for _ in range(3)})

    assert len(threads) == 1
    assert threads != {threading.get_ident()}


def test_close_finishes_what_was_accepted(echo, keeper):
    server = elsewhere.serve(echo).start()
    keeper.visit(server.address)
    waited = elsewhere.submit(keeper.call, "wait")
    echo.entered.acquire()
    threading.Timer(0.05, echo.gate.set).start()

    server.close()

    assert waited.result() == "waited"


def test_close_refuses_what_has_not_begun(echo, keeper):
    server = elsewhere.serve(echo)
    asking = elsewhere.submit(keeper.visit, server.address)
    while not asking.done():
        server.poll(timeout=0.05)
    said = elsewhere.submit(keeper.call, "say", 1)
    wait_for(server, "waiting", 1)

    server.close(drain=False)

    error = said.exception()
    assert isinstance(error, elsewhere.HostClosed)
    assert error.outcome == "not_started"
    assert echo.said == []


def test_client_of_a_closed_server_is_told_so(server, keeper):
    keeper.visit(server.address)

    server.close()

    error = error_of(lambda: keeper.call("say", 1))
    assert isinstance(error, elsewhere.ConnectionLost)
    assert error.outcome == "not_started"


def test_method_may_close_the_server_it_is_called_through(echo, keeper):
    server = elsewhere.serve(echo).start()
    echo.say = lambda what: server.close() or what  # type: ignore[method-assign]
    keeper.visit(server.address)

    assert keeper.call("say", 5) == 5

    while server._is_open:
        threading.Event().wait(0.001)


def test_closed_server_can_be_closed_again_and_runs_nothing(server):
    server.close()
    server.close()

    assert server.poll() == 0
    assert "closed" in repr(server)
    with pytest.raises(RuntimeError, match="closed"):
        server.start()


def test_socket_is_gone_when_the_server_is_closed(server):
    server.close()

    assert not os.path.lexists(server.address)
    with pytest.raises(elsewhere.ConnectionLost, match="nobody serves"):
        elsewhere.connect(server.address)


def test_connecting_where_nobody_serves_is_an_error_at_once():
    with pytest.raises(elsewhere.ConnectionLost, match="nobody serves") as caught:
        elsewhere.connect(elsewhere.reserve())

    assert caught.value.outcome == "not_started"


def test_waiting_for_nobody_ends_in_time():
    with pytest.raises(TimeoutError, match="nobody serves"):
        elsewhere.reserve().wait_ready(0.01)


def test_waiting_ends_with_the_process_that_was_to_serve():
    process = subprocess.Popen([sys.executable, "-c", "pass"])

    with pytest.raises(elsewhere.HostStartError, match="ended before it served"):
        elsewhere.reserve().wait_ready(20, process)

    process.wait()


def test_address_that_is_waited_for_is_ready_when_it_is_served(echo):
    address = elsewhere.reserve()
    ready = threading.Thread(target=address.wait_ready)
    ready.start()

    with elsewhere.serve(echo, address):
        ready.join(20)

        assert not ready.is_alive()


def test_client_that_dies_leaves_nothing_held(server, echo):
    echo.things = [object()]  # type: ignore[attr-defined]
    with elsewhere.Host() as host:
        keeper = host.spawn(Keeper)
        keeper.visit(server.address)
        keeper.hold("things")
        before = server.stats()["exports"]

        host.kill()

        wait_for(server, "connections", 0)
    assert before == 2
    assert server.stats()["exports"] == 0


def test_what_a_client_drops_is_released(server, echo, keeper):
    echo.things = [object()]  # type: ignore[attr-defined]
    keeper.visit(server.address)
    keeper.hold("things")

    keeper.let_go()

    wait_for(server, "connections", 0)
    assert server.stats()["exports"] == 0


def test_server_that_dies_is_noticed_by_its_clients(keeper):
    address = elsewhere.reserve()
    context = multiprocessing.get_context("fork")
    child = context.Process(target=serve_dog, args=(address, 7), daemon=True)
    child.start()
    address.wait_ready(20, child)
    keeper.visit(address)

    os.kill(child.pid, signal.SIGKILL)
    child.join()

    error = error_of(lambda: keeper.call("bark"))
    assert isinstance(error, elsewhere.ConnectionLost)
    assert elsewhere.serve(Dog("rex"), address).close() is None  # the stale socket is replaced


def test_proxy_connects_anew_in_a_forked_child(keeper):
    answers = multiprocessing.get_context("fork").SimpleQueue()
    address = elsewhere.reserve()
    server = multiprocessing.get_context("fork").Process(target=serve_dog, args=(address, 7), daemon=True)
    server.start()
    address.wait_ready(20, server)
    dog: Any = elsewhere.connect(address)
    first = dog.grow()

    child = multiprocessing.get_context("fork").Process(target=lambda: answers.put(dog.grow()))
    child.start()
    second = answers.get()
    child.join()

    assert (first, second, dog.grow()) == (8, 9, 10)
    elsewhere.post(dog.leave)
    server.join()
    answers.close()
