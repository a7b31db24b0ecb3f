"""Exceptions that cross: their classes, notes and what is known of the call."""

from __future__ import annotations

import asyncio
import json
import pickle
import sys
import threading
import traceback
import types

import pytest

import elsewhere
from elsewhere import get
from kennel import Awkward, Dog
from workshop import Keeper


class Raiser:
    """Raises all kinds of things."""

    def plain(self) -> None:
        raise ValueError("a plain error")  # the source line of the note

    def chained(self) -> None:
        try:
            self.plain()
        except ValueError as error:
            raise RuntimeError("outer") from error

    def awkward(self) -> None:
        raise Awkward(7, "reason")

    def local(self) -> None:
        class LocalError(LookupError):
            pass

        error = LocalError("local")
        error.__class__.__module__ = "no.such.module"
        raise error

    def unpicklable(self) -> None:
        error = KeyError("key")
        error.lock = threading.Lock()
        raise error

    def exit(self) -> None:
        raise SystemExit(3)

    def interrupt(self) -> None:
        raise KeyboardInterrupt

    def stop(self) -> None:
        raise StopIteration("value")

    def group(self) -> None:
        raise ExceptionGroup("several", [ValueError("one"), TypeError("two")])

    def with_note(self) -> None:
        error = ValueError("noted")
        error.add_note("a note of its own")
        raise error

    def os_error(self) -> None:
        open("/no/such/file")

    def unicode(self) -> None:
        b"\xff".decode()

    def decode_json(self) -> None:
        json.loads("{")

    def parent_missing(self) -> None:
        {}["missing"]

    def hostile(self) -> None:
        raise Hostile


class Hostile(Exception):
    """Nothing about it works."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    def __reduce__(self):
        raise RuntimeError("no pickle")


@pytest.fixture
def raiser(host: elsewhere.Host) -> Raiser:
    return host.spawn(Raiser)


def caught(function, *args) -> BaseException:
    with pytest.raises(BaseException) as info:
        function(*args)
    return info.value


def notes(error: BaseException) -> str:
    return "\n".join(error.__notes__)


def test_error_is_raised_here_as_its_own_class(raiser):
    error = caught(raiser.plain)

    assert type(error) is ValueError
    assert error.args == ("a plain error",)


def test_note_has_host_method_and_remote_source_lines(host, raiser):
    text = notes(caught(raiser.plain))

    assert "Raiser.plain" in text
    assert repr(host).split(": ")[1].rstrip(">") in text
    assert 'raise ValueError("a plain error")  # the source line of the note' in text
    assert "test_errors.py" in text


def test_note_is_printed_with_the_traceback(raiser):
    printed = "".join(traceback.format_exception(caught(raiser.plain)))

    assert "raised in host" in printed
    assert "a plain error" in printed


def test_cause_is_an_exception_with_a_note_of_its_own(raiser):
    error = caught(raiser.chained)

    assert type(error) is RuntimeError
    assert type(error.__cause__) is ValueError
    assert "the source line of the note" in notes(error.__cause__)


def test_exception_with_an_awkward_constructor_comes_as_itself(raiser):
    error = caught(raiser.awkward)

    assert type(error) is Awkward
    assert (error.code, error.reason) == (7, "reason")


def test_class_that_is_not_here_arrives_as_a_stand_in_under_remote_error(process_host):
    error = caught(process_host.spawn(Raiser).local)

    assert isinstance(error, elsewhere.RemoteError)
    assert isinstance(error, LookupError)
    assert type(error).__name__ == "LocalError"
    assert error.type_name.endswith("LocalError")
    assert error.message == "local"
    assert "raise error" in error.traceback


def test_stand_in_class_is_one_for_each_class(raiser):
    assert type(caught(raiser.exit)) is type(caught(raiser.exit))


def test_exception_that_cannot_be_pickled_keeps_its_bases(raiser):
    error = caught(raiser.unpicklable)

    assert isinstance(error, KeyError)


@pytest.mark.parametrize(
    ("method", "name"),
    [("exit", "RemoteSystemExit"), ("interrupt", "RemoteKeyboardInterrupt"), ("stop", "RemoteStopIteration")],
)
def test_what_is_no_ordinary_exception_arrives_as_a_remote_error(raiser, method, name):
    error = caught(getattr(raiser, method))

    assert isinstance(error, elsewhere.RemoteError)
    assert isinstance(error, Exception)
    assert not isinstance(error, (SystemExit, KeyboardInterrupt, StopIteration))
    assert type(error).__name__ == name


def test_end_of_an_iteration_has_its_value(raiser):
    error = caught(raiser.stop)

    assert error.value == "value"
    assert pickle.loads(pickle.dumps(error)).value == "value"


def test_host_outlives_a_system_exit(raiser):
    caught(raiser.exit)
    caught(raiser.interrupt)

    assert isinstance(caught(raiser.plain), ValueError)


def test_group_comes_as_a_group(raiser):
    error = caught(raiser.group)

    assert isinstance(error, ExceptionGroup)
    assert [type(member) for member in error.exceptions] == [ValueError, TypeError]


def test_notes_of_the_exception_itself_are_kept(raiser):
    assert "a note of its own" in caught(raiser.with_note).__notes__


def test_fields_of_builtin_exceptions_are_kept(raiser):
    missing = caught(raiser.os_error)
    undecodable = caught(raiser.unicode)
    malformed = caught(raiser.decode_json)

    assert (type(missing), missing.errno, missing.filename) == (FileNotFoundError, 2, "/no/such/file")
    assert (type(undecodable), undecodable.start) == (UnicodeDecodeError, 0)
    assert (type(malformed), malformed.pos) == (json.JSONDecodeError, 1)


def test_hostile_exception_is_told_all_the_same(raiser):
    error = caught(raiser.hostile)

    assert type(error).__name__ == "Hostile"
    assert isinstance(error, Exception)


def test_error_of_a_constructor_is_raised_by_spawn(host):
    with pytest.raises(TypeError):
        host.spawn(Dog)


def test_error_of_a_private_spawn_leaves_no_host():
    with pytest.raises(TypeError):
        elsewhere.spawn(Dog)


def test_class_that_cannot_be_imported_there_is_an_argument_error(process_host):
    with pytest.raises(elsewhere.ArgumentError, match="no_such_module_anywhere") as info:
        process_host.spawn(nowhere())

    assert info.value.outcome == "not_started"


def nowhere() -> type:
    module = types.ModuleType("no_such_module_anywhere")
    module.Thing = type("Thing", (), {"__module__": module.__name__, "__qualname__": "Thing"})
    sys.modules[module.__name__] = module
    return module.Thing


def test_our_own_errors_tell_outcome_host_and_method(host):
    keeper = host.spawn(Keeper)

    with pytest.raises(elsewhere.ArgumentError) as info:
        keeper.keep(threading.Lock())

    assert info.value.outcome == "not_started"
    assert info.value.host in repr(host)
    assert info.value.method == "Keeper.keep"


def test_our_own_errors_survive_pickling(host):
    keeper = host.spawn(Keeper)
    with pytest.raises(elsewhere.ArgumentError) as info:
        keeper.keep(threading.Lock())

    again = pickle.loads(pickle.dumps(info.value))

    assert type(again) is elsewhere.ArgumentError
    assert (again.outcome, again.host, again.method) == (info.value.outcome, info.value.host, info.value.method)
    assert str(again) == str(info.value)


def test_remote_errors_survive_pickling(raiser):
    error = caught(raiser.exit)

    again = pickle.loads(pickle.dumps(error))

    assert type(again) is type(error)
    assert again.type_name == error.type_name


@pytest.mark.package_there
def test_error_that_the_method_met_itself_is_marked_remote(host):
    keeper = host.spawn(Keeper)

    with pytest.raises(elsewhere.HostDied) as info:
        keeper.call(meet_a_death)

    assert info.value.remote
    assert info.value.host not in repr(host)


def meet_a_death() -> None:
    with elsewhere.Host() as third:
        dog = third.spawn(Dog, "rex")
        third.kill()
        third.wait()
        dog.bark()


def test_errors_of_our_own_calls_are_not_marked_remote(process_host):
    dog = process_host.spawn(Dog, "rex")
    process_host.kill()
    process_host.wait()

    error = caught(dog.bark)

    assert isinstance(error, elsewhere.HostDied)
    assert not error.remote


def test_error_of_an_awaited_call_has_its_note(raiser):
    async def play() -> None:
        await elsewhere.submit(raiser.plain)

    error = caught(asyncio.run, play())

    assert type(error) is ValueError
    assert "the source line of the note" in notes(error)


def test_error_raised_twice_gets_one_note(raiser):
    future = elsewhere.submit(raiser.plain)

    first, second = caught(future.result), caught(future.result)

    assert first is second
    assert len(first.__notes__) == 1


def test_missing_attribute_names_class_and_attribute(raiser):
    error = caught(lambda: get(raiser.no_such_thing))

    assert type(error) is AttributeError
    assert "Raiser" in str(error)
    assert "no_such_thing" in str(error)


def test_errors_also_are_the_builtins_that_users_expect():
    expected = {
        "HostStartError": RuntimeError,
        "HostDied": ConnectionError,
        "ConnectionLost": ConnectionError,
        "HostClosed": ConnectionError,
        "CallTimeout": TimeoutError,
        "ArgumentError": TypeError,
        "ResultError": TypeError,
        "ObjectGone": ReferenceError,
        "Overloaded": RuntimeError,
        "MessageTooLarge": ValueError,
        "ProtocolError": ConnectionError,
        "AuthenticationError": PermissionError,
        "DeadlockError": RuntimeError,
    }

    for name, base in expected.items():
        error = getattr(elsewhere, name)
        assert issubclass(error, base)
        assert issubclass(error, elsewhere.ElsewhereError)
        assert error.__module__ == "elsewhere"
