"""Servers, clients and owners that die: everybody is told at once, and nothing is left of them."""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import signal
import subprocess
import sys
import threading
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import elsewhere
from kennel import Dog, error_of
from visitors import KEY, Keeper

if TYPE_CHECKING:
    from collections.abc import Iterator

TESTS = str(Path(__file__).parent)


class Kennel:
    """What is held of it, is seen when it goes."""

    def __init__(self) -> None:
        self.dogs = [Dog(f"dog {number}") for number in range(5)]
        self.lock = threading.Lock()
        self.is_left = threading.Event()
        self.entered = 0
        self.gate = threading.Event()

    def take(self) -> Dog:
        return elsewhere.ref(self.dogs.pop())

    def count(self) -> Iterator[int]:
        try:
            number = 0
            while True:
                yield number
                number += 1
        finally:
            self.is_left.set()

    def wait(self) -> None:
        self.entered += 1
        self.gate.wait()


class Hoarder(Keeper):
    """Takes what it can get, and keeps it."""

    def take_all(self) -> None:
        """In a thread: what it waits for is not for the thread to run that waits for this."""
        thread = threading.Thread(target=self._take_all)
        thread.start()
        thread.join()

    def _take_all(self) -> None:
        kennel = self.held[0]
        self.dogs = [kennel.take() for _ in range(5)]
        self.items = elsewhere.stream(kennel.count)
        kennel.lock.acquire()
        self.first = elsewhere.ref(kennel.dogs)
        self.waiting = elsewhere.submit(kennel.lock.acquire)
        next(self.items)


@pytest.fixture
def kennel() -> Iterator[Kennel]:
    kennel = Kennel()
    yield kennel
    kennel.gate.set()


@contextlib.contextmanager
def doomed(place: str, *, key: bytes | None = None, limits: str = "") -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process that serves a dog and is to be killed, and where it serves."""
    program = f"""
import sys
sys.path.insert(0, {TESTS!r})
import elsewhere
from kennel import Dog
from test_serve_faults_deaths import Kennel
server = elsewhere.serve(Kennel(), {place!r} or None, authkey={key!r}, concurrency=200).start()
{limits}
print(server.address, flush=True)
sys.stdin.read()
"""
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", program], text=True, **pipes) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def own_connection(address: object, key: bytes | None = None) -> Any:
    """A connection that nobody else uses."""
    client = elsewhere.connect(str(address), authkey=key)
    elsewhere._core._forget_connections()
    return client


@pytest.mark.parametrize("place", ["", "127.0.0.1:0"])
def test_hundred_clients_with_calls_are_told_at_once_when_the_server_is_killed(place):
    key = KEY if place else None
    with doomed(place, key=key) as (server, address):
        clients = [own_connection(address, key) for _ in range(100)]
        waiting = [elsewhere.submit(client.wait) for client in clients]
        while elsewhere.get(clients[0].entered) < 100:
            pass

        server.kill()
        errors = [call.exception() for call in waiting]
        later = [error_of(client.wait) for client in clients]

    assert {type(error) for error in errors + later} == {elsewhere.ConnectionLost}
    assert {error.outcome for error in errors} == {"unknown"}
    assert {error.outcome for error in later} == {"not_started"}


def test_client_that_is_killed_gives_everything_back(kennel):
    dogs = [weakref.ref(dog) for dog in kennel.dogs]
    with elsewhere.serve(kennel, concurrency=3) as server, elsewhere.Host() as host:
        hoarder = host.spawn(Hoarder)
        hoarder.visit(server.address)
        hoarder.take_all()
        while server.stats()["exports"] < 6:
            threading.Event().wait(0.001)
        assert all(dog() is not None for dog in dogs)

        os.kill(host.pid, signal.SIGKILL)
        kennel.is_left.wait()
        while server.stats()["connections"]:
            threading.Event().wait(0.001)
        kennel.lock.release()  # nobody knows that it was a client's: it stays as it is

        assert server.stats() == {"connections": 0, "half_open": 0, "waiting": 0, "exports": 0}
    assert [dog() for dog in dogs] == [None] * 5


def test_clients_that_are_killed_at_any_moment_leave_nothing(kennel):
    with elsewhere.serve(kennel, concurrency=3) as server:
        for _ in range(10):
            host = elsewhere.Host()
            keeper = host.spawn(Keeper)
            visiting = elsewhere.submit(keeper.visit, server.address)
            os.kill(host.pid, signal.SIGKILL)
            visiting.exception()
            host.close()

        while server.stats()["connections"] or server.stats()["half_open"]:
            threading.Event().wait(0.001)

        assert server.stats()["exports"] == 0


def test_pickle_of_a_proxy_whose_owner_was_killed_is_an_error_at_once():
    with doomed("") as (server, address):
        client = own_connection(address)
        data = pickle.dumps(client)
        server.kill()
        server.wait()

        error = error_of(lambda: pickle.loads(data))

    assert isinstance(error, elsewhere.ConnectionLost)
    assert error.outcome == "not_started"


def test_pickle_of_a_proxy_means_nothing_to_the_owners_successor(tmp_path):
    tmp_path.chmod(0o700)
    place = str(tmp_path / "socket")
    with doomed(place) as (server, address):
        data = pickle.dumps(own_connection(address))
        server.kill()
        server.wait()

    with doomed(place):
        error = error_of(lambda: pickle.loads(data))

    assert isinstance(error, elsewhere.ObjectGone)


def test_name_of_a_killed_server_is_taken_away_by_the_next_client():
    with doomed("") as (server, address):
        server.kill()
        server.wait()
        assert Path(address).is_socket()

        error = error_of(lambda: elsewhere.connect(address))

    assert isinstance(error, elsewhere.ConnectionLost)
    assert "nobody serves" in str(error)
    assert not Path(address).exists()


def test_name_of_a_killed_server_is_taken_away_by_the_next_server():
    with doomed("") as (server, dead), doomed("") as (_, alive):
        server.kill()
        server.wait()
        with doomed("") as (_, other):
            names = {Path(place).exists() for place in (alive, other)}

        assert not Path(dead).exists()
        assert names == {True}
        assert own_connection(alive).take().name == "dog 4"


def test_name_that_a_user_chose_is_left_for_its_server(tmp_path):
    tmp_path.chmod(0o700)
    place = tmp_path / "dogs"
    with doomed(str(place)) as (server, _):
        server.kill()
        server.wait()
    error_of(lambda: elsewhere.connect(place))
    assert place.is_socket()

    with elsewhere.serve(Dog("rex"), place):
        assert place.is_socket()

    assert not place.exists()


def test_servers_that_begin_at_one_place_at_once_are_one(tmp_path):
    """Also where a dead one has left its name."""
    tmp_path.chmod(0o700)
    place = tmp_path / "dogs"
    with doomed(str(place)) as (server, _):
        server.kill()
        server.wait()
    servers: list[elsewhere.Server] = []
    errors: list[BaseException] = []
    start = threading.Barrier(8)

    def begin() -> None:
        start.wait()
        try:
            servers.append(elsewhere.serve(Dog("rex"), place))
        except OSError as error:
            errors.append(error)

    threads = [threading.Thread(target=begin) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for server_ in servers:
        server_.close()

    assert len(servers) == 1
    assert [f"process {os.getpid()}" in str(error) for error in errors] == [True] * 7


@pytest.mark.parametrize("kind", ["file", "link to a file", "link to nothing", "directory"])
def test_what_is_no_socket_is_never_replaced(tmp_path, kind):
    tmp_path.chmod(0o700)
    place, file = tmp_path / "dogs", tmp_path / "file"
    file.write_text("precious")
    if kind == "file":
        place.write_text("precious")
    elif kind == "directory":
        place.mkdir()
    else:
        place.symlink_to(file if kind == "link to a file" else tmp_path / "nothing")
    before = place.lstat()

    with pytest.raises(OSError, match="no socket"):
        elsewhere.serve(Dog("rex"), place)

    assert place.lstat() == before
    assert file.read_text() == "precious"


LITTLE_MEMORY = """
import resource
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (100 << 20), resource.RLIM_INFINITY))
"""


@pytest.mark.parametrize("place", ["", "127.0.0.1:0"])
def test_message_for_which_there_is_no_memory_is_an_error_of_its_call_alone(place):
    key = KEY if place else None
    with doomed(place, key=key, limits=LITTLE_MEMORY) as (server, address):
        client, other = own_connection(address, key), own_connection(address, key)

        error = error_of(lambda: elsewhere.submit(client.dogs.append, "x" * (300 << 20)).result())
        names = [elsewhere.get(one.take().name) for one in (client, other)]

        assert server.poll() is None

    assert isinstance(error, elsewhere.ArgumentError)
    assert (error.outcome, "memory" in str(error)) == ("not_started", True)
    assert names == ["dog 4", "dog 3"]


def test_memory_of_a_client_for_which_there_is_no_room_is_an_error_of_its_call_alone():
    with doomed("", limits=LITTLE_MEMORY) as (server, address):
        client = own_connection(address)

        error = error_of(lambda: elsewhere.submit(client.dogs.append, b"x" * (300 << 20)).result())
        name = elsewhere.get(client.take().name)

        assert server.poll() is None

    assert isinstance(error, elsewhere.ArgumentError)
    assert "could not be mapped here" in str(error)
    assert name == "dog 4"


@contextlib.contextmanager
def as_another_user(program: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A process that imports what it needs and then becomes somebody else."""
    begin = f"import os, socket, sys; sys.path.insert(0, {TESTS!r}); import elsewhere; os.setgroups([])\n"
    change = "os.setgid(65534); os.setuid(65534)\n"
    command = [sys.executable, "-c", begin + change + program, *arguments]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as process:
        yield process


CONNECT = """
try:
    elsewhere.connect(sys.argv[1])
except elsewhere.ElsewhereError as error:
    print(type(error).__name__, error.outcome, error)
"""
ROOT_ALONE = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")


@ROOT_ALONE
def test_another_user_does_not_get_through_the_directory():
    with elsewhere.serve(Dog("rex")) as server, as_another_user(CONNECT, str(server.address)) as process:
        said, _ = process.communicate()
        stats = server.stats()

    assert said.startswith("AuthenticationError not_started")
    assert "may not go" in said
    assert stats["half_open"] == 0


@pytest.fixture
def public(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A directory that everybody may go through, but nobody else may write to."""
    del request
    place = Path("/tmp") / f"elsewhere-test-{os.getpid()}"
    place.mkdir(mode=0o700)
    yield place
    for left in place.iterdir():
        left.unlink()
    place.rmdir()


@ROOT_ALONE
def test_another_user_is_refused_by_who_he_is(public, caplog):
    with elsewhere.serve(Dog("rex"), public / "socket") as server:
        public.chmod(0o711)
        os.chmod(server.address, 0o666)  # somebody has opened the door; the kernel still tells who comes
        with caplog.at_level(logging.WARNING), as_another_user(CONNECT, str(server.address)) as process:
            said, _ = process.communicate()
            while not caplog.records:
                threading.Event().wait(0.001)
        stats = server.stats()
        public.chmod(0o700)

    assert said.startswith("AuthenticationError not_started")
    assert "user 65534" in caplog.text
    assert stats["connections"] == stats["half_open"] == 0


@ROOT_ALONE
def test_server_of_another_user_is_told_nothing(public):
    program = """
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
os.chmod(sys.argv[1], 0o777)
listener.listen()
print("ready", flush=True)
raw, _ = listener.accept()
print(raw.recv(100))
"""
    public.chmod(0o777)
    with as_another_user(program, str(public / "socket")) as process:
        assert process.stdout is not None
        process.stdout.readline()
        error = error_of(lambda: elsewhere.connect(public / "socket", authkey=KEY))
        said, _ = process.communicate()

    assert isinstance(error, elsewhere.AuthenticationError)
    assert "another user" in str(error)
    assert said == "b''\n"
