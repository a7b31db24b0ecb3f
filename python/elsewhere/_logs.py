"""Log records of a host on their way home.

Owns: which records are sent, as what. Must not know: what becomes of them there. Imported in a host that was started
with `logging=True`, when something there imports logging.
"""

from __future__ import annotations

import logging
import os

from . import _core

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SIZE_LIMIT = 64 * 1024
"""Characters of a text that travel, and bytes of what is pickled; a longer text is cut, and the cut is said."""

DEPTH_LIMIT = 4
"""Containers within containers of plain values that travel as they are."""

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__)
_formatter = logging.Formatter()


class HomeHandler(logging.Handler):
    """Sends the records that the owner wants; never waits. What finds no room is counted, the sum told with each."""

    def __init__(self) -> None:
        super().__init__()
        self._levels: dict[str, int] = {}
        self._disabled = 0
        self._thresholds: dict[str, int] = {}
        self._dropped = 0
        self._pid = os.getpid()

    def set_levels(self, levels: dict[str, int], disabled: int) -> None:
        """Take over the owner's levels; loggers here get them too, so that nothing is made that nobody wants."""
        for name in self._levels.keys() - levels.keys():
            logging.getLogger(name).setLevel(logging.NOTSET)
        self._levels, self._disabled, self._thresholds = levels, disabled, {}
        for name, level in levels.items():
            logging.getLogger(name or None).setLevel(level)
        logging.disable(disabled)

    def _threshold(self, name: str) -> int:
        """The lowest level that the owner wants of a logger."""
        known = self._thresholds.get(name)
        if known is None:
            ancestor = "" if name == "root" else name
            while ancestor and ancestor not in self._levels:
                ancestor = ancestor.rpartition(".")[0]
            known = self._thresholds[name] = self._levels.get(ancestor, logging.NOTSET)
        return known

    def filter(self, record: logging.LogRecord) -> Any:
        """Keep what the owner wants: levels here may have been changed by others."""
        if record.levelno <= self._disabled or record.levelno < self._threshold(record.name):
            return False
        return super().filter(record)

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record."""
        if os.getpid() != self._pid:  # a fork of the host has no owner
            if logging.lastResort is not None and record.levelno >= logging.lastResort.level:
                logging.lastResort.handle(record)
            return
        try:
            is_sent = _core._tell_owner(self._dropped, *_portable(record))
        except Exception:  # noqa: BLE001 - of the record's own arguments; handled as logging handles them
            self.handleError(record)
            return
        if not is_sent:
            self._dropped += 1


_handler = HomeHandler()


def set_levels(levels: dict[str, int], disabled: int) -> None:
    """Send records home from now on, those of these levels."""
    root = logging.getLogger()
    if _handler not in root.handlers:
        root.addHandler(_handler)
    _handler.set_levels(levels, disabled)


def _portable(record: logging.LogRecord) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The record's attributes as plain values, and pickles of those that are none, with a text in their place.

    The message and its arguments are one pickle, under "".
    """
    attributes = dict(record.__dict__)
    pickles: dict[str, bytes] = {}
    if record.exc_info:
        attributes["exc_text"] = record.exc_text or _formatter.formatException(record.exc_info)
    attributes["exc_info"] = None
    if not (type(record.msg) is str and _is_plain(record.msg) and _is_plain(record.args)):
        _keep(pickles, "", (record.msg, record.args))
        attributes["msg"], attributes["args"] = _cut(record.getMessage()), None
    for name, value in attributes.items():
        if isinstance(value, str):
            attributes[name] = _cut(value)
        elif not _is_plain(value):
            if name not in _STANDARD:
                _keep(pickles, name, value)
            attributes[name] = _cut(repr(value))
    return attributes, pickles


def _keep(pickles: dict[str, bytes], name: str, value: Any) -> None:
    import pickle

    try:
        data = pickle.dumps(value, 5)
    except Exception:  # noqa: BLE001 - any class may refuse in its own way; its text is sent
        return
    if len(data) <= SIZE_LIMIT and b"__main__" not in data and b"__mp_main__" not in data:
        pickles[name] = data


def _cut(text: str) -> str:
    text = str(text)
    if len(text) <= SIZE_LIMIT:
        return text
    return f"{text[:SIZE_LIMIT]} … cut, {len(text) - SIZE_LIMIT} more characters"


def _is_plain(value: Any) -> bool:
    """Whether a value is a scalar or a small container of such: it then travels as it is."""
    return _plain_size(value, DEPTH_LIMIT) <= SIZE_LIMIT


def _plain_size(value: Any, depth: int) -> int:
    kind = type(value)
    if kind is str or kind is bytes:
        return len(value)
    if value is None or kind is bool or kind is float:
        return 1
    if kind is int:
        return int(value.bit_length()) // 8 + 1
    if depth and kind in (tuple, list):
        return sum((_plain_size(part, depth - 1) for part in value), len(value))
    if depth and kind is dict:
        return sum((_plain_size(key, 0) + _plain_size(part, depth - 1) for key, part in value.items()), len(value))
    return SIZE_LIMIT + 1
