"""Hosts in other interpreters, which have nothing of ours."""

from __future__ import annotations

import array
import ast
import collections
import datetime as dt
import decimal
import fractions
import os
import pathlib
import pickle
import select
import signal
import subprocess
import sys
import threading
import uuid

import numpy as np
import pytest

import elsewhere
import foreign
import interpreters
from elsewhere import get, ref
from foreign import Kept
from kennel import error_of

TESTS = str(pathlib.Path(__file__).parent)


@pytest.fixture(scope="session")
def environments(tmp_path_factory):
    """The interpreters of this machine by version, each in an empty environment that is made when it is asked for."""
    made: dict[str, str] = {}

    def make(version: str) -> str:
        program = interpreters.installed().get(version)
        if program is None:
            pytest.skip(f"there is no Python {version} on this machine")
        if version not in made:
            directory = tmp_path_factory.mktemp(version.replace(" ", "-"))
            made[version] = interpreters.in_empty_environment(program, directory)
        return made[version]

    return make


@pytest.fixture
def python(request, environments):
    """One interpreter after another."""
    return environments(request.param)


@pytest.fixture
def there(python):
    """A host in each interpreter."""
    with elsewhere.Host(python=python, path=[TESTS]) as host:
        yield host


@pytest.fixture
def another_version(environments):
    """An interpreter of another version than this one."""
    for version in reversed(interpreters.VERSIONS):
        if version in interpreters.installed() and version != interpreters.HERE:
            return environments(version)
    pytest.skip("there is no other Python on this machine")


VALUES = [
    None,
    True,
    0,
    -1,
    127,
    128,
    -129,
    65_536,
    -(2**31) - 1,
    2**63,
    2**64,
    -(2**70),
    1.5,
    float("inf"),
    1 + 2j,
    "",
    "text ü 漢 🐕",
    "\ud800",
    "x" * 70_000,
    b"",
    b"bytes" * 100,
    b"z" * 300_000,
    bytearray(b"changed"),
    [],
    list(range(40)),
    (),
    (1, (2, "three")),
    tuple(range(300)),
    {},
    {"a": [1], 2: (3,), None: {"deep": [[[]]]}},
    {1, 2},
    frozenset(["x"]),
    range(3),
    slice(1, 2),
    Ellipsis,
    int,
    len,
    dt.datetime(2024, 2, 29, 12, tzinfo=dt.UTC),
    dt.timedelta(days=3),
    decimal.Decimal("1.10"),
    fractions.Fraction(1, 3),
    uuid.UUID(int=7),
    pathlib.PurePosixPath("/a/b"),
    collections.OrderedDict(a=1),
    collections.deque([1, 2], 3),
    array.array("d", [1.0, 2.5]),
    ValueError("as a value"),
]
NAMES_IN_PYPY = {type(len): "builtin_function"}


def test_host_runs_in_the_interpreter_that_is_named(there, python):
    asked = subprocess.run([python, "-c", "import sys; print(*sys.version_info[:2], sep='.')"], stdout=subprocess.PIPE)

    assert there.run(foreign.version) == asked.stdout.decode().strip()


def test_values_of_every_type_go_there_and_come_back(there):
    kept = there.spawn(Kept)

    for value in VALUES:
        again = kept.echo(value)

        assert type(again) is type(value)
        assert repr(again) == repr(value)
        assert kept.kind_of(value) in {type(value).__name__, NAMES_IN_PYPY.get(type(value))}


def test_views_go_there_and_come_back(there):
    kept = there.spawn(Kept)

    for view in (memoryview(b"abc"), memoryview(bytearray(16)).cast("d"), memoryview(b"abcdef").cast("B", (2, 3))):
        again = kept.echo(view)
        assert (again.tolist(), again.readonly, again.format) == (view.tolist(), view.readonly, view.format)
        assert kept.echo({"view": [view, decimal.Decimal(1)]})["view"][0].tolist() == view.tolist()


def test_object_is_used_there(there):
    kept = there.spawn(Kept, 5)

    kept.value = 7
    kept.other = {"a": [1, 2]}

    assert get(kept.value) == 7
    assert get(kept.other["a"][1]) == 2
    assert get(kept.missing, default="none") == "none"
    assert (len(kept), kept + 1, kept.itself() is kept) == (3, 8, True)
    del kept.other
    with pytest.raises(AttributeError):
        get(kept.other)


def test_result_that_cannot_be_copied_is_a_proxy(there):
    number, lock, text = there.spawn(Kept).mixed()

    assert (number, text) == (1, "two")
    with lock:
        assert lock.locked()
    assert not lock.locked()


def test_with_on_what_has_no_context_is_refused_there(there):
    nothing = there.spawn(dict)

    with pytest.raises(TypeError, match="context manager protocol"), nothing:
        pass


def test_what_only_pypy_reads_in_a_pickle_is_a_proxy(environments):
    with elsewhere.Host(python=environments("pypy")) as host:
        append = host.script("items = []\ndef method(): return items.append\n").method()

        assert elsewhere.is_proxy(append)
        append(1)


def test_names_that_lead_to_the_interpreter_are_not_reached(there):
    kept = there.spawn(Kept)

    with pytest.raises(AttributeError, match="never reached"):
        get(elsewhere.attribute(kept.get, "__globals__"))


def test_exception_comes_with_the_frames_there(there):
    error = error_of(there.spawn(Kept).fail)

    assert isinstance(error, LookupError)
    assert error.args == ("nothing there", 7)
    assert "foreign.py" in error.__notes__[0]
    assert 'raise LookupError("nothing there", 7)' in error.__notes__[0]
    assert "_bare.py" not in error.__notes__[0]


def test_generator_is_a_stream(there):
    kept = there.spawn(Kept)

    assert list(kept.count_to(5)) == [1, 2, 3, 4, 5]
    assert list(elsewhere.stream(kept.count_to, 2000)) == list(range(1, 2001))


def test_function_is_called_back_in_the_same_chain(there):
    kept = there.spawn(Kept, 3)

    assert kept.call(ref(lambda number: number + kept.get()), 4) == 7


def test_object_of_here_is_used_there(there):
    here = Kept([1])

    assert there.spawn(Kept).call(ref(here.value.append), 2) is None
    assert here.value == [1, 2]
    assert there.run(len, ref(here.value)) == 2


def test_coroutine_is_run_there(there):
    assert there.spawn(Kept).fetch(5).result() == 5


def test_posts_and_futures_keep_their_order(there):
    log = there.spawn(list)

    for number in range(300):
        elsewhere.post(log.append, number)
    futures = [elsewhere.submit(log.index, number) for number in range(300)]

    assert [future.result() for future in futures] == list(range(300))


def test_module_and_script_are_loaded_there(there):
    tools = there.module("foreign")
    script = there.script("""
        import sys
        class Thing:
            number = 4
        def which():
            return sys.version_info[1]
        def broken():
            raise ValueError(which())
        """)

    assert tools.version() == there.run(foreign.version)
    assert script.which() == int(tools.version().partition(".")[2])
    assert get(script.Thing.number) == 4
    assert "raise ValueError(which())" in error_of(script.broken).__notes__[0]


def test_host_has_nothing_of_its_owner_but_sockets_and_memory(there):
    descriptors = there.run(foreign.descriptors)

    kinds = [os.readlink(f"/proc/{there.pid}/fd/{fd}").partition(":")[0] for fd in descriptors if fd > 2]
    assert {kind for kind in kinds if kind.startswith("/") and "memfd" not in kind} == set()
    assert kinds.count("socket") <= 2


def test_no_secret_stands_among_the_arguments(there):
    arguments = pathlib.Path(f"/proc/{there.pid}/cmdline").read_text().split("\0")

    assert arguments[1] == "-c"
    assert "class" not in arguments[2]


def test_interpreter_that_has_the_package_uses_it():
    with elsewhere.Host(python=sys.executable, path=[TESTS]) as host:
        assert host.run(foreign.package) == elsewhere.__file__


def test_interpreter_without_the_package_has_a_stand_in(bare_interpreter):
    with elsewhere.Host(python=bare_interpreter, path=[TESTS]) as host:
        assert host.run(foreign.package) is None


def test_lambda_travels_by_value_to_the_same_version(bare_interpreter):
    with elsewhere.Host(python=bare_interpreter) as host:
        assert host.run(lambda number: number + 1, 2) == 3


def test_code_does_not_travel_by_value_to_another_version(another_version):
    with elsewhere.Host(python=another_version, path=[TESTS]) as host:
        with pytest.raises(elsewhere.ArgumentError, match=r"Host\.module or Host\.script") as refused:
            host.run(lambda: 1)

        assert refused.value.outcome == "not_started"
        assert host.run(foreign.version)


class Sealed(ValueError):
    """Cannot be copied."""

    def __init__(self) -> None:
        super().__init__("sealed")
        self.lock = threading.Lock()


def test_context_of_another_version_is_left_after_an_exception_that_cannot_travel(another_version):
    with elsewhere.Host(python=another_version) as host:
        lock = host.module("threading").Lock()

        with pytest.raises(Sealed), lock:
            raise Sealed

        assert not lock.locked()


def test_generator_of_another_version_gets_an_exception_that_cannot_travel(another_version):
    with elsewhere.Host(python=another_version, path=[TESTS]) as host:
        echoes = host.module("foreign").echoing()
        next(echoes)

        assert echoes.throw(Sealed()) == "sealed"


def test_text_that_names_main_travels_to_another_version(another_version):
    with elsewhere.Host(python=another_version) as host:
        assert host.run(repr, [range(2), "__main__"]) == "[range(0, 2), '__main__']"


def test_class_that_is_not_there_says_what_to_do(bare_interpreter):
    with elsewhere.Host(python=bare_interpreter) as host:
        with pytest.raises(elsewhere.ArgumentError, match=r"cannot be imported in the host.*Host\(path="):
            host.spawn(Kept)

        assert host.run(divmod, 7, 2) == (3, 1)


def test_large_array_lies_in_memory_that_both_sides_map(bare_interpreter, other_packages, shares_memory):
    with elsewhere.Host(python=bare_interpreter, path=[TESTS, other_packages]) as host:
        array = np.arange(100_000.0)

        assert "memfd" in host.run(foreign.mapping_of, array)
        again = host.spawn(Kept).echo(array)
        assert "memfd" in foreign.mapping_of(again)
        assert (again == array).all()


def test_memory_of_large_arrays_is_used_again(bare_interpreter, other_packages, shares_memory):
    with elsewhere.Host(python=bare_interpreter, path=[TESTS, other_packages]) as host:
        kept = host.spawn(Kept)
        array = np.arange(100_000.0)
        for _ in range(5):
            kept.echo(array)
        before = len(host.run(foreign.descriptors))

        for number in range(200):
            assert kept.echo(array + number)[1] == number + 1

        assert len(host.run(foreign.descriptors)) <= before + 4


def test_large_values_go_where_numpy_is_not(there):
    kept = there.spawn(Kept)

    for value in (b"x" * 1_000_000, bytearray(b"y" * 1_000_000), array.array("d", range(100_000))):
        assert kept.echo(value) == value
        assert kept.echo([value, value]) == [value, value]
    view = memoryview(bytearray(range(256)) * 4000)
    assert kept.echo(view) == view


def test_host_ends_with_its_owner(bare_interpreter):
    program = (
        "import elsewhere, sys, time\n"
        f"host = elsewhere.Host(python={bare_interpreter!r})\n"
        "future = elsewhere.submit(host.script('import time').time.sleep, 60)\n"
        "print(host.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as owner:
        pid = int(owner.stdout.readline())
        pidfd = os.pidfd_open(pid)
        owner.kill()

    try:
        assert select.select([pidfd], [], [], 20)[0]
    finally:
        os.close(pidfd)


def test_death_is_told(bare_interpreter):
    with elsewhere.Host(python=bare_interpreter) as host:
        script = host.script("import os")

        with pytest.raises(elsewhere.HostDied) as died:
            elsewhere.attribute(script.os, "_exit")(7)

        assert died.value.exitcode == 7
        assert not host.alive


def test_call_is_broken_off(bare_interpreter):
    with elsewhere.Host(python=bare_interpreter) as host:
        script = host.script("""
            def work(begun):
                begun()
                while True:
                    pass
            """)
        begun = threading.Event()
        future = elsewhere.submit(script.work, ref(begun.set))
        begun.wait()

        future.cancel(interrupt=True)

        assert host.run(divmod, 7, 2) == (3, 1)


def test_item_arrives_before_the_next_one_is_made(bare_interpreter, tmp_path):
    path = str(tmp_path / "fifo")
    os.mkfifo(path)
    with elsewhere.Host(python=bare_interpreter) as host:
        script = host.script("""
            def numbers(path):
                with open(path) as lines:
                    for line in lines:
                        yield 1
                        yield 2
                        yield 3
            """)

        items = elsewhere.stream(script.numbers, path)

        with open(path, "w", buffering=1) as fifo:
            for _ in range(5):
                print("go on", file=fifo)
                assert [next(items) for _ in range(3)] == [1, 2, 3]
        assert list(items) == []


@pytest.mark.parametrize("concurrency", [3, "async"])
def test_calls_overlap_where_that_is_asked_for(bare_interpreter, concurrency):
    with elsewhere.Host(python=bare_interpreter, path=[TESTS], concurrency=concurrency) as host:
        script = host.script("""
            import asyncio
            import threading

            class Meeting:
                def __init__(self, number):
                    self.barrier = threading.Barrier(number)
                    self.here = 0

                def meet(self):
                    return self.barrier.wait() >= 0

                async def meet_async(self):
                    self.here += 1
                    while self.here < 3:
                        await asyncio.sleep(0.001)
                    return True
            """)
        meeting = host.spawn(script.Meeting, 3)

        method = meeting.meet if concurrency == 3 else meeting.meet_async

        assert all(future.result() for future in [elsewhere.submit(method) for _ in range(3)])


def test_caller_concurrency_is_refused_with_the_reason(bare_interpreter):
    with pytest.raises(elsewhere.HostStartError, match="concurrency='caller' needs the package"):
        elsewhere.Host(python=bare_interpreter, concurrency="caller")


def test_what_is_printed_comes_home(bare_interpreter, capsys):
    with elsewhere.Host(python=bare_interpreter, output="home") as host:
        host.run(print, "from there")

        assert capsys.readouterr().out == "from there\n"


def test_log_records_come_home(bare_interpreter, caplog):
    with caplog.at_level("INFO"), elsewhere.Host(python=bare_interpreter, logging=True) as host:
        host.module("logging").getLogger("dogs").info("there are %d", 3)
        host.run(len, "")

    assert [(record.name, record.getMessage()) for record in caplog.records] == [("dogs", "there are 3")]


# ---------------------------------------------------------------- what does not start
def program(tmp_path, text):
    path = tmp_path / "python"
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_path_that_does_not_exist_is_told(tmp_path):
    with pytest.raises(elsewhere.HostStartError, match=r"there is no .*nowhere/python"):
        elsewhere.Host(python=tmp_path / "nowhere" / "python")


def test_name_that_is_not_in_path_is_told():
    with pytest.raises(elsewhere.HostStartError, match="no program 'python-of-nobody' in PATH"):
        elsewhere.Host(python="python-of-nobody")


def test_directory_is_no_interpreter_and_the_one_inside_is_named(bare_interpreter):
    environment = pathlib.Path(bare_interpreter).parent.parent

    with pytest.raises(elsewhere.HostStartError, match=f"its interpreter is {bare_interpreter}"):
        elsewhere.Host(python=environment)


def test_file_that_is_not_executable_is_told(tmp_path):
    path = program(tmp_path, "")
    path.chmod(0o644)

    with pytest.raises(elsewhere.HostStartError, match="not executable"):
        elsewhere.Host(python=path)


def test_program_that_is_no_interpreter_is_told():
    with pytest.raises(elsewhere.HostStartError, match=r"must be a CPython 3\.6 or newer"):
        elsewhere.Host(python="/bin/true")


def test_interpreter_that_dies_at_its_start_is_told_with_its_last_words(tmp_path):
    path = program(tmp_path, "#!/bin/sh\necho 'libpython is broken' >&2\nexit 3\n")

    with pytest.raises(elsewhere.HostStartError, match=r"code 3.*\n.*\nlibpython is broken") as failed:
        elsewhere.Host(python=path)

    assert failed.value.stderr_tail == "libpython is broken\n"


def test_interpreter_that_hangs_at_its_start_is_told(tmp_path):
    path = program(tmp_path, "#!/bin/sh\nexec sleep 60\n")

    with pytest.raises(elsewhere.HostStartError, match=r"was not ready after 0\.3"):
        elsewhere.Host(python=path, start_timeout=0.3)


def test_script_around_the_interpreter_that_reads_its_stdin_is_told(tmp_path):
    path = program(tmp_path, f'#!/bin/sh\nhead -c 3 >/dev/null\nexec {sys.executable} "$@"\n')

    with pytest.raises(elsewhere.HostStartError, match="something read from stdin before this host did"):
        elsewhere.Host(python=path)


def test_import_that_hangs_is_told(bare_interpreter, tmp_path):
    (tmp_path / "hanging.py").write_text("import time\ntime.sleep(60)\n")

    with pytest.raises(elsewhere.HostStartError, match="not ready in time"):
        elsewhere.Host(python=bare_interpreter, path=[tmp_path.as_posix()], preload=["hanging"], start_timeout=1)


def test_interpreter_that_is_too_old_is_told():
    old = interpreters.too_old()
    if old is None:
        pytest.skip("there is no interpreter before 3.6 on this machine")

    with pytest.raises(elsewhere.HostStartError, match=r"is too old for a host, which needs 3\.6 or newer"):
        elsewhere.Host(python=old)


@pytest.mark.parametrize("start", ["zygote", "fork", "local"])
def test_only_an_executed_host_has_another_interpreter(bare_interpreter, start):
    with pytest.raises(ValueError, match="begins with this interpreter"):
        elsewhere.Host(python=bare_interpreter, start=start)


def test_python_is_a_path():
    with pytest.raises(TypeError, match="python must be the path"):
        elsewhere.Host(python=3.8)
    with pytest.raises(ValueError, match="python must be the path"):
        elsewhere.Host(python="")


def test_source_of_the_bare_host_is_what_old_interpreters_read():
    source = pathlib.Path(elsewhere.__file__).with_name("_bare.py").read_text()

    assert ast.parse(source, feature_version=(3, 6)).body


def test_proxy_of_a_served_object_works_there_but_not_its_pickle(bare_interpreter):
    with elsewhere.serve([1, 2, 3]) as server, elsewhere.Host(python=bare_interpreter) as host:
        served = elsewhere.connect(server.address)

        assert host.run(len, served) == 3
        with pytest.raises(ModuleNotFoundError, match="elsewhere"):
            host.run(pickle.loads, pickle.dumps(served))
        assert host.run(divmod, 7, 2) == (3, 1)


def test_terminal_interrupt_is_left_to_the_owner(bare_interpreter):
    with elsewhere.Host(python=bare_interpreter) as host:
        os.kill(host.pid, signal.SIGINT)

        assert host.run(divmod, 7, 2) == (3, 1)
