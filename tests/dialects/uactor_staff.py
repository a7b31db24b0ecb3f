"""Actors of uactor's dialect that tests start."""

from __future__ import annotations

import abc
import os
import signal
import threading
from typing import Any

from elsewhere.dialects import uactor

KEY = b"OtherSecret"


class Mixin:
    def mixed(self):
        return "mixed"


class Desk(Mixin, uactor.Actor):
    """Lists what is exposed of it."""

    _exposed_ = ("data", "drawer", "size", "keep", "kept")
    _method_to_typeid_ = {"files": "list", "letter": None}
    size = 3

    def __init__(self, drawer: Any = None):
        self.data = [1, 2, 3]
        self._drawer = drawer

    @property
    def drawer(self):
        return self._drawer

    def files(self):
        return self.data

    def letter(self):
        return "never listed"

    def keep(self, thing):
        self.thing = thing

    def kept(self):
        return self.thing

    def secret(self):
        return "secret"


class Worker(uactor.Actor):
    """Exposes every public method."""

    def __init__(self, fails=False):
        self.notes: list[Any] = []
        self.gone: threading.Event = threading.Event()
        self.is_waiting = False
        if fails:
            text = "no worker today"
            raise LookupError(text)

    def forget(self):
        self.notes, self.thing = [], None
        self.gone.clear()

    def pid(self):
        return os.getpid()

    def note(self, value):
        self.notes.append(value)

    def noted(self):
        return list(self.notes)

    def call(self, function, *args):
        return function(*args)

    def myself(self):
        return self

    def us(self):
        return [self, uactor.proxy(self, "actor")]

    def has_proxy(self, proxy):
        return isinstance(proxy, uactor.BaseProxy), proxy == uactor.proxy(self, "actor")

    def shared(self, typeid="list"):
        self.thing = [1, 2]
        return uactor.proxy(self.thing, typeid)

    def break_down(self):
        raise Broken("one", "two")

    def be_stubborn(self):
        raise Stubborn(threading.Lock())

    def lock(self):
        return threading.Lock()

    def leave(self):
        raise SystemExit(3)

    def end(self, kind, *args):
        raise kind(*args)

    def crash(self):
        os.kill(os.getpid(), signal.SIGKILL)

    def wait(self, timeout=None):
        self.is_waiting = True
        return self.gone.wait(timeout)

    def is_waited_for(self):
        return self.is_waiting

    def wait_for_first(self):
        self.notes.pop().wait()

    def start_wait(self, proxy):
        threading.Thread(target=proxy.note, args=("from a thread",)).start()

    def shutdown(self):
        self.gone.set()

    def _private(self):
        return "private"


class Context(uactor.Actor):
    """Notes its hooks in another actor."""

    _exposed_ = ()

    def __init__(self, log, swallows=False, fails=False):
        self.log, self.swallows, self.fails = log, swallows, fails

    def __enter__(self):
        self.log.note("enter")
        return "entered"

    def __exit__(self, kind, error, traceback):
        self.log.note(("exit", kind, str(error), traceback))
        if self.fails:
            text = "cannot leave"
            raise OSError(text)
        return self.swallows

    def shutdown(self):
        self.log.note("shutdown")


class OwnProxy(uactor.BaseProxy):
    """Keeps something itself."""

    _exposed_ = ("append",)

    def count(self):
        self.counted = getattr(self, "counted", 0) + 1
        return self.counted


class Lender(Worker):
    """Gives itself, and a list by a class of proxies of its own."""

    _proxies_ = {"own": OwnProxy}
    _method_to_typeid_ = {"me": "actor", "lent": "own"}

    def me(self):
        return self

    def lent(self):
        return self.notes


class Keyed(Worker):
    _options_ = {"authkey": KEY}


class Chief(uactor.Actor):
    """Has an actor of its own."""

    _exposed_ = ("other", "other_address", "other_type", "recruit", "crash")

    def __init__(self, cls):
        self.other = cls()

    @property
    def other_address(self):
        return self.other.connection_address

    def other_type(self):
        return type(self.other).__name__

    def recruit(self):
        return type(type(self)(Worker)).__name__

    def crash(self):
        os.kill(os.getpid(), signal.SIGKILL)


class Broken(ValueError):
    def __init__(self, first, second):
        super().__init__(first)
        self.second = second


class Stubborn(Exception):
    """Cannot be pickled."""

    def __reduce__(self):
        text = "never"
        raise TypeError(text)


class Registry(uactor.Actor):
    """Where workers are found, and which tells when it is shut down."""

    _options_ = {"address": ("127.0.0.1", 0), "authkey": KEY}

    def __init__(self):
        self.workers: list[Any] = []
        self.finished = threading.Event()

    def register(self, worker):
        self.workers.append(worker)

    def pids(self):
        return [worker.pid() for worker in self.workers]

    def first(self):
        return self.workers[0]

    def wait(self, timeout=None):
        return self.finished.wait(timeout)

    def shutdown(self):
        self.finished.set()


class Recruit(Worker):
    """Registers itself."""

    def __init__(self, address):
        super().__init__()
        self.registry = Registry.connect(address, KEY)
        self.registry.register(self)


class Handler(abc.ABC):
    """A class that knows nothing of actors."""

    def __new__(cls, *args):
        return super().__new__(cls, *args)

    def __init__(self, factor):
        self.factor = factor

    @abc.abstractmethod
    def handle(self, number): ...

    @staticmethod
    def version():
        return 1

    @classmethod
    def kind(cls):
        return cls.__name__


class Times(Handler, uactor.Actor):
    """An actor by its last base."""

    _exposed_ = ("handle", "__len__", "__getattribute__")

    def handle(self, number):
        return number * self.factor

    def __len__(self):
        return self.factor


class Foreman(uactor.Actor):
    """Hires others, and keeps no proxy of them."""

    def hire(self):
        return Worker()
