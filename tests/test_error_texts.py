"""Exceptions arrive as what they were, and texts say what to do."""

from __future__ import annotations

import functools
import gc
import re
import threading
import weakref

import pytest

import elsewhere
from kennel import error_of


class PathLost(Exception):
    """Its constructor takes something else than what its `args` are."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path


class Twice(Exception):
    """Its text would be formatted twice if its constructor ran again."""

    def __init__(self, number: int) -> None:
        super().__init__(f"number {number}")

    def __str__(self) -> str:
        return f"<{self.args[0]}>"


class Thrower:
    def __init__(self) -> None:
        self.items: list[object] = []

    def throw(self, kind: type[Exception], *arguments: object) -> None:
        raise kind(*arguments)

    def add(self, item: object, *, label: object = None) -> None:
        self.items.append(item)

    def begin(self, numbers: object) -> int:
        self.stream = elsewhere.stream(numbers)
        return next(iter(self.stream))


class Counting:
    def numbers(self):
        counter = Mark()
        Mark.last = weakref.ref(counter)
        yield from range(1_000_000)
        counter.keep()


class Mark:
    last: weakref.ref[Mark]

    def keep(self) -> None:
        pass


@pytest.fixture
def thrower(host: elsewhere.Host) -> Thrower:
    return host.spawn(Thrower)


def test_exception_is_rebuilt_without_running_its_constructor_again(thrower: Thrower) -> None:
    with pytest.raises(PathLost, match="/a: gone") as caught:
        thrower.throw(PathLost, "/a", "gone")

    assert (str(caught.value), caught.value.path) == ("/a: gone", "/a")


def test_exception_text_is_not_formatted_twice(thrower: Thrower) -> None:
    with pytest.raises(Twice) as caught:
        thrower.throw(Twice, 3)

    assert str(caught.value) == "<number 3>"


def test_exception_with_fields_of_its_builtin_base_keeps_them(thrower: Thrower) -> None:
    with pytest.raises(OSError, match="no such device") as caught:
        thrower.throw(OSError, 19, "no such device", "/dev/3")

    assert (caught.value.errno, caught.value.filename) == (19, "/dev/3")


def test_note_of_an_error_without_frames_repeats_nothing(thrower: Thrower) -> None:
    with pytest.raises(AttributeError) as caught:
        thrower.missing()

    assert "has no attribute" not in "".join(caught.value.__notes__)
    assert "raised in" in caught.value.__notes__[-1]


@pytest.mark.parametrize(
    ("arguments", "options", "culprit"),
    [
        ((threading.Lock(),), {}, r"args\[0\], a _thread\.lock"),
        ((1,), {"label": {"a": [threading.Lock()]}}, r"kwargs\['label'\]\['a'\]\[0\], a _thread\.lock"),
    ],
)
def test_argument_that_cannot_be_copied_is_named(
    thrower: Thrower, arguments: tuple[object, ...], options: dict[str, object], culprit: str
) -> None:
    with pytest.raises(elsewhere.ArgumentError, match=culprit):
        thrower.add(*arguments, **options)


def test_argument_is_named_by_its_place_among_those_of_the_function(host: elsewhere.Host) -> None:
    lock, partial = threading.Lock(), functools.partial(max, threading.Lock())
    refused = [
        lambda: host.run(max, 1, lock),
        lambda: elsewhere.submit(host.run, max, 1, lock),
        lambda: host.run(max, 1, key=lock),
        lambda: host.spawn(Thrower, [lock]),
        lambda: host.run(partial),
    ]

    texts = [re.findall(r": (.+), cannot be copied", str(error_of(call)))[0] for call in refused]

    kind = ", a _thread.lock"
    assert texts[:4] == [f"args[1]{kind}", f"args[1]{kind}", f"kwargs['key']{kind}", f"args[0][0]{kind}"]
    assert texts[4].startswith("the function")


def test_sending_what_cannot_be_copied_hints_at_spawn(host: elsewhere.Host) -> None:
    with pytest.raises(elsewhere.ArgumentError, match=r"spawn\(\)"):
        host.send(threading.Lock())


def test_private_name_hints_at_attribute(thrower: Thrower) -> None:
    with pytest.raises(AttributeError, match=r"attribute\(proxy, '_items'\)"):
        thrower._items


def test_stream_that_a_dead_host_read_is_let_go(process_host: elsewhere.Host) -> None:
    counting = Counting()
    assert process_host.spawn(Thrower).begin(counting.numbers) == 0

    process_host.kill()
    process_host.wait(10)
    elsewhere.Host().close()  # starting a host sweeps what lost ones left
    gc.collect()

    assert Mark.last() is None
