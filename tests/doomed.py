"""An object that ends, blocks or loses its process."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import time


class Doomed:
    """Ends its process in every way there is."""

    def exit(self, code: int) -> None:
        os._exit(code)

    def exit_after(self, gate, code: int) -> None:
        gate()
        os._exit(code)

    def kill_itself(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def segfault(self) -> None:
        ctypes.string_at(0)

    def abort(self) -> None:
        os.abort()

    def say_and_exit(self, words: str) -> None:
        os.write(2, words.encode())
        os._exit(3)

    def enter(self, there) -> None:
        """Tell the owner that the call runs, then never end."""
        there()
        time.sleep(3600)

    def eat_memory(self) -> bytes:
        limit = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (1 << 30, limit[1]))
        try:
            return len(bytearray(10**12))
        finally:
            resource.setrlimit(resource.RLIMIT_AS, limit)

    def start_grandchild(self) -> int:
        """A program that keeps every descriptor open that it can inherit."""
        return subprocess.Popen(["sleep", "60"], close_fds=False).pid

    def count(self, number: int):
        yield from range(number)

    def count_and_die(self, number: int):
        yield from range(number)
        os._exit(5)

    def bark(self) -> str:
        return "woof"
