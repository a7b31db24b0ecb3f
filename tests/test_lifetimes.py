"""How long hosts and objects live, and what `close` does."""

from __future__ import annotations

import gc
import os
import threading
import weakref

import pytest

import elsewhere
from elsewhere import close, get, host_of, post, spawn, stream, submit
from kennel import Dog
from workshop import Book, Keeper, kept_busy

PIPES: list[object] = []


class Ender:
    """Keeps the writing end of a named pipe open for as long as its process lives."""

    def hold(self, path: str) -> None:
        PIPES.append(open(path, "wb", buffering=0))

    def numbers(self):
        yield 1
        yield 2

    def slow(self, path: str) -> str:
        with open(path, "rb", buffering=0) as pipe:
            pipe.read(1)
        return "done"

    def value(self) -> int:
        return 5

    def make(self) -> list[int]:
        return elsewhere.ref([1])


@pytest.fixture
def watched(tmp_path):
    """An object in a host of its own, and a function that waits for the end of that host's process."""
    path = str(tmp_path / "end")
    os.mkfifo(path)
    ender = spawn(Ender)
    submitted = submit(ender.hold, path)
    reader = open(path, "rb", buffering=0)
    submitted.result()
    del submitted

    def wait_for_end() -> bool:
        gc.collect()
        return reader.read(1) == b""  # only the end of the process closes the other end

    os.set_blocking(reader.fileno(), True)
    holder = [ender]
    del ender
    yield holder, wait_for_end, reader
    reader.close()


def still_lives(reader) -> bool:
    os.set_blocking(reader.fileno(), False)
    lives = reader.read(1) is None
    os.set_blocking(reader.fileno(), True)
    return lives


def test_host_ends_with_its_last_proxy(watched):
    holder, wait_for_end, _ = watched

    holder.clear()

    assert wait_for_end()


def test_host_lives_by_a_path(watched):
    holder, wait_for_end, reader = watched
    path = holder[0].value

    holder.clear()
    gc.collect()

    assert path() == 5
    assert still_lives(reader)
    del path
    assert wait_for_end()


@pytest.mark.parametrize(
    "view", [elsewhere.futures, elsewhere.lazy, lambda ender: elsewhere.options(ender, timeout=60)]
)
def test_host_lives_by_a_view(watched, view):
    holder, wait_for_end, reader = watched
    kept = view(holder[0])

    holder.clear()
    gc.collect()

    assert still_lives(reader)
    assert submit(kept.value).result() == 5
    del kept
    assert wait_for_end()


def test_host_lives_by_a_proxy_that_was_forwarded(watched):
    holder, wait_for_end, reader = watched
    with elsewhere.Host() as other:
        keeper = other.spawn(Keeper)
        keeper.keep(holder[0])

        holder.clear()
        gc.collect()

        assert still_lives(reader)
        assert keeper.call(use_kept, keeper) == 5
        keeper.keep(None)
        while still_lives(reader):
            keeper.give()
    assert wait_for_end()


def use_kept(keeper: Keeper) -> int:
    return keeper.thing.value()


def test_host_lives_by_a_result_proxy(watched):
    holder, wait_for_end, reader = watched
    made = holder[0].make()

    holder.clear()
    gc.collect()

    assert len(made) == 1
    assert still_lives(reader)
    del made
    assert wait_for_end()


def test_host_lives_by_an_open_stream(watched):
    holder, wait_for_end, _ = watched
    numbers = holder[0].numbers()

    holder.clear()
    gc.collect()

    assert list(numbers) == [1, 2]
    del numbers
    assert wait_for_end()


def test_host_lives_by_a_read_ahead_stream(watched):
    holder, wait_for_end, _ = watched
    numbers = stream(holder[0].numbers)

    holder.clear()
    gc.collect()

    assert list(numbers) == [1, 2]
    del numbers
    assert wait_for_end()


def test_host_lives_by_an_unfinished_future(watched, tmp_path):
    holder, wait_for_end, _ = watched
    path = str(tmp_path / "gate")
    os.mkfifo(path)
    own_end = os.open(path, os.O_RDWR)
    future = submit(holder[0].slow, path)

    holder.clear()
    gc.collect()
    os.write(own_end, b"!")

    assert future.result() == "done"
    os.close(own_end)
    del future
    assert wait_for_end()


def test_host_finishes_an_accepted_post_before_it_ends(tmp_path):
    path = str(tmp_path / "pipe")
    os.mkfifo(path)
    notifier = spawn(Notifier)

    post(notifier.notify, path, b"posted")
    del notifier

    assert (tmp_path / "pipe").read_bytes() == b"posted"


class Notifier:
    def notify(self, path: str, what: bytes) -> None:
        with open(path, "wb") as pipe:
            pipe.write(what)


def test_host_object_keeps_its_host(watched):
    holder, wait_for_end, reader = watched
    host = host_of(holder[0])

    holder.clear()
    gc.collect()

    assert host.alive
    assert still_lives(reader)
    del host
    assert wait_for_end()


def test_spawned_proxy_keeps_a_host_that_nobody_names():
    dog = elsewhere.Host().spawn(Dog, "rex")
    gc.collect()

    assert dog.bark() == "woof"
    close(host_of(dog).spawn(Dog, "tom"))


def test_with_host_ends_it_whatever_lives():
    with elsewhere.Host() as host:
        dog = host.spawn(Dog, "rex")
        pid = host.pid

    assert not host.alive
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with pytest.raises(elsewhere.HostClosed):
        dog.bark()


def test_host_of_is_always_the_same_object(host):
    dog = host.spawn(Dog, "rex")

    assert host_of(dog) is host
    assert host_of(dog.friends[0].name) is host
    assert host_of(dog.count_to(3)) is host


def test_host_of_a_private_host_is_always_the_same_object():
    dog = spawn(Dog, "rex")

    assert host_of(dog) is host_of(dog.age)
    close(dog)


def test_host_of_takes_proxies_only():
    with pytest.raises(TypeError, match="expected a proxy"):
        host_of(5)


def test_closing_the_proxy_of_a_private_host_ends_it():
    dog = spawn(Dog, "rex")
    host = host_of(dog)

    close(dog)

    assert host.wait()
    assert host.exitcode == 0
    with pytest.raises(elsewhere.HostClosed):
        dog.bark()


def test_send_puts_a_copy_into_a_private_host():
    original = [1, 2]
    numbers = elsewhere.send(original)
    numbers.append(3)

    assert (get(numbers), original) == ([1, 2, 3], [1, 2])
    host = host_of(numbers)
    close(numbers)
    assert host.wait()


def test_closing_twice_is_fine(host):
    private, shared = spawn(Dog, "rex"), host.spawn(Dog, "tom")

    for dog in (private, shared):
        close(dog)
        close(dog)
    host.close()
    host.close()
    close(shared)

    assert not host.alive


def test_closing_a_path_is_a_type_error(host):
    dog = host.spawn(Dog, "rex")

    with pytest.raises(TypeError, match="path"):
        close(dog.friends)
    assert dog.bark() == "woof"


def test_closing_what_is_no_proxy_is_a_type_error():
    with pytest.raises(TypeError, match="expected a proxy"):
        close(5)


def test_shared_host_lives_on_when_one_proxy_is_closed(host):
    dog, tom = host.spawn(Dog, "rex"), host.spawn(Dog, "tom")

    close(dog)

    assert tom.bark() == "woof"
    with pytest.raises(elsewhere.ObjectGone):
        dog.bark()


def test_closed_proxy_of_a_shared_host_is_let_go_there(host):
    keeper = host.spawn(Keeper)
    before = host.run(len, [])
    dog = host.spawn(Dog, "rex")
    keeper.call(remember, dog)

    close(dog)
    keeper.give()
    gc.collect()

    assert keeper.call(is_gone)
    assert before == 0


REMEMBERED = []


def remember(thing: object) -> None:
    REMEMBERED[:] = [weakref.ref(thing)]


def is_gone() -> bool:
    gc.collect()
    return REMEMBERED[0]() is None


def test_object_is_let_go_when_its_last_proxy_goes(host):
    keeper = host.spawn(Keeper)
    dog = host.spawn(Dog, "rex")
    keeper.call(remember, dog)

    del dog
    gc.collect()

    assert keeper.call(is_gone)


def test_close_finishes_what_was_accepted(host):
    book = host.spawn(Book)
    futures = [submit(book.write, number) for number in range(50)]
    last = submit(book.read)
    post(book.clear)

    host.close()

    assert [future.result() for future in futures] == [None] * 50
    assert last.result() == list(range(50))


def test_close_accepts_nothing_new(host):
    dog = host.spawn(Dog, "rex")

    host.close()

    for use in (dog.bark, lambda: get(dog.age), lambda: host.spawn(Dog, "tom"), lambda: submit(dog.bark)):
        with pytest.raises(elsewhere.HostClosed) as caught:
            use()
        assert caught.value.outcome == "not_started"


def test_close_ends_what_takes_longer_than_its_timeout(process_host):
    dog = process_host.spawn(Dog, "rex")
    with kept_until_closed(process_host) as future:
        process_host.close(timeout=0.01)

        with pytest.raises(elsewhere.HostClosed):
            future.result()
    with pytest.raises(elsewhere.HostClosed):
        dog.bark()


class kept_until_closed:
    def __init__(self, host: elsewhere.Host) -> None:
        self.dog = host.spawn(Dog, "busy")

    def __enter__(self) -> elsewhere.Future[None]:
        return submit(self.dog.sleep, 60)

    def __exit__(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("timeout", [-1, float("nan")])
def test_closing_within_a_time_that_means_nothing_is_refused(host, timeout):
    with pytest.raises(ValueError, match="seconds"):
        host.close(timeout=timeout)
    assert host.alive


def test_two_hosts_that_hold_each_other_end_when_one_is_closed():
    with elsewhere.Host() as one, elsewhere.Host() as other:
        keeper, partner = one.spawn(Keeper), other.spawn(Keeper)
        keeper.keep(partner)
        partner.keep(keeper)

        one.close()

        assert other.alive
    assert not other.alive


def test_host_knows_its_pid_and_exit_code(process_host):
    dog = process_host.spawn(Dog, "rex")

    assert process_host.pid == dog.pid() != os.getpid()
    assert process_host.exitcode is None
    assert not process_host.wait(timeout=0)
    process_host.close()
    assert process_host.wait()
    assert process_host.exitcode == 0


def test_local_host_lives_in_this_process():
    with elsewhere.Host(start="local") as host:
        assert host.spawn(Dog, "rex").pid() == os.getpid() == host.pid


def test_close_waits_for_a_busy_host(process_host):
    book = process_host.spawn(Book)
    with kept_busy(process_host):
        future = submit(book.write, 1)
    process_host.close()

    assert future.result() is None


def test_call_that_is_cancelled_before_its_turn_gives_back_what_its_arguments_offered(host) -> None:
    keeper = host.spawn(Keeper)
    with kept_busy(host):
        waiting = elsewhere.submit(keeper.keep, elsewhere.ref([1]))
        assert waiting.cancel()

    assert keeper.give() is None
    assert host.stats()["exports"] == 0


def test_call_that_expires_before_its_turn_gives_back_what_its_arguments_offered(process_host) -> None:
    keeper = process_host.spawn(Keeper)
    with kept_busy(process_host), pytest.raises(elsewhere.CallTimeout):
        elsewhere.options(keeper, timeout=0.05).keep(elsewhere.ref([1]))

    assert keeper.give() is None
    assert process_host.stats()["exports"] == 0


def test_call_of_an_object_that_is_gone_gives_back_what_its_arguments_offered(host) -> None:
    numbers = host.spawn(list)
    append = numbers.append
    elsewhere.close(numbers)

    with pytest.raises(elsewhere.ObjectGone):
        append(elsewhere.ref([1]))

    assert host.run(abs, -1) == 1
    assert host.stats()["exports"] == 0


def test_host_of_its_own_lives_on_when_a_result_of_it_is_closed():
    shop = spawn(Shelves)
    shelf = shop.shelf()
    host = host_of(shop)

    close(shelf)

    assert host.alive
    with pytest.raises(elsewhere.ObjectGone):
        shelf.locked()
    assert not shop.shelf().locked()
    close(shop)
    assert host.wait()


class Shelves:
    def shelf(self) -> object:
        return threading.Lock()


def test_host_of_its_own_ends_when_its_object_is_closed_by_whatever_proxy_of_it():
    dog = spawn(Dog, "rex")
    same, lock, host = dog.itself(), dog.make_lock(), host_of(dog)

    close(same)

    assert host.wait()
    for use in (dog.bark, lock.locked):
        with pytest.raises(elsewhere.HostClosed):
            use()


def test_using_a_result_leaves_the_host_alone():
    shop = spawn(Shelves)

    with elsewhere.using(shop.shelf()):
        pass

    assert host_of(shop).alive
    close(shop)
