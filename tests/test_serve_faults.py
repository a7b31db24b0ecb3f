"""What strangers, broken peers and other users get from a server: nothing, and nobody else notices."""

from __future__ import annotations

import base64
import contextlib
import itertools
import logging
import os
import pickle
import pickletools
import socket
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import elsewhere
from conftest import children_of, open_descriptors
from kennel import Dog, error_of
from strangers import GREETING, Stranger
from visitors import Keeper

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = b"a key that is looked for everywhere"


@pytest.fixture
def server() -> Iterator[elsewhere.Server]:
    with elsewhere.serve(Dog("rex"), authkey=KEY) as server:
        yield server


@pytest.fixture
def keeper(process_host: elsewhere.Host) -> Keeper:
    return process_host.spawn(Keeper)


def stranger(server: elsewhere.Server) -> socket.socket:
    """A connection that nothing was said on."""
    raw = socket.socket(socket.AF_UNIX)
    raw.connect(str(server.address))
    return raw


GARBAGE = {
    "a length of 2**62": (1 << 62).to_bytes(8, "big") * 8,
    "a length of 2**31": (1 << 31).to_bytes(4, "big") * 16,
    "a length of 0": bytes(64),
    "a length of -1": b"\xff" * 64,
    "random": bytes(range(7, 256, 3)) * 12_000,
    "HTTP": b"GET / HTTP/1.1\r\nHost: elsewhere\r\n\r\n" * 4,
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
    "a frame": b"\xe0\x01\x00\x00\x01\x00\x00\x00ELSEWHER" + bytes(64),
}


@pytest.mark.parametrize("kind", GARBAGE)
def test_garbage_ends_the_stream_at_once_and_harms_nobody(server, keeper, kind):
    with stranger(server) as raw:
        try:
            raw.sendall(GARBAGE[kind])
        except (BrokenPipeError, ConnectionResetError):
            pass  # it was cut off before it had said everything
        try:
            said = raw.recv(1024)
        except ConnectionResetError:
            said = b""

    assert said == b""
    keeper.visit(server.address)
    assert keeper.call("bark") == "woof"


def test_silent_strangers_are_few_and_keep_nobody_out(server, keeper):
    before = len(open_descriptors())
    silent = [stranger(server) for _ in range(100)]

    keeper.visit(server.address)
    barked = keeper.call("bark")
    of_server = len(open_descriptors()) - before - len(silent)
    for raw in silent:
        raw.close()

    assert barked == "woof"
    assert of_server <= 66, "64 that are not proven, and one that is"
    while server.stats()["half_open"]:
        threading.Event().wait(0.001)


def resident() -> int:
    """KiB of memory that are this process's own."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["RssAnon"].split()[0])


def fail_at_the_socket(address: elsewhere.Address) -> None:
    with Stranger.at(address) as peer:
        peer.say(GREETING + os.urandom(32))
        assert len(peer.hear(40)) == 40
        peer.say(os.urandom(32))
        assert peer.hear(1) == b""


def fail_at_the_port(address: elsewhere.Address) -> None:
    with Stranger.at(address) as peer:
        peer.say(b"ELSENOI1" + bytes(24) + os.urandom(48))
        assert peer.hear(1) == b""


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize(("place", "fail"), [(None, fail_at_the_socket), ("127.0.0.1:0", fail_at_the_port)])
def test_ten_thousand_failures_in_a_row_leave_nothing_and_are_logged_once_a_second(keeper, caplog, place, fail):
    with elsewhere.serve(Dog("rex"), place, authkey=KEY) as server:
        for _ in range(2000):
            fail(server.address)
        before, memory, began = len(open_descriptors()), resident(), time.monotonic()
        failed = 0
        while failed < 10_000 or time.monotonic() - began < 3:
            fail(server.address)
            failed += 1
        took, grown = time.monotonic() - began, resident() - memory

        keeper.visit(server.address, KEY)
        assert keeper.call("bark") == "woof"
        while len(open_descriptors()) > before + 1:
            threading.Event().wait(0.001)

    at = [record.created for record in caplog.records if "refused" in record.getMessage()]
    assert 3 <= len(at) <= took + 4
    assert all(later - earlier > 0.9 for earlier, later in itertools.pairwise(at))
    assert grown < 1024


def test_server_out_of_descriptors_says_so_and_goes_on_when_there_are_some(tmp_path):
    program = f"""
import logging, os, resource, socket, sys, threading
sys.path.insert(0, {str(Path(__file__).parent)!r})
import elsewhere
from kennel import Dog
told = threading.Event()
class Told(logging.Handler):
    def emit(self, record):
        print(record.getMessage(), flush=True)
        told.set()
logging.getLogger("elsewhere").addHandler(Told())
server = elsewhere.serve(Dog("rex"), {str(tmp_path / "place")!r}).start()
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
taken = []
try:
    while True:
        taken.append(os.open("/dev/null", os.O_RDONLY))
except OSError:
    pass
os.close(taken.pop())
raw = socket.socket(socket.AF_UNIX)
raw.connect(str(server.address))
raw.sendall(b"x" * 64)
told.wait()
for number in taken:
    os.close(number)
assert raw.recv(1) == b"", "nobody was let in after there was room again"
raw.close()
server.close()
print("ok")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=False)

    said, *_, last = done.stdout.splitlines()
    assert "there is no room for connections (Too many open files" in said, done.stderr
    assert last == "ok"


def processes_below(process: int) -> set[int]:
    """The process and all that it has started, and those have."""
    return {process}.union(*map(processes_below, children_of(process)))


class Parent(Keeper):
    """Has in its process a host and a program of its own."""

    def raise_child(self, address: elsewhere.Address, key: bytes, start: str) -> int:
        """Have a host and let somebody in it connect; gives its process id."""
        self.host = elsewhere.Host(start=start, name="child")
        self.child = self.host.spawn(Keeper)
        return self.child.visit(address, key)

    def start_program(self) -> int:
        """Start a program that gets whatever it may get; gives its process id."""
        program = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.program = subprocess.Popen(program, close_fds=False, **pipes)
        self.program.stdout.readline()
        return self.program.pid

    def grant(self) -> bytes:
        """The pickle of a proxy that the child has."""
        return self.child.use(lambda proxy: pickle.dumps(proxy))

    def fail_in_child(self, address: str, key: bytes) -> list[str]:
        """The tracebacks of what goes wrong there, and what these errors have besides."""
        logging.getLogger().setLevel(1)
        errors = [error_of(lambda: self.child.visit(address, key)), error_of(lambda: self.child.call("fail", "no"))]
        errors.append(error_of(lambda: self.host.run(os.abort)))
        return ["".join(traceback.format_exception(error)) + str(vars(error)) for error in errors]

    def end(self) -> None:
        """End both."""
        self.program.communicate()
        self.host.close()


def bark_of(data: bytes) -> str:
    """Use the proxy that this is the pickle of."""
    return pickle.loads(data).bark()


def seen_from_outside(process: int) -> bytes:
    """All that others may read of a process without stopping it."""
    place = Path(f"/proc/{process}")
    said = [(place / name).read_bytes() for name in ("cmdline", "environ", "maps", "comm")]
    said += [task.joinpath("comm").read_bytes() for task in (place / "task").iterdir()]
    for entry in (place / "fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # it was closed meanwhile
            said.append(os.readlink(entry).encode())
    return b"\n".join(said)


def secrets_of(data: bytes) -> list[bytes]:
    """What the pickle of a proxy has of its grant."""
    return [value for _, value, _ in pickletools.genops(data) if isinstance(value, bytes)]


def forms(secret: bytes) -> list[bytes]:
    """How it may stand in a text."""
    shown = [secret, secret.hex().encode(), repr(secret)[2:-1].encode(), base64.b64encode(secret)]
    return [form for form in shown if form]


@pytest.mark.parametrize("start", ["exec", "zygote"])
def test_key_and_grants_are_seen_in_no_process_and_said_by_none(server, caplog, capfd, start):
    """Neither in those that we started nor in those that these have."""
    wrong = b"another key that is looked for"
    with caplog.at_level(1), elsewhere.Host(start=start, name="parent") as host:
        parent = host.spawn(Parent)
        parent.visit(server.address, KEY)
        below = {parent.raise_child(server.address, KEY, start), parent.start_program(), host.pid}
        granted, used = parent.grant(), parent.grant()
        assert host.run(bark_of, used) == "woof"
        secrets = [KEY, wrong, *secrets_of(granted), *secrets_of(used)]

        everybody = processes_below(os.getpid())
        assert below < everybody
        seen = b"".join(seen_from_outside(process) for process in everybody)
        texts = parent.fail_in_child(str(server.address), wrong)
        parent.end()

    assert [form for form in forms(KEY) if form in granted or form in used] == []
    said = capfd.readouterr()
    told = "".join([*texts, caplog.text, said.out, said.err]).encode()
    assert b"authentication failed" in told
    assert b"SIGABRT" in told or b"Aborted" in told
    assert len(secrets) > 3
    for secret in secrets:
        assert [form for form in forms(secret) if form in seen or form in told] == []


def test_key_stands_in_no_text_about_what_has_it(server):
    address = server.address
    texts = [repr(server), str(server), repr(address), str(address), f"{address!r:>80}", os.fspath(address)]
    texts += [repr(elsewhere.reserve(authkey=KEY)), repr([address]), repr(vars(server))]

    assert "looked for" not in "".join(texts)


def test_key_stands_in_no_pickle_and_no_copy_by_accident(server, keeper):
    keeper.visit(server.address, KEY)

    data = keeper.use(lambda proxy: pickle.dumps(proxy))

    assert KEY not in data
    with pytest.raises(TypeError, match="key"):
        pickle.dumps(server.address)
    with pytest.raises(TypeError):
        pickle.dumps(server)


def test_key_and_grant_stand_in_no_error_and_no_log(server, keeper, caplog):
    wrong = b"another key that is looked for"
    keeper.visit(server.address, KEY)
    grant = pickletools.genops(keeper.use(lambda proxy: pickle.dumps(proxy)))
    tokens = [value for _, value, _ in grant if isinstance(value, bytes)]
    with caplog.at_level(1):
        errors = [error_of(lambda: keeper.visit(str(server.address), wrong))]
        with pytest.raises(elsewhere.AuthenticationError) as caught:
            elsewhere.connect(str(server.address), authkey=wrong)
        errors += [caught.value, error_of(lambda: keeper.call("fail", ValueError("no")))]
        while not caplog.records:
            threading.Event().wait(0.001)

    texts = [caplog.text, *("".join(traceback.format_exception(error)) for error in errors)]
    texts += [str(vars(error)) for error in errors]
    assert tokens
    for secret in (KEY, wrong, *tokens):
        assert secret.decode("latin-1") not in "".join(texts)
        assert secret.hex() not in "".join(texts)


def test_wrong_keys_are_refused_in_the_same_words(server, keeper):
    keys = [b"x" * 16, b"x" * 4096, KEY[:-1] + b"x", KEY + b"x", None]

    errors = [error_of(lambda key=key: keeper.visit(str(server.address), key)) for key in keys]

    assert {type(error) for error in errors} == {elsewhere.AuthenticationError}
    assert len({str(error) for error in errors}) == 1


@pytest.mark.parametrize(
    ("key", "kind"), [(b"", ValueError), (b"short", ValueError), ("a" * 20, TypeError), (7, TypeError)]
)
def test_key_that_is_none_is_refused_before_anything_is_done(key, kind, tmp_path):
    for use in (
        elsewhere.connect,
        elsewhere.reserve,
        lambda place, authkey: elsewhere.serve([], place, authkey=authkey),
    ):
        with pytest.raises(kind) as caught:
            use(tmp_path / "place", authkey=key)
        assert "short" not in str(caught.value)
        assert "aaaa" not in str(caught.value)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_thousand_idle_connections_cost_a_descriptor_and_a_few_kilobytes_each():
    program = f"""
import os, resource, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import elsewhere
from kennel import Dog
resource.setrlimit(resource.RLIMIT_NOFILE, (2048, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
server = elsewhere.serve(Dog("rex")).start()
print(server.address, flush=True)
for _ in sys.stdin:
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    print(int(status["RssAnon"].split()[0]), len(os.listdir("/proc/self/fd")), int(status["Threads"]), flush=True)
"""
    visitor = """
import resource, sys
import elsewhere
resource.setrlimit(resource.RLIMIT_NOFILE, (2048, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
held = []
for count in (50, 1000):
    for _ in range(count):
        held.append(elsewhere.connect(sys.argv[1]))
        elsewhere._core._forget_connections()
    print(count, flush=True)
    sys.stdin.readline()
"""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with (
        subprocess.Popen([sys.executable, "-c", program], **pipes) as server,
        subprocess.Popen([sys.executable, "-c", visitor, server.stdout.readline().strip()], **pipes) as client,
    ):
        seen = []
        for _ in range(2):
            assert client.stdout.readline()
            server.stdin.write("look\n")
            server.stdin.flush()
            seen.append([int(figure) for figure in server.stdout.readline().split()])
            client.stdin.write("go on\n")
            client.stdin.flush()
        server.stdin.close()

    (memory, descriptors, threads), (memory_later, descriptors_later, threads_later) = seen
    assert descriptors_later - descriptors == 1000
    assert threads_later == threads
    assert (memory_later - memory) / 1000 <= 8.0, "KiB for each connection"
