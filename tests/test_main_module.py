"""Classes and functions of `__main__`: in scripts, through a pipe, in a notebook's cells."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

import programs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CELL_RUNNER = """
import sys, types
main = sys.modules["__main__"]
cells = {cells!r}
for number, cell in enumerate(cells):
    exec(compile(cell, f"<cell {{number}}>", "exec"), main.__dict__)
"""


def as_script(source: str, directory: Path) -> str:
    script = directory / "script.py"
    script.write_text(source)
    return run([sys.executable, str(script)])


def through_a_pipe(source: str, directory: Path) -> str:
    return run([sys.executable, "-"], source)


def as_cells(source: str, directory: Path) -> str:
    cells = source.split("# cell\n")
    return run([sys.executable, "-c", CELL_RUNNER.format(cells=cells)])


def by_option(source: str, directory: Path) -> str:
    return run([sys.executable, "-c", source])


def run(command: list[str], text: str = "") -> str:
    result = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    return result.stdout


@pytest.fixture(params=[as_script, through_a_pipe, as_cells, by_option])
def play(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], str]:
    return lambda source: request.param(textwrap.dedent(source), tmp_path)


def test_class_of_main_lives_elsewhere(play):
    output = play("""
        import elsewhere, os
        # cell
        class Dog:
            def __init__(self, name): self.name = name
            def bark(self): return self.name + " barks"
            def pid(self): return os.getpid()
        # cell
        dog = elsewhere.spawn(Dog, "rex")
        print(dog.bark(), dog.pid() != os.getpid())
        # cell
        elsewhere.close(dog)
    """)

    assert output == "rex barks True\n"


def test_instance_comes_home_as_the_same_class_with_untouched_methods(play):
    output = play("""
        import elsewhere
        class Dog:
            def __init__(self, name): self.name = name
            def twin(self): return Dog(self.name + "2")
        # cell
        bark = Dog.twin
        host = elsewhere.Host()
        dog = host.spawn(Dog, "rex")
        twin = dog.twin()
        print(type(twin) is Dog, Dog.twin is bark, twin.name, twin.twin().name)
        # cell
        print(isinstance(elsewhere.get(dog), Dog), type(dog.twin()) is type(dog.twin()))
        host.close()
    """)

    assert output == "True True rex2 rex22\nTrue True\n"


def test_methods_changed_here_afterwards_stay_changed(play):
    output = play("""
        import elsewhere
        class Dog:
            def bark(self): return "woof"
            def twin(self): return Dog()
        # cell
        host = elsewhere.Host()
        dog = host.spawn(Dog)
        dog.twin()
        Dog.bark = lambda self: "changed"
        print(dog.twin().bark(), Dog().bark())
        host.close()
    """)

    assert output == "changed changed\n"


SLOTS = """
import elsewhere

class Point:
    __slots__ = ("x", "__hidden", "__weakref__")
    def __init__(self, x): self.x, self.__hidden = x, -x
    def hidden(self): return self.__hidden

class Named(Point):
    __slots__ = {"name": "what it is called"}

class Open(Point):
    pass

class One:
    __slots__ = "only"

def probe(thing):
    return type(thing).__name__, hasattr(thing, "__dict__"), thing.x, thing.hidden()

with elsewhere.Host() as host:
    for cls in (Point, Named, Open):
        thing = cls(3)
        if cls is Named:
            thing.name = "n"
        if cls is Open:
            thing.more = "m"
        print(*host.run(probe, thing))
        back = host.run(lambda it: it, thing)
        print(type(back) is cls, back.x, back.hidden(), getattr(back, "name", ""), getattr(back, "more", ""))
    one = One()
    one.only = 1
    print(host.run(lambda it: it, one).only, host.run(lambda: hasattr(One(), "__dict__")))
    try:
        host.run(setattr, Point(1), "y", 2)
    except AttributeError as error:
        print("no y")
"""


def test_class_with_slots_has_no_dict_in_the_host_either() -> None:
    printed = [
        "Point False 3 -3", "True 3 -3  ", "Named False 3 -3", "True 3 -3 n ", "Open True 3 -3", "True 3 -3  m",
        "1 False", "no y", "",
    ]  # fmt: skip

    assert programs.run(SLOTS) == (0, "\n".join(printed), "")


DECORATED = """
import functools, weakref
import elsewhere

@functools.cache
def fibonacci(number):
    return number if number < 2 else fibonacci(number - 1) + fibonacci(number - 2)

@functools.singledispatch
def name_of(thing):
    return "thing"

@name_of.register
def _(thing: int):
    return "int"

class Shop:
    table = weakref.WeakKeyDictionary()

    @functools.lru_cache(maxsize=7)
    def price(self, what):
        return len(what)

    @functools.cached_property
    def stock(self):
        '''What there is.'''
        return ["lamp"]

    @functools.singledispatchmethod
    def sell(self, what):
        return "a thing"

    @sell.register
    def _(self, what: int):
        return "a number"

    def names(self):
        return name_of("x"), name_of(1), fibonacci(30), fibonacci.cache_info().maxsize

    def info(self):
        return type(self).price.cache_parameters(), type(self).price.cache_info().hits, type(self).stock.__doc__

with elsewhere.Host() as host:
    shop = host.spawn(Shop)
    print(shop.price("lamp"), shop.price("lamp"), shop.sell("x"), shop.sell(1))
    print(elsewhere.get(shop.stock), shop.stock is shop.stock, shop.names())
    shop.stock.append("desk")
    print(elsewhere.get(shop.stock), *shop.info())
    back = elsewhere.get(shop)
    print(type(back) is Shop, back.stock, back.price("x"))
    print(host.run(fibonacci, 40), fibonacci.cache_info().currsize)
"""


def test_caches_and_descriptors_of_main_travel() -> None:
    printed = [
        "4 4 a thing a number", "['lamp'] False ('thing', 'int', 832040, None)",
        "['lamp', 'desk'] {'maxsize': 7, 'typed': False} 1 What there is.", "True ['lamp', 'desk'] 1",
        "102334155 0", "",
    ]  # fmt: skip

    assert programs.run(DECORATED) == (0, "\n".join(printed), "")


LOCKS = """
import threading
import elsewhere

LOCK = threading.Lock()

class Shared:
    lock = threading.Lock()

def work():
    with LOCK:
        return 1

with elsewhere.Host() as host:
    for make in (lambda: host.spawn(Shared), lambda: host.run(work)):
        try:
            make()
        except elsewhere.ArgumentError as error:
            print(error)
"""


def test_lock_in_code_of_main_is_refused_with_what_to_do() -> None:
    code, printed, complaints = programs.run(LOCKS)

    of_a_class, of_a_function = printed.splitlines()
    assert (code, complaints) == (0, "")
    assert "Shared.lock, a _thread.lock" in of_a_class
    assert "work (LOCK, a global), a _thread.lock" in of_a_function
    assert of_a_class.endswith("put that code into a module, which the host imports for itself")
    assert of_a_function.endswith("put that code into a module, which the host imports for itself")


def test_functions_lambdas_and_closures_of_main_travel(play):
    output = play("""
        import elsewhere
        FACTOR = 3
        def times(number): return number * FACTOR
        def adder(step):
            def add(number): return times(number) + step
            return add
        # cell
        with elsewhere.Host() as host:
            print(host.run(times, 2), host.run(adder(1), 2), host.run(lambda: times(5)))
            numbers = host.send([1])
            print(elsewhere.submit(lambda numbers: len(numbers) + FACTOR, numbers).result())
    """)

    assert output == "6 7 15\n4\n"


def test_instances_of_main_are_arguments_and_results(play):
    output = play("""
        import elsewhere, dataclasses, enum
        @dataclasses.dataclass
        class Point:
            x: int
            y: int
        class Colour(enum.Enum):
            RED = 1
        # cell
        with elsewhere.Host() as host:
            points = host.send([Point(1, 2)])
            points.append(Point(3, 4))
            back = elsewhere.get(points)
            print(back, all(type(point) is Point for point in back))
            print(points[0] == Point(1, 2), host.run(lambda: Colour.RED) is Colour.RED)
    """)

    assert output == "[Point(x=1, y=2), Point(x=3, y=4)] True\nTrue True\n"


def test_exception_of_main_comes_home_as_itself(play):
    output = play("""
        import elsewhere
        class Bad(Exception):
            pass
        def fail(): raise Bad("no")
        # cell
        with elsewhere.Host() as host:
            try:
                host.run(fail)
            except Bad as error:
                print("caught", error)
    """)

    assert output == "caught no\n"


def test_main_is_not_run_again_in_the_host(play):
    output = play("""
        print("running", flush=True)
        import elsewhere
        class Dog:
            def main(self):
                import sys
                return hasattr(sys.modules["__main__"], "Dog")
        # cell
        dog = elsewhere.spawn(Dog)
        print(dog.main())
        elsewhere.close(dog)
    """)

    assert output == "running\nFalse\n"


def test_isinstance_holds_in_the_host_across_messages(play):
    output = play("""
        import elsewhere
        class Dog:
            def is_dog(self, other): return isinstance(other, Dog)
        # cell
        with elsewhere.Host() as host:
            dog = host.spawn(Dog)
            print(dog.is_dog(Dog()), dog.is_dog(host.spawn(Dog)), dog.is_dog(5))
    """)

    assert output == "True True False\n"


def test_callback_of_main_is_called_here(play):
    output = play("""
        import elsewhere
        heard = []
        class Ear:
            def hear(self, what): heard.append(what)
        # cell
        def repeat(callback, times):
            for number in range(times): callback(number)
        with elsewhere.Host() as host:
            host.run(repeat, Ear().hear, 2)
            host.run(repeat, elsewhere.ref(heard.append), 2)
        print(heard)
    """)

    assert output == "[0, 1, 0, 1]\n"


def test_generator_of_main_is_streamed(play):
    output = play("""
        import elsewhere
        class Counter:
            def count(self, number): yield from range(number)
        # cell
        counter = elsewhere.spawn(Counter)
        print(list(counter.count(3)), sum(elsewhere.stream(counter.count, 1000)))
        elsewhere.close(counter)
    """)

    assert output == "[0, 1, 2] 499500\n"


def test_function_sees_the_globals_of_main_as_they_were_sent(play):
    output = play("""
        import elsewhere
        counter = 0
        def count():
            global counter
            counter += 1
            return counter
        # cell
        with elsewhere.Host() as host:
            print(host.run(count), host.run(count), counter)
    """)

    assert output.endswith("0\n")


SPAWNING = """
import dataclasses
import multiprocessing
import sys

import elsewhere


class Refused(Exception):
    pass


@dataclasses.dataclass
class Bone:
    size: int


def larger(bone):
    return Bone(bone.size + 1)


class Dog:
    def fetch(self, bone):
        return larger(bone)

    def refuse(self):
        raise Refused("no")


def work(pipe):
    dog = elsewhere.spawn(Dog)
    try:
        dog.refuse()
    except Refused as error:
        refused = error
    host = elsewhere.host_of(dog)
    pipe.send([dog.fetch(Bone(1)), host.run(larger, Bone(2)), host.run(lambda: larger(Bone(3))), str(refused)])


if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    ours, theirs = context.Pipe()
    process = context.Process(target=work, args=(theirs,))
    process.start()
    print(ours.recv())
    process.join()
"""


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_main_of_a_spawned_child_travels_like_that_of_its_parent(tmp_path, method):
    script = tmp_path / "script.py"
    script.write_text(SPAWNING)

    output = run([sys.executable, str(script), method])

    assert output == "[Bone(size=2), Bone(size=3), Bone(size=4), 'no']\n"


FORKED = """
import multiprocessing
import elsewhere

class Bone:
    pass

class Growl(Exception):
    pass

class Dog:
    def fetch(self, bone=None):
        return bone or Bone()

    def knows(self, bone):
        return type(bone) is Bone

    def growl(self):
        raise Growl("grrr")

def serve(address, done):
    with elsewhere.serve(Dog(), address):
        done.wait()

address = elsewhere.reserve()

class Stick(Bone):  # made after the address, and before the fork
    pass

context = multiprocessing.get_context("fork")
done = context.Event()
process = context.Process(target=serve, args=(address, done), daemon=True)
process.start()
address.wait_ready(20, process)
dog = elsewhere.connect(address, Dog)
print(dog.knows(Bone()), type(dog.fetch()) is Bone, type(dog.fetch(Stick())) is Stick)
try:
    dog.growl()
except Growl as error:
    print(type(error) is Growl, error)
done.set()
process.join()
"""


def test_classes_of_main_are_the_same_in_a_fork_that_serves(play):
    assert play(FORKED) == "True True True\nTrue grrr\n"
