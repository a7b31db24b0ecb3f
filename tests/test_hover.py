"""Where the pointer rests on a public name in an editor, its docstring is shown: the one that it has at run time."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING

import pytest

import elsewhere
from language_server import LanguageServer

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]

PROGRAM = '''
from collections.abc import Iterator
import elsewhere

class Dog:
    age: int

    def bark(self) -> str:
        """Bark once."""
        return "woof"

    async def fetch(self) -> str:
        return ""

    def sniff(self) -> Iterator[str]:
        yield ""

host = elsewhere.Host()
dog = host.spawn(Dog)
future = elsewhere.submit(dog.bark)
items = elsewhere.stream(dog.sniff)
'''
"""What stands before the lines that are hovered over."""

NAMES = [f"elsewhere.{name}" for name in elsewhere.__all__ if not name.startswith("__")]
CALLS = {
    "elsewhere.spawn(Dog)": elsewhere.spawn,
    "elsewhere.get(dog.age)": elsewhere.get,
    "elsewhere.get(dog.age, default=None)": elsewhere.get,
    "elsewhere.get(dog.age, default=0)": elsewhere.get,
    "elsewhere.submit(dog.bark)": elsewhere.submit,
    "elsewhere.submit(dog.fetch)": elsewhere.submit,
    "elsewhere.using(dog)": elsewhere.using,
    "elsewhere.deadline(2.0)": elsewhere.deadline,
    "host.spawn(Dog)": elsewhere.Host.spawn,
    "host.run(len, dog)": elsewhere.Host.run,
}
"""Calls for which a checker chooses among overloads or makes an instance, and what is called."""

OBJECTS = {"host": elsewhere.Host, "future": elsewhere.Future, "items": elsewhere._core.ReadAhead}
MEMBERS = {
    f"{variable}.{name}": getattr(cls, name)
    for variable, cls in OBJECTS.items()
    for name in dir(cls)
    if not name.startswith("_")
}
LINES = [*NAMES, *CALLS, *MEMBERS, "dog.bark"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LanguageServer]:
    """A language server that looks at the program."""
    with LanguageServer(tmp_path_factory.mktemp("hovered")) as server:
        server.open("program.py", PROGRAM + "\n".join(LINES) + "\n")
        yield server


def shown(server: LanguageServer, expression: str) -> list[str]:
    """The lines that are shown over the last name of an expression, or over the name that it calls."""
    line = PROGRAM.count("\n") + LINES.index(expression)
    return server.hover("program.py", line, expression.partition("(")[0].rindex(".") + 1).splitlines()


def first_line(documented: object) -> str:
    text = inspect.getdoc(documented)
    assert text
    return text.splitlines()[0]


@pytest.mark.parametrize("expression", NAMES)
def test_hovering_a_public_name_shows_its_docstring(server: LanguageServer, expression: str) -> None:
    documented = getattr(elsewhere, expression.partition(".")[2])

    assert first_line(documented) in shown(server, expression)


@pytest.mark.parametrize("expression", CALLS)
def test_hovering_a_call_shows_the_docstring_of_whatever_overload(server: LanguageServer, expression: str) -> None:
    assert first_line(CALLS[expression]) in shown(server, expression)


@pytest.mark.parametrize("expression", MEMBERS)
def test_hovering_a_member_shows_its_docstring(server: LanguageServer, expression: str) -> None:
    assert first_line(MEMBERS[expression]) in shown(server, expression)


def test_hovering_a_method_of_a_proxy_shows_the_docstring_of_the_object(server: LanguageServer) -> None:
    assert "Bark once." in shown(server, "dog.bark")


def test_hovering_a_call_shows_the_type_of_its_result(server: LanguageServer) -> None:
    assert any(re.search(r"Future\[", line) for line in shown(server, "elsewhere.submit(dog.bark)"))
