"""A dog that goes to a process of its own, together with its proxy of remoteobj's dialect."""

from __future__ import annotations

import multiprocessing as mp
import os
import signal
import threading

from elsewhere.dialects.remoteobj import Proxy


class Animal:
    def sound(self):
        return "..."


class Dog(Animal):
    """Goes to a process of its own, together with its proxy."""

    def __init__(self, **options):
        self.remote = Proxy(self, **options)
        self.age = 3
        self.toys = ["ball", "rope"]
        self.tags = {"color": "brown"}
        self._secret = "bone"
        self.gate = mp.Event()
        self.is_in = mp.Event()

    def sound(self):
        return "woof"

    def add(self, *numbers, scale=1, default=0):
        return sum(numbers) * scale + default

    def grow(self):
        self.age += 1
        return self

    def pid(self):
        return os.getpid()

    def thread(self):
        return threading.get_ident()

    def growl(self):
        text = "grrr"
        raise ValueError(text)

    def quit(self):
        raise SystemExit(4)

    def stop(self):
        raise StopIteration

    def interrupt(self):
        raise KeyboardInterrupt

    def lock(self):
        return threading.Lock()

    def bury(self):
        yield from self.toys

    def wait(self):
        self.is_in.set()
        self.gate.wait()
        return "waited"

    def die(self):
        os.kill(os.getpid(), signal.SIGKILL)

    def me(self):
        return self.remote

    def compare(self, other):
        return other is self.remote, other.age.get_()

    def __call__(self, other):
        return other.get_()

    def ask_itself(self):
        return self.remote.thread() == threading.get_ident()

    def leave(self):
        self.remote.stop_listen_()
        return "left"

    def __str__(self):
        return "a dog"

    def __repr__(self):
        return "Dog()"
