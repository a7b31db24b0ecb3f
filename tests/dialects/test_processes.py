"""Which process a dialect puts an object into: a fork of the program, or beside other threads an interpreter.

What users see is the same both ways. pytest's own process has threads, so the programs here are processes of their own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import programs

OTHER_THREAD = """
import threading
threading.Thread(target=threading.Event().wait, daemon=True).start()
"""

WAYS = {"alone": "", "beside": OTHER_THREAD}

DOG = """
import os

class Dog:
    def __init__(self, friends=()):
        if friends is None:
            raise LookupError("no friends")
        self.friends = list(friends)
    def pid(self):
        return os.getpid()
    def parent(self):
        return os.getppid()
    def meet(self, friends):
        self.friends.extend(friends)
        return len(self.friends)
    def same(self, value):
        return value
    def known(self):
        return KNOWN

KNOWN = 1
"""

DIALECTS = {
    "erised": """
from elsewhere.dialects import erised
def put():
    return erised.Proxy(Dog())
def ask(dog, name, *args):
    return getattr(dog, name)(*args).result()
""",
    "pyoad": """
import logging
from elsewhere.dialects import pyoad
logging.getLogger("pyoad").setLevel(logging.WARNING)
def put():
    return pyoad.ObjectDaemonProxy(Dog())
def ask(dog, name, *args):
    return getattr(dog, name)(*args)
""",
    "spawny": """
import logging
from elsewhere.dialects import spawny
logging.getLogger("spawny").setLevel(logging.CRITICAL)
def put():
    return spawny.run_object(Dog())
def ask(dog, name, *args):
    return getattr(dog, name)(*args)
""",
    "uactor": """
from elsewhere.dialects import uactor
class Actor(Dog, uactor.Actor):
    pass
def put():
    return Actor()
def ask(dog, name, *args):
    return getattr(dog, name)(*args)
""",
}


def run(dialect, way, source, *arguments):
    """What a program prints that uses a dialect, with one thread or two."""
    code, printed, complaints = programs.run(DOG + DIALECTS[dialect] + WAYS[way] + source, *arguments)
    assert (code, complaints) == (0, "")
    return printed.splitlines()


@pytest.mark.parametrize("dialect", DIALECTS)
def test_program_with_one_thread_is_over_there_with_all_there_is(dialect):
    source = """
KNOWN = 2
dog = put()
print(ask(dog, "parent") == os.getpid(), ask(dog, "known"), ask(dog, "meet", [1, 2]))
"""

    assert run(dialect, "alone", source) == ["True 2 2"]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_program_with_other_threads_is_not_over_there(dialect):
    source = """
dog = put()
print(ask(dog, "parent") == os.getpid(), ask(dog, "meet", [1, 2]))
"""

    assert run(dialect, "beside", source) == ["False 2"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_instance_of_main_is_one_here_and_there(dialect, way):
    source = """
import elsewhere
twin = ask(put(), "same", Dog([1]))
print(type(twin) is Dog, twin.friends, elsewhere.is_proxy(twin))
"""

    assert run(dialect, way, source) == ["True [1] False"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_process_ends_with_a_program_that_is_killed(dialect, way):
    source = """
import signal
dog = put()
print(ask(dog, "pid"), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""

    code, printed, _ = programs.run(DOG + DIALECTS[dialect] + WAYS[way] + source)

    assert code == -9
    assert programs.has_ended(int(printed))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_nothing_that_the_program_left_for_its_end_is_done_twice(dialect, way):
    source = """
import atexit
atexit.register(print, "the end")
dog = put()
ask(dog, "pid")
"""

    assert run(dialect, way, source) == ["the end"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dialect", ["pyoad", "spawny"])
def test_object_itself_as_an_argument_is_a_copy_of_what_it_is_now(dialect, way):
    source = """
import elsewhere.dialects.pyoad as pyoad, elsewhere.dialects.spawny as spawny
words = ["one"]
put = pyoad.ObjectDaemonProxy if "%s" == "pyoad" else spawny.run_object
there = put(words)
words.append("two")
there.extend(words)
print(str(there))
"""

    printed = run(dialect, way, source % dialect)

    assert printed[-1] == "['one', 'one', 'two']"


@pytest.mark.parametrize("way", WAYS)
def test_failure_of_a_constructor_is_raised_here(way):
    source = """
from elsewhere.dialects import pyoad
for make in (lambda: Actor(None), lambda: pyoad.ObjectDaemonProxy(pyoad.InstanceDefinition(None, "Dog", None))):
    try:
        make()
    except LookupError as error:
        print(type(error).__name__, error)
"""

    assert [line for line in run("uactor", way, source) if "friends" in line] == ["LookupError no friends"] * 2


@pytest.mark.parametrize("way", WAYS)
def test_actor_uses_the_actors_that_its_program_has(way):
    source = """
first = put()
class Other(uactor.Actor):
    def ask(self):
        return first.pid()
print(Other().ask() == first.pid() != os.getpid())
"""

    assert run("uactor", way, source) == ["True"]


def test_actor_is_made_while_its_module_is_imported(tmp_path):
    (tmp_path / "staffed.py").write_text(
        "import os\n"
        "from elsewhere.dialects import uactor\n"
        "class Boss(uactor.Actor):\n"
        "    def pid(self):\n"
        "        import staffed\n"
        "        return os.getpid(), hasattr(staffed, 'boss')\n"
        "boss = Boss()\n"
        "found = boss.pid()\n"
    )
    source = """
import sys
sys.path.insert(0, sys.argv[1])
import staffed
print(staffed.found[0] != os.getpid(), staffed.found[1], staffed.boss.pid() == staffed.found)
"""

    assert run("uactor", "alone", source, str(tmp_path)) == ["True False True"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("path", [None, "beside"])
def test_module_that_is_loaded_here_is_loaded_anew_there(way, path):
    directory = str(Path(__file__).parent)
    source = """
import sys
sys.path.append(sys.argv[1])
import greetings
greetings.number = 5
there = spawny.run_module("greetings", sys.argv[2] or None)
print(there.number, greetings.number)
"""

    assert run("spawny", way, source, directory, directory if path else "") == ["1 5"]


@pytest.mark.slow
@pytest.mark.timeout(150)
def test_what_holds_for_other_processes_holds_for_those_of_a_program_with_one_thread():
    here = Path(__file__).parent
    files = [str(path) for name in DIALECTS for path in sorted(here.glob(f"test_{name}*.py"))]
    command = [sys.executable, "-m", "pytest", "-q", "-o", "faulthandler_timeout=0", *files]

    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=os.path.dirname(here.parent))

    assert ended.returncode == 0, ended.stdout[-5000:] + ended.stderr[-2000:]
