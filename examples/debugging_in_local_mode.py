"""The same program in a host of its own and, for a debugger, in this very process.

A debugger sees one process. With `start="local"` the object lives here: calls queue, and whoever waits for a result
runs them, in order. So a breakpoint in a method is hit, and the stack leads from the program through the call into the
object. Here pdb gets its commands from a list instead of a keyboard.
"""

from __future__ import annotations

import io
import os
import pdb  # noqa: T100 - it is what this shows
import sys
from typing import Literal

import elsewhere

COMMANDS = """\
break Account.withdraw
continue
print(f"process {os.getpid()}: {amount=}, {self.balance=}")
self.balance = 1000
up
clear 1
continue
"""


class Account:
    """Something to look into."""

    def __init__(self, balance: int) -> None:
        self.balance = balance

    def withdraw(self, amount: int) -> int:
        """Take out, and give what is left."""
        self.balance -= amount
        return self.balance


class Keyboard(io.StringIO):
    """Shows what is typed, as a terminal does."""

    def readline(self, size: int | None = -1, /) -> str:  # type: ignore[override]  # of two bases, one reads bytes
        """The next command."""
        line = super().readline(-1 if size is None else size)
        print(line, end="")
        return line


def withdraw_twice(start: Literal["exec", "local"]) -> tuple[int, int]:
    """The program; it does not know where the account is."""
    with elsewhere.Host(start=start) as host:
        account = host.spawn(Account, 100)
        first, second = elsewhere.submit(account.withdraw, 30), elsewhere.submit(account.withdraw, 50)
        return first.result(), second.result()


if __name__ == "__main__":
    print("elsewhere:", withdraw_twice("exec"))
    print(f"in process {os.getpid()}, under pdb:")
    debugger = pdb.Pdb(stdin=Keyboard(COMMANDS), stdout=sys.stdout, nosigint=True, readrc=False)
    print("here:", debugger.runcall(withdraw_twice, "local"))
