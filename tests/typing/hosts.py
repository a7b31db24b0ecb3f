"""What the type checkers make of what puts objects elsewhere: `spawn`, `send`, and everything of `Host`."""

import collections
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, assert_type

from tests.typing.objects import Box, Dog, adopt, litter, names, score, score_later

from elsewhere import Address, Host, Server, connect, host_of, reserve, send, serve, spawn

T = TypeVar("T")


def spawning() -> None:
    assert_type(spawn(Dog, "rex"), Dog)
    assert_type(spawn(Dog, "rex", age=3), Dog)
    assert_type(spawn(Dog, name="rex", age=3), Dog)
    assert_type(spawn(Box, 5), Box[int])
    assert_type(spawn(Box[str], ""), Box[str])
    assert_type(spawn(Dog.from_pound, 5), Dog)
    assert_type(spawn(lambda: Box(1.0)), Box[float])
    assert_type(spawn(adopt, "rex"), Dog)


def spawning_what_the_standard_library_has() -> None:
    assert_type(spawn(sqlite3.connect, ":memory:", isolation_level=None), sqlite3.Connection)
    assert_type(spawn(dict[str, int]), dict[str, int])
    assert_type(spawn(dict[str, int], a=1), dict[str, int])
    assert_type(spawn(list, [1]), list[int])
    assert_type(spawn(collections.Counter, "abc"), collections.Counter[str])
    assert_type(spawn(subprocess.Popen, ["true"]), subprocess.Popen[bytes])
    assert_type(spawn(tempfile.TemporaryDirectory), tempfile.TemporaryDirectory[str])


def spawning_what_a_caller_gives(make: Callable[[int], T], anything: Any) -> None:
    assert_type(spawn(make, 5), T)
    assert_type(spawn(anything, 1, a=2), Any)


def sending() -> None:
    assert_type(send(Dog("rex")), Dog)
    assert_type(send([1]), list[int])
    assert_type(send({"a": Box(1)}), dict[str, Box[int]])


def making(folder: Path) -> None:
    assert_type(Host(), Host)
    assert_type(Host(start="auto"), Host)
    assert_type(Host(start="exec", name="kennel", cwd=folder, env={"A": "b"}, preload=["json"], path=("/a",)), Host)
    assert_type(Host(start="zygote", preload=("json",)), Host)
    assert_type(Host(start="local", start_timeout=1), Host)
    assert_type(Host(start="local", copy=False), Host)
    assert_type(Host(output="home", logging=True), Host)
    assert_type(Host(start="fork", inherit=[folder, len]), Host)


def objects_of_a_host(host: Host) -> None:
    assert_type(host.spawn(Dog, "rex"), Dog)
    assert_type(host.spawn(Dog, "rex", age=1), Dog)
    assert_type(host.spawn(Box, 5), Box[int])
    assert_type(host.spawn(sqlite3.connect, ":memory:"), sqlite3.Connection)
    assert_type(host.spawn(adopt, "rex"), Dog)
    assert_type(host.send([1]), list[int])
    assert_type(host.send(Dog("rex")), Dog)


def functions_of_a_host(host: Host, dog: Dog) -> None:
    assert_type(host.run(score, dog, 2, extra=1), int)
    assert_type(host.run(score_later, dog), int)
    assert_type(host.run(names, [dog]), list[str])
    assert_type(host.run(dog.bark, loud=True), str)
    assert_type(host.run(lambda: 1.0), float)
    assert_type(host.run(len, dog), int)
    for puppy in host.run(litter, dog, 3):
        assert_type(puppy, Dog)


def namespaces_of_a_host(host: Host, folder: Path) -> None:
    assert_type(host.module("json"), Any)
    assert_type(host.module("tools", path=folder), Any)
    assert_type(host.module("tools", "tools.py").Camera(), Any)
    assert_type(host.script("a = 1"), Any)
    assert_type(host.script("b = 2", into=host.script("a = 1")), Any)


def what_is_known_of_a_host(host: Host, dog: Dog) -> None:
    assert_type(host.pid, int | None)
    assert_type(host.alive, bool)
    assert_type(host.responsive, bool)
    assert_type(host.exitcode, int | None)
    assert_type(host.name, str | None)
    assert_type(host.stats(), dict[str, Any])
    assert_type(host_of(dog), Host)
    assert_type(host_of(dog.friends[0].name), Host)


def the_end_of_a_host(host: Host) -> None:
    assert_type(host.close(), None)
    assert_type(host.close(timeout=1), None)
    assert_type(host.close(0.5), None)
    assert_type(host.kill(), None)
    assert_type(host.wait(), bool)
    assert_type(host.wait(1.0), bool)
    assert_type(host.wait(timeout=None), bool)
    assert_type(host.on_death(lambda dead: assert_type(dead, Host)), None)


def blocks() -> int:
    with Host() as host:
        assert_type(host, Host)
        return 1  # what a block may swallow would make the end of the function reachable


async def async_blocks() -> int:
    async with Host() as host:
        assert_type(host, Host)
        return 1


class Kennel(Host):
    """A subclass is itself wherever a host is given."""

    def adopt(self) -> Dog:
        return self.spawn(Dog, "rex")


def subclasses() -> None:
    with Kennel(name="kennel") as kennel:
        assert_type(kennel, Kennel)
        kennel.on_death(lambda dead: assert_type(dead, Kennel))


def serving() -> None:
    assert_type(reserve(), Address)
    assert_type(reserve("/run/dog", authkey=b"sixteen bytes or more").wait_ready(1.0), None)
    assert_type(serve(Dog("rex"), reserve(), expose=["bark"], concurrency=4), Server)
    assert_type(serve(Dog("rex")).start().poll(10, timeout=None), int)
    with serve(Dog("rex"), "/run/dog", expose={Dog: ["bark"]}, concurrency="async") as server:
        assert_type(server.address, Address)
        assert_type(connect(server.address, Dog), Dog)
        assert_type(connect(str(server.address), authkey=None, timeout=1.0), Any)
