"""What lives in one host and is given what lives in another, for tests of hosts that call each other straight."""

from __future__ import annotations

import gc
import os
import threading
from typing import TYPE_CHECKING, Any

import elsewhere
from kennel import error_of

if TYPE_CHECKING:
    from collections.abc import Callable


class Holder:
    """Lives in a host, and holds something of another host's."""

    def __init__(self) -> None:
        self.held: Any = None

    def keep(self, thing: Any) -> None:
        """Hold it, and do not use it."""
        self.held = thing

    def hold(self, thing: Any) -> None:
        """Hold it, and use it."""
        self.held = thing
        thing.say()

    def hand_to(self, holder: Any) -> None:
        holder.hold(self.held)

    def say(self) -> str:
        return self.held.say()

    def error_in_a_fork(self) -> str:
        """What the use of the thing raises in a fork of this process."""
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(writing, type(error_of(self.held.say)).__name__.encode())
            os._exit(0)
        os.waitpid(child, 0)
        told = os.read(reading, 100).decode()
        os.close(reading)
        os.close(writing)
        return told


def in_a_thread(function: Callable[[], Any]) -> Any:
    """Call it in a thread of its own: nobody who waits in the chain runs it, and it runs nobody's calls."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()
    thread.join()
    return results[0]


def wait_at(gate: str) -> None:
    """Until somebody opens it."""
    open(gate).close()


def open_gate(gate: str) -> None:
    open(gate, "w").close()


def keep_waiting(thing: Any, gate: str) -> elsewhere.Future[None]:
    """Have a thing wait at the gate, by its `wait_for`, which has begun."""
    begun = threading.Event()
    waiting = elsewhere.submit(thing.wait_for, elsewhere.ref(begun.set), gate)
    begun.wait()
    return waiting


def count(kind: type) -> int:
    """How many objects of a class there are in this process."""
    gc.collect()
    return sum(type(each) is kind for each in gc.get_objects())
