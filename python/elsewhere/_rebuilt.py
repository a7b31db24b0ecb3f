"""Exceptions that crossed over, made anew where the caller waits.

Owns: what the caller sees of them: their class or its stand-in, notes, causes, contexts, members of groups. Must not
know: connections, how they are described (`_raised` does that).
"""

from __future__ import annotations

import builtins

from . import _core, _errors
from ._raised import StoredGroup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._raised import Entry

RAISED = "\nraised in "
PASSED_ON = "\npassed on in "


def rebuild(told: list[Any], host: str, method: str) -> BaseException:
    """Make the exception that the caller sees: the first entry, with all that hangs on it.

    Each is the original where it could be rebuilt, else a stand-in, and gets the frames that it passed there as a note.
    """
    entries: list[Entry] = [(*parts, links or (None, None, False, [])) for *parts, links in told]
    made: dict[int, BaseException] = {}
    for number in _members_first(entries):
        entry = entries[number]
        hop = _hop(entry, host, method, is_raised=number == 0)
        members = [made[member] for member in entry[7][3] if isinstance(made.get(member), Exception)]
        made[number] = _original(entry, members, hop) or _substitute(entry, members, hop, host, method)
    for number, entry in enumerate(entries):
        _link(made[number], entry[7], made)
    return made[0]


def cause(told: Any) -> Exception | None:
    """What made an argument or a result impossible, if it could be rebuilt; its frames are told elsewhere."""
    *parts, _ = told
    return _original((*parts, (None, None, False, [])), [], None)


def _members_first(entries: list[Entry]) -> list[int]:
    """The numbers of all entries, those of a group's members before that of the group."""
    order: dict[int, None] = {}
    for start in range(len(entries)):
        path = [start]
        while path:
            number = path[-1]
            members = entries[number][7][3]
            ahead = [one for one in members if one not in order and one not in path and 0 <= one < len(entries)]
            if ahead:
                path.append(ahead[0])
            else:
                order.setdefault(path.pop())
    return list(order)


def _original(entry: Entry, members: list[Any], hop: str | None) -> Exception | None:
    """What was unpickled, if it is the exception that was described and may be raised here as it is."""
    module, qualname, _, _, _, original, notes, _ = entry
    try:
        if isinstance(original, StoredGroup):
            original = original.filled(members)
        if not isinstance(original, Exception) or isinstance(original, (StopIteration, StopAsyncIteration)):
            return None
        if type(original).__qualname__ != qualname or type(original).__module__ not in (module, "elsewhere"):
            return None
        original.__traceback__ = None
        if isinstance(original, _errors.ElsewhereError):
            original.remote = True
        _annotate(original, notes, hop)
    except Exception:  # noqa: BLE001 - a class that does not let itself be touched
        return None
    return original


def _substitute(entry: Entry, members: list[Any], hop: str | None, host: str, method: str) -> _errors.RemoteError:
    module, qualname, bases, message, traceback, original, notes, _ = entry
    error = _stand_in(stand_in_class(module, qualname, tuple(bases)), message, members)
    error.outcome, error.host, error.method = "finished", host, method
    error.type_name, error.message = f"{module}.{qualname}", message
    error.traceback = f"{traceback}{_last_line(entry)}"
    if isinstance(original, StopIteration):
        error.__dict__["value"] = original.value
    _annotate(error, notes, hop)
    return error


def _stand_in(cls: type[_errors.RemoteError], message: str, members: list[Any]) -> _errors.RemoteError:
    if not issubclass(cls, BaseExceptionGroup):
        return cls(message)
    if not members:  # they were cut; a group has at least one
        return _errors.RemoteError(message)
    group = cls.__new__(cls, message, members)
    cls.__init__(group, message)
    group.args = (message, members)
    return group


# ---------------------------------------------------------------- exceptions of here that are told there
def stand_in_for(error: BaseException) -> _errors.RemoteError:
    """What goes to another process for an exception that cannot: its class by name, its text, its frames as a note."""
    import os

    from . import _raised

    told = [[*entry[:5], None, *entry[6:]] for entry in _raised.describe(error)]
    rebuilt: Any = rebuild(told, f"process {os.getpid()}", "whoever called")
    return rebuilt  # type: ignore[no-any-return]


def plain_stand_in_for(error: BaseException) -> BaseException:
    """The same for a process that takes no code: its nearest class of Python's own, with its class and text."""
    kind = type(error)
    text = f"{kind.__module__}.{kind.__qualname__}: {_text(error)}"
    for base in kind.__mro__:
        if base.__module__ == "builtins" and issubclass(base, BaseException):
            try:
                return base(text)
            except TypeError:  # one that takes more, as UnicodeDecodeError does
                continue
    return Exception(text)


def _text(error: BaseException) -> str:
    from . import _raised

    message: str = _raised.describe(error)[0][3]
    return message


def own_again(error: BaseException, thrown: BaseException) -> BaseException:
    """The exception that was thrown there, if `error` is what it came back as; else `error`."""
    from . import _raised

    if not isinstance(error, _errors.RemoteError):
        plain = plain_stand_in_for(thrown)
        return thrown if (type(error), error.args) == (type(plain), plain.args) else error
    module, qualname, _, message, *_ = _raised.describe(thrown)[0]
    return thrown if (error.type_name, error.message) == (f"{module}.{qualname}", message) else error


def could_not_travel(error: BaseException) -> bool:
    """Whether a call was not made because of an argument."""
    return isinstance(error, _errors.ArgumentError) and not error.remote and error.outcome == "not_started"


async def leave_async(context: Any, kind: type[BaseException], error: BaseException) -> Any:
    """Leave an async context elsewhere after an exception, which has a stand-in there where it cannot travel."""
    try:
        return await _core._operate_async(context, "aexit", kind, error, None)
    except _errors.ArgumentError as refused:
        if not could_not_travel(refused):
            raise
    stand_in = stand_in_for(error)
    try:
        return await _core._operate_async(context, "aexit", type(stand_in), stand_in, None)
    except _errors.ArgumentError as refused:
        if not could_not_travel(refused):
            raise
    plain = plain_stand_in_for(error)
    return await _core._operate_async(context, "aexit", type(plain), plain, None)


# ---------------------------------------------------------------- what is added to it
def _last_line(entry: Entry) -> str:
    """How Python's own traceback ends."""
    module, qualname, _, message, *_ = entry
    name = qualname if module in ("builtins", "__main__") else f"{module}.{qualname}"
    return f"{name}: {message}" if message else name


def _hop(entry: Entry, host: str, method: str, *, is_raised: bool) -> str | None:
    """The note about the host that an exception comes from: every frame there, and how it was called.

    An exception that was raised further away has a note about that host already, which then follows. None where there
    is nothing to say: a process that only stands in between, a cause that was never raised.
    """
    traceback, notes = entry[4], entry[6]
    if any(_is_hop(note) for note in notes):
        return f"{PASSED_ON}{host} by {method}:\n{traceback.rstrip()}" if traceback else None
    if traceback:
        return f"{RAISED}{host} by {method}:\n{traceback}{_last_line(entry)}"
    return f"{RAISED}{host} by {method}" if is_raised else None


def _is_hop(note: object) -> bool:
    return isinstance(note, str) and note.startswith((RAISED, PASSED_ON))


def _annotate(error: BaseException, notes: list[str], hop: str | None) -> None:
    """Set the notes: those that its method gave it, then the hosts that it came through, the nearest first.

    Printed, the frames then stand in the order in which they were called, as in any traceback.
    """
    own = getattr(error, "__notes__", None)
    every = [note for note in own if isinstance(note, str)] if isinstance(own, (list, tuple)) else []
    every += [note for note in notes if note not in every]
    hops = [note for note in every if _is_hop(note)]
    shown = [note for note in every if not _is_hop(note)] + ([] if hop is None else [hop]) + hops
    if shown or own is not None:
        error.__notes__ = shown


def _link(error: BaseException, links: Any, made: dict[int, BaseException]) -> None:
    cause, context, suppresses_context, _ = links
    if cause in made and made[cause] is not error:
        error.__cause__ = made[cause]
    if context in made and made[context] is not error:
        error.__context__ = made[context]
    error.__suppress_context__ = bool(suppresses_context)


# ---------------------------------------------------------------- classes that stand for others
_stand_ins: dict[tuple[str, str, type[Exception]], type[_errors.RemoteError]] = {}


def stand_in_class(module: str, qualname: str, bases: tuple[str, ...]) -> type[_errors.RemoteError]:
    """The class that stands for `module.qualname`: a RemoteError that also inherits the nearest builtin Exception.

    One class for each (module, qualname), as long as it has that base. A BaseException that is no Exception is named
    RemoteSystemExit and so on. A group is a group, of exceptions that may be stand-ins.
    """
    base = _nearest_base(bases)
    key = (module, qualname, base)
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
    cls = _make_class(name, base, namespace)
    return _stand_ins.setdefault(key, cls)


def _nearest_base(bases: tuple[str, ...]) -> type[Exception]:
    for base_name in bases:
        base = getattr(builtins, base_name, None)
        if base is BaseExceptionGroup:
            return ExceptionGroup  # its members are Exceptions here, whatever they were there
        if not isinstance(base, type) or not issubclass(base, Exception):
            continue
        if not issubclass(base, (StopIteration, StopAsyncIteration)):
            return base
    return Exception


def _make_class(name: str, base: type[Exception], namespace: dict[str, Any]) -> type[_errors.RemoteError]:
    try:
        if base is Exception:
            return type(name, (_errors.RemoteError,), namespace)
        cls = type(name, (_errors.RemoteError, base), namespace)
        _stand_in(cls, "probe", [ValueError()])
        return cls
    except TypeError:  # a base with a constructor of its own, as UnicodeDecodeError has
        return type(name, (_errors.RemoteError,), namespace)


def _reduce_stand_in(self: Any) -> tuple[Any, ...]:
    return _rebuild_stand_in, (*type(self)._origin, self.args, dict(self.__dict__))


def _rebuild_stand_in(
    module: str, qualname: str, bases: tuple[str, ...], args: tuple[Any, ...], state: dict[str, Any]
) -> _errors.RemoteError:
    message, members = args if len(args) == 2 else (*args, [])
    error = _stand_in(stand_in_class(module, qualname, bases), message, members)
    error.__dict__.update(state)
    return error
