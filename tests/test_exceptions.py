"""What is raised there is raised here, whatever it is, and the host lives."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import gc
import sqlite3
import sys
import threading
import time
import traceback
import weakref
from typing import TYPE_CHECKING

import pytest

import elsewhere
from kennel import Awkward, Dog

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def dog(host):
    return host.spawn(Dog, "rex")


class KeywordOnly(Exception):
    def __init__(self, *, code: int) -> None:
        super().__init__(f"code {code}")
        self.code = code


class Slotted(Exception):
    __slots__ = ("extra",)

    def __init__(self, extra: int) -> None:
        super().__init__(extra)
        self.extra = extra


class Own(BaseException):
    pass


def raised(call: Callable[..., object], *args: object) -> BaseException:
    try:
        call(*args)
    except BaseException as error:
        return error
    pytest.fail("nothing was raised")


def make_awkward() -> Exception:
    return Awkward(3, "hungry")


def make_keyword_only() -> Exception:
    return KeywordOnly(code=4)


def make_slotted() -> Exception:
    return Slotted(5)


def make_unicode() -> Exception:
    return UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")


def make_os() -> Exception:
    return FileNotFoundError(2, "No such file", "here", None, "there")


def make_sqlite() -> Exception:
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        return raised(connection.execute, "nonsense")


def make_group() -> Exception:
    inner = ExceptionGroup("inner", [ValueError(1), ExceptionGroup("innermost", [KeyError("k")])])
    return ExceptionGroup("outer", [inner, TypeError(2)])


class Raiser:
    """Raises what a function makes, here."""

    def throw(self, make) -> None:
        raise make()

    def throw_from(self, make, cause) -> None:
        raise make() from cause()

    def throw_group(self, *makes) -> None:
        raise ExceptionGroup("group", [make() for make in makes])

    def fine(self) -> str:
        return "fine"


@pytest.fixture
def raiser(process_host):
    return process_host.spawn(Raiser)


@pytest.mark.parametrize(
    "make", [make_awkward, make_keyword_only, make_slotted, make_unicode, make_os, make_sqlite, make_group]
)
def test_exception_is_raised_as_its_own_class_with_its_text_and_traceback(raiser, make) -> None:
    expected = make()

    error = raised(raiser.throw, make)

    assert isinstance(error, type(expected))
    assert str(error) == str(expected)
    assert "in throw" in "".join(error.__notes__)
    assert raiser.fine() == "fine"


def test_attributes_of_an_exception_with_a_constructor_of_its_own_come_along(raiser) -> None:
    error = raised(raiser.throw, make_awkward)

    assert (error.code, error.reason) == (3, "hungry")


def make_exit() -> BaseException:
    return SystemExit(3)


def make_interrupt() -> BaseException:
    return KeyboardInterrupt("stop")


def make_generator_exit() -> BaseException:
    return GeneratorExit("over")


def make_own() -> BaseException:
    return Own("mine")


def make_stop() -> BaseException:
    return StopIteration(7)


def make_stop_async() -> BaseException:
    return StopAsyncIteration(8)


def make_cancelled() -> BaseException:
    return asyncio.CancelledError("no")


STRANGE = {
    "RemoteSystemExit": make_exit,
    "RemoteKeyboardInterrupt": make_interrupt,
    "RemoteGeneratorExit": make_generator_exit,
    "RemoteOwn": make_own,
    "RemoteStopIteration": make_stop,
    "RemoteStopAsyncIteration": make_stop_async,
    "RemoteCancelledError": make_cancelled,
}


@pytest.mark.parametrize("name", STRANGE)
def test_what_is_no_plain_exception_arrives_wrapped_and_the_host_lives(host, name: str) -> None:
    raiser = host.spawn(Raiser)

    error = raised(raiser.throw, STRANGE[name])

    assert isinstance(error, elsewhere.RemoteError)
    assert (type(error).__name__, error.outcome) == (name, "finished")
    assert error.type_name.endswith(name.removeprefix("Remote"))
    assert not isinstance(error, (StopIteration, StopAsyncIteration))
    assert raiser.fine() == "fine"


@pytest.mark.parametrize("name", STRANGE)
def test_what_is_no_plain_exception_arrives_wrapped_in_a_future(host, name: str) -> None:
    raiser = host.spawn(Raiser)
    future = elsewhere.submit(raiser.throw, STRANGE[name])
    concurrent.futures.wait([future])

    error = future.exception()

    assert isinstance(error, elsewhere.RemoteError)
    assert type(error).__name__ == name
    assert raised(future.result) is error


@pytest.mark.parametrize("name", STRANGE)
@pytest.mark.parametrize("is_done", [False, True])
def test_what_is_no_plain_exception_arrives_wrapped_in_an_await(host, name: str, is_done: bool) -> None:

    raiser = host.spawn(Raiser)

    async def main() -> None:
        future = elsewhere.submit(raiser.throw, STRANGE[name])
        if is_done:
            concurrent.futures.wait([future])
        await future

    error = raised(asyncio.run, main())

    assert isinstance(error, elsewhere.RemoteError)
    assert type(error).__name__ == name


def test_system_exit_in_an_argument_or_a_callback_does_not_end_anybody(process_host) -> None:
    dog = process_host.spawn(Dog, "rex")

    error = raised(dog.call, elsewhere.ref(lambda: sys.exit(3)))

    assert isinstance(error, elsewhere.RemoteError)
    assert "SystemExit" in type(error).__name__
    assert dog.bark() == "woof"


def recurse(depth: int = 0) -> int:
    return recurse(depth + 1)


def test_endless_recursion_there_is_a_recursion_error_here(host) -> None:
    with pytest.raises(RecursionError):
        host.run(recurse)

    assert host.run(abs, -1) == 1


# What follows is a table of exceptions that do their worst while they are told.


def evil_cause_cycle() -> Exception:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    return first


def evil_context_to_itself() -> Exception:
    error = ValueError("first")
    error.__context__ = error
    return error


def evil_group() -> Exception:
    group: Exception = ValueError("first")
    for _ in range(40):
        group = ExceptionGroup("first", [group, ValueError("other")])
    return group


def evil_notes() -> Exception:
    error = ValueError("first")
    error.__notes__ = "first"
    return error


def evil_note_objects() -> Exception:
    error = ValueError("first")
    error.__notes__ = [1, None, "a good one", object()]
    return error


def evil_attribute() -> Exception:
    error = ValueError("first")
    error.lock = threading.Lock()
    return error


class StrRaises(Exception):
    def __str__(self) -> str:
        raise ZeroDivisionError("first")

    __repr__ = __str__


class StrExits(Exception):
    def __str__(self) -> str:  # noqa: PLE0307 - that is what is wrong with it
        sys.exit("first")

    __repr__ = __str__


class StrSleeps(Exception):
    def __str__(self) -> str:
        time.sleep(3600)
        return "first"

    __repr__ = __str__


class StrIsNoString(Exception):
    def __str__(self) -> str:
        return 3  # noqa: PLE0307 - that is what is wrong with it


class ReduceExits(Exception):
    def __reduce__(self):
        sys.exit("first")


class ReduceSleeps(Exception):
    def __reduce__(self):
        time.sleep(3600)


class RebuildExits(Exception):
    def __reduce__(self):
        return sys.exit, ("first",)


class RebuildIsNone(Exception):
    def __reduce__(self):
        return dict, ()


class Sleeper:
    """Nothing that one may pickle."""

    def __reduce__(self):
        time.sleep(3600)


def evil_attribute_that_sleeps() -> Exception:
    error = ValueError("first")
    error.attribute = Sleeper()
    return error


def evil_argument_that_sleeps() -> Exception:
    return ValueError("first", [Sleeper()])


class RebuildSleeps(Exception):
    def __reduce__(self):
        return time.sleep, (3600,)


class AttributesRaise(Exception):
    def __getattribute__(self, name: str) -> object:
        raise ZeroDivisionError("first")


class EqualRaises(Exception):
    def __eq__(self, other: object) -> bool:
        raise ZeroDivisionError("first")

    __hash__ = None  # type: ignore[assignment]


class Surrogates(Exception):
    def __str__(self) -> str:
        return "first \ud800"


def evil_class_deleted() -> Exception:
    Gone = type("Gone", (ValueError,), {"__module__": "kennel"})
    return Gone("first")


def evil_class_of_no_module() -> Exception:
    Gone = type("Gone", (ValueError,), {})
    Gone.__module__ = None  # type: ignore[assignment]
    return Gone("first")


def evil_long_text() -> Exception:
    return ValueError("first" + "x" * 100_000_000)


def evil_many_arguments() -> Exception:
    return ValueError("first", *range(200_000))


def evil_long_chain() -> Exception:
    error = ValueError("first")
    last: BaseException = error
    for number in range(5000):
        last.__cause__ = ValueError(f"cause {number}")
        last = last.__cause__
    return error


EVIL = [
    evil_cause_cycle,
    evil_context_to_itself,
    evil_group,
    evil_notes,
    evil_note_objects,
    evil_attribute,
    evil_class_deleted,
    evil_class_of_no_module,
    evil_long_text,
    evil_many_arguments,
    evil_long_chain,
    StrRaises,
    StrExits,
    StrSleeps,
    StrIsNoString,
    ReduceExits,
    ReduceSleeps,
    RebuildExits,
    RebuildIsNone,
    RebuildSleeps,
    evil_attribute_that_sleeps,
    evil_argument_that_sleeps,
    AttributesRaise,
    EqualRaises,
    Surrogates,
]


@pytest.mark.parametrize("make", EVIL, ids=lambda make: make.__name__)
def test_evil_exception_arrives_as_some_exception_and_the_host_lives(raiser, make) -> None:
    error = raised(raiser.throw, make)

    assert isinstance(error, Exception)
    assert not isinstance(error, (elsewhere.ConnectionLost, elsewhere.HostDied, elsewhere.ProtocolError))
    name = make.__name__ if isinstance(make, type) else "first"
    told = (
        "".join(traceback.format_exception(type(error), error, None))
        if make is not AttributesRaise
        else repr(type(error))
    )
    assert name in told
    assert raiser.fine() == "fine"


@pytest.mark.parametrize("make", EVIL, ids=lambda make: make.__name__)
def test_evil_exception_under_an_innocent_one_does_no_harm(raiser, make) -> None:
    error = raised(raiser.throw_from, make_awkward, make)

    assert type(error).__name__ == "Awkward"
    assert isinstance(error.__cause__, Exception)
    assert raiser.fine() == "fine"


@pytest.mark.parametrize("make", EVIL, ids=lambda make: make.__name__)
def test_evil_exception_in_a_group_does_no_harm(raiser, make) -> None:
    error = raised(raiser.throw_group, make_awkward, make)

    assert isinstance(error, ExceptionGroup)
    assert type(error.exceptions[0]).__name__ == "Awkward"
    assert len(error.exceptions) == 2
    assert raiser.fine() == "fine"


def test_text_of_a_hundred_megabytes_is_cut(raiser) -> None:
    error = raised(raiser.throw, evil_long_text)

    whole = "".join(traceback.format_exception(error))
    assert len(whole) < 1_000_000
    assert "cut" in whole


def deep(number: int) -> None:
    if number:
        deep(number - 1)
    raise ValueError("bottom")


def dig(depth: int) -> None:
    sys.setrecursionlimit(depth + 1000)
    deep(depth)


def test_traceback_of_many_thousand_frames_is_cut(process_host) -> None:
    error = raised(process_host.run, dig, 20_000)

    assert isinstance(error, (ValueError, RecursionError))
    assert len(error.__notes__[-1]) < 200_000


class Carrier(Exception):
    """Carries an object that stays where it is."""

    def __init__(self, carried: object) -> None:
        super().__init__(carried)


class Box:
    """Holds a thing, as code of others does."""

    def __init__(self, thing: object) -> None:
        self.thing = thing


class Talker(Carrier):
    def __str__(self) -> str:
        return "a text of its own"


class Owner:
    def throw_itself(self) -> None:
        raise Carrier(elsewhere.ref(self))

    def throw_itself_in_a_box(self) -> None:
        raise Talker(Box(elsewhere.ref(self)))

    def throw(self, thing) -> None:
        raise Carrier(thing)

    def name(self) -> str:
        return "owner"


def test_reference_inside_an_exception_arrives_as_a_proxy(process_host) -> None:
    owner = process_host.spawn(Owner)

    error = raised(owner.throw_itself)

    assert isinstance(error, Carrier)
    assert error.args[0] == owner
    assert error.args[0].name() == "owner"


def test_reference_deep_inside_an_exception_arrives_as_a_proxy(process_host) -> None:
    owner = process_host.spawn(Owner)

    error = raised(owner.throw_itself_in_a_box)

    assert isinstance(error, Talker)
    assert str(error) == "a text of its own"
    assert error.args[0].thing.name() == "owner"


def test_own_object_inside_an_exception_comes_home(process_host) -> None:
    owner = process_host.spawn(Owner)
    ours = threading.Lock()

    error = raised(owner.throw, elsewhere.ref(ours))

    assert isinstance(error, Carrier)
    assert error.args[0] is ours


def test_exception_of_a_class_that_is_not_here_is_a_stand_in_under_its_builtin_base(process_host) -> None:
    error = raised(process_host.run, raise_unknown)

    assert isinstance(error, elsewhere.RemoteError)
    assert isinstance(error, LookupError)
    assert type(error).__name__ == "Unknown"
    assert error.type_name == "only_there.Unknown"


def raise_unknown() -> None:
    Unknown = type("Unknown", (LookupError,), {"__module__": "only_there"})
    error = Unknown("where")
    error.lock = threading.Lock()
    raise error


def test_failed_future_in_a_frame_of_its_own_traceback_is_collected(process_host) -> None:
    dog = process_host.spawn(Dog, "rex")

    def fail() -> weakref.ref:
        future = elsewhere.submit(dog.fail, ValueError("x"))
        try:
            future.result()
        except ValueError:
            return weakref.ref(future)
        pytest.fail("nothing was raised")

    future = fail()
    gc.collect()

    assert future() is None


def test_posted_call_that_raises_is_told_on_stderr_of_the_host(capfd) -> None:
    with elsewhere.Host() as host:
        dog = host.spawn(Dog, "rex")
        elsewhere.post(dog.fail, ValueError("nobody hears"))

    assert "ValueError: nobody hears" in capfd.readouterr().err


def test_error_of_a_callback_crosses_twice(process_host) -> None:
    dog = process_host.spawn(Dog, "rex")

    def fail() -> None:
        raise Awkward(1, "here")

    error = raised(dog.call, elsewhere.ref(fail))

    assert isinstance(error, Awkward)
    assert (error.code, error.reason) == (1, "here")
