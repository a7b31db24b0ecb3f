"""Tools that look at objects meet a proxy, and make no call but those that they ask for."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import functools
import inspect
import io
import json
import pdb  # noqa: T100 - what is tested
import pprint
import pydoc
import reprlib
import rlcompleter
import sys
import traceback
import typing
import unittest
import unittest.mock

import numpy as np
import pytest
import rich.console
import rich.pretty

import elsewhere
from ipython_session import QUESTIONS
from kennel import Dog
from programs import run
from workshop import kept_busy


@dataclasses.dataclass
class Box:
    thing: object = None


@typing.runtime_checkable
class Barking(typing.Protocol):
    def bark(self) -> str: ...


def in_a_debugger(*commands):
    """Give commands to pdb where a proxy is a local variable."""

    def probe(dog):
        output = io.StringIO()
        given = io.StringIO("\n".join([*commands, "continue", ""]))
        debugger = pdb.Pdb(stdin=given, stdout=output, nosigint=True, readrc=False)

        def frame():
            return dog

        debugger.runcall(frame)
        assert repr(dog) in output.getvalue() or "Proxy" in output.getvalue()

    return probe


def printed_by_rich(dog):
    rich.console.Console(file=io.StringIO()).print([dog])


def traceback_with_locals(dog):
    try:
        raise ValueError("broken")
    except ValueError as error:
        text = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert repr(dog) in text


def refused(function):
    """A probe that the tool itself refuses to make of a proxy."""

    def probe(dog):
        with pytest.raises((TypeError, ValueError, AttributeError, OSError)):
            function(dog)

    return probe


def called_with(dog):
    mock = unittest.mock.Mock()
    mock(dog)
    mock.assert_called_once_with(dog)
    assert dog in mock.call_args.args


QUIET = {
    "copy": copy.copy,
    "deepcopy within others": lambda dog: copy.deepcopy({"dog": [dog, dog.age]}),
    **{
        f"inspect.{name}": (lambda dog, name=name: getattr(inspect, name)(dog))
        for name in dir(inspect)
        if name.startswith("is") and name != "iskeyword"
    },
    "inspect.signature": inspect.signature,
    "inspect.signature of a path": lambda dog: inspect.signature(dog.friends[0].bark),
    "inspect.getcallargs": lambda dog: inspect.signature(dog.bark).bind(loud=True),
    "inspect.getdoc": inspect.getdoc,
    "inspect.getmodule": inspect.getmodule,
    "inspect.unwrap": inspect.unwrap,
    "inspect.getsource": refused(inspect.getsource),
    "inspect.getfile": refused(inspect.getfile),
    "inspect.getattr_static": lambda dog: inspect.getattr_static(dog, "bark", None),
    "inspect.get_annotations": inspect.get_annotations,
    "mock called with it": called_with,
    "mock wrapping it": lambda dog: unittest.mock.Mock(wraps=dog),
    "mock.ANY": lambda dog: unittest.mock.ANY == dog,
    "mock of the class with it": lambda dog: unittest.mock.create_autospec(Dog)(dog),
    "pprint": lambda dog: pprint.pformat({"dogs": [dog, dog.age]}, width=20),
    "pprint.saferepr": pprint.saferepr,
    "pprint.isreadable": pprint.isreadable,
    "reprlib": lambda dog: reprlib.repr([dog]),
    "rich": lambda dog: rich.pretty.pretty_repr({"dogs": [dog, dog.age]}),
    "rich, printed": printed_by_rich,
    "dataclass with it": lambda dog: (repr(Box(dog)), Box(dog) == Box(dog), dataclasses.asdict(Box([dog]))),
    "dataclass replaced": lambda dog: dataclasses.replace(Box(), thing=dog),
    "dataclass with it as a default": lambda dog: dataclasses.make_dataclass("Made", [("it", object, dog)]),
    "dataclasses.is_dataclass": dataclasses.is_dataclass,
    "dataclasses.fields": refused(dataclasses.fields),
    "dataclasses.asdict": refused(dataclasses.asdict),
    "dataclasses.replace": refused(dataclasses.replace),
    "typing protocol": lambda dog: isinstance(dog, Barking),
    "typing abstract types": lambda dog: isinstance(dog, (typing.Sized, typing.Hashable, typing.SupportsInt)),
    "typing.get_type_hints": lambda dog: (typing.get_type_hints(type(dog)), typing.get_type_hints(Box(dog).__class__)),
    "typing.get_origin": lambda dog: (typing.get_origin(dog), typing.get_args(dog), typing.is_typeddict(dog)),
    "functools.partial": lambda dog: repr(functools.partial(dog.bark, loud=True)),
    "functools.wraps": lambda dog: functools.wraps(dog)(lambda: None),
    "functools.wraps of a path": lambda dog: functools.wraps(dog.bark)(lambda: None),
    "functools.singledispatch": lambda dog: functools.singledispatch(lambda thing: None)(dog),
    "functools.lru_cache around it": lambda dog: functools.lru_cache(dog.bark),
    "functools.partialmethod": lambda dog: functools.partialmethod(dog.bark),
    "functools.cmp_to_key": lambda dog: functools.cmp_to_key(dog.bark),
    "pdb: p": in_a_debugger("p local", "p dog"),
    "pdb: pp": in_a_debugger("pp dog", "pp [dog, dog.age]"),
    "pdb: whatis": in_a_debugger("whatis dog", "whatis dog.bark"),
    "pdb: args": in_a_debugger("step", "args", "p dog"),
    "pdb: display": in_a_debugger("display dog", "next", "next"),
    "pdb: retval": in_a_debugger("return", "retval"),
    "traceback with locals": traceback_with_locals,
    "pydoc": pydoc.render_doc,
    "pydoc of a path": lambda dog: pydoc.render_doc(dog.bark),
    "rlcompleter of global names": lambda dog: rlcompleter.Completer({"dog": dog}).global_matches("do"),
    "json": refused(json.dumps),
    "asyncio": lambda dog: (asyncio.iscoroutine(dog), asyncio.isfuture(dog), asyncio.iscoroutinefunction(dog)),
    "numpy": refused(np.asarray),
    "numpy scalar": np.isscalar,
    "callable": callable,
    "hasattr": lambda dog: (hasattr(dog, "_x"), hasattr(dog, "__len__"), hasattr(dog, "bark")),
    "unittest": lambda dog: unittest.TestCase().assertIs(dog, dog),  # noqa: PT009 - what is tested
}
"""What a tool does with a proxy called `dog`, and makes no call for."""

ASKING = {
    "dir": (dir, 1),
    "inspect.getmembers": (inspect.getmembers, 1),
    "inspect.getmembers_static": (inspect.getmembers_static, 1),
    "rlcompleter of attributes": (lambda dog: rlcompleter.Completer({"dog": dog}).attr_matches("dog.ba"), 1),
    "mock with its names": (lambda dog: unittest.mock.Mock(spec=dog), 2 if sys.version_info < (3, 12) else 1),
    "unittest": (lambda dog: unittest.TestCase().assertEqual(dog.age, 3), 1),  # noqa: PT009 - what is tested
    "str": (str, 1),
    "logging": (lambda dog: f"{dog}", 1),
    "hash, again and again": (lambda dog: [hash(dog), hash(dog), {dog: 1}[dog]], 1),
    "functools.lru_cache with it as an argument": (functools.lru_cache(lambda dog: None), 1),
}
"""What a tool asks the object for, and in how many calls."""


@pytest.fixture(scope="module")
def watched_host():
    with elsewhere.Host() as host:
        yield host


@pytest.fixture
def dog(watched_host):
    return watched_host.spawn(Dog, "rex", age=3)


@pytest.mark.parametrize("tool", QUIET)
def test_tool_looks_at_a_proxy_while_its_host_answers_nobody(watched_host, dog, tool):
    with kept_busy(watched_host):
        asked = watched_host._calls_made()

        QUIET[tool](dog)

        assert watched_host._calls_made() == asked


@pytest.mark.parametrize("tool", ASKING)
def test_tool_makes_the_calls_that_it_asks_for(watched_host, dog, tool):
    probe, calls = ASKING[tool]
    asked = watched_host._calls_made()

    probe(dog)

    assert watched_host._calls_made() - asked == calls


def test_assertion_makes_one_call(watched_host, dog):
    asked = watched_host._calls_made()

    assert dog.age == 3

    assert watched_host._calls_made() - asked == 1


def test_assertion_that_fails_shows_proxies_without_fetching_them(watched_host, dog):
    asked = watched_host._calls_made()

    with pytest.raises(AssertionError) as caught:
        assert dog.friends == [1]

    assert "assert <path Dog." in str(caught.value)
    assert watched_host._calls_made() - asked == 2  # the comparison, and pytest's own `iter` of what is on the left


def test_signature_is_that_of_the_method_where_the_class_is_known(dog):
    assert inspect.signature(dog.bark) == inspect.signature(Dog("tom").bark)
    assert inspect.signature(elsewhere.lazy(dog).befriend) == inspect.signature(Dog("tom").befriend)


@pytest.mark.parametrize(
    "place", [lambda it: it, lambda it: it.age, lambda it: it.friends[0].bark, lambda it: it.nothing]
)
def test_signature_of_what_is_not_known_takes_anything(dog, place):
    assert str(inspect.signature(place(dog))) == "(*args, **kwargs)"


def test_signature_of_methods_that_are_no_functions(watched_host):
    text, number = watched_host.send("rex"), watched_host.send(7)

    assert inspect.signature(text.split) == inspect.signature("rex".split)
    assert inspect.signature(number.from_bytes) == inspect.signature(int.from_bytes)


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    """What IPython did with a proxy, and in how many calls."""
    folder = tmp_path_factory.mktemp("ipython")
    program = f"""
        import os
        os.environ["IPYTHONDIR"] = {str(folder)!r}
        import ipython_session
        ipython_session.main()
    """
    code, printed, complaints = run(program, cwd=folder)
    assert code == 0, complaints
    return json.loads(printed)


@pytest.mark.parametrize("engine", ["jedi", "plain"])
@pytest.mark.parametrize("question", QUESTIONS)
def test_ipython_makes_the_calls_that_it_asks_for_and_shows_what_it_finds(session, question, engine):
    calls, shown = session[f"{engine}: {question}"]

    expected = QUESTIONS[question]

    assert calls == expected.calls
    assert expected.shown in shown
