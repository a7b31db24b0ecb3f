"""The names of pyoad 1.0: `from elsewhere.dialects.pyoad import ObjectDaemonProxy` for `from pyoad import …`.

Owns: in what pyoad differs from spawny, its later name. Must not know: anything of elsewhere but its public names.

What is different, because it was a fault, is said there.
"""

from __future__ import annotations

import logging
import os
import sys
import weakref
from typing import Any, NoReturn

import elsewhere
from elsewhere.dialects import spawny
from elsewhere.dialects.spawny import InstanceDefinition

__all__ = ["InstanceDefinition", "ObjectDaemonProxy", "init_mp_context"]

_default_logger = logging.getLogger("pyoad")
_default_logger.setLevel(logging.INFO)
_default_logger.addHandler(spawny.ToStdout())


def init_mp_context() -> None:
    """Do nothing: how daemons are started is no matter of multiprocessing."""


class _Daemon(spawny.DaemonProxy):
    look: str = (
        "lambda thing, name, is_whole: (lambda found: (True, False, None) if callable(found)"
        " else (False, False, found))(getattr(thing, name))"
    )

    def __init__(self, what: Any, python_exe: str | None, logger: Any) -> None:
        super().__init__(what, python_exe, logger)
        process = self.p.pid
        logger.info("[%s] Object daemon started in : %s", process, self.python_exe or sys.executable)
        self._farewell = weakref.finalize(self, _say_farewell, logger, process, os.getpid())

    def tell(self, text: str) -> None:
        self.logger.debug("Object proxy %s", text)

    def tell_call(self, method: Any, name: str) -> None:
        del method
        self.tell(f"asking daemon to execute method: {name}")

    def tell_end(self) -> None:
        self.tell("asking daemon to exit")

    def check(self) -> None:
        if not self.started:
            text = "Cannot perform remote calls - daemon is not started"
            raise spawny.DaemonNotStartedError(text)

    def stand_in(self, error: Exception | None, names: list[str]) -> NoReturn:
        raise error or AttributeError(names[-1])

    def pass_on(self, error: Exception) -> NoReturn:
        if isinstance(error, elsewhere.HostClosed):
            self.check()
        self.tell(f"received error from daemon : {error}")
        spawny.raise_end(error)
        raise error

    def terminate_daemon(self) -> None:
        super().terminate_daemon()
        self._farewell()


def _say_farewell(logger: Any, process: int | None, owner: int) -> None:
    if os.getpid() == owner:  # and not a fork of it
        logger.info("[%s] Object daemon  was asked to exit - closing communication connection", process)
        logger.info("[%s] Object daemon  terminating", process)


class ObjectDaemonProxy(spawny.Part):
    """An object in a process of its own: its methods are called there, its attributes are copied, and set there.

    Its own names are `is_started`, `terminate_daemon`, `started`, `logger` and `p`. What making the object raises is
    raised here.
    """

    def __init__(
        self, obj_instance_or_definition: Any, python_exe: str | None = None, logger: Any = _default_logger
    ) -> None:
        super().__init__(_Daemon(obj_instance_or_definition, python_exe, logger or _default_logger))

    @property
    def p(self) -> spawny.Process:
        """The process."""
        return self._daemon_.p

    @property
    def logger(self) -> Any:
        """What is told what happens."""
        return self._daemon_.logger

    @property
    def started(self) -> bool:
        """Whether the process was started, and not terminated."""
        return self._daemon_.started

    def is_started(self) -> bool:
        """Whether the process was started, and not terminated."""
        return self._daemon_.started

    def terminate_daemon(self) -> None:
        """End the process after what it was asked to do; what takes longer than some seconds is broken off."""
        self._daemon_.terminate_daemon()

    def __repr__(self) -> str:
        text = super().__repr__()
        return f"ObjectDaemonProxy<{text}>" if self._daemon_.started else text
