"""Where objects are served, and with which key."""

from __future__ import annotations

import contextlib
import copy
import functools
import os
import pickle
import socket
import threading
from typing import TYPE_CHECKING

import pytest

import elsewhere
from kennel import Dog, error_of
from programs import run, start
from visitors import KEY, Collector, Giver, Keeper

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def keeper(process_host: elsewhere.Host) -> Keeper:
    """A visitor in another process."""
    return process_host.spawn(Keeper)


@pytest.fixture
def dog() -> Dog:
    return Dog("rex")


@pytest.fixture
def server(dog: Dog) -> Iterator[elsewhere.Server]:
    """A server in a thread of its own."""
    with elsewhere.serve(dog) as server:
        yield server


def test_key_is_demanded_of_both_sides(dog, keeper):
    with elsewhere.serve(dog, authkey=KEY) as server:
        keeper.visit(str(server.address), KEY)

        assert keeper.call("bark") == "woof"


@pytest.mark.parametrize("key", [None, b"another key of enough bytes"])
def test_wrong_key_is_refused_with_one_text(dog, keeper, key):
    with elsewhere.serve(dog, authkey=KEY) as server:
        error = error_of(lambda: keeper.visit(str(server.address), key))

    assert isinstance(error, elsewhere.AuthenticationError)
    assert isinstance(error, PermissionError)
    assert str(error).startswith("authentication failed at")


def test_wrong_key_is_refused_in_the_serving_process_too(dog):
    with elsewhere.serve(dog, authkey=KEY) as server, pytest.raises(elsewhere.AuthenticationError):
        elsewhere.connect(str(server.address))


def test_refusals_are_logged_without_what_was_sent(dog, keeper, caplog):
    with elsewhere.serve(dog, authkey=KEY) as server:
        error_of(lambda: keeper.visit(str(server.address), b"another key of enough bytes"))
        while not caplog.records:
            threading.Event().wait(0.001)

    assert "authentication failed" in caplog.text
    assert "another key" not in caplog.text


@pytest.mark.parametrize(
    ("key", "error"), [("text of enough length", TypeError), (b"", ValueError), (b"short", ValueError)]
)
def test_what_is_no_key_is_refused_at_once(key, error):
    with pytest.raises(error, match="key"):
        elsewhere.reserve(authkey=key)


def test_key_is_never_shown():
    address = elsewhere.reserve(authkey=KEY)

    assert "sixteen" not in repr(address) + str(address)


def test_address_with_a_key_is_pickled_for_own_processes_alone(dog, keeper):
    with pytest.raises(TypeError, match="key"):
        pickle.dumps(elsewhere.reserve(authkey=KEY))
    with elsewhere.serve(dog, authkey=KEY) as server:
        keeper.visit(server.address)

        assert keeper.call("bark") == "woof"


COLLECTOR = """
import elsewhere
from visitors import KEY, Collector

with elsewhere.serve(Collector(), {place!r} or None, authkey=KEY) as server:
    print(server.address, flush=True)
    input()
"""


@pytest.mark.parametrize("place", ["", "127.0.0.1:0"], ids=["unix", "tcp"])
def test_address_with_a_key_goes_to_nobody_who_serves(place):
    secret = elsewhere.reserve(authkey=b"a secret of the other side")
    with contextlib.ExitStack() as closing:
        program = closing.enter_context(start(COLLECTOR.format(place=place)))
        closing.callback(program.communicate, "\n")
        collector = elsewhere.connect(program.stdout.readline().strip(), Collector, authkey=KEY)

        ways = {
            "argument": lambda: collector.keep(secret),
            "in a list": lambda: collector.keep([secret]),
            "keyword": lambda: collector.keep(thing=secret),
            "function": lambda: collector.keep(functools.partial(print, secret)),
            "post": lambda: elsewhere.post(collector.keep, secret),
            "attribute": lambda: setattr(collector, "thing", secret),
        }
        errors = {way: error_of(hand_over) for way, hand_over in ways.items()}

        assert collector.count() == 0
    for way, error in errors.items():
        assert "an address with a key is pickled only for" in str(error), way


GUEST = """
import pickle
import elsewhere
from visitors import Collector

giver, collector = pickle.loads(bytes.fromhex(input())), Collector()
try:
    giver.give(elsewhere.ref(collector))
except Exception as error:
    print(error)
print(collector.count())
"""


def test_address_with_a_key_goes_to_no_guest_of_a_host(process_host):
    giver = process_host.spawn(Giver)
    _, printed, complaints = run(GUEST, given=pickle.dumps(giver).hex() + "\n")

    assert ("an address with a key is pickled only for" in printed, printed.splitlines()[-1]) == (True, "0"), complaints


def test_copies_of_an_address_have_its_key(dog):
    class Holder:
        remote = None

    holder = Holder()
    with elsewhere.serve(dog, authkey=KEY) as server:
        holder.remote = server.address

        for copied in (copy.copy(server.address), copy.deepcopy(server.address), copy.deepcopy(holder).remote):
            assert copied == server.address
            assert elsewhere.connect(copied, Dog).bark() == "woof"


def test_address_without_a_key_is_pickled_like_anything():
    address = elsewhere.reserve()

    assert pickle.loads(pickle.dumps(address)) == address


# Places.


def test_place_that_is_served_is_not_taken_over(server, dog):
    with pytest.raises(OSError, match=f"served already, by process {os.getpid()}"):
        elsewhere.serve(dog, str(server.address))

    assert os.path.lexists(server.address)


@pytest.mark.parametrize("kind", ["file", "symlink", "directory"])
def test_what_is_no_socket_is_left_alone(tmp_path, dog, kind):
    place = tmp_path / "place"
    if kind == "file":
        place.write_text("precious")
    elif kind == "symlink":
        place.symlink_to(tmp_path / "nowhere")
    else:
        place.mkdir()

    with pytest.raises(OSError, match="is no socket"):
        elsewhere.serve(dog, place)

    assert os.path.lexists(place)


def test_stale_socket_is_replaced(tmp_path, dog):
    place = tmp_path / "place"
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(place))
    stale.close()

    with elsewhere.serve(dog, place) as server:
        assert elsewhere.connect(server.address, Dog).bark() == "woof"


def test_directory_that_others_may_write_to_is_refused(tmp_path, dog):
    tmp_path.chmod(0o777)

    with pytest.raises(OSError, match=f"others may write to {tmp_path}"):
        elsewhere.serve(dog, tmp_path / "place")


def test_path_that_is_too_long_is_refused_by_name(tmp_path, dog):
    with pytest.raises(OSError, match="107"):
        elsewhere.serve(dog, tmp_path / ("long" * 30))


def test_directory_that_cannot_be_used_has_a_substitute(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "file"))

    address = elsewhere.reserve()

    directory = os.path.dirname(address)
    assert not directory.startswith(str(tmp_path))
    assert os.stat(directory).st_mode & 0o777 == 0o700


def test_socket_is_of_its_user_alone(server):
    assert os.stat(server.address).st_mode & 0o777 == 0o600
