"""Exceptions that cross over, described where they were raised: what `_rebuilt` needs where the caller waits.

Owns: what a record says of an exception (texts, frames, pickles) and how exceptions hang together. Must not know:
connections.
Describing never fails and never takes longer than a second, whatever the exception does: one whose class brings its own
`__str__`, `__repr__` or pickling, or that holds objects which may, is described on a thread that is left behind when it
does not come back. What that thread has found out by then is told.
"""

from __future__ import annotations

import builtins
import functools
import sys
import types

from . import _core

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from traceback import FrameSummary, StackSummary
    from typing import Any

    Links = tuple[int | None, int | None, bool, list[int]]
    Entry = tuple[str, str, list[str], str, str, object, list[str], Links]

TEXT_LIMIT = 64 * 1024
"""Characters of a message or a traceback that travel; the rest is cut and the cut is said."""

RELATED_TEXT_LIMIT = 8 * 1024
"""The same for causes, contexts and members of groups."""

PICKLE_LIMIT = 1024 * 1024
"""Bytes of a pickled exception that travel; of a larger one only the texts do."""

FRAME_LIMIT = 200
"""Frames of a traceback that travel: the outermost and the innermost half of it."""

RELATED_LIMIT = 200
"""Causes, contexts and members of groups that are described."""

NOTE_LIMIT = 50
"""Notes of one exception that travel."""

PATIENCE = 0.4
"""Seconds that an exception's own code may take to describe itself."""

LATE = "<the exception did not describe itself in time>"

TRACEBACK_HEAD = "Traceback (most recent call last):\n"


def describe(error: BaseException) -> list[Entry]:
    """Describe `error`, and after it all that hang on it by cause, context and as members of groups. Never raises.

    Each entry is (module, qualname, builtin bases, message, traceback, payload, notes, links). The payload is a
    finished pickle, what may safely be pickled for the exception, or None where nobody can pickle it. The links are the
    numbers of cause and context among the entries, whether the context is not shown, and the numbers of a group's
    members.
    """
    try:
        return _described(error)
    except Exception as failure:  # noqa: BLE001 - an answer must go out
        message = f"<the exception could not be described: {type(failure).__name__}>"
        return [(*_class_names(error), message, "", None, [], (None, None, False, []))]


def _described(error: BaseException) -> list[Entry]:
    # What the caller of the method handles, where both share a thread, is none of the method's business.
    found, links = _related(error, sys.exception())
    drafts = [_Draft(one, link.is_cut) for one, link in zip(found, links, strict=True)]
    if all(_prints_plainly(one) and _pickles_plainly(one) for one in found):
        _work(drafts)
    else:
        import threading

        work = _core.KeptGuard(functools.partial(_work, drafts))
        worker = threading.Thread(target=work, daemon=True, name="elsewhere-describe")
        worker.start()
        worker.join(PATIENCE)
    return [draft.entry(link) for draft, link in zip(drafts, links, strict=True)]


def _work(drafts: list[_Draft]) -> None:
    """Texts first, so that a pickle that never ends costs none of them."""
    for number, draft in enumerate(drafts):
        draft.tell(TEXT_LIMIT if number == 0 else RELATED_TEXT_LIMIT)
    for draft in drafts:
        draft.pack()


# ---------------------------------------------------------------- what an exception holds, whatever its class says
_cause, _context, _suppresses, _traceback, _args = (
    BaseException.__dict__[name].__get__
    for name in ("__cause__", "__context__", "__suppress_context__", "__traceback__", "args")
)


def _is(error: BaseException, cls: type) -> bool:
    """`isinstance` without asking the object."""
    return issubclass(type(error), cls)


def _is_builtin(cls: type) -> bool:
    return cls.__module__ == "builtins" and vars(builtins).get(cls.__name__) is cls


def _attributes(error: BaseException) -> dict[str, Any]:
    found: dict[str, Any] = object.__getattribute__(error, "__dict__")
    return found


def _members(error: BaseException) -> tuple[BaseException, ...]:
    if not _is(error, BaseExceptionGroup):
        return ()
    found: tuple[BaseException, ...] = BaseExceptionGroup.__dict__["exceptions"].__get__(error)
    return found


class _Links:
    """What one exception hangs together with, by number."""

    def __init__(self, error: BaseException) -> None:
        self.cause: int | None = None
        self.context: int | None = None
        self.suppresses_context: bool = _suppresses(error)
        self.members: list[int] = []
        self.is_cut = False

    def add(self, kind: str, number: int) -> None:
        if kind == "member":
            self.members.append(number)
        else:
            setattr(self, kind, number)

    def told(self) -> Links:
        return self.cause, self.context, self.suppresses_context, self.members


def _edges(error: BaseException, outer: BaseException | None) -> Iterator[tuple[str, BaseException]]:
    for kind, other in (("cause", _cause(error)), ("context", _context(error))):
        if other is not None and other is not outer:
            yield kind, other
    for member in _members(error):
        yield "member", member


def _related(error: BaseException, outer: BaseException | None) -> tuple[list[BaseException], list[_Links]]:
    """`error` and what hangs on it but for `outer`, each once, and how. Circles are cut where they close."""
    found, links, numbers = [error], [_Links(error)], {id(error): 0}
    path = [(0, _edges(error, outer))]
    while path:
        at, edges = path[-1]
        for kind, other in edges:
            number = numbers.get(id(other))
            if number is None:
                if len(found) == RELATED_LIMIT:
                    links[at].is_cut = True
                    continue
                number = numbers[id(other)] = len(found)
                found.append(other)
                links.append(_Links(other))
                links[at].add(kind, number)
                path.append((number, _edges(other, outer)))
                break
            if all(number != above for above, _ in path):
                links[at].add(kind, number)
        else:
            path.pop()
    return found, links


# ---------------------------------------------------------------- whose code runs
_PLAIN = (str, int, float, complex, bytes, bool, type(None), _core.Ref, _core.Proxy)
"""Types that print and pickle without code of others; references need the connection to pickle."""

_CONTAINERS = (list, tuple, set, frozenset, dict)

_PLAIN_LIMIT = 1000
"""Parts that are looked at to find out whether all are plain."""

_PRINTING = ("__str__", "__repr__", "__getattribute__", "__getattr__")
_PICKLING = (
    "__reduce__",
    "__reduce_ex__",
    "__getstate__",
    "__setstate__",
    "__getnewargs__",
    "__getnewargs_ex__",
    "__getattribute__",
    "__getattr__",
)


def _overrides(cls: type, names: tuple[str, ...]) -> bool:
    own = (base for base in cls.__mro__ if base.__module__ not in ("builtins", "elsewhere"))
    return any(name in base.__dict__ for base in own for name in names)


def _all_plain(value: object) -> bool:
    waiting: list[Any] = [value]
    looked_at = 0
    while waiting:
        one = waiting.pop()
        looked_at += 1
        if type(one) in _CONTAINERS and looked_at + len(one) < _PLAIN_LIMIT:
            waiting.extend(one)
            if type(one) is dict:
                waiting.extend(one.values())
        elif type(one) not in _PLAIN:
            return False
    return True


def _prints_plainly(error: BaseException) -> bool:
    return not _overrides(type(error), _PRINTING) and (bool(_members(error)) or _all_plain(_args(error)))


def _pickles_plainly(error: BaseException) -> bool:
    return (
        not _overrides(type(error), _PICKLING)
        and (bool(_members(error)) or _all_plain(_args(error)))
        and _all_plain(_attributes(error))
    )


# ---------------------------------------------------------------- one exception
class _Draft:
    """What is known of one exception so far."""

    def __init__(self, error: BaseException, is_cut: bool) -> None:
        self.error = error
        self.is_cut = is_cut
        self.message = LATE
        self.notes: list[str] = []
        self.traceback: str | None = None
        self.payload: object = None

    def tell(self, limit: int) -> None:
        self.traceback = _traceback_text(self.error, limit)
        self.notes = _notes(self.error, limit)
        if self.is_cut:
            self.notes.append("… more exceptions hang on this one; they are cut")
        self.message = _text_of(self.error, limit)

    def pack(self) -> None:
        self.payload = _payload(self.error)

    def entry(self, links: _Links) -> Entry:
        traceback = _traceback_text(self.error, TEXT_LIMIT) if self.traceback is None else self.traceback
        return (*_class_names(self.error), self.message, traceback, self.payload, self.notes, links.told())


def _class_names(error: BaseException) -> tuple[str, str, list[str]]:
    cls = type(error)
    bases = [base.__name__ for base in cls.__mro__ if _is_builtin(base) and issubclass(base, BaseException)]
    return str(cls.__module__), str(cls.__qualname__), bases


def _text_of(error: BaseException, limit: int) -> str:
    try:
        if any(isinstance(argument, _core.Proxy) for argument in _args(error)) and _prints_plainly(error):
            return _cut(", ".join(map(repr, _args(error))), limit)  # `str` of a proxy would be a call
        if _is(error, BaseExceptionGroup) and not _overrides(type(error), _PRINTING):
            return _cut(str(_args(error)[0]), limit)  # the number of members is said by who has them
        return _cut(str(error), limit)
    except BaseException as failure:  # noqa: BLE001 - a text must come out whatever __str__ raises
        return f"<str() of the exception raised {type(failure).__name__}>"


def _cut(text: str, limit: int) -> str:
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    if len(text) <= limit:
        return text
    return f"{text[:limit]} … cut, {len(text) - limit} more characters"


def _notes(error: BaseException, limit: int) -> list[str]:
    notes = _attributes(error).get("__notes__")
    if not isinstance(notes, (list, tuple)):
        return []
    return [_cut(note, limit) for note in notes[:NOTE_LIMIT] if isinstance(note, str)]


# ---------------------------------------------------------------- frames
_OWN_FILES = __file__.rpartition("/")[0] + "/"
"""Frames of ours stand between a call and what it runs; no traceback shows them."""

_LOOP_FILES = ("/asyncio/runners.py", "/asyncio/base_events.py")
"""Likewise, where they are called from ours."""


def _traceback_text(error: BaseException, limit: int) -> str:
    """The frames that `error` passed here, as Python shows them; empty where there are none."""
    try:
        frames = "".join(_frames(_traceback(error)))
        return _cut(TRACEBACK_HEAD + frames, limit) if frames else ""
    except BaseException as failure:  # noqa: BLE001 - a text must come out
        return f"<the traceback could not be formatted: {type(failure).__name__}>"


def _frames(start: types.TracebackType | None) -> Iterator[str]:
    import traceback

    count = sum(1 for _ in traceback.walk_tb(start))
    if count <= FRAME_LIMIT:
        yield from _format(traceback.extract_tb(start))
        return
    half = FRAME_LIMIT // 2
    yield from _format(traceback.extract_tb(start, limit=half))
    yield f"  … {count - FRAME_LIMIT} frames cut …\n"
    yield from _format(traceback.extract_tb(start, limit=-half))


def _format(frames: StackSummary) -> list[str]:
    return type(frames).from_list(list(_shown(frames))).format()


def _shown(frames: Iterable[FrameSummary]) -> Iterator[FrameSummary]:
    is_behind_ours = False
    for frame in frames:
        if frame.filename.startswith(_OWN_FILES):
            is_behind_ours = True
        elif (
            not (is_behind_ours and frame.filename.endswith(_LOOP_FILES)) and "<frozen importlib" not in frame.filename
        ):
            is_behind_ours = False
            yield frame


# ---------------------------------------------------------------- pickles
def _payload(error: BaseException) -> object:
    if not _is(error, Exception):
        return None
    portable = _portable(error)  # type: ignore[arg-type]
    return portable if _pickles_plainly(error) else _pickled(error, portable)  # type: ignore[arg-type]


def _portable(error: Exception) -> object:
    """What is pickled for `error`: `Stored` where only the constructor of its class is special.

    Pickle would call that constructor with `error.args`, which are what it gave to `super().__init__`, not what it was
    called with: a text is formatted twice, or the exception cannot be rebuilt at all.
    """
    cls = type(error)
    builtin: Any = next(base for base in cls.__mro__ if _is_builtin(base))
    if issubclass(builtin, BaseExceptionGroup):
        is_plain_group = cls.__new__ is builtin.__new__ and not _overrides(cls, _PICKLING)
        return StoredGroup(cls, _args(error)[0], _own_attributes(error)) if is_plain_group else None
    if (
        isinstance(cls.__init__, types.FunctionType)
        and cls.__new__ is builtin.__new__
        and cls.__reduce__ is builtin.__reduce__
        and cls.__reduce_ex__ is object.__reduce_ex__
        and cls.__setstate__ is BaseException.__setstate__
        and not any(base.__dict__.get("__slots__") for base in cls.__mro__)
    ):
        return Stored(error, builtin)
    return error


def _own_attributes(error: BaseException) -> dict[str, Any]:
    return {name: value for name, value in _attributes(error).items() if name != "__notes__"}


class Stored:
    """Unpickles as the exception with its arguments and attributes, without its own constructor being run again."""

    def __init__(self, error: Exception, builtin: type[BaseException]) -> None:
        self.error = error
        self.builtin = builtin

    def __reduce__(self) -> tuple[Any, ...]:
        reduced: Any = self.builtin.__reduce__(self.error)
        _, args, *state = reduced
        return _restore, (type(self.error), self.builtin, args, *state)


def _restore(
    cls: type[Exception], builtin: type[Exception], args: tuple[Any, ...], attributes: dict[str, Any] | None = None
) -> Exception:
    error = cls.__new__(cls, *args)
    builtin.__init__(error, *args)  # sets what the builtin has of its own: `errno`, `filename`, `object`
    if attributes:
        BaseException.__setstate__(error, attributes)
    return error


class StoredGroup:
    """A group without its members, which are described by themselves and come back as what they are there."""

    def __init__(self, cls: type[Exception], message: str, attributes: dict[str, Any]) -> None:
        self.cls = cls
        self.message = message
        self.attributes = attributes

    def filled(self, members: list[Exception]) -> BaseException:
        """The group with its members."""
        group: BaseException = self.cls.__new__(self.cls, self.message, members)
        BaseException.__init__(group, self.message, members)
        group.__dict__.update(self.attributes)
        return group


def _pickled(error: Exception, portable: object) -> object:
    """The exception pickled by code of others; None where that cannot be done, gives too much or cannot be read."""
    if portable is None:
        return None
    from . import _pickle

    try:
        data = _pickle.dumps_alone(portable)
    except _pickle.HasReferences:
        return portable  # the message that it travels in has a table for them, and this code is harmless
    except BaseException:  # noqa: BLE001 - __reduce__ may raise anything, SystemExit too
        return None
    if len(data) > PICKLE_LIMIT:
        return None
    try:
        again = _pickle.loads(data)
    except BaseException:  # noqa: BLE001 - as above; what cannot be read here cannot be read there
        return None
    expected = StoredGroup if isinstance(portable, StoredGroup) else type(error)
    return data if type(again) is expected or type(again).__qualname__ == expected.__qualname__ else None
