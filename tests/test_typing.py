"""What the type checker has to refuse: misuses of the verbs, each of which would fail at run time."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent

MISUSES = """# mypy: disable-error-code="empty-body"
import elsewhere
from elsewhere import Host, get, post, ref, send, spawn, stream, submit, using, options, close, deadline, is_proxy

class Dog:
    age: int
    def __init__(self, name: str, age: int = 0) -> None: ...
    def bark(self, *, loud: bool = False) -> str: ...
    async def fetch(self, what: str) -> float: ...
    def sniff(self, number: int) -> list[str]: ...

def score(dog: Dog, factor: int) -> int: ...

def misuse(dog: Dog, host: Host) -> None:
    spawn(Dog)  # wrong
    spawn(Dog, 5)  # wrong
    spawn(Dog, "rex", colour="red")  # wrong
    spawn(5)  # wrong
    host.spawn(Dog, 5)  # wrong
    host.run(score, dog)  # wrong
    host.module(5)  # wrong
    host.module("json", 5)  # wrong
    host.script(b"x = 1")  # wrong
    host.script("x = 1", "y")  # wrong
    submit(dog.bark, True)  # wrong
    submit(dog.bark, loud="yes")  # wrong
    submit(dog.bark, volume=3)  # wrong
    submit(dog.fetch, 5)  # wrong
    submit(dog.age)  # wrong
    submit(score, dog, "two")  # wrong
    post(dog.bark, volume=3)  # wrong
    stream(dog.bark, volume=3)  # wrong
    stream(dog.age)  # wrong
    stream(score, dog, 2)  # wrong
    dog.meow()  # wrong
    get(dog.colour)  # wrong
    get(path=dog.age)  # wrong
    get(dog.age, 5)  # wrong
    text: str = get(dog.age)  # wrong
    number: int = get(dog.age, default=None)  # wrong
    answer: int = submit(dog.bark).result()  # wrong
    submit(dog.bark).result("soon")  # wrong
    Host(colour="red")  # wrong
    Host("exec")  # wrong
    Host(start="teleport")  # wrong
    Host(env={"A": 5})  # wrong
    Host(start="local", copy="no")  # wrong
    options(dog, patience=3)  # wrong
    options(dog, timeout="long")  # wrong
    deadline("long")  # wrong
    close(dog, 5.0)  # wrong
    close(dog, timeout="long")  # wrong
    is_proxy()  # wrong
    host.on_death(lambda: None)  # wrong
    submit(dog.bark, loud=True)
    get(dog.age, default=None)

async def misuse_awaiting(dog: Dog) -> None:
    text: str = await dog.fetch("stick")  # wrong
    await get(dog.age)  # wrong
    await submit(dog.fetch, 5)  # wrong
"""


def test_type_checker_refuses_each_misuse_and_nothing_else(tmp_path):
    source = tmp_path / "misuses.py"
    source.write_text(MISUSES)
    expected = {number for number, line in enumerate(MISUSES.splitlines(), 1) if line.endswith("# wrong")}

    result = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file", "", "--cache-dir", str(tmp_path), str(source)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT / "python",
    )

    refused = {int(number) for number in re.findall(r"misuses\.py:(\d+): error:", result.stdout)}
    assert refused == expected, result.stdout
