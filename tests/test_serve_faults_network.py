"""Networks that fail: a machine that vanishes, cut and reset connections, names that are not found.

Partitions are real: each is made in a network of its own, which the program that the test starts makes, by taking its
only link down.
"""

from __future__ import annotations

import contextlib
import ctypes
import socket
import struct
import threading
from typing import TYPE_CHECKING, Any

import pytest

import elsewhere
from chaos import DOWN, UP, Between
from kennel import error_of
from ledgers import Ledger, connect, serve
from programs import apart
from visitors import KEY

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def server(ledger: Ledger) -> Iterator[elsewhere.Server]:
    with serve(ledger, concurrency=2) as server:
        yield server


PARTITION = """
from ledgers import Ledger
from visitors import KEY

class Shelf(Ledger):
    def take(self):
        return elsewhere.ref(Ledger())

shelf = Shelf()
server = elsewhere.serve(shelf, "0.0.0.0:0", authkey=KEY, concurrency=2).start()
port = str(server.address).rpartition(":")[2]
client = elsewhere.connect("127.0.0.1:" + port, authkey=KEY)

def ends():
    for name in os.listdir("/proc/self/fd"):
        try:
            if not os.readlink("/proc/self/fd/" + name).startswith("socket:"):
                continue
        except FileNotFoundError:
            continue
        with socket.socket(fileno=os.dup(int(name))) as end:
            try:
                end.getpeername()
            except OSError:
                continue
            if end.family == socket.AF_INET:
                yield end

def resent(end):
    return end.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 8)[2]
"""


def test_short_partition_is_only_a_delay():
    said = apart(
        PARTITION
        + """
client.write(0)
link(False)
waiting = elsewhere.submit(client.write, 1)
while not any(resent(end) for end in ends()):
    threading.Event().wait(0.001)
print(waiting.done(), shelf.lines)
link(True)
print(waiting.result(), client.write(2), shelf.lines)
server.close()
"""
    )

    assert said == ["False [0]", "2 3 [0, 1, 2]"]


def test_long_partition_ends_the_calls_on_one_side_and_frees_objects_on_the_other():
    """With times that are shorter than ours: nothing is sent on the client's side, and something on the server's."""
    said = apart(
        PARTITION
        + """
taken = client.take()
waiting = elsewhere.submit(client.wait)
while not shelf.entered.wait(0.001):
    waiting.done()
for end in ends():
    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1)
    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1000)
print(server.stats())
link(False)
shelf.gate.set()
error = waiting.exception()
print(type(error).__name__, error.outcome)
print(error)
while server.stats()["connections"] or server.stats()["waiting"]:
    threading.Event().wait(0.001)
print(server.stats())
link(True)
print(elsewhere.connect("127.0.0.1:" + port, authkey=KEY).write(1))
server.close()
"""
    )

    before, kind, text, after, again = said
    assert before == "{'connections': 1, 'half_open': 0, 'waiting': 0, 'exports': 2}"
    assert kind == "ConnectionLost unknown"
    assert "may still be running" in text
    assert after == "{'connections': 0, 'half_open': 0, 'waiting': 0, 'exports': 0}"
    assert again == "1"


def test_both_ends_look_after_each_other_with_the_times_that_are_promised():
    said = apart(
        PARTITION
        + """
for end in ends():
    options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)
    options += (socket.TCP_NODELAY,)
    print(end.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
          *[end.getsockopt(socket.IPPROTO_TCP, option) for option in options])
server.close()
"""
    )

    assert said == ["1 5 5 2 15000 1"] * 2


def test_name_that_is_looked_up_for_ever_is_given_up_in_time(tmp_path):
    file = tmp_path / "resolv.conf"
    file.write_text("nameserver 127.0.0.1\noptions timeout:30\n")
    said = apart(f"""
import ctypes
private, bind = 1 << 14 | 1 << 18, 1 << 12
assert libc.mount(b"none", b"/", None, ctypes.c_ulong(private), None) == 0
assert libc.mount({str(file)!r}.encode(), b"/etc/resolv.conf", None, ctypes.c_ulong(bind), None) == 0
silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
silent.bind(("127.0.0.1", 53))
try:
    elsewhere.connect("box.example:4711", authkey=bytes(16), timeout=0.3)
except elsewhere.ElsewhereError as error:
    print(type(error).__name__, error.outcome)
print(b"box" in silent.recv(512))
""")

    assert said == ["CallTimeout not_started", "True"]


def test_name_that_there_is_not_is_an_error_at_once():
    said = apart("""
try:
    elsewhere.connect("no-such-box.invalid:4711", authkey=bytes(16))
except elsewhere.ElsewhereError as error:
    print(type(error).__name__, error.outcome)
""")

    assert said == ["ConnectionLost not_started"]


def test_machine_to_which_there_is_no_way_is_an_error_at_once():
    said = apart("""
try:
    elsewhere.connect("10.255.255.1:4711", authkey=bytes(16))
except elsewhere.ElsewhereError as error:
    print(type(error).__name__, error.outcome, "10.255.255.1:4711" in str(error))
""")

    assert said == ["ConnectionLost not_started True"]


def test_port_that_swallows_what_is_sent_is_given_up_in_time():
    """Nobody accepts there, and no more may wait: a further handshake of TCP is dropped without a word."""
    with socket.socket() as listener, contextlib.ExitStack() as stack:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filling = stack.enter_context(socket.socket())
            filling.setblocking(False)
            filling.connect_ex(listener.getsockname())

        error = error_of(
            lambda: elsewhere.connect(f"127.0.0.1:{listener.getsockname()[1]}", authkey=KEY, timeout=0.3),
        )

    assert isinstance(error, elsewhere.CallTimeout)
    assert error.outcome == "not_started"


def reset(one: socket.socket) -> None:
    """End a connection by RST: what `connect` to no address does."""
    libc: Any = ctypes.CDLL(None, use_errno=True)
    nowhere = struct.pack("H14x", socket.AF_UNSPEC)
    assert libc.connect(one.fileno(), nowhere, len(nowhere)) == 0


def test_connection_that_is_reset_in_a_call_is_lost(server, ledger):
    with Between(server.address) as between:
        far = connect(between)
        waiting = elsewhere.submit(far.wait)
        while not ledger.entered.wait(0.001):
            waiting.done()
        for one in list(between._sockets):
            reset(one)

        error = waiting.exception()
        later = error_of(lambda: far.write(1))

    assert isinstance(error, elsewhere.ConnectionLost)
    assert error.outcome == "unknown"
    assert isinstance(later, elsewhere.ConnectionLost)
    assert later.outcome == "not_started"
    assert ledger.lines == []
    while server.stats()["connections"]:
        threading.Event().wait(0.001)


@pytest.mark.parametrize("direction", [UP, DOWN])
def test_connection_of_which_one_half_is_closed_is_lost(server, ledger, direction):
    with Between(server.address) as between:
        far = connect(between)
        waiting = elsewhere.submit(far.wait)
        while not ledger.entered.wait(0.001):
            waiting.done()
        of_client, of_server = between._sockets
        (of_server if direction == UP else of_client).shutdown(socket.SHUT_WR)

        error = waiting.exception()

    assert isinstance(error, elsewhere.ConnectionLost)
    assert error.outcome == "unknown"
    while server.stats()["connections"]:
        threading.Event().wait(0.001)
