"""`with` a proxy, and `using` one."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import types

import pytest

import elsewhere
from elsewhere import get, using
from kennel import Dog
from workshop import AsyncDoor, Door, Keeper, SelfDoor, kept_busy


@pytest.fixture
def door(host: elsewhere.Host) -> Door:
    return host.spawn(Door)


def events_of(proxy: object) -> list[str]:
    return [event.split(" ")[0] + " " + event.split(" ")[1] if " " in event else event for event in get(proxy.events)]


def test_with_enters_and_leaves_there(door):
    with door as entered:
        assert entered == "inside"

    assert get(door.events) == ["enter", "exit nothing None None"]


def test_with_ends_nothing(host, door):
    with door:
        pass

    assert host.alive
    assert len(get(door.events)) == 2


def test_with_on_an_object_without_a_context_is_a_type_error(host):
    dog = host.spawn(Dog, "rex")

    with pytest.raises(TypeError, match="context manager"), dog:
        pass


def test_exception_of_the_block_is_seen_there_without_its_traceback(door):
    with pytest.raises(ValueError, match="mine"), door:
        raise ValueError("mine")

    assert get(door.events)[-1] == "exit ValueError ValueError('mine') None"


def test_context_there_may_swallow_the_blocks_exception(host):
    door = host.spawn(Door, swallows=True)

    with door:
        raise ValueError("mine")

    assert get(door.events) == ["enter", "exit ValueError ValueError('mine') None"]


def test_with_on_a_path_enters_the_object_there(host):
    lock = host.spawn(Dog, "rex").lock
    with lock:
        assert lock.locked()

    assert not lock.locked()


def test_async_with_forwards(host):
    door = host.spawn(AsyncDoor)

    async def enter() -> object:
        async with door as entered:
            return entered

    assert asyncio.run(enter()) == "inside"
    assert get(door.events) == ["enter", "exit nothing"]


def test_async_with_on_an_object_without_one_is_a_type_error(host):
    dog = host.spawn(Dog, "rex")

    async def enter() -> None:
        async with dog:
            pass

    with pytest.raises(TypeError, match="asynchronous context manager"):
        asyncio.run(enter())


def test_using_gives_what_entering_gave(host):
    with using(host.spawn(Door)) as entered:
        assert entered == "inside"


def test_using_an_object_that_enters_itself_gives_its_proxy(host):
    door = host.spawn(SelfDoor)

    with using(door) as entered:
        assert entered == door


def test_using_an_object_without_a_context_gives_its_proxy(host):
    dog = host.spawn(Dog, "rex")

    with using(dog) as same:
        assert same is dog


def test_using_leaves_the_objects_context(host, tmp_path):
    keeper = host.send({})
    door = host.spawn(Door)
    keeper["events"] = door.events

    path = elsewhere.ref(door.events)
    with using(door):
        pass

    assert get(path) == ["enter", "exit nothing None None"]


def test_using_closes_the_proxy(host):
    dog = host.spawn(Dog, "rex")

    with using(dog):
        pass

    with pytest.raises(elsewhere.ElsewhereError):
        dog.bark()
    assert host.alive


def test_using_a_private_host_ends_it():
    with using(elsewhere.spawn(Dog, "rex")) as dog:
        host = elsewhere.host_of(dog)
        pid = host.pid

    assert host.wait()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_blocks_own_exception_wins_over_a_failing_exit(host):
    door = host.spawn(Door, jams=True)

    with pytest.raises(ValueError, match="mine") as caught, using(door):
        raise ValueError("mine")

    assert "the door jams" in "".join(caught.value.__notes__)


def test_failing_exit_is_raised_where_the_block_went_well(host):
    door = host.spawn(Door, jams=True)

    with pytest.raises(OSError, match="the door jams"), using(door):
        pass


def test_using_swallows_what_the_objects_context_swallows(host):
    door = host.spawn(Door, swallows=True)
    events = elsewhere.ref(door.events)

    with using(door):
        raise ValueError("mine")

    assert get(events) == ["enter", "exit ValueError ValueError('mine') None"]


def test_block_that_loses_the_host_keeps_its_own_exception(process_host):
    door = process_host.spawn(Door)

    def lose_within() -> None:
        with using(door):
            process_host.kill()
            process_host.wait()
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine") as caught:
        lose_within()

    assert "HostDied" in "".join(caught.value.__notes__)


def test_using_takes_proxies_only():
    with pytest.raises(TypeError, match="takes a proxy"):
        using(Dog("rex"))


def test_failing_enter_closes_the_proxy(host):
    door = host.spawn(Stuck)

    with pytest.raises(OSError, match="stuck"), using(door):
        pass

    with pytest.raises(elsewhere.ElsewhereError):
        get(door.events)


class Stuck(Door):
    def __enter__(self) -> str:
        raise OSError("stuck")


def test_async_using_enters_an_async_context(host):
    door = host.spawn(AsyncDoor)
    events = elsewhere.ref(door.events)

    async def enter() -> object:
        async with using(door) as entered:
            return entered

    assert asyncio.run(enter()) == "inside"
    assert get(events) == ["enter", "exit nothing"]


def test_async_using_enters_a_plain_context(host):
    door = host.spawn(Door)
    events = elsewhere.ref(door.events)

    async def enter() -> object:
        async with using(door) as entered:
            return entered

    assert asyncio.run(enter()) == "inside"
    assert len(get(events)) == 2


def test_async_using_closes_the_proxy(host):
    dog = host.spawn(Dog, "rex")

    async def enter() -> None:
        async with using(dog):
            pass

    asyncio.run(enter())

    with pytest.raises(elsewhere.ElsewhereError):
        dog.bark()


def test_async_block_keeps_its_exception_over_a_failing_exit(host):
    door = host.spawn(AsyncDoor, jams=True)

    async def enter() -> None:
        async with using(door):
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine") as caught:
        asyncio.run(enter())
    assert "the door jams" in "".join(caught.value.__notes__)


class Untravelling(ValueError):
    """Cannot be pickled."""

    def __init__(self) -> None:
        super().__init__("mine")
        self.lock = threading.Lock()


def test_context_is_left_though_the_blocks_exception_cannot_travel(host):
    door = host.spawn(Door)

    with pytest.raises(Untravelling), door:
        raise Untravelling

    assert get(door.events) == ["enter", "exit Untravelling Untravelling('mine') None"]


def test_lock_is_released_though_the_blocks_exception_cannot_travel(host):
    lock = host.spawn(Dog, "rex").lock

    with pytest.raises(Untravelling), lock:
        raise Untravelling

    assert not lock.locked()


def test_context_is_left_though_the_class_of_the_blocks_exception_is_not_there(process_host):
    door = process_host.spawn(Door)
    module = types.ModuleType("module_of_here_alone")
    module.OnlyHere = type("OnlyHere", (LookupError,), {"__module__": module.__name__, "__qualname__": "OnlyHere"})
    sys.modules[module.__name__] = module

    with pytest.raises(module.OnlyHere), door:
        raise module.OnlyHere("mine")

    del sys.modules[module.__name__]
    assert get(door.events)[-1] == "exit OnlyHere OnlyHere('mine') None"


class Judge(Door):
    """Swallows what is a ValueError."""

    def __exit__(self, kind, error, traceback) -> bool:
        super().__exit__(kind, error, traceback)
        return isinstance(error, ValueError) and "in test_exception" in error.__notes__[0]


def test_exception_that_cannot_travel_is_seen_there_as_its_builtin_base_with_its_frames(host):
    judge = host.spawn(Judge)

    with judge:
        raise Untravelling

    assert len(get(judge.events)) == 2


def test_failing_exit_is_not_tried_again(host):
    door = host.spawn(Refuser)

    with pytest.raises(elsewhere.ArgumentError), door:
        raise ValueError("mine")

    assert len(get(door.events)) == 2


class Refuser(Door):
    """Fails as a call does whose arguments cannot travel."""

    def __exit__(self, kind, error, traceback) -> bool:
        super().__exit__(kind, error, traceback)
        raise elsewhere.ArgumentError("not mine", outcome="not_started")


@pytest.mark.parametrize("enter", [lambda door: door, using], ids=["with", "using"])
def test_async_context_is_left_though_the_blocks_exception_cannot_travel(host, enter):
    door = host.spawn(AsyncDoor)
    events = elsewhere.ref(door.events)

    async def play() -> None:
        async with enter(door):
            raise Untravelling

    with pytest.raises(Untravelling):
        asyncio.run(play())
    assert get(events) == ["enter", "exit Untravelling"]


def test_using_a_path_is_refused_before_anything_is_entered(host):
    keeper = host.spawn(Keeper, Door())

    with pytest.raises(TypeError, match="path cannot be closed"):
        using(keeper.thing)

    assert get(keeper.thing.events) == []


def test_using_waits_no_longer_than_the_proxy_says(process_host):
    door = elsewhere.options(process_host.spawn(Door), timeout=0.02)

    with kept_busy(process_host), pytest.raises(elsewhere.CallTimeout), using(door):
        pass
