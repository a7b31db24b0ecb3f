"""Proxies of what this process serves itself, passed on: what others do with them goes through the server."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, Any

import pytest

import elsewhere
from elsewhere import connect, get, ref, serve, stream, submit
from visitors import KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Till:
    """A thing that is used by many, with a place for two who meet, and things of its own."""

    def __init__(self) -> None:
        self.hidden = "hidden"
        self.open = "open"
        self.meeting = threading.Barrier(2)
        self.recursive = threading.RLock()

    def thread(self) -> int:
        """Say in which thread a call runs."""
        return threading.get_ident()

    def meet(self) -> str:
        """Wait for another one."""
        self.meeting.wait()
        return "met"

    def drawer(self) -> Drawer:
        """Give something that cannot be copied."""
        return Drawer()

    def is_self(self, other: object) -> bool:
        """Whether it was passed to itself."""
        return other is self

    def tell(self, listener: Callable[[Any], Any], what: Any) -> Any:
        """Call back."""
        return listener(what)


class Drawer:
    """Has something to hide, too."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.hidden = "hidden"

    def thread(self) -> int:
        """Say in which thread a call runs."""
        return threading.get_ident()


EXPOSED = {Till: ["open", "thread", "drawer", "is_self"], Drawer: ["thread"]}


@pytest.fixture
def hosts() -> Iterator[list[elsewhere.Host]]:
    with elsewhere.Host() as one, elsewhere.Host() as other:
        yield [one, other]


def read_hidden(till: Any) -> str:
    """Look at what is not shown; the text of the error."""
    with pytest.raises(Exception, match="does not expose 'hidden'") as caught:
        get(till.hidden)
    return str(caught.value)


def thread_of(till: Any) -> int:
    """Call it."""
    return till.thread()


def test_what_a_server_hides_is_hidden_from_who_was_passed_a_proxy_of_it(hosts):
    with serve(Till(), expose=EXPOSED) as server:
        till: Any = connect(server.address)

        assert "Till" in hosts[0].run(read_hidden, till)
        assert "Till" in hosts[0].run(lambda parts: read_hidden(parts["tills"][0]), {"tills": [till]})
        assert hosts[0].run(lambda till: get(till.open), till) == "open"


def test_what_a_server_hides_is_hidden_from_who_got_a_proxy_as_a_result_or_an_item(hosts):
    class Shop:
        def till(self) -> Any:
            return connect(address)

        def tills(self) -> Any:
            yield connect(address)

    def play(shop: Any) -> list[str]:
        return [read_hidden(till) for till in (shop.till(), *shop.tills(), *stream(shop.tills))]

    with serve(Till(), expose=EXPOSED) as server:
        address = server.address

        texts = hosts[0].run(play, ref(Shop()))

        assert ["Till" in text for text in texts] == [True] * 3


def test_what_a_server_hides_is_hidden_from_who_is_called_back_with_a_proxy(hosts):
    with serve(Till(), expose=EXPOSED) as server, serve(Till()) as other:
        till: Any = connect(server.address)

        def play(address: Any, till: Any) -> str:
            return connect(address).tell(ref(read_hidden), till)

        assert "Till" in hosts[0].run(play, other.address, till)


def test_what_a_server_hides_of_a_result_by_reference_is_hidden_too(hosts):
    with serve(Till(), expose=EXPOSED) as server:
        till: Any = connect(server.address)

        assert "Drawer" in hosts[0].run(lambda till: read_hidden(till.drawer()), till)


def test_what_was_passed_on_runs_in_the_threads_of_the_server(hosts):
    with serve(Till(), concurrency="caller") as server:
        till: Any = connect(server.address)

        futures = [submit(host.run, lambda till: till.meet(), till) for host in hosts]
        assert [future.result() for future in futures] == ["met", "met"]

        threads = [host.run(lambda till: {till.thread() for _ in range(5)}, till) for host in hosts]
        assert [len(own) for own in threads] == [1, 1]
        assert threading.get_ident() not in threads[0] | threads[1]
        assert threads[0].isdisjoint(threads[1])


def test_recursive_lock_that_was_passed_on_belongs_to_the_thread_of_the_host_that_took_it(hosts):
    def play(till: Any) -> str:
        for _ in range(20):
            with till.recursive, till.recursive:
                till.thread()
        return "done"

    with serve(Till(), concurrency="caller") as server:
        till: Any = connect(server.address)

        futures = [submit(host.run, play, till) for host in hosts]

        assert [future.result() for future in futures] == ["done", "done"]


def test_serial_server_runs_the_calls_of_all_to_whom_a_proxy_was_passed_in_its_one_thread(hosts):
    def play(till: Any) -> set[int]:
        return {till.thread() for _ in range(50)}

    done: queue.SimpleQueue[elsewhere.Future[set[int]]] = queue.SimpleQueue()
    with serve(Till()) as server:
        till: Any = connect(server.address)
        for host in hosts:
            submit(host.run, play, till).add_done_callback(done.put)

        threads = [done.get().result() for _ in hosts]  # nobody waits in a chain of theirs meanwhile

    assert len(threads[0] | threads[1]) == 1
    assert threading.get_ident() not in threads[0]


def test_serial_server_that_is_waited_for_runs_what_was_passed_on_in_the_thread_that_waits(hosts):
    server = serve(Till())
    till: Any = connect(server.address)

    assert hosts[0].run(thread_of, till) == threading.get_ident()
    server.close()


def test_proxy_of_a_server_with_a_key_that_is_passed_on_goes_through_it(hosts):
    with serve(Till(), "127.0.0.1:0", authkey=KEY, expose=EXPOSED) as server:
        till: Any = connect(server.address)

        assert "Till" in hosts[0].run(read_hidden, till)


def test_proxy_that_was_passed_on_comes_home_as_itself(hosts):
    with serve(Till(), expose=EXPOSED) as server:
        till: Any = connect(server.address)

        home, *others = hosts[0].run(lambda till: [till, till], till)

        assert home == till == others[0]
        assert hosts[0].run(lambda till: till.is_self(till), till)


def test_calls_of_the_serving_process_still_run_in_its_own_thread_after_a_proxy_was_passed_on(hosts):
    with serve(Till(), concurrency="caller") as server:
        till: Any = connect(server.address)
        hosts[0].run(thread_of, till)

        assert till.thread() == threading.get_ident()
        assert get(till.hidden) == "hidden"


@pytest.mark.parametrize("is_used", [True, False], ids=["used before", "not used before"])
def test_proxy_that_was_passed_on_is_lost_when_the_server_is_closed(hosts, is_used):
    class Holder:
        def hold(self, till: Any) -> None:
            self.till = till

        def thread(self) -> int:
            return self.till.thread()

    holder = hosts[0].spawn(Holder)
    with serve(Till(), concurrency="caller") as server:
        holder.hold(connect(server.address))
        if is_used:
            assert holder.thread()

    with pytest.raises(elsewhere.HostClosed):
        holder.thread()
