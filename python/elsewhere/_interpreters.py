"""Hosts in other interpreters: what is started there, and what it is sent before it is a host.

Owns: the checks of a path to an interpreter, its first lines of code, the text of `_bare.py` on its way. Must not know:
the wire, what the host does. Imported when the first host with `python=` is started.
"""

from __future__ import annotations

import os
import shutil
import sys

from . import _core, _errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

OLDEST = (3, 6)
"""The oldest CPython that a host can run on."""

_MAGIC: bytes = sys.modules["_frozen_importlib_external"].MAGIC_NUMBER
"""What says for which versions of Python bytecode is."""

_BOOTSTRAP = f"""\
import sys
if sys.path and not sys.path[0]:
    del sys.path[0]
import os
if sys.version_info < {OLDEST}:
    sys.exit('Python %d.%d is too old for a host, which needs {OLDEST[0]}.{OLDEST[1]} or newer' % sys.version_info[:2])
def take(count):
    data = b''
    while len(data) < count:
        more = os.read(0, count - len(data))
        if not more:
            sys.exit('the owner was gone before this host was ready')
        data += more
    return data
size = take(8)
if not size.isdigit():
    sys.exit('something read from stdin before this host did: a script around the interpreter, or its start-up files')
told = eval(take(int(size)).decode('utf-8'))
source = take(int(take(8))).decode('utf-8')
code = take(int(take(8)))
try:
    import _frozen_importlib_external, marshal, zlib
    if (_frozen_importlib_external.MAGIC_NUMBER, sys.implementation.cache_tag) != told['compiled_for']:
        raise ImportError
    code = marshal.loads(zlib.decompress(code))
except ImportError:
    code = compile(source, told['file'], 'exec')
exec(code,
     {{'__name__': 'elsewhere._bare', '__file__': told['file'], 'TOLD': told, 'SOURCE': source}})
"""
"""What the interpreter runs, which everybody on the machine can read: it takes the rest from the socket.

It works on interpreters that are too old, so that these can say so."""

_texts: tuple[bytes, bytes] | None = None

is_bare = False
"""Whether hosts in other interpreters do without the package there; for tests."""


def start(core: _core.HostCore, python: str, *, concurrency: str | int, **options: Any) -> None:
    """Start a host in the interpreter `python` and make `core` its Host.

    The options are those of `_core.start_host`.
    """
    name = options["name"]
    label = "the host" if name is None else f"host '{name}'"
    program = _program(python, label)
    told = {
        "version": _core.__version__,
        "concurrency": concurrency,
        "file": _file(),
        "is_bare": is_bare,
        "compiled_for": (_MAGIC, sys.implementation.cache_tag),
    }
    source, code = _source_and_code()
    preface = _framed(repr(told).encode()) + _framed(source) + _framed(code)
    arguments = ["-c", _BOOTSTRAP]
    try:
        _core.start_host(core, program=program, arguments=arguments, preface=preface, **options)
    except _errors.HostStartError as error:
        if error.__cause__ is None:  # it never answered; what it answered is the cause
            hint = f"\n{python} must be a CPython {OLDEST[0]}.{OLDEST[1]} or newer or a PyPy, which needs no packages"
            error.args = (f"{error.args[0]}{hint}",)
        raise


def cloudpickle() -> str | None:
    """The directory of cloudpickle here, for interpreters of the same version that have none."""
    for entry in sys.path:
        directory = os.path.join(entry or os.curdir, "cloudpickle")
        if os.path.isfile(os.path.join(directory, "__init__.py")):
            return os.path.abspath(directory)
    return None


def _program(python: str, label: str) -> str:
    """The interpreter as something that can be executed, or a clear refusal."""
    if "/" not in python:
        found = shutil.which(python)
        if found is None:
            raise _errors._host_start_error(
                f"there is no program {python!r} in PATH; give the path of an interpreter", label, ""
            )
        return found
    program = os.path.abspath(python)
    if os.path.isdir(program):
        inside = os.path.join(program, "bin", "python")
        hint = f"; its interpreter is {inside}" if os.path.exists(inside) else ""
        raise _errors._host_start_error(f"{python} is a directory and no interpreter{hint}", label, "")
    if not os.path.exists(program):
        raise _errors._host_start_error(
            f"there is no {python}; python= takes the path of an interpreter, such as that of a virtual environment",
            label,
            "",
        )
    if not os.access(program, os.X_OK):
        raise _errors._host_start_error(f"{python} is not executable (chmod +x it, or give another one)", label, "")
    return program


def _file() -> str:
    return os.path.join(os.path.dirname(__file__), "_bare.py")


def _source_and_code() -> tuple[bytes, bytes]:
    """The text of `_bare.py`, and what it is compiled to here: that takes longer than all else at a host's start."""
    global _texts
    if _texts is None:
        import marshal
        import zlib

        with open(_file(), "rb") as file:
            source = file.read()
        code = compile(source, _file(), "exec", dont_inherit=True)
        _texts = source, zlib.compress(marshal.dumps(code))
    return _texts


def _framed(data: bytes) -> bytes:
    return b"%08d" % len(data) + data
