"""Where objects are served, and with which key."""

from __future__ import annotations

import os
import pickle
import socket
import threading
from typing import TYPE_CHECKING

import pytest

import elsewhere
from kennel import Dog, error_of
from visitors import KEY, Keeper

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
