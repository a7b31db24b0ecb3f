"""What all tests share: a host over each transport, and the proof after each test that nothing is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import os
import signal
import sys
import sysconfig
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import elsewhere
import interpreters
from ledgers import Ledger
from workshop import kept_busy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from heaps import Heap

TRANSPORTS = ("exec", "zygote", "local")
"""Without "zygote" among them, a host that is started without a word about how is executed, too. With "socket",
executed hosts that share no memory, none of the others does either. "bare" are hosts in an interpreter that does not
have the package."""
TESTS = str(Path(__file__).parent)
PATIENCE = 5.0
"""Seconds that what a test used may take to go away; a leak stays."""

PPOLL = {"x86_64": "271", "aarch64": "73"}
"""The number of ppoll(2)."""
EVENT = "anon_inode:[eventfd]"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--transports", default=",".join(TRANSPORTS), help="the kinds of hosts that tests are run over, with commas"
    )

    parser.addoption(
        "--interpreters",
        default="some",
        choices=["some", "all"],
        help="in which other interpreters hosts are tested: the oldest here and this one, or all",
    )


def pytest_configure(config: pytest.Config) -> None:
    transports = config.getoption("--transports").split(",")
    # Ignored by who started this run in the background, or by nohup; programs of tests would inherit that.
    for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, usual)
    elsewhere._host.AUTO = "zygote" if "zygote" in transports else "exec"
    if "socket" in transports:
        elsewhere._core.share_memory(False)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "host" in metafunc.fixturenames and "host" not in metafunc.module.__dict__:
        metafunc.parametrize("host", metafunc.config.getoption("--transports").split(","), indirect=True)

    if "python" in metafunc.fixturenames:
        wanted = interpreters.NAMES if metafunc.config.getoption("--interpreters") == "all" else interpreters.some()
        metafunc.parametrize("python", wanted, indirect=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    reason = pytest.mark.skip(reason="the host does not have the package, which this test uses there")
    for item in items:
        is_bare = getattr(item, "callspec", None) is not None and item.callspec.params.get("host") == "bare"
        if is_bare and item.get_closest_marker("package_there"):
            item.add_marker(reason)


@pytest.fixture
def host(request: pytest.FixtureRequest) -> Iterator[elsewhere.Host]:
    """A host of each kind, closed at the end."""
    if request.param == "bare":
        path = [TESTS, request.getfixturevalue("other_packages")]
        made = elsewhere.Host(python=request.getfixturevalue("bare_interpreter"), path=path)
    else:
        made = elsewhere.Host(start="exec" if request.param == "socket" else request.param)
    with made as host:
        yield host


@pytest.fixture(scope="session")
def bare_interpreter(tmp_path_factory: pytest.TempPathFactory) -> str:
    """This interpreter in a virtual environment of its own, where nothing is installed."""
    return interpreters.in_empty_environment(sys.executable, tmp_path_factory.mktemp("bare"))


@pytest.fixture(scope="session")
def other_packages(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A directory with the packages that are installed for the tests, but for ours."""
    directory = tmp_path_factory.mktemp("packages")
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if not entry.name.startswith("elsewhere") and entry.suffix != ".pth":
            (directory / entry.name).symlink_to(entry)
    return str(directory)


@pytest.fixture(scope="session")
def oldest() -> str:
    """The oldest interpreter here, which is another version than this one."""
    python = interpreters.installed().get(interpreters.some()[0])
    if python is None or interpreters.some()[0] == interpreters.HERE or python == sys.executable:
        pytest.skip("there is no other interpreter here")
    return python


@pytest.fixture
def process_host() -> Iterator[elsewhere.Host]:
    """A host in a process of its own."""
    with elsewhere.Host() as host:
        yield host


@pytest.fixture
def home(process_host: elsewhere.Host) -> elsewhere.Host:
    """The same, where what others are given lives."""
    return process_host


@pytest.fixture(scope="module")
def two_hosts() -> Iterator[list[elsewhere.Host]]:
    """Two more, for all tests of a module."""
    with elsewhere.Host() as first, elsewhere.Host() as second:
        yield [first, second]


@pytest.fixture(scope="module")
def worker_of_all() -> Iterator[Any]:
    """An actor of uactor's dialect, for all tests of a module."""
    staff = importlib.import_module("uactor_staff")  # beside those tests, and needed by them alone
    with staff.Worker() as worker:
        yield worker


@pytest.fixture
def worker(worker_of_all: Any) -> Any:
    """The same, which knows of nothing."""
    worker_of_all.forget()
    return worker_of_all


@pytest.fixture
def shares_memory(request: pytest.FixtureRequest) -> None:
    """For tests of what only hosts do that are reached through shared memory."""
    if "socket" in request.config.getoption("--transports").split(","):
        pytest.skip("hosts share no memory in this run")


@pytest.fixture(params=[True, False], ids=["memory", "socket"])
def shares(request: pytest.FixtureRequest) -> Iterator[bool]:
    """Whether hosts that are executed from here on share memory with this process."""
    usual = "socket" not in request.config.getoption("--transports").split(",")
    if request.param and not usual:
        pytest.skip("hosts share no memory in this run")
    elsewhere._core.share_memory(request.param)
    yield request.param
    elsewhere._core.share_memory(usual)


@pytest.fixture
def heap(host: elsewhere.Host) -> Heap:
    """Keeps arrays, in a host of each kind."""
    from heaps import Heap  # noqa: PLC0415 - numpy takes a moment, and most files of tests need none

    return host.spawn(Heap)


@pytest.fixture
def far_heap(process_host: elsewhere.Host) -> Heap:
    """The same in a process of its own."""
    from heaps import Heap  # noqa: PLC0415 - numpy takes a moment, and most files of tests need none

    return process_host.spawn(Heap)


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    """What tests of networks serve. In the end nobody waits at its gate."""
    ledger = Ledger()
    yield ledger
    ledger.gate.set()


@pytest.fixture
def gate(tmp_path: Path) -> str:
    """A file that is opened for reading by who waits, in whatever process, until it is opened for writing."""
    path = tmp_path / "gate"
    os.mkfifo(path)
    return str(path)


def open_descriptors() -> dict[int, str]:
    """Every open descriptor and what it is, but for those that the listing itself needs."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:
            continue
    return found


def children() -> set[int]:
    """The process ids of this process's children. Not of its zygotes, which stay, but of their children, the hosts."""
    zygotes = {pid for pid, _ in elsewhere._core._zygotes()}
    return (children_of("self") - zygotes).union(*map(children_of, zygotes))


def children_of(process: int | str, *, spares: bool = False) -> set[int]:
    """The process ids of the children of any process; of a zygote its hosts, or with `spares` what is none yet."""
    found: set[int] = set()
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ended meanwhile
        for task in os.listdir(f"/proc/{process}/task"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                found.update(int(pid) for pid in Path(f"/proc/{process}/task/{task}/children").read_text().split())
    # A zygote has that name, too, at the moment in which it forks one.
    zygotes = {pid for pid, _ in elsewhere._core._zygotes()}
    return {pid for pid in found if (pid not in zygotes and is_called_spare(pid)) == spares}


def is_called_spare(process: int) -> bool:
    """Whether a process has the name of those that a zygote has forked before a host is wanted."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ended meanwhile
        return Path(f"/proc/{process}/comm").read_text() == "elsewhere-spare\n"
    return False


def retire_zygotes() -> None:
    """Let every zygote end, and wait until those without hosts are gone: the next host is forked by a new one."""
    elsewhere._core._retire_zygotes()
    deadline = time.monotonic() + PATIENCE
    while any(not children_of(pid) for pid, _ in elsewhere._core._zygotes()) and time.monotonic() < deadline:
        threading.Event().wait(0.001)


def threads() -> set[str]:
    """The names of Python's threads, without those that stay for the process's life."""
    return {thread.name for thread in threading.enumerate() if thread.name != "elsewhere-service"}


def shared_memory() -> set[str]:
    """What lies in shared memory, but for what multiprocessing makes, perhaps of another program of this machine."""
    return {name for name in os.listdir("/dev/shm") if not name.startswith(("sem.", "psm_"))}


def ending_threads() -> set[int]:
    """The threads of the system that Python has no more, or never had: those that were joined end a moment later."""
    known = {thread.native_id for thread in threading.enumerate()}
    return {int(task) for task in os.listdir("/proc/self/task")} - known


def _without(before: dict[str, Any], after: dict[str, Any], ended: int) -> dict[str, Any]:
    """`before` without the eventfds that went with so many threads that were ending then, each of which had one."""
    descriptors = list(before["descriptors"])
    for _ in range(min(ended, descriptors.count(EVENT) - after["descriptors"].count(EVENT))):
        descriptors.remove(EVENT)
    return {**before, "descriptors": descriptors}


def _footprint() -> dict[str, Any]:
    zygotes, descriptors = None, {}
    while zygotes != elsewhere._core._zygotes():  # one may end just now
        zygotes, descriptors = elsewhere._core._zygotes(), open_descriptors()
    of_zygotes = {number for _, numbers in zygotes for number in numbers}
    return {
        "descriptors": sorted(
            kind.partition(":")[0] if not kind.startswith("anon") else kind
            for number, kind in descriptors.items()
            if number not in of_zygotes
        ),
        "children": children(),
        "threads": threads(),
        "shared memory": shared_memory(),
    }


def _footprint_at_rest() -> tuple[dict[str, Any], set[int]]:
    """The same while no thread passes calls on, and the threads that are ending.

    One that passes them on stays a moment for the next, and may begin late: what the test before has let go of, hosts
    tell each other by way of this process. The service thread, which may have begun just now, sleeps.
    """
    deadline = time.monotonic() + PATIENCE
    while True:
        relays = [thread for thread in threading.enumerate() if thread.name.startswith("elsewhere-relay")]
        for thread in relays:
            thread.join(PATIENCE)
        if not _service_sleeps() and time.monotonic() < deadline:
            threading.Event().wait(0.001)
            continue
        ending = ending_threads()
        found = _footprint()
        if not any(name.startswith("elsewhere-relay") for name in threads()) or time.monotonic() > deadline:
            return found, ending


def _service_sleeps() -> bool:
    """Whether the service thread has come to where it sleeps, with a descriptor of its own; also where there is none.

    A fork of this process replaces it.
    """
    for thread in threading.enumerate():
        if thread.name == "elsewhere-service":
            try:
                call = Path(f"/proc/self/task/{thread.native_id}/syscall").read_text().partition(" ")[0]
            except PermissionError:
                return True  # it cannot be seen here
            except OSError:
                return False  # it has not begun
            return call == PPOLL.get(os.uname().machine, call)
    return True


@pytest.fixture(scope="session", autouse=True)
def _warm_up() -> None:
    """Start what stays for the process's life: watch thread, service thread, local event loop, their descriptors."""
    with elsewhere.Host() as host:
        proxy = host.spawn(dict)
        done = threading.Event()
        with kept_busy(host):
            elsewhere.submit(proxy.update, a=1).add_done_callback(lambda _: done.set())
        done.wait()
        host.run(time.sleep, 0.01)  # longer than a thread looks for its answer: this one has a place to sleep, then
    with elsewhere.Host(start="local") as host:
        host.run(asyncio.sleep, 0)
    gc.collect()
    gc.freeze()  # what is loaded by now is not looked through twice for each test


@pytest.fixture(autouse=True)
def nothing_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """After each test descriptors, children, threads and shared memory are what they were before."""
    gc.collect()
    before, ending = _footprint_at_rest()
    yield
    deadline = time.monotonic() + PATIENCE
    while True:
        gc.collect()
        after = _footprint()
        if after == before or after == _without(before, after, len(ending - ending_threads())):
            return
        if time.monotonic() > deadline:
            changed = {key: (before[key], after[key]) for key in before if before[key] != after[key]}
            pytest.fail(f"left behind: {changed}")
        threading.Event().wait(0.01)
