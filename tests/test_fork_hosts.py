"""Forked hosts: when there may be one, and what it inherits.

The process that forks is itself a host, since pytest's own has threads.
"""

from __future__ import annotations

import asyncio
import faulthandler
import os
import resource
import subprocess
import sys
import threading

import pytest

import elsewhere
from conftest import children, children_of
from kennel import Camera, Dog, error_of
from programs import run
from workshop import kept_busy


@pytest.fixture
def outer():
    """A process with one thread."""
    with elsewhere.Host(start="exec") as host:
        yield host


def use_inherited() -> dict[str, object]:
    camera = Camera()
    camera.shoot()
    with elsewhere.Host(start="fork", inherit=[camera]) as host:
        twin = host.send(camera)
        return {
            "is a proxy": elsewhere.is_proxy(twin),
            "goes on from the fork": twin.shoot(),
            "stays as it is here": camera.shots,
            "lives there": twin.pid() == host.pid != os.getpid(),
            "is one": host.send(camera) == twin,
        }


def test_object_that_cannot_be_pickled_lives_on_in_the_fork(outer):
    assert outer.run(use_inherited) == {
        "is a proxy": True,
        "goes on from the fork": 2,
        "stays as it is here": 1,
        "lives there": True,
        "is one": True,
    }


def pass_much_with_inherited() -> tuple[int, bool]:
    camera = Camera()
    with elsewhere.Host(start="fork", inherit=[camera]) as host:
        return host.run(look_at_both, ["rex" * 100_000], camera)


def look_at_both(texts: list[str], camera: Camera) -> tuple[int, bool]:
    return len(texts[0]), camera.shots == 0


def test_large_pickle_names_what_is_inherited(outer):
    assert outer.run(pass_much_with_inherited) == (300_000, True)


def pass_inherited() -> list[bool]:
    camera, table = Camera(), {"camera": []}
    table["camera"].append(camera)

    def factory():
        return camera

    with elsewhere.Host(start="fork", inherit=[camera, table, factory]) as host:
        twin = host.send(camera)
        dog = host.spawn(Dog, "rex")
        return [
            twin.is_it(camera),
            host.run(lambda x: x[0]["k"].pid(), [{"k": camera}]) == host.pid,
            host.run(lambda *, given: given.pid(), given=camera) == host.pid,
            host.run(lambda: camera.pid()) == host.pid,
            host.run(lambda: table["camera"][0] is camera),
            host.run(lambda one, other: one["camera"][0] is other, table, camera),
            host.spawn(factory) == twin,
            host.run(camera.pid) == host.pid,
            elsewhere.submit(dog.echo, camera).result() == twin,
            host.run(isinstance, camera, Camera),
        ]


def test_inherited_object_is_its_twin_wherever_it_stands(outer):
    assert outer.run(pass_inherited) == [True] * 10


class Bell:
    def __init__(self) -> None:
        self.lock = threading.Lock()  # it cannot be pickled

    async def ring(self) -> str:
        return "dong"

    def push(self) -> str:
        return "ding"


def use_inherited_with_a_coroutine() -> list[object]:
    bell, table = Bell(), {}
    table["bell"] = bell
    with elsewhere.Host(start="fork", inherit=[bell, table]) as host:
        twin = host.send(bell)

        async def main() -> list[object]:
            return [twin.push(), await twin.ring(), await host.send(table)["bell"].ring()]

        return asyncio.run(main())


def test_class_of_an_inherited_object_is_known_with_its_coroutine_functions(outer):
    assert outer.run(use_inherited_with_a_coroutine) == ["ding", "dong", "dong"]


def change_class_after_a_fork() -> list[object]:
    first, second = Bell(), Bell()
    with elsewhere.Host(start="fork", inherit=[first]) as host:
        there = host.send(first).push()
    Bell.push = Bell.ring
    with elsewhere.Host(start="fork", inherit=[second]) as host:
        twin = host.send(second)

        async def main() -> str:
            return await twin.push()

        return [there, asyncio.run(main())]


def test_class_that_changed_since_the_last_fork_is_known_as_it_is(outer):
    assert outer.run(change_class_after_a_fork) == ["ding", "dong"]


def set_inherited() -> bool:
    camera = Camera()
    with elsewhere.Host(start="fork", inherit=[camera]) as host:
        dog = host.spawn(Dog, "rex")
        dog.friends = camera
        dog.tricks = {"of": [camera]}
        return host.run(lambda dog: dog.friends is dog.tricks["of"][0], dog)


def test_inherited_object_that_is_set_is_its_twin(outer):
    assert outer.run(set_inherited)


def pass_another() -> str:
    with elsewhere.Host(start="fork", inherit=[Camera()]) as host:
        return str(error_of(lambda: host.send(Camera())))


def test_object_that_is_not_inherited_is_copied_or_refused_with_a_hint(outer):
    text = outer.run(pass_another)

    assert "args[0].lock" in text
    assert "inherit=[...]" in text


def test_main_is_there_as_it_was():
    program = """
    import threading
    import elsewhere

    class Camera:
        def __init__(self):
            self.lock = threading.Lock()
        class Lens:
            pass
        def twin_of(self, other):
            return type(other) is Camera, Camera.Lens(), Plain(4)

    class Plain:
        def __init__(self, value): self.value = value

    class Broken(Exception):
        def __str__(self): return "broken"

    camera = Camera()
    counter = 0

    def count():
        global counter
        counter += 1
        return counter, camera.lock.locked()

    def fail():
        raise Broken

    camera.lock.acquire()
    with elsewhere.Host(start="fork") as host:
        print(host.run(count), host.run(count), counter)
        made = host.spawn(Camera)
        known, lens, plain = made.twin_of(made)
        print(known, type(lens) is Camera.Lens, type(plain) is Plain, plain.value)
        print(host.run(lambda: isinstance(Plain(1), Plain)))
        try:
            host.run(fail)
        except Broken as error:
            print("caught", error)
        class Later:
            def twin(self): return Later()
        print(type(host.spawn(Later).twin()) is Later)
    """

    assert run(program) == (0, "(1, True) (2, True) 0\nTrue True True 4\nTrue\ncaught broken\nTrue\n", "")


def fork_beside(threads: int) -> tuple[str, bool, int]:
    stop = threading.Event()
    workers = [threading.Thread(target=stop.wait, name=f"worker {number}") for number in range(threads)]
    for worker in workers:
        worker.start()
    before = children()
    error = error_of(lambda: elsewhere.Host(start="fork"))
    left = children() - before
    stop.set()
    for worker in workers:
        worker.join()
    with elsewhere.Host(start="fork") as host:
        works = host.run(abs, -1)
    return f"{type(error).__name__}: {error}", bool(left), works


def test_fork_beside_other_threads_is_refused_and_names_them(outer):
    text, is_left, works = outer.run(fork_beside, 2)

    assert text.startswith("HostStartError")
    assert "worker 0, worker 1" in text
    assert "exec" in text
    assert not is_left
    assert works == 1


def fork_beside_foreign() -> tuple[str, int]:
    faulthandler.dump_traceback_later(3600)  # a thread that Python knows nothing of
    error = error_of(lambda: elsewhere.Host(start="fork"))
    faulthandler.cancel_dump_traceback_later()
    with elsewhere.Host(start="fork") as host:
        return str(error), host.run(abs, -1)


def test_fork_beside_threads_of_libraries_is_refused(outer):
    text, works = outer.run(fork_beside_foreign)

    assert "of a library" in text
    assert works == 1


def fork_beside_one_that_looks_like_a_pool() -> tuple[str, int]:
    import numpy as np  # noqa: F401, PLC0415 - it is to be loaded in the process that forks

    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    elsewhere.Host(start="fork").close()  # which ends the pool
    before = children()
    faulthandler.dump_traceback_later(3600)
    texts = [str(error_of(lambda: elsewhere.Host(start="fork"))) for _ in range(2)]
    left = children() - before
    faulthandler.cancel_dump_traceback_later()
    with elsewhere.Host(start="fork") as host:
        return min(texts), len(left) + host.run(abs, -1)


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="with one core there is no pool")
def test_fork_beside_a_thread_that_is_no_pool_is_refused_and_leaves_nothing(outer):
    text, count = outer.run(fork_beside_one_that_looks_like_a_pool)

    assert "of a library" in text
    assert count == 1


def test_fork_of_main_does_not_wait_for_cloudpickle():
    program = """
    import sys
    import elsewhere

    class Dog:
        class Collar:
            pass
        def __init__(self): self.collar = Dog.Collar()
        def twin(self): return Dog()

    with elsewhere.Host(start="fork") as host:
        dog = host.send(Dog())
        print("cloudpickle" in sys.modules)
        twin = dog.twin()
        print(type(twin) is Dog, type(twin.collar) is Dog.Collar)
        print(type(host.send(twin).twin()) is Dog)
    with elsewhere.Host(start="fork") as host:
        print(type(host.spawn(Dog).twin()) is Dog)
    """

    assert run(program) == (0, "False\nTrue True\nTrue\nTrue\n", "")


def test_import_that_was_under_way_hinders_no_thread_of_the_fork(tmp_path):
    (tmp_path / "slow_to_come.py").write_text(
        "import elsewhere, sys\n"
        "def found():\n"
        "    import slow_to_come\n"
        "    return hasattr(slow_to_come, 'there')\n"
        "with elsewhere.Host(start='fork', concurrency='caller') as host:\n"
        "    there = host.run(found)\n"
    )
    program = """
    import sys
    sys.path.insert(0, sys.argv[1])
    import slow_to_come
    print(slow_to_come.there)
    """

    assert run(program, str(tmp_path)) == (0, "False\n", "")


def fork_without_descriptors() -> tuple[str, int]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 1, before[1]))
    try:
        error = error_of(lambda: elsewhere.Host(start="fork"))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    with elsewhere.Host(start="fork") as host:
        return f"{type(error).__name__}: {error}", host.run(abs, -1)


def test_fork_without_room_for_descriptors_is_a_start_error(outer):
    text, works = outer.run(fork_without_descriptors)

    assert text.startswith("HostStartError")
    assert "open files" in text
    assert works == 1


def forks_with_few_descriptors() -> tuple[set[str], bool, bool]:
    """Forks where the next descriptor fails, the one after it, and so on, in every step of a start."""

    def left() -> tuple[int, int]:
        return len(os.listdir("/proc/self/fd")), len(children_of(os.getpid()))

    with elsewhere.Host(start="fork"):
        pass  # what the first one keeps open is there
    before, limits = left(), resource.getrlimit(resource.RLIMIT_NOFILE)
    kinds, is_clean = set(), True
    for more in range(1, 40):
        resource.setrlimit(resource.RLIMIT_NOFILE, (before[0] + more, limits[1]))
        try:
            with elsewhere.Host(start="fork", output="discard") as host:
                kinds.add(str(host.run(abs, -1)))
        except elsewhere.ElsewhereError as error:
            kinds.add(type(error).__name__)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        is_clean = is_clean and left() == before
    with elsewhere.Host(start="fork") as host:
        return kinds, is_clean, host.run(abs, -1) == 1


def test_start_that_runs_out_of_descriptors_at_any_step_is_a_start_error_and_leaves_nothing(outer):
    kinds, is_clean, works = outer.run(forks_with_few_descriptors)

    assert kinds == {"1", "HostStartError"}
    assert is_clean
    assert works


def fork_beside_numpy() -> tuple[int, float]:
    import numpy as np  # noqa: PLC0415 - it is to be loaded in the process that forks

    square = np.ones((400, 400))
    _ = square @ square  # starts the pool
    threads = len(os.listdir("/proc/self/task"))
    with elsewhere.Host(start="fork", inherit=[square]) as host:
        return threads, host.run(lambda: float((square @ square)[0, 0]))


def test_fork_beside_a_pool_that_ends_with_a_fork_works(outer):
    threads, value = outer.run(fork_beside_numpy)

    assert threads >= 2
    assert value == 400.0


def fork_beside_service() -> list[object]:
    heard = threading.Event()
    other = elsewhere.Host()
    dog = other.spawn(Dog, "rex")
    with kept_busy(other):
        elsewhere.submit(dog.bark).add_done_callback(lambda _: heard.set())
    heard.wait()
    heard.clear()
    with elsewhere.Host(start="fork") as host:
        with kept_busy(other):
            elsewhere.submit(dog.bark).add_done_callback(lambda _: heard.set())
        done = heard.wait(20)
        there = threading.Event()
        called_back = host.run(lambda tell: tell(), elsewhere.ref(lambda: there.set() or 7))
    names = [thread.name for thread in threading.enumerate()]
    other.close()
    return [done, called_back, names.count("elsewhere-service")]


def test_service_thread_is_no_hindrance_and_goes_on(outer):
    assert outer.run(fork_beside_service) == [True, 7, 1]


def fork_beside_busy_service() -> tuple[str, str]:
    busy, may_end, texts = threading.Event(), threading.Event(), []
    with elsewhere.Host() as other:
        dog = other.spawn(Dog, "rex")

        def callback(_):
            texts.append(str(error_of(lambda: elsewhere.Host(start="fork"))))
            busy.set()
            may_end.wait()

        with kept_busy(other):  # an answer that has come by now would be told to this thread
            elsewhere.submit(dog.bark).add_done_callback(callback)
        busy.wait()
        texts.append(str(error_of(lambda: elsewhere.Host(start="fork"))))
        may_end.set()
        done = threading.Event()
        elsewhere.submit(dog.bark).add_done_callback(lambda _: done.set())
        done.wait()
    return texts[0], texts[1]


def test_fork_beside_or_from_a_callback_is_refused(outer):
    from_callback, beside = outer.run(fork_beside_busy_service)

    assert "MainThread" in from_callback
    assert "busy with a callback" in beside


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"inherit": [1]}, ValueError),
        ({"start": "exec", "inherit": [1]}, ValueError),
        ({"start": "local", "inherit": [1]}, ValueError),
        ({"start": "fork", "inherit": "text"}, TypeError),
        ({"start": "fork", "inherit": 5}, TypeError),
    ],
)
def test_inheritance_that_means_nothing_is_refused(options, error):
    with pytest.raises(error, match="inherit"):
        elsewhere.Host(**options)


def test_host_and_proxy_cannot_be_inherited(process_host):
    for thing in (process_host, process_host.spawn(list)):
        with pytest.raises(TypeError, match="cannot be inherited"):
            elsewhere.Host(start="fork", inherit=[thing])


@pytest.mark.slow
@pytest.mark.timeout(150)
def test_what_holds_for_other_hosts_holds_for_forks():
    tests = os.path.dirname(os.path.abspath(__file__))
    others = [
        f"--ignore={tests}/test_{name}.py"
        for name in (
            "fork_hosts",
            "fork_children",
            "inheritance",
            "docstrings",
            "logging",
            "tables",
        )  # Arrow has a thread of its own
    ]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-o",
        "faulthandler_timeout=0",
        "--transports",
        "fork",
        "-k",
        "fork",
    ]

    ended = subprocess.run(
        [*command, *others, tests], capture_output=True, text=True, check=False, cwd=os.path.dirname(tests)
    )

    assert ended.returncode == 0, ended.stdout[-5000:] + ended.stderr[-2000:]
