"""What hosts do alike with the package and without it: lists that change, calls that are given up, streams, threads."""

from __future__ import annotations

import asyncio
import ctypes
import itertools
import os
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

import elsewhere
from elsewhere import deadline, get, post, ref, stream, submit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path


@pytest.fixture(params=["package", "bare"])
def start(request: pytest.FixtureRequest) -> Iterator[Callable[..., elsewhere.Host]]:
    """Starts a host in an interpreter that has the package, or in one that does not."""
    options: dict[str, Any] = {"path": [str(request.path.parent)]}
    if request.param == "bare":
        options["python"] = request.getfixturevalue("bare_interpreter")
        options["path"].append(request.getfixturevalue("other_packages"))
    made: list[elsewhere.Host] = []

    def start(**more: Any) -> elsewhere.Host:
        made.append(elsewhere.Host(**options, **more))
        return made[-1]

    yield start
    for host in made:
        host.close()


# ---------------------------------------------------------------- values that change, or refuse
class Growing:
    """Cannot be copied, and adds to what holds it whenever that is tried."""

    def __init__(self, holder: list[Any] | dict[Any, Any]) -> None:
        self.holder = holder

    def __reduce__(self) -> str:
        if isinstance(self.holder, list):
            self.holder.append("more")
        else:
            self.holder[len(self.holder)] = "more"
        raise TypeError("it stays here")


def growing_list() -> list[Any]:
    made: list[Any] = ["first"]
    made += [Growing(made), "last"]
    return made


def growing_dict() -> dict[Any, Any]:
    made: dict[Any, Any] = {"first": 1}
    made["second"] = Growing(made)
    made["last"] = 3
    return made


def test_list_that_grows_while_its_elements_are_tried_arrives_as_a_list(start):
    found = start().run(growing_list)

    assert type(found) is list
    assert elsewhere.is_proxy(found[1])
    assert [found[0], *found[2:]] == ["first", "last", *["more"] * (len(found) - 3)]


def test_dict_that_grows_while_its_elements_are_tried_arrives_as_a_dict(start):
    found = start().run(growing_dict)

    assert type(found) is dict
    assert elsewhere.is_proxy(found["second"])
    assert (found["first"], found["last"]) == (1, 3)


class Leaving:
    def __reduce__(self) -> str:
        raise SystemExit(3)


def leaving() -> Leaving:
    return Leaving()


def test_exit_that_copying_a_result_raises_is_the_callers(start):
    host = start()

    with pytest.raises(elsewhere.RemoteError) as caught:
        host.run(leaving)

    assert not isinstance(caught.value, elsewhere.ResultError)
    assert host.run(len, "ab") == 2


# ---------------------------------------------------------------- streams
class Dropped:
    """An iterator that says when it is gone."""

    def __init__(self, gone: Callable[[], None]) -> None:
        self.gone = gone

    def __iter__(self) -> Dropped:
        return self

    def __next__(self) -> int:
        return 1

    def __del__(self) -> None:
        post(self.gone)


class Studio:
    def __init__(self) -> None:
        self.log: list[str] = []
        self.source: Any = None

    def slowly(self, begun: Callable[[], None], wait: Callable[[], None], gone: Callable[[], None]) -> Dropped:
        begun()
        wait()
        return Dropped(gone)

    def read(self) -> list[str]:
        return list(self.log)

    def open(self, name: str) -> Any:
        self.source = open(name)
        return self.source

    def is_closed(self) -> bool:
        return bool(self.source.closed)

    def close(self) -> None:
        self.source.close()

    def counting(self) -> Iterator[int]:
        self.source = self._count()
        return self.source

    def _count(self) -> Iterator[int]:
        try:
            yield from itertools.count()
        finally:
            self.log.append("closed")

    def following(self) -> int:
        return next(self.source)

    def note(self, word: str) -> None:
        self.log.append(word)

    def wait_for(self, path: str, begun: Callable[[], None]) -> None:
        begun()
        while not os.path.exists(path):
            pass

    async def mapped(self, function: Any, words: list[str]) -> AsyncIterator[str]:
        for word in words:
            yield await function(word)

    async def applied(self, function: Any, word: str) -> str:
        return await function(word)

    async def numbers(self, count: int) -> AsyncIterator[int]:
        try:
            for number in range(count):
                yield number
        finally:
            self.log.append("closed")

    async def endless(self) -> AsyncIterator[int]:
        try:
            yield 0
            await asyncio.Event().wait()
        finally:
            self.log.append("closed")

    async def aread(self) -> list[str]:
        return list(self.log)

    def upper(self, word: str) -> str:
        return word.upper()

    def ask_in_time(self, owner: Any) -> str:
        try:
            with deadline(0.05):
                return str(owner.slowly())
        except elsewhere.CallTimeout:
            return "over"


def test_stream_that_is_given_up_before_it_is_there_goes(start):
    studio = start(concurrency=2).spawn(Studio)
    begun, may_end, gone = threading.Event(), threading.Event(), threading.Event()
    items = stream(studio.slowly, ref(begun.set), ref(may_end.wait), ref(gone.set))
    begun.wait()

    items.close()
    may_end.set()

    assert gone.wait(20)


def test_closing_a_stream_leaves_open_what_others_hold(start, tmp_path: Path):
    (tmp_path / "lines").write_text("one\ntwo\n")
    studio = start().spawn(Studio)
    lines = stream(studio.open, str(tmp_path / "lines"))
    assert next(lines) == "one\n"
    lines.close()
    assert not studio.is_closed()
    studio.close()

    numbers = stream(studio.counting)
    assert next(numbers) == 0
    numbers.close()
    assert studio.following() > 0
    assert studio.read() == []


@pytest.mark.parametrize("concurrency", ["serial", "async", 2])
def test_async_generator_is_read_ahead(start, concurrency):
    studio = start(concurrency=concurrency).spawn(Studio)

    assert list(stream(studio.numbers, 1000)) == list(range(1000))

    items = stream(studio.numbers, 10**9)
    assert next(items) == 0
    items.close()
    while studio.read() != ["closed", "closed"]:
        pass


def test_async_generator_that_waits_is_ended_by_its_consumer(start):
    studio = start(concurrency="async").spawn(Studio)
    items = stream(studio.endless)
    assert next(items) == 0

    items.close()

    while studio.read() != ["closed"]:
        pass


def test_async_generator_awaits_what_calls_it_back(start):
    studio = start().spawn(Studio)

    async def function(word: str) -> str:
        return str(await submit(studio.upper, word))

    async def main() -> list[str]:
        return [word async for word in stream(studio.mapped, ref(function), ["a", "b"])]

    assert asyncio.run(main()) == ["A", "B"]


def test_call_of_a_coroutine_function_of_the_owners_is_awaited(start):
    studio = start().spawn(Studio)

    async def function(word: str) -> str:
        await asyncio.sleep(0)
        return word * 2

    async def failing(word: str) -> str:
        raise KeyError(word)

    async def main() -> None:
        assert await submit(studio.applied, ref(function), "ab") == "abab"
        with pytest.raises(KeyError, match="ab"):
            await submit(studio.applied, ref(failing), "ab")

    asyncio.run(main())


# ---------------------------------------------------------------- calls that are given up
@pytest.mark.parametrize("concurrency", ["serial", 1])
def test_call_that_is_cancelled_while_others_run_never_runs(start, concurrency, tmp_path: Path):
    host = start(concurrency=concurrency)
    studio = host.spawn(Studio)
    begun = threading.Event()
    first = submit(studio.wait_for, str(tmp_path / "end"), ref(begun.set))
    begun.wait()
    second = submit(studio.note, "second")
    third = submit(studio.note, "third")
    assert host.responsive  # so it has heard of both

    assert second.cancel()
    assert host.responsive  # and of this
    (tmp_path / "end").touch()
    first.result()
    third.result()

    assert studio.read() == ["third"]


def test_answer_that_comes_too_late_gives_back_what_it_gave(start):
    class Owner:
        def slowly(self) -> Any:
            time.sleep(0.2)  # longer than it is waited for
            return ref(self)

    host = start()
    studio = host.spawn(Studio)

    assert studio.ask_in_time(ref(Owner())) == "over"

    while host.stats()["exports"]:
        studio.read()


# ---------------------------------------------------------------- threads at once
def test_first_pickles_of_several_threads_are_all_right(start):
    host = start(concurrency=8)
    everybody = threading.Barrier(8)

    def ask(number: int) -> None:
        everybody.wait()
        found.append(host.run(complex_thing, number) == complex_thing(number))

    found: list[bool] = []
    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found == [True] * 8


def complex_thing(number: int) -> Any:
    return {number: slice(0, number)}


# ---------------------------------------------------------------- broken off
def ask_for_ever(sink: Callable[[Any], None], content: Any) -> None:
    while True:
        sink(content)


def test_host_whose_long_message_is_broken_off_goes_on(start):
    host = start()
    studio = host.spawn(Studio)
    content = [bytearray(50_000) for _ in range(40)]
    for _ in range(20):
        asked = threading.Event()
        call = submit(host.run, ask_for_ever, ref(lambda _, asked=asked: asked.set()), content)
        asked.wait()
        assert call.cancel(interrupt=True)
        studio.note("again")

    assert get(studio.log) == ["again"] * 20


# ---------------------------------------------------------------- what can be copied, and what cannot
class Shelf:
    def of(self, *what: str) -> Books:
        return Books(threading.Lock() if name == "lock" else name for name in what)

    def number_without_dimensions(self) -> memoryview:
        return memoryview(ctypes.c_short(5))

    def file_beside_a_function(self, name: str) -> list[Any]:
        return [lambda: 1, open(name)]

    def ask(self, function: Callable[[], Any]) -> str:
        try:
            return repr(function())
        except elsewhere.ResultError as error:
            return f"{error.outcome}: {error}"


class Books(list[Any]):
    """A container of a class of its own."""


def test_container_that_could_not_be_copied_says_nothing_of_the_next(start):
    shelf = start().spawn(Shelf)

    assert elsewhere.is_proxy(shelf.of("lock"))
    assert type(shelf.of("one", "two")) is Books


def test_view_without_dimensions_is_a_proxy(start):
    found = start().spawn(Shelf).number_without_dimensions()

    assert elsewhere.is_proxy(found)
    assert get(found.format) == "<h"


def test_file_beside_a_function_is_no_copy_of_what_it_contains(start, tmp_path: Path):
    (tmp_path / "text").write_text("text")

    _, file = start().spawn(Shelf).file_beside_a_function(str(tmp_path / "text"))

    assert elsewhere.is_proxy(file)
    file.close()


class Fragile:
    def __reduce__(self) -> Any:
        return fail, ("it cannot be made again",)


def fail(text: str) -> None:
    raise ValueError(text)


def test_result_that_the_host_cannot_rebuild_says_so_there(start):
    shelf = start().spawn(Shelf)

    told = shelf.ask(ref(Fragile))

    assert told.startswith("finished: ")
    assert "could not be rebuilt here: ValueError: it cannot be made again" in told


def test_result_that_the_host_cannot_rebuild_gives_back_what_it_names(start):
    host = start()
    shelf = host.spawn(Shelf)

    told = shelf.ask(ref(lambda: [memoryview((ctypes.c_int * 2)(1, 2)), ref(object())]))

    assert told.startswith("finished: ")
    while host.stats()["exports"]:
        shelf.of()
