"""Exceptions that cross over: described where they were raised, rebuilt where the caller waits.

Owns: the error record's Python side, the stand-in classes, the remote traceback's text. Must not know: connections.
Describing never fails and never takes longer than a second, whatever the exception does: one whose class brings its own
`__str__`, `__repr__` or pickling is described on a thread that is left behind when it does not come back.
"""

from __future__ import annotations

import builtins
import types

from . import _core, _errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    Record = tuple[str, str, list[str], str, str, object, list[str]]

TEXT_LIMIT = 64 * 1024
"""Characters of a message or a traceback that travel; the rest is cut and the cut is said."""

TRACEBACK_HEAD = "Traceback (most recent call last):\n"
"""What a traceback begins with, where there are frames to show."""

FRAME_LIMIT = 200
"""Frames of a traceback that travel: the outermost and the innermost half of it."""

OWN_FILES = ("/elsewhere/_host_main.py", "/elsewhere/_namespaces.py")
"""Files whose frames stand between a call and what it runs; no traceback shows them."""

CHAIN_LIMIT = 20
"""Exceptions of a `__cause__`/`__context__` chain, and members of groups, that are described."""

PATIENCE = 0.4
"""Seconds that an exception's own code may take to describe itself."""


def describe(error: BaseException) -> Record:
    """Describe `error` as (module, qualname, builtin bases, message, traceback, pickle, notes). Never raises.

    The pickle is its bytes, what the caller may safely pickle for it, or None where nobody can pickle it.
    """
    if _is_plain(error):
        return _describe(error, _portable(error) if isinstance(error, Exception) else None)
    box: list[Record] = []
    import threading

    worker = threading.Thread(
        target=lambda: box.append(_describe(error, _pickled(error))), daemon=True, name="elsewhere-describe"
    )
    worker.start()
    worker.join(PATIENCE)
    if box:
        return box[0]
    text = "<the exception did not describe itself in time>"
    return (*_class_names(error), text, _traceback_text(error, lambda _: text), None, [])


def _is_plain(error: BaseException) -> bool:
    """Whether all the exceptions in the chain use only builtin code to print and to pickle."""
    return all(_uses_builtin_code(one) for one in _chain(error))


_PLAIN = (str, int, float, bytes, bool, type(None), _core.Ref, _core.Proxy)
"""Types of arguments that print and pickle without code of others; references need the connection to pickle."""


def _uses_builtin_code(error: BaseException) -> bool:
    for cls in type(error).__mro__:
        if cls.__module__ in ("builtins", "elsewhere"):
            continue
        for name in (
            "__str__",
            "__repr__",
            "__reduce__",
            "__reduce_ex__",
            "__getstate__",
            "__getattribute__",
            "__getattr__",
        ):
            if name in cls.__dict__:
                return False
    return all(type(argument) in _PLAIN for argument in error.args)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield `error`, its causes, contexts and group members, each once, at most CHAIN_LIMIT of them."""
    waiting, seen = [error], set[int]()
    while waiting and len(seen) < CHAIN_LIMIT:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting.extend(link for link in (one.__cause__, one.__context__) if link is not None)
        if isinstance(one, BaseExceptionGroup):
            waiting.extend(one.exceptions)


def _describe(error: BaseException, pickled: object) -> Record:
    message = _text_of(error)
    traceback = _traceback_text(error, _text_of)
    return (*_class_names(error), message, traceback, pickled, _notes(error))


def _class_names(error: BaseException) -> tuple[str, str, list[str]]:
    cls = type(error)
    bases = [base.__name__ for base in cls.__mro__ if base.__module__ == "builtins" and issubclass(base, BaseException)]
    return str(cls.__module__), str(cls.__qualname__), bases


def _text_of(error: BaseException) -> str:
    try:
        if any(isinstance(argument, _core.Proxy) for argument in error.args) and _uses_builtin_code(error):
            return _cut(", ".join(map(repr, error.args)))  # `str` of a proxy would be a call
        return _cut(str(error))
    except BaseException as failure:  # noqa: BLE001 - a text must come out whatever __str__ raises
        return f"<str() of the exception raised {type(failure).__name__}>"


def _cut(text: str) -> str:
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    if len(text) <= TEXT_LIMIT:
        return text
    return f"{text[:TEXT_LIMIT]} … cut, {len(text) - TEXT_LIMIT} more characters"


def _notes(error: BaseException) -> list[str]:
    notes = getattr(error, "__notes__", None)
    if not isinstance(notes, (list, tuple)):
        return []
    return [_cut(note) for note in notes[:CHAIN_LIMIT] if isinstance(note, str)]


def _portable(error: Exception) -> Exception | _Stored:
    """What is pickled for `error`: `_Stored` where only the constructor of its class is special.

    Pickle would call that constructor with `error.args`, which are what it gave to `super().__init__`, not what it was
    called with: a text is formatted twice, or the exception cannot be rebuilt at all.
    """
    cls = type(error)
    builtin = next(base for base in cls.__mro__ if base.__module__ == "builtins")
    if (
        isinstance(cls.__init__, types.FunctionType)
        and cls.__new__ is builtin.__new__
        and cls.__reduce__ is BaseException.__reduce__
        and cls.__reduce_ex__ is object.__reduce_ex__
        and cls.__setstate__ is BaseException.__setstate__
        and builtin.__basicsize__ == BaseException.__basicsize__  # all that it holds is in `args` and `__dict__`
        and not any(base.__dict__.get("__slots__") for base in cls.__mro__)
    ):
        return _Stored(error)
    return error


class _Stored:
    """Unpickles as the exception with its arguments and attributes, without its constructor being run again."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self.error), self.error.args, self.error.__dict__)


def _restore(cls: type[Exception], args: tuple[Any, ...], attributes: dict[str, Any]) -> Exception:
    error = cls.__new__(cls, *args)
    error.__dict__.update(attributes)
    return error


def _pickled(error: BaseException) -> bytes | None:
    """The exception without its traceback, pickled; None where that cannot be done or gives too much."""
    import pickle

    if not isinstance(error, Exception):
        return None
    portable = _portable(error)
    try:
        data = pickle.dumps(portable, 5)
        if b"__main__" in data:
            from . import _pickle

            data = _pickle.dumps_by_value(portable)
    except BaseException:  # noqa: BLE001 - __reduce__ may raise anything, SystemExit too
        try:
            from . import _pickle

            data = _pickle.dumps_by_value(portable)
        except BaseException:  # noqa: BLE001 - as above
            return None
    return data if len(data) <= 16 * TEXT_LIMIT else None


def _traceback_text(error: BaseException, text_of: Callable[[BaseException], str]) -> str:
    try:
        return _cut("".join(_traceback_lines(error, text_of, set())))
    except BaseException as failure:  # noqa: BLE001 - a text must come out
        return f"<the traceback could not be formatted: {type(failure).__name__}>"


_CAUSE = "\nThe above exception was the direct cause of the following exception:\n\n"
_CONTEXT = "\nDuring handling of the above exception, another exception occurred:\n\n"


def _traceback_lines(error: BaseException, text_of: Callable[[BaseException], str], seen: set[int]) -> Iterator[str]:
    """Format like the interpreter does, but with our own bounded texts, and cycles cut."""
    seen.add(id(error))
    link, sentence = error.__cause__, _CAUSE
    if link is None and not error.__suppress_context__:
        link, sentence = error.__context__, _CONTEXT
    if link is not None and id(link) not in seen and len(seen) < CHAIN_LIMIT:
        yield from _traceback_lines(link, text_of, seen)
        yield sentence
    frames = list(_frames(error.__traceback__))
    if frames:
        yield TRACEBACK_HEAD
        yield from frames
    module, qualname, _ = _class_names(error)
    name = qualname if module in ("builtins", "__main__") else f"{module}.{qualname}"
    text = text_of(error)
    yield f"{name}: {text}\n" if text else f"{name}\n"
    for note in _notes(error):
        yield f"{note}\n"
    if isinstance(error, BaseExceptionGroup):
        for number, member in enumerate(error.exceptions[:CHAIN_LIMIT], 1):
            if id(member) not in seen and len(seen) < CHAIN_LIMIT:
                yield f"  member {number}:\n"
                for line in "".join(_traceback_lines(member, text_of, seen)).splitlines(keepends=True):
                    yield f"    {line}"


def _frames(start: types.TracebackType | None) -> Iterator[str]:
    import traceback

    frames = list(traceback.walk_tb(start))
    frames = [pair for pair in frames if not _is_hidden(pair[0].f_code.co_filename)]
    if len(frames) > FRAME_LIMIT:
        half = FRAME_LIMIT // 2
        head, tail = frames[:half], frames[-half:]
        yield from traceback.StackSummary.extract(iter(head), limit=half).format()
        yield f"  … {len(frames) - FRAME_LIMIT} frames cut …\n"
        frames = tail
    yield from traceback.StackSummary.extract(iter(frames), limit=FRAME_LIMIT).format()


def _is_hidden(filename: str) -> bool:
    """Whether a frame says nothing about the call: ours, and the import system's, which Python hides too."""
    return filename.endswith(OWN_FILES) or filename.startswith("<frozen importlib")


def rebuild(
    described: tuple[str, str, list[str], str, str], original: object, notes: list[str], host: str, method: str
) -> BaseException:
    """Make the exception that the caller sees: the original where it could be rebuilt, else a stand-in.

    The remote traceback is added as a note in both cases.
    """
    module, qualname, bases, message, traceback = described
    error: Any
    if _is_original(original, module, qualname):
        error = original
        error.__traceback__ = None
        if isinstance(error, _errors.ElsewhereError):
            error.remote = True
    else:
        error = stand_in_class(module, qualname, tuple(bases))(message, outcome="finished", host=host, method=method)
        error.type_name, error.message, error.traceback = f"{module}.{qualname}", message, traceback
    _repair_notes(error)
    for note in notes:
        if note not in getattr(error, "__notes__", ()):
            error.add_note(note)
    shown = f":\n{traceback.rstrip()}" if TRACEBACK_HEAD in traceback else ""  # without frames it says nothing new
    error.add_note(f"\nraised in {host} by {method}{shown}")
    return error  # type: ignore[no-any-return]


def _repair_notes(error: BaseException) -> None:
    """Make a list of `__notes__` that are none: `add_note` takes no others."""
    notes = getattr(error, "__notes__", None)
    if notes is not None and not isinstance(notes, list):
        error.__notes__ = [str(notes)] if isinstance(notes, str) else []


def _is_original(original: object, module: str, qualname: str) -> bool:
    """Whether what was unpickled is the exception that was described, and may be raised here as it is."""
    if not isinstance(original, Exception) or isinstance(original, (StopIteration, StopAsyncIteration)):
        return False
    return type(original).__qualname__ == qualname and type(original).__module__ in (module, "elsewhere")


_stand_ins: dict[tuple[str, str], type[_errors.RemoteError]] = {}


def stand_in_class(module: str, qualname: str, bases: tuple[str, ...]) -> type[_errors.RemoteError]:
    """The class that stands for `module.qualname`: a RemoteError that also inherits the nearest builtin Exception.

    One class for each (module, qualname). A BaseException that is no Exception is named RemoteSystemExit and so on.
    """
    key = (module, qualname)
    known = _stand_ins.get(key)
    if known is not None:
        return known
    name = qualname.rpartition(".")[2]
    if "Exception" not in bases or name in ("StopIteration", "StopAsyncIteration"):
        name = f"Remote{name}"
    namespace = {
        "__module__": module,
        "__qualname__": name if name.startswith("Remote") else qualname,
        "__doc__": f"Stands for {module}.{qualname}, which was raised elsewhere and could not be rebuilt here.",
        "__reduce__": _reduce_stand_in,
        "_origin": (module, qualname, bases),
    }
    cls = _make_class(name, _nearest_base(bases), namespace)
    return _stand_ins.setdefault(key, cls)


def _nearest_base(bases: tuple[str, ...]) -> type[Exception]:
    for base_name in bases:
        base = getattr(builtins, base_name, None)
        if not isinstance(base, type) or not issubclass(base, Exception):
            continue
        if not issubclass(base, (BaseExceptionGroup, StopIteration, StopAsyncIteration)):
            return base
    return Exception


def _make_class(name: str, base: type[Exception], namespace: dict[str, Any]) -> type[_errors.RemoteError]:
    try:
        if base is Exception:
            return type(name, (_errors.RemoteError,), namespace)
        cls = type(name, (_errors.RemoteError, base), namespace)
        cls("probe")
        return cls
    except TypeError:  # a base with a constructor of its own, as UnicodeDecodeError has
        return type(name, (_errors.RemoteError,), namespace)


def _reduce_stand_in(self: Any) -> tuple[Any, ...]:
    return _rebuild_stand_in, (*type(self)._origin, self.args, dict(self.__dict__))


def _rebuild_stand_in(
    module: str, qualname: str, bases: tuple[str, ...], args: tuple[Any, ...], state: dict[str, Any]
) -> _errors.RemoteError:
    error = stand_in_class(module, qualname, bases)(*args)
    error.__dict__.update(state)
    return error
