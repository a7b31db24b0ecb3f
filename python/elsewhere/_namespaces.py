"""Modules and scripts as objects of a host: how they are found, run and shown in tracebacks.

Owns: the names of scripts, where a module is loaded from, which of them only exist here. Must not know: who asks.
Imported in a host when it is first asked for a module or a script.
"""

from __future__ import annotations

import os
import sys
import types

from . import _core

_count = 0
"""How many pieces of source were run. Each is a file of its own in tracebacks."""

_only_here: dict[str, bool] = {}
"""Whether nobody else can import a module, by its name, as far as it was asked."""

_directories: set[str] = set()
"""Where modules were loaded from that nobody else looks into."""


def is_only_here(name: str) -> bool:
    """Whether the module `name` is a script, or was loaded from where only this process looks."""
    known = _only_here.get(name)
    if known is None:
        found = sys.modules.get(name)
        places = _places(found) if found is not None else []
        known = any(_is_below(place, directory) for place in places for directory in _directories)
        _only_here[name] = known
    return known


def own(directory: str) -> None:
    """Remember a directory that only this process imports from."""
    _directories.add(directory)
    for name in [name for name, is_only in _only_here.items() if not is_only]:
        del _only_here[name]
    _core._check_results()


def _mark(name: str) -> None:
    _only_here[name] = True
    _core._check_results()


def module(name: str, path: str | None) -> types.ModuleType:
    """Import the module `name`; with `path`, from this directory or file and from nowhere else."""
    if path is None:
        return _imported(name)
    if os.path.isdir(path):
        return _from_directory(name, path)
    if os.path.isfile(path):
        return _from_file(name, path)
    text = f"there is neither a directory nor a file {path!r} to load the module {name} from"
    raise FileNotFoundError(text)


def _imported(name: str) -> types.ModuleType:
    __import__(name)  # the plain import keeps frames of the import system out of tracebacks
    return sys.modules[name]


def _from_directory(name: str, directory: str) -> types.ModuleType:
    """Import `name` from `directory`, which goes to the front of the import path: its modules may import each other."""
    is_new = directory not in sys.path
    if is_new:
        sys.path.insert(0, directory)
        sys.path_importer_cache.pop(directory, None)  # what was found there before may be older than the files
    found = _imported(name)
    if not any(_is_below(place, directory) for place in _places(found)):
        _refuse(name, found, directory)
    if is_new:
        own(directory)
    return found


def _from_file(name: str, file: str) -> types.ModuleType:
    known = sys.modules.get(name)
    if known is not None:
        if not any(os.path.samefile(place, file) for place in _places(known) if os.path.exists(place)):
            _refuse(name, known, file)
        return known
    import importlib.util

    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        text = f"{file!r} is no Python file, so no module {name} can be loaded from it"
        raise ImportError(text, name=name, path=file)
    made = importlib.util.module_from_spec(spec)
    sys.modules[name] = made
    try:
        spec.loader.exec_module(made)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    _mark(name)
    return sys.modules.get(name, made)


def _places(found: types.ModuleType) -> list[str]:
    """Where a module is: its file, or the directories of a namespace package."""
    file = getattr(found, "__file__", None)
    return [file] if isinstance(file, str) else [str(place) for place in getattr(found, "__path__", ())]


def _is_below(place: str, directory: str) -> bool:
    return os.path.realpath(place).startswith(os.path.join(os.path.realpath(directory), ""))


def _refuse(name: str, found: types.ModuleType, wanted: str) -> None:
    place = ", ".join(_places(found)) or "the interpreter itself"
    text = f"a module {name} is loaded already, from {place}, and not from {wanted}; rename one, or use another host"
    raise ImportError(text, name=name, path=wanted)


def script(source: str, into: object) -> types.ModuleType:
    """Run `source` in a new module, or in the module `into`; give the module."""
    global _count
    if into is not None and not isinstance(into, types.ModuleType):
        text = (
            f"into= takes what script() or module() of this host gave, not an object of type {type(into).__qualname__}"
        )
        raise TypeError(text)
    _count += 1
    name = f"<script {_count}>"
    _remember_lines(name, source)
    code = compile(source, name, "exec", dont_inherit=True)
    namespace = into if into is not None else _new_namespace(name)
    try:
        exec(code, namespace.__dict__)  # noqa: S102 - to run source is what a script is for
    except BaseException:
        if into is None:
            sys.modules.pop(name, None)
        raise
    return namespace


def _new_namespace(name: str) -> types.ModuleType:
    """Make a module that pickle, dataclasses and the like find by its name, as they expect of a class's module."""
    namespace = types.ModuleType(name)
    sys.modules[name] = namespace
    _mark(name)
    return namespace


def _remember_lines(name: str, source: str) -> None:
    """Let tracebacks show the lines of `source`."""
    import linecache

    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
