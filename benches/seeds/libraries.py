"""How each library is used: the same lines, whether as published or as a dialect.

Owns: those lines. Must not know: what is measured. Where a process is the user's own, it is forked, since remoteobj as
published knows nothing else.
"""

from __future__ import annotations

import importlib
import logging
import multiprocessing
import time
from typing import TYPE_CHECKING, Any

import elsewhere
from contenders.contender import Contender
from seeds.placed import Holder, Placed

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

    from contenders.contender import Bytes
    from measure import Operation

DIALECTS = "elsewhere.dialects."


class Seed(Contender):
    """One library with one target, `self.target`."""

    name = ""
    note = ""
    target: Any

    @classmethod
    def load(cls, module: str) -> None:
        """Import what a program that uses it has imported before it starts anything."""
        importlib.import_module(module)

    @property
    def pids(self) -> list[int]:
        return [self.target.pid()]

    def call(self) -> Operation:
        target = self.target
        return lambda: target.add(1)

    def attribute(self) -> Operation | None:
        target = self.target
        return lambda: target.value

    def take(self, array: Bytes) -> Operation:
        target = self.target
        return lambda: target.take(array)


class Hosted(Seed):
    """Plain elsewhere: a host as it is by default. No dialect preloads the class of the object, and nor does this."""

    def __init__(self) -> None:
        self._host = elsewhere.Host()
        self.target = self._host.spawn(Placed)

    def close(self) -> None:
        self._host.close()

    def attribute(self) -> Operation:
        target = self.target
        return lambda: elsewhere.get(target.value)


class Served(Seed):
    """Plain elsewhere where the process is the user's own: an object that is served."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("fork")
        address = elsewhere.reserve()
        self._process = context.Process(target=_serve, args=(address,), daemon=True)
        self._process.start()
        address.wait_ready(30, process=self._process)
        self.target = elsewhere.connect(address)

    def close(self) -> None:
        elsewhere.close(self.target)
        self._process.kill()
        self._process.join()

    def attribute(self) -> Operation:
        target = self.target
        return lambda: elsewhere.get(target.value)


def _serve(address: elsewhere.Address) -> None:
    elsewhere.serve(Placed(), address).run()


class Erised(Seed):
    """Every call gives a future, which is asked at once."""

    def __init__(self, module: str) -> None:
        self._proxy: Any = importlib.import_module(module).Proxy(Holder())
        self.target = self._proxy.target

    def close(self) -> None:
        self._proxy.terminate()

    @property
    def pids(self) -> list[int]:
        return [self.target.pid().result()]

    def call(self) -> Operation:
        target = self.target
        return lambda: target.add(1).result()

    def attribute(self) -> Operation:
        target = self.target
        return lambda: target.value.retrieve().result()

    def take(self, array: Bytes) -> Operation:
        target = self.target
        return lambda: target.take(array).result()


class Remoteobj(Seed):
    """The object is sent with its proxy, and a thread over there listens."""

    def __init__(self, module: str) -> None:
        self._library: Any = importlib.import_module(module)
        self.target = self._library.Proxy(Placed())
        self._process = multiprocessing.get_context("fork").Process(target=self._listen, daemon=True)
        self._process.start()
        self.target.wait_until_listening(self._process)

    def _listen(self) -> None:
        with self.target.listen_(bg=True):
            while self.target.listening_:
                time.sleep(0.01)

    def close(self) -> None:
        self.target.stop_listen_()
        self._process.join(5)
        self._process.kill()

    def attribute(self) -> Operation:
        get, target = self._library.get, self.target
        return lambda: get(target.value)


class Pyoad(Seed):
    """A daemon."""

    def __init__(self, module: str) -> None:
        self.target = importlib.import_module(module).ObjectDaemonProxy(Placed())

    def close(self) -> None:
        self.target.terminate_daemon()


class Spawny(Seed):
    """The same under its later name."""

    def __init__(self, module: str) -> None:
        self.target = importlib.import_module(module).run_object(Placed())

    def close(self) -> None:
        self.target.terminate_daemon()


class Pipeproxy(Seed):
    """The object stays in a process that listens. There are no attributes."""

    def __init__(self, module: str) -> None:
        context = multiprocessing.get_context("fork")
        ours, theirs = context.Pipe()
        self._process = context.Process(target=_listen, args=(module, theirs), daemon=True)
        self._process.start()
        self.target = ours.recv()

    def close(self) -> None:
        self._process.kill()
        self._process.join()

    def attribute(self) -> None:
        return None


def _listen(module: str, connection: Connection[Any, Any]) -> None:
    proxy, listener = importlib.import_module(f"{module}.proxy").createProxy(Placed())
    connection.send(proxy)
    while True:
        listener.listen()


class Uactor(Seed):
    """An actor."""

    def __init__(self, module: str) -> None:
        self.target = self._actors(module).TargetActor()

    @classmethod
    def load(cls, module: str) -> None:
        importlib.import_module(module)
        cls._actors(module)

    @staticmethod
    def _actors(module: str) -> Any:
        return importlib.import_module(f"seeds.actor_{'dialect' if module.startswith(DIALECTS) else 'published'}")

    def close(self) -> None:
        self.target.shutdown()


LIBRARIES: dict[str, Any] = {
    "erised": Erised,
    "remoteobj": Remoteobj,
    "pyoad": Pyoad,
    "spawny": Spawny,
    "pipeproxy": Pipeproxy,
    "uactor": Uactor,
}
PLAIN: dict[str, Callable[[], Contender]] = {
    name: Served if name in {"remoteobj", "pipeproxy"} else Hosted for name in LIBRARIES
}
"""What each is compared with: a host, or where the object is in a process of the user's own, a server."""
WHY_NOT = {
    "erised": "no package of this name is in the registry; it is measured where it is installed by hand",
    "pipeproxy": "its code is for Python 2",
}
"""What is known of those that are not published for this Python."""


def quiet() -> None:
    """Have loggers say little, whose levels libraries set when they are imported."""
    for logger in ("pyoad", "spawny"):
        logging.getLogger(logger).setLevel(logging.WARNING)


def missing(module: str) -> str | None:
    """Why a module is not here; None where it is."""
    try:
        importlib.import_module(module)
    except ImportError as error:
        return f"{type(error).__name__}: {error}"
    return None
