"""What strangers, broken peers and other users get from a server: nothing, and nobody else notices."""

from __future__ import annotations

import os
import pickle
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import elsewhere
from conftest import open_descriptors
from kennel import Dog, error_of
from visitors import Keeper

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = b"a key that is looked for everywhere"


class Bomb:
    """Creates a file when it is unpickled."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> Any:
        return Path.touch, (self.place,)


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


def test_pickle_before_the_proof_is_never_read(server, tmp_path):
    bomb = pickle.dumps(Bomb(tmp_path / "exploded"))
    greeting = b"ELSEAUT1" + bytes(24) + os.urandom(32)

    for beginning in (b"", greeting[:40], greeting):
        with stranger(server) as raw:
            raw.sendall(beginning)
            if len(beginning) == len(greeting):
                assert raw.recv(40).startswith(b"ELSEAUT1")
            raw.sendall(bomb.ljust(4096, b"\0"))
            try:
                while raw.recv(1024):
                    pass
            except ConnectionResetError:
                pass

    assert not (tmp_path / "exploded").exists()


def test_replayed_session_is_refused(server):
    greeting = b"ELSEAUT1" + bytes(24) + os.urandom(32)
    proofs = []
    for _ in range(2):
        with stranger(server) as raw:
            raw.sendall(greeting)
            proofs.append(raw.recv(40))

    assert proofs[0] != proofs[1], "a nonce was used twice"


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


@pytest.mark.slow
def test_stranger_who_is_slow_is_cut_off_all_in_all(server):
    with stranger(server) as raw:
        raw.settimeout(0.2)
        said = None
        for byte in b"ELSEAUT1" + bytes(80):
            try:
                raw.sendall(bytes([byte]))
                said = raw.recv(1)
                break
            except TimeoutError:
                continue
            except (BrokenPipeError, ConnectionResetError):
                said = b""
                break

    assert said == b""


def test_failures_in_a_row_leave_nothing_and_are_logged_sparingly(server, caplog):
    before = len(open_descriptors())
    for _ in range(1000):
        with stranger(server) as raw:
            raw.sendall(b"ELSEAUT1" + bytes(24) + os.urandom(32))
            raw.recv(40)
            raw.sendall(os.urandom(32))
            assert raw.recv(1) == b""

    while len(open_descriptors()) > before:
        threading.Event().wait(0.001)
    assert len([record for record in caplog.records if "refused" in record.getMessage()]) < 100


def test_server_out_of_descriptors_goes_on_when_there_are_some(tmp_path):
    program = f"""
import os, resource, socket, sys, threading
sys.path.insert(0, {str(Path(__file__).parent)!r})
import elsewhere
from kennel import Dog
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
for number in taken:
    os.close(number)
assert raw.recv(1) == b"", "nobody was let in after there was room again"
raw.close()
server.close()
print("ok")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=False)

    assert done.stdout == "ok\n", done.stderr


def may_be_another_user() -> bool:
    return os.geteuid() == 0 and shutil.which("setpriv") is not None


@pytest.mark.skipif(not may_be_another_user(), reason="only root may become another user")
def test_another_user_is_refused_before_a_byte_is_read(tmp_path):
    place = Path("/tmp") / f"elsewhere-test-{os.getpid()}"
    place.mkdir(mode=0o700)
    try:
        with elsewhere.serve(Dog("rex"), place / "socket") as server:
            place.chmod(0o711)
            os.chmod(server.address, 0o666)  # somebody has opened the door; the kernel still tells who comes
            program = (
                "import socket, sys; raw = socket.socket(socket.AF_UNIX); raw.connect(sys.argv[1])\n"
                "try: print(raw.recv(1))\n"
                "except ConnectionResetError: print(b'')"
            )
            command = ["setpriv", "--reuid", "65534", "--clear-groups", "/usr/bin/env", "python3", "-c", program]
            done = subprocess.run(
                [*command, str(server.address)], capture_output=True, text=True, timeout=20, check=False
            )
            if "python3" in done.stderr:
                pytest.skip("another user has no Python here")
            stats = server.stats()
    finally:
        shutil.rmtree(place)

    assert done.stdout == "b''\n", done.stderr
    assert stats["connections"] == 0


def test_key_is_found_in_no_process(server, keeper):
    keeper.visit(server.address)
    keeper.call("bark")

    for process in (os.getpid(), elsewhere.host_of(keeper).pid):
        for name in ("cmdline", "environ", "maps"):
            assert KEY not in Path(f"/proc/{process}/{name}").read_bytes()
    assert "looked for" not in repr(server) + repr(server.address) + repr(elsewhere.host_of(keeper))


def test_key_stands_in_no_error(keeper, server):
    error = error_of(lambda: keeper.visit(str(server.address), b"another key that is looked for"))

    assert "looked for" not in repr(error) + str(error) + str(getattr(error, "__notes__", ""))


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


def test_hundred_clients_are_told_when_the_server_dies():
    program = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import elsewhere
from kennel import Dog
server = elsewhere.serve(Dog("rex")).start()
print(server.address, flush=True)
sys.stdin.read()
"""
    server = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdin is not None
    assert server.stdout is not None
    address = server.stdout.readline().strip()
    clients = []
    for _ in range(100):
        clients.append(elsewhere.connect(address))
        elsewhere._core._forget_connections()  # each of them has a connection of its own

    server.kill()
    server.wait()

    for client in clients:
        assert isinstance(error_of(client.bark), elsewhere.ConnectionLost)
    server.stdin.close()
    server.stdout.close()
