"""elsewhere under the switches of the interpreter that people turn: tracing, no collection, warnings as errors, -O."""

from __future__ import annotations

import pytest

from programs import run

SESSION = """
import asyncio
import threading

import elsewhere
from doomed import Doomed
from kennel import Dog, error_of
from workshop import Book


class Here:
    def add(self, one, other):
        return one + other


def call_back(home):
    return home.add(1, 2)


async def await_three(dog):
    return await asyncio.gather(*(elsewhere.submit(dog.echo, number) for number in range(3)))


def use(start):
    with elsewhere.Host(start=start) as host:
        dog = host.spawn(Dog, "rex")
        dog.tricks = ["sit"]
        found = [dog.echo({"a": (1, 2.5)}), elsewhere.get(dog.tricks[0]), elsewhere.submit(dog.echo, 3).result()]
        found += elsewhere.stream(dog.count_to, 3)
        found.append(list(dog.count_to(3)))
        found.append(host.run(call_back, elsewhere.ref(Here())))
        found += asyncio.run(await_three(dog))
        found.append(type(error_of(lambda: dog.nothing())).__name__)
        thread = threading.Thread(target=lambda: found.append(dog.echo("thread")))
        thread.start()
        thread.join()
        return found


def lose():
    with elsewhere.Host() as host:
        error = error_of(host.spawn(Doomed).kill_itself)
        return type(error).__name__, error.outcome


def main():
    for start in "exec", "local":
        print(use(start))
    print(lose())
"""
TOLD = """\
[{'a': (1, 2.5)}, 'sit', 3, 1, 2, 3, [1, 2, 3], 3, 0, 1, 2, 'AttributeError', 'thread']
[{'a': (1, 2.5)}, 'sit', 3, 1, 2, 3, [1, 2, 3], 3, 0, 1, 2, 'AttributeError', 'thread']
('HostDied', 'unknown')
"""

SWITCHES = {
    "nothing": "",
    "sys.settrace": "import sys\nsys.settrace(lambda *_: None)",
    "sys.settrace of every line": "import sys\ndef trace(*_): return trace\nsys.settrace(trace)",
    "threading.settrace": "import threading\ndef trace(*_): return trace\nthreading.settrace(trace)",
    "sys.setprofile": "import sys, threading\nsys.setprofile(lambda *_: None)\nthreading.setprofile(lambda *_: None)",
    "gc.disable": "import gc\ngc.disable()",
    "gc.freeze": "import gc\ngc.freeze()",
    "gc at every allocation": "import gc\ngc.set_threshold(1)",
    "tracemalloc": "import tracemalloc\ntracemalloc.start(5)",
    "faulthandler": "import faulthandler\nfaulthandler.enable()",
    "warnings as errors": "import warnings\nwarnings.simplefilter('error')",
    "short turns of threads": "import sys\nsys.setswitchinterval(1e-6)",
    "a small recursion limit": "import sys\nsys.setrecursionlimit(150)",
}

FLAGS = {
    "-O": ["-O"],
    "-OO": ["-OO"],
    "-X dev": ["-X", "dev"],
    "-W error": ["-W", "error"],
    "-u": ["-u"],
    "-X frozen_modules=off": ["-X", "frozen_modules=off"],
    "-X tracemalloc": ["-X", "tracemalloc=3"],
}


@pytest.mark.parametrize("switch", SWITCHES)
def test_switch_of_the_program_changes_nothing(switch: str) -> None:
    source = f"{SESSION}\n{SWITCHES[switch]}\nmain()\n"

    assert run(source) == (0, TOLD, "")


@pytest.mark.parametrize("switch", SWITCHES)
def test_switch_in_a_host_changes_nothing(switch: str) -> None:
    turn = f"def turn():\n    exec({SWITCHES[switch]!r}, {{}})\n"
    source = f"""{SESSION}
{turn}
with elsewhere.Host() as host:
    host.run(turn)
    dog = host.spawn(Dog, "rex")
    print(dog.echo(1), list(elsewhere.stream(dog.count_to, 3)), host.run(call_back, elsewhere.ref(Here())))
    print(type(error_of(lambda: dog.nothing())).__name__)
"""

    assert run(source) == (0, "1 [1, 2, 3] 3\nAttributeError\n", "")


@pytest.mark.parametrize("flags", FLAGS.values(), ids=FLAGS)
def test_flag_of_the_interpreter_changes_nothing(flags: list[str]) -> None:
    assert run(f"{SESSION}\nmain()\n", flags=flags) == (0, TOLD, "")


SUB_INTERPRETER = """
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters

source = '''
try:
    import elsewhere
except ImportError as error:
    print("refused:", error, flush=True)
else:
    print("imported", flush=True)
'''
{first}
other = interpreters.create()
interpreters.run_string(other, source)
interpreters.destroy(other)
{then}
"""


def test_sub_interpreter_is_refused_with_an_import_error() -> None:
    code, printed, complaints = run(SUB_INTERPRETER.format(first="", then=""))

    assert (code, complaints) == (0, "")
    assert printed.startswith("refused:")
    assert "interpreter" in printed


def test_sub_interpreter_disturbs_nothing_of_the_main_one() -> None:
    first = (
        "import elsewhere\nfrom kennel import Dog\ndog = elsewhere.spawn(Dog, 'rex')\nprint(dog.echo(1), flush=True)"
    )
    then = "print(dog.echo(2))"

    code, printed, complaints = run(SUB_INTERPRETER.format(first=first, then=then))

    assert (code, complaints) == (0, "")
    assert [line.partition(":")[0] for line in printed.splitlines()] == ["1", "refused", "2"]
