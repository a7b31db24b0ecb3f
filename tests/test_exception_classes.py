"""Exceptions of all kinds of classes come as themselves: with their class, text, arguments and attributes."""

from __future__ import annotations

import array
import asyncio
import configparser
import ctypes
import decimal
import email.errors
import http.client
import importlib
import importlib.metadata
import json
import operator
import os
import re
import socket
import sqlite3
import ssl
import struct
import subprocess
import tomllib
import urllib.error
import zipfile
import zlib

import numpy as np
import pytest

import elsewhere
from programs import run


class KeywordOnly(Exception):
    def __init__(self, *, code: int, reason: str = "none") -> None:
        super().__init__(f"{reason} ({code})")
        self.code = code
        self.reason = reason


class ManyArguments(ValueError):
    def __init__(self, path: str, line: int, *words: str, strict: bool) -> None:
        super().__init__(f"{path}:{line}: {' '.join(words)}")
        self.path, self.line, self.words, self.strict = path, line, words, strict


class CallsNobody(Exception):
    """Its constructor does not call that of its base."""

    def __init__(self, code: int) -> None:
        self.code = code


class OwnOSError(OSError):
    """A builtin with fields of its own, and another constructor."""

    def __init__(self, device: str, number: int) -> None:
        super().__init__(number, os.strerror(number), f"/dev/{device}")
        self.device = device


class OwnUnicodeError(UnicodeDecodeError):
    def __init__(self, text: bytes) -> None:
        super().__init__("utf-8", text, 0, 1, "not a character")


class OwnImportError(ImportError):
    def __init__(self, module: str) -> None:
        super().__init__(f"no {module}", name=module, path="/nowhere")


class OwnPickle(RuntimeError):
    """Chooses its own pickle."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__(f"{a}-{b}")
        self.pair = (a, b)

    def __reduce__(self):
        return OwnPickle, self.pair


class WithProperty(Exception):
    def __init__(self, number: int) -> None:
        super().__init__(number)
        self._number = number

    @property
    def double(self) -> int:
        return 2 * self._number


class PicksItsClass(Exception):
    """Its `__new__` needs more than its arguments."""

    def __new__(cls, kind: str = "plain", **_: object):
        return super().__new__(cls, kind)

    def __init__(self, kind: str = "plain", *, weight: int = 0) -> None:
        super().__init__(kind)
        self.weight = weight


def from_call(call, *args) -> Exception:
    try:
        call(*args)
    except Exception as error:
        return error
    pytest.fail("nothing was raised")


def incomplete_read() -> Exception:
    return asyncio.IncompleteReadError(b"part", 10)


MADE = {
    "keyword only": lambda: KeywordOnly(code=4),
    "many arguments": lambda: ManyArguments("a.py", 3, "bad", "word", strict=True),
    "calls nobody": lambda: CallsNobody(7),
    "own OSError": lambda: OwnOSError("video0", 16),
    "own UnicodeError": lambda: OwnUnicodeError(b"\xff"),
    "own ImportError": lambda: OwnImportError("camera"),
    "own pickle": lambda: OwnPickle(2, 3),
    "property": lambda: WithProperty(4),
    "own __new__": lambda: PicksItsClass("heavy", weight=9),
    "KeyError of a tuple": lambda: KeyError(("a", 1)),
    "OSError with two names": lambda: FileNotFoundError(2, "No such file", "here", None, "there"),
    "OSError of the system": lambda: from_call(open, "/no/such/file"),
    "connection refused": lambda: from_call(socket.create_connection, ("127.0.0.1", 1)),
    "UnicodeEncodeError": lambda: from_call("ä".encode, "ascii"),
    "UnicodeDecodeError": lambda: from_call(b"\xff".decode),
    "SyntaxError": lambda: from_call(compile, "a b", "there.py", "exec"),
    "IndentationError": lambda: from_call(compile, "if a:\nb", "there.py", "exec"),
    "ImportError": lambda: from_call(importlib.import_module, "no_such_module"),
    "AttributeError": lambda: from_call(operator.attrgetter("x"), 1),
    "NameError": lambda: from_call(eval, "no_such_name"),
    "UnboundLocalError": lambda: UnboundLocalError("local"),
    "ZeroDivisionError": lambda: from_call(operator.truediv, 1, 0),
    "OverflowError": lambda: from_call(float, 10**400),
    "struct.error": lambda: from_call(struct.unpack, "i", b""),
    "zlib.error": lambda: from_call(zlib.decompress, b"x"),
    "re.error": lambda: from_call(re.compile, "("),
    "sqlite3": lambda: from_call(sqlite3.connect, "/no/such/dir/file"),
    "decimal": lambda: from_call(decimal.Decimal, "x"),
    "ctypes.ArgumentError": lambda: ctypes.ArgumentError("wrong"),
    "array": lambda: from_call(array.array, "?"),
    "ssl": lambda: ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number"),
    "json": lambda: from_call(json.loads, "{"),
    "tomllib": lambda: from_call(tomllib.loads, "a = "),
    "zipfile": lambda: zipfile.BadZipFile("no"),
    "subprocess": lambda: subprocess.CalledProcessError(3, ["ls", "-l"], b"out", b"err"),
    "subprocess timeout": lambda: subprocess.TimeoutExpired(["sleep"], 1.5),
    "configparser": lambda: configparser.NoOptionError("option", "section"),
    "urllib": lambda: urllib.error.URLError("no host"),
    "http": lambda: http.client.IncompleteRead(b"part", 5),
    "email": lambda: email.errors.MessageParseError("bad"),
    "importlib.metadata": lambda: importlib.metadata.PackageNotFoundError("nothing"),
    "asyncio": incomplete_read,
    "asyncio timeout": TimeoutError,
    "numpy AxisError": lambda: from_call(np.sum, np.zeros(3), 5),
    "numpy LinAlgError": lambda: from_call(np.linalg.inv, np.zeros((2, 2))),
    "numpy UFuncTypeError": lambda: from_call(np.add, np.array(["a"]), np.array([{}])),
}

FIELDS = (
    "errno strerror filename filename2 encoding object start end reason name path msg lineno offset text doc pos colno "
    "pattern returncode cmd output stderr timeout option section partial expected axis ndim sqlite_errorcode code "
    "words line strict pair double weight device"
).split()


def said(error: BaseException) -> dict[str, object]:
    fields = {name: getattr(error, name) for name in FIELDS if hasattr(error, name)}
    if type(error) in (AttributeError, NameError):
        fields.pop("name", None)  # CPython 3.11 does not pickle it
    return {"class": type(error), "text": str(error), "args": error.args, **fields}


def throw(name: str) -> None:
    make = MADE[name]
    raise make()


@pytest.fixture(scope="module")
def there():
    with elsewhere.Host() as host:
        yield host


@pytest.mark.parametrize("name", MADE)
def test_exception_comes_as_itself(there, name: str) -> None:
    expected = MADE[name]()

    error = from_call(there.run, throw, name)

    assert said(error) == said(expected)
    assert any("in throw" in note for note in error.__notes__)


def test_exception_classes_of_main_come_as_themselves() -> None:
    source = """
    import elsewhere

    class Base(Exception):
        def __init__(self, *, code):
            super().__init__(f"code {code}")
            self.code = code

    class Derived(Base): pass

    class Group(ExceptionGroup):
        def derive(self, errors): return Group(self.message, errors)

    class Device(OSError):
        def __init__(self, name): super().__init__(5, "broken", name)

    class Thing:
        def fail(self):
            try:
                raise Device("camera")
            except Device as error:
                raise Derived(code=3) from error
        def group(self):
            raise Group("both", [Derived(code=1), ValueError(2)])

    thing = elsewhere.spawn(Thing)
    try:
        thing.fail()
    except Derived as error:
        print(type(error) is Derived, error.code, error, type(error.__cause__) is Device, error.__cause__.filename)
    try:
        thing.group()
    except* Derived as group:
        print(type(group) is Group, group.exceptions[0].code)
    except* ValueError as group:
        print(type(group) is Group, group.exceptions[0].args)
    """

    expected = "True 3 code 3 True camera\nTrue 1\nTrue (2,)\n"
    assert run(source) == (0, expected, "")
