"""What hosts print and log, shown in this process.

Owns: the way from a host's queue to `sys.stdout`, `sys.stderr` and the logging tree; the levels that hosts are told.
Must not know: how it gets into the queue. Imported when a host is started with `output="home"` or `logging=True`.
"""

from __future__ import annotations

import _thread
import codecs
import contextlib
import sys
import weakref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from logging import LogRecord
    from typing import Any

    from ._core import HomeQueue

_logging: weakref.WeakSet[Shower] = weakref.WeakSet()
"""Those whose hosts send log records, and are told of the levels here."""


class Shower:
    """Shows what one host prints and logs, each piece once and in order, on whichever thread finds it.

    Args:
        queue: Where it is taken from.
        label: How texts call the host.
        name: What it is called in log records.
        pid: Its process id.
        logs: Whether it sends log records.
    """

    def __init__(self, queue: HomeQueue, label: str, name: str | None, pid: int, *, logs: bool) -> None:
        self._queue = queue
        self._label = label
        self._name = name or label
        self._pid = pid
        self._knows_levels = True
        self._lock = _thread.allocate_lock()
        self._showing: int | None = None
        """The thread that shows something now."""
        self._dropped = 0
        """How many records the host has dropped, as far as it was said here."""
        decoder = codecs.getincrementaldecoder("utf-8")
        self._decoders = {"output": decoder("replace"), "error": decoder("replace")}
        if logs:
            _logging.add(self)
            _watch_levels()

    def tell_levels(self) -> None:
        """Tell the host which records are wanted. Where its queue is full, again when it next has something to show."""
        self._knows_levels = self._queue.tell("set_levels", levels())

    def show(self, patience: float) -> None:
        """Show everything that is in the queue. Where another thread does, wait for it at most `patience` seconds."""
        this = _thread.get_ident()
        while self._queue:
            if self._showing == this:
                return  # a stream or a handler uses the host: one piece after another
            taken = self._lock.acquire(timeout=patience) if patience else self._lock.acquire(blocking=False)
            if not taken:
                return  # whoever holds it looks again before it leaves
            self._showing = this
            try:
                self._show_all()
            finally:
                self._showing = None
                self._lock.release()
        if not self._knows_levels:
            self.tell_levels()

    def _show_all(self) -> None:
        """Show one piece after another. What the first of them raises is raised at the end, an interrupt first."""
        failures: list[BaseException] = []
        while (piece := self._queue.take()) is not None:
            try:
                self._show(*piece)
            except Exception as failure:  # noqa: BLE001 - of a stream's or a logging filter's own code
                failures.append(failure)
            except BaseException as interrupt:  # noqa: BLE001 - it is meant for the program, and not for this piece
                failures.insert(0, interrupt)
        if failures:
            raise failures[0]

    def _show(self, kind: str, *content: Any) -> None:
        if kind == "told":
            self._log(*content[0])
        elif kind == "dropped":
            self._show_gap(*content)
        else:
            text = self._decoders[kind].decode(content[0])
            _write("stdout" if kind == "output" else "stderr", text)

    def _log(self, dropped: int, attributes: dict[str, Any], pickles: dict[str, bytes]) -> None:
        """Handle a record: `attributes` are plain, `pickles` are what was not, if it can be read here.

        `dropped` is how many the host dropped since it began.
        """
        import logging

        if dropped > self._dropped:
            _warn_of_gap(self._label, dropped - self._dropped)
            self._dropped = dropped
        record = logging.makeLogRecord(attributes)
        if record.process == self._pid:
            record.processName = self._name
        for name, data in pickles.items():
            with contextlib.suppress(Exception):  # the text that stands for it is there already
                _restore(record, name, data)
        logger = logging.getLogger(record.name)
        if logger.isEnabledFor(record.levelno):
            logger.handle(record)

    def _show_gap(self, count: int, messages: int) -> None:
        if count:
            _write("stderr", f"\n[elsewhere: {count} bytes that {self._label} printed were dropped]\n")
        if messages:
            _warn_of_gap(self._label, messages)


def _write(name: str, text: str) -> None:
    """Write to a standard stream as it is now, whatever stands for it; one that is closed shows nothing."""
    stream = getattr(sys, name)
    if stream is None:
        return
    with contextlib.suppress(OSError, ValueError):
        try:
            stream.write(text)
        except UnicodeEncodeError:
            encoding = getattr(stream, "encoding", None) or "ascii"
            stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        if not text.endswith("\n"):
            stream.flush()


def _restore(record: LogRecord, name: str, data: bytes) -> None:
    import pickle

    value = pickle.loads(data)  # noqa: S301 - bytes come from an authenticated peer
    if name:
        setattr(record, name, value)
    else:
        record.msg, record.args = value


def _warn_of_gap(label: str, count: int) -> None:
    import logging

    logging.getLogger("elsewhere").warning("%d log records of %s were dropped: too many at once", count, label)


def levels() -> dict[str, Any]:
    """The levels here that decide which records are wanted: those that were set, and that of `logging.disable`."""
    import logging

    root = logging.getLogger()
    named = root.manager.loggerDict.copy().items()
    table = {name: logger.level for name, logger in named if isinstance(logger, logging.Logger) and logger.level}
    return {"levels": {"": root.level, **table}, "disabled": root.manager.disable}


def _watch_levels() -> None:
    """Tell the hosts whenever a level changes: logging has one place where it forgets what it knew of levels."""
    import logging

    manager: Any = logging.getLogger().manager
    forget = manager._clear_cache
    if getattr(forget, "__name__", "") == "forget_and_tell":
        return

    def forget_and_tell() -> None:
        forget()
        for shower in list(_logging):
            shower.tell_levels()

    manager._clear_cache = forget_and_tell
