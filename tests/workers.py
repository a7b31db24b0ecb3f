"""Objects for tests of how a host runs calls: they tell on which thread they run and who runs beside them."""

from __future__ import annotations

import asyncio
import contextvars
import os
import sqlite3
import sys
import threading
from typing import TYPE_CHECKING

import elsewhere

if TYPE_CHECKING:
    from pathlib import Path

SETTING: contextvars.ContextVar[str] = contextvars.ContextVar("setting", default="unset")


def is_imported(module: str) -> bool:
    return module in sys.modules


class Gate:
    """Something to wait at that a test opens: methods block, coroutines await."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.lines: list[object] = []
        self.inside = 0
        self.most = 0
        self.lock = threading.Lock()

    def note(self, line: object) -> None:
        self.lines.append(line)

    def read(self) -> list[object]:
        return list(self.lines)

    def meet(self, count: int) -> int:
        """Block until so many were in here at once; gives the thread."""
        with self.lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
            if self.inside == count:
                self.opened.set()
        self.opened.wait()
        with self.lock:
            self.inside -= 1
        return threading.get_ident()

    async def meet_async(self, count: int) -> int:
        """Await until so many are in here at once."""
        self.inside += 1
        if not hasattr(self, "all_here"):
            self.all_here = asyncio.Event()
        if self.inside == count:
            self.all_here.set()
        await self.all_here.wait()
        return threading.get_ident()

    async def log_around(self, name: str, steps: int) -> None:
        """Write down each step, with an await between them."""
        for step in range(steps):
            self.lines.append((name, step))
            await asyncio.sleep(0)

    async def hang(self, path: str) -> None:
        """Tell a named pipe that it has begun, await for ever, write down how that ended."""
        self.lines.append("begun")
        tell(path)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.lines.append("cancelled")
            raise

    def spin(self, path: str) -> None:
        """Tell a named pipe that it has begun, run for ever, write down how that ended."""
        try:
            tell(path)
            while True:
                pass
        except elsewhere.CallCancelled:
            self.lines.append("broken off")
            raise

    def __len__(self) -> int:
        return len(self.lines)

    async def fetch(self, value: object) -> object:
        await asyncio.sleep(0)
        return value

    def count(self, number: int):
        yield from range(number)

    async def count_slowly(self, number: int):
        for each in range(number):
            await asyncio.sleep(0)
            yield each

    async def count_for_ever(self):
        number = 0
        try:
            while True:
                yield number
                number += 1
        finally:
            self.lines.append("closed")

    async def break_off(self):
        yield 1
        raise ValueError("broken off")

    async def fail(self) -> None:
        raise KeyError("no")

    async def leave(self) -> None:
        raise SystemExit(3)

    async def give_up(self) -> None:
        raise GeneratorExit

    def thread(self) -> int:
        return threading.get_ident()

    async def thread_of_loop(self) -> int:
        return threading.get_ident()

    def main_thread(self) -> int:
        return threading.main_thread().ident

    def count_threads(self) -> int:
        return threading.active_count()

    def call(self, function, *args):
        return function(*args)

    async def call_and_await(self, function, *args):
        return await elsewhere.submit(function, *args)

    async def call_blocking(self, function, *args):
        return function(*args)

    def run_own_loop(self, function, *args):
        """Run a loop of one's own and await a call in it."""

        async def await_call():
            return await elsewhere.submit(function, *args)

        return asyncio.run(await_call())

    def in_thread(self, function, *args):
        """Call in a thread that this method starts."""
        results: list[object] = []
        thread = threading.Thread(target=lambda: results.append(function(*args)))
        thread.start()
        thread.join()
        return results[0]

    async def call_in_thread_of_loop(self, function, *args):
        return await asyncio.to_thread(function, *args)

    def make_task(self) -> None:
        """Leave something behind that the loop does later."""
        loop = asyncio.get_running_loop()
        self.task = loop.create_task(self.log_around("task", 3))

    async def leave_task(self, path: str) -> None:
        async def later() -> None:
            await asyncio.sleep(0)
            self.lines.append("later")
            tell(path)

        self.task = asyncio.create_task(later())

    def set_setting(self, value: str) -> None:
        SETTING.set(value)

    async def set_setting_async(self, value: str) -> None:
        SETTING.set(value)

    async def setting(self) -> str:
        return SETTING.get()


def tell(path: str) -> None:
    """Write a byte into a named pipe."""
    with open(path, "wb", buffering=0) as pipe:
        pipe.write(b"!")


def be_told(path: str) -> None:
    """Block until a byte is written into a named pipe."""
    with open(path, "rb", buffering=0) as pipe:
        pipe.read(1)


class Pipe:
    """A named pipe that a host tells a test something through."""

    def __init__(self, directory: Path, name: str = "pipe") -> None:
        self.path = str(directory / name)
        os.mkfifo(self.path)

    def wait(self) -> None:
        """Block until somebody tells."""
        be_told(self.path)


class Asker:
    """Waits for coroutines of objects elsewhere."""

    def ask(self, function, value):
        return elsewhere.submit(function, value).result()

    def keep(self, thing) -> None:
        self.thing = thing

    def ask_kept(self, value):
        return self.thing.fetch(value).result()


class Shared:
    """State that belongs to a thread: locks, thread-locals, a database."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.recursive = threading.RLock()
        self.condition = threading.Condition()
        self.local = threading.local()
        self.items: list[object] = []
        self.databases: dict[str, sqlite3.Connection] = {}

    def set_local(self, value: object) -> None:
        self.local.value = value

    def get_local(self) -> object:
        return getattr(self.local, "value", None)

    def put(self, item: object) -> None:
        with self.condition:
            self.items.append(item)
            self.condition.notify()

    def take(self) -> object:
        with self.condition:
            self.condition.wait_for(lambda: self.items)
            return self.items.pop(0)

    def open_database(self, name: str) -> None:
        self.databases[name] = sqlite3.connect(":memory:")
        self.databases[name].execute("create table t (n)")

    def insert(self, name: str, number: int) -> int:
        return self.databases[name].execute("insert into t values (?)", (number,)).rowcount

    def close_database(self, name: str) -> None:
        self.databases.pop(name).close()

    def threads(self) -> int:
        return threading.active_count()
