"""Exceptions that hang together: causes, contexts and groups, over several hosts, and as people read them."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import textwrap
import threading
import traceback

import pytest

import elsewhere
from programs import finish, start


class Odd(Exception):
    """Cannot be rebuilt: it holds a lock."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.lock = threading.Lock()


class Sorted(ExceptionGroup):
    """A group with something of its own."""

    def derive(self, errors):
        return Sorted(self.message, errors)


class Raiser:
    """Raises all kinds of chains."""

    def fail(self, error: Exception | None = None) -> None:
        raise error or KeyError("bone")

    def from_cause(self) -> None:
        try:
            self.fail()
        except KeyError as error:
            raise RuntimeError("outer") from error

    def in_context(self) -> None:
        try:
            self.fail()
        except KeyError:
            raise RuntimeError("outer")  # noqa: B904 - that is what is tested

    def from_none(self) -> None:
        try:
            self.fail()
        except KeyError:
            raise RuntimeError("outer") from None

    def from_odd(self) -> None:
        raise RuntimeError("outer") from Odd("cause")

    def odd_from(self) -> None:
        raise Odd("outer") from ValueError("cause")

    def long_chain(self, length: int) -> None:
        error: Exception = ValueError(0)
        for number in range(1, length):
            try:
                raise ValueError(number) from error
            except ValueError as next_one:
                error = next_one
        raise error

    def from_exit(self) -> None:
        raise RuntimeError("outer") from SystemExit(3)

    def group(self) -> None:
        members = []
        for error in (ValueError("one"), Odd("two")):
            try:
                self.fail(error)
            except Exception as raised:
                members.append(raised)
        raise ExceptionGroup("several", [*members, ExceptionGroup("inner", [KeyError("three")])])

    def own_group(self) -> None:
        error = Sorted("sorted", [ValueError(1), TypeError(2)])
        error.order = "by size"
        raise error

    def unknown_group(self) -> None:
        cls = type("Unknown", (ExceptionGroup,), {"__module__": "only_there"})
        error = cls("unknown", [ValueError(1), Odd("two")])
        error.lock = threading.Lock()
        raise error

    def group_with_exit(self) -> None:
        raise BaseExceptionGroup("base", [SystemExit(3), ValueError(1)])

    def group_of(self, number: int) -> None:
        raise ExceptionGroup("many", [ValueError(at) for at in range(number)])

    def shared(self) -> None:
        one = ValueError("shared")
        raise ExceptionGroup("several", [one, one]) from one

    async def from_cause_later(self) -> None:
        await asyncio.sleep(0)
        self.from_cause()


@pytest.fixture
def raiser(host):
    return host.spawn(Raiser)


def raised(call, *args) -> BaseException:
    try:
        call(*args)
    except BaseException as error:
        return error
    pytest.fail("nothing was raised")


def test_cause_arrives_as_an_exception(raiser) -> None:
    error = raised(raiser.from_cause)

    assert type(error) is RuntimeError
    assert type(error.__cause__) is KeyError
    assert error.__context__ is error.__cause__
    assert error.__suppress_context__


def test_context_arrives_as_an_exception(raiser) -> None:
    error = raised(raiser.in_context)

    assert error.__cause__ is None
    assert type(error.__context__) is KeyError
    assert not error.__suppress_context__


def test_context_that_is_not_to_be_shown_is_not_shown(raiser) -> None:
    error = raised(raiser.from_none)

    assert error.__cause__ is None
    assert error.__suppress_context__
    assert "KeyError" not in "".join(traceback.format_exception(error))


def test_each_of_a_chain_has_its_own_frames_in_its_note(raiser) -> None:
    error = raised(raiser.from_cause)

    assert "in from_cause" in error.__notes__[0]
    assert "in fail" not in error.__notes__[0]
    assert "in fail" in error.__cause__.__notes__[0]


def test_cause_that_cannot_be_rebuilt_has_a_stand_in(raiser) -> None:
    error = raised(raiser.from_odd)

    assert type(error) is RuntimeError
    assert isinstance(error.__cause__, elsewhere.RemoteError)
    assert error.__cause__.type_name.endswith(".Odd")
    assert str(error.__cause__) == "cause"


def test_stand_in_has_the_cause_of_what_it_stands_for(raiser) -> None:
    error = raised(raiser.odd_from)

    assert isinstance(error, elsewhere.RemoteError)
    assert type(error.__cause__) is ValueError


def test_cause_that_is_no_exception_has_a_stand_in(raiser) -> None:
    error = raised(raiser.from_exit)

    assert type(error.__cause__).__name__ == "RemoteSystemExit"


def test_long_chain_is_told_whole_and_a_longer_one_is_cut(raiser) -> None:
    def length(error: BaseException | None) -> int:
        count = 0
        while error is not None:
            count, error = count + 1, error.__cause__
        return count

    assert length(raised(raiser.long_chain, 100)) == 100
    cut = raised(raiser.long_chain, 1000)

    assert 100 < length(cut) < 1000
    assert "they are cut" in "".join(traceback.format_exception(cut))


def test_chain_of_an_awaited_call_arrives(raiser) -> None:
    async def main() -> None:
        await raiser.from_cause_later()

    error = raised(asyncio.run, main())

    assert type(error) is RuntimeError
    assert type(error.__cause__) is KeyError


def test_group_has_its_members_each_with_its_frames(raiser) -> None:
    error = raised(raiser.group)

    assert type(error) is ExceptionGroup
    first, second, inner = error.exceptions
    assert type(first) is ValueError
    assert isinstance(second, elsewhere.RemoteError)
    assert all("in fail" in member.__notes__[0] for member in (first, second))
    assert type(inner) is ExceptionGroup
    assert [type(member) for member in inner.exceptions] == [KeyError]


def test_group_is_split_as_any_other(raiser) -> None:
    caught: list[object] = []

    try:
        raiser.group()
    except* ValueError as group:
        caught.append(group.exceptions)
    except* elsewhere.RemoteError as group:
        caught.append(group.exceptions)
    except* KeyError as group:
        caught.append(group.exceptions)

    assert len(caught) == 3


def test_group_of_a_class_of_its_own_keeps_class_and_attributes(raiser) -> None:
    error = raised(raiser.own_group)

    assert type(error) is Sorted
    assert error.order == "by size"
    assert [type(member) for member in error.exceptions] == [ValueError, TypeError]


def test_group_that_cannot_be_rebuilt_is_a_group_all_the_same(process_host) -> None:
    error = raised(process_host.spawn(Raiser).unknown_group)

    assert isinstance(error, elsewhere.RemoteError)
    assert isinstance(error, ExceptionGroup)
    assert type(error).__name__ == "Unknown"
    assert type(error.exceptions[0]) is ValueError
    assert isinstance(error.exceptions[1], elsewhere.RemoteError)


def test_group_that_holds_what_is_no_exception_is_a_group_of_stand_ins(raiser) -> None:
    error = raised(raiser.group_with_exit)

    assert isinstance(error, elsewhere.RemoteError)
    assert isinstance(error, ExceptionGroup)
    assert [type(member).__name__ for member in error.exceptions] == ["RemoteSystemExit", "ValueError"]


def test_group_of_very_many_says_that_it_is_cut(raiser) -> None:
    error = raised(raiser.group_of, 100)
    assert len(error.exceptions) == 100

    error = raised(raiser.group_of, 10_000)

    assert type(error) is ExceptionGroup
    assert "they are cut" in "".join(error.__notes__)


def test_one_exception_that_hangs_in_several_places_is_one_here(raiser) -> None:
    error = raised(raiser.shared)

    assert error.exceptions[0] is error.exceptions[1]
    assert error.__cause__ is error.exceptions[0]


def test_error_that_is_raised_while_another_one_is_handled_says_so(raiser) -> None:
    def call() -> None:
        try:
            raise TypeError("here")
        except TypeError:
            raiser.fail()

    error = raised(call)

    assert type(error) is KeyError
    assert type(error.__context__) is TypeError


def test_context_here_stands_behind_the_context_there(raiser) -> None:
    def call() -> None:
        try:
            raise TypeError("here")
        except TypeError:
            raiser.in_context()

    error = raised(call)

    chain = [type(error), type(error.__context__), type(error.__context__.__context__)]
    assert chain == [RuntimeError, KeyError, TypeError]
    assert error.__context__.__context__.__context__ is None


def test_future_that_fails_in_two_places_has_the_context_of_the_first(raiser) -> None:
    future = elsewhere.submit(raiser.fail)
    contexts = []
    for handled in (TypeError("first"), OSError("second")):
        try:
            raise handled
        except Exception:
            contexts.append(raised(future.result).__context__)

    assert [type(context) for context in contexts] == [TypeError, TypeError]
    assert contexts[0].__context__ is None


# ---------------------------------------------------------------- over two hosts, as it is read

CHAIN = """
import elsewhere


class Last:
    def fail(self):
        self.deeper()

    def deeper(self):
        raise KeyError("bone")  # the innermost line


class Middle:
    def __init__(self, last):
        self.last = last

    def pass_on(self):
        self.last.fail()  # the line in between

    def chain(self):
        try:
            self.last.fail()  # the line that is caught
        except KeyError as error:
            error.add_note("no bone today")
            raise RuntimeError("outer") from error  # the line that raises


def go(method):
    with elsewhere.Host(name="B") as b, elsewhere.Host(name="C") as c:
        middle = b.spawn(Middle, c.spawn(Last))
        getattr(middle, method)()  # the outermost line
"""

MODULE = "two_hosts"


@pytest.fixture
def two_hosts(tmp_path, monkeypatch):
    """A module with three classes that call one another, where everybody can import it."""
    (tmp_path / f"{MODULE}.py").write_text(CHAIN)
    monkeypatch.syspath_prepend(tmp_path)
    module = __import__(MODULE)
    yield module
    del sys.modules[MODULE]


def lines_of(text: str) -> list[str]:
    """What the text says in order: source lines of the three classes, hosts, and exceptions."""
    found = re.findall(
        r"# the (.*)$|^(?:raised|passed on) in host '(\w)'|^(KeyError: .*|RuntimeError: .*|no bone today)$",
        text,
        re.MULTILINE,
    )
    return ["".join(groups) for groups in found]


PASSED_ON = [
    "outermost line",
    "KeyError: 'bone'",
    "B",
    "line in between",
    "C",
    "innermost line",
    "KeyError: 'bone'",
]
CHAINED = [
    "KeyError: 'bone'",
    "no bone today",
    "B",
    "line that is caught",
    "C",
    "innermost line",
    "KeyError: 'bone'",
    "outermost line",
    "RuntimeError: outer",
    "B",
    "line that raises",
    "RuntimeError: outer",
]
READ = {"pass_on": PASSED_ON, "chain": CHAINED}


@pytest.mark.parametrize("method", READ)
def test_formatted_exception_has_every_frame_of_every_host_once_and_in_order(two_hosts, method: str) -> None:
    error = raised(two_hosts.go, method)

    text = "".join(traceback.format_exception(error))

    assert lines_of(text) == READ[method], text
    assert text.count("in deeper") == 1
    assert "elsewhere/_" not in text


@pytest.mark.parametrize("method", READ)
def test_uncaught_exception_of_a_script_has_every_frame_of_every_host(two_hosts, tmp_path, method: str) -> None:
    program = start(f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import {MODULE}; {MODULE}.go({method!r})")

    code, _, complaints = finish(program)

    assert code == 1
    assert lines_of(complaints) == READ[method], complaints


@pytest.mark.parametrize("method", READ)
def test_failing_test_under_pytest_shows_every_frame_of_every_host(two_hosts, tmp_path, method: str) -> None:
    (tmp_path / "test_it.py").write_text(f"import {MODULE}\n\ndef test_it():\n    {MODULE}.go({method!r})\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", tmp_path, "-c", "/dev/null"]
    env = {name: value for name, value in os.environ.items() if name not in ("CI", "BUILD_NUMBER")}

    # Where pytest takes itself to be run by continuous integration it repeats the whole text in its summary.
    ended = subprocess.run([*command, "test_it.py"], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60)

    shown = [line.removeprefix("E").removeprefix("  ") for line in ended.stdout.splitlines()]
    text = textwrap.dedent("\n".join(line.lstrip(" >") for line in shown))
    hosts = [
        line
        for line in lines_of(text)
        if line in ("B", "C", "line in between", "line that is caught", "innermost line")
    ]
    assert hosts == [line for line in READ[method] if line in hosts], ended.stdout


def test_frames_of_a_coroutine_are_its_own(raiser) -> None:
    async def main() -> None:
        await raiser.from_cause_later()

    text = "".join(raised(asyncio.run, main()).__notes__)

    assert "in from_cause_later" in text
    assert "asyncio" not in text


def test_relay_in_between_is_not_named(process_host) -> None:
    """A proxy of one host that is used in another one leads through this process, which adds nothing."""
    with elsewhere.Host() as other:
        error = raised(process_host.run, call_fail, other.spawn(Raiser))

    text = "".join(error.__notes__)
    assert "owner" not in text
    assert re.findall(r"^(?:passed on|raised) in (host \d+)", text, re.MULTILINE) == [
        f"host {process_host.pid}",
        f"host {other.pid}",
    ]


def call_fail(raiser) -> None:
    raiser.fail()


def test_error_of_a_callback_names_the_host_that_it_passed(process_host) -> None:
    def fail() -> None:
        raise KeyError("here")  # raised at home

    error = raised(process_host.run, call, elsewhere.ref(fail))

    text = "".join(error.__notes__)
    assert text.index(f"passed on in host {process_host.pid}") < text.index("raised in the owner")
    assert text.count("# raised at home") == 1


def call(function) -> None:
    function()
