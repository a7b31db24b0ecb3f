"""Objects that are served at a port: everything goes encrypted, and whoever lacks the key gets nowhere."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import elsewhere
from chaos import DOWN, UP, Between
from kennel import error_of
from ledgers import Ledger, connect, serve
from visitors import KEY, Keeper

if TYPE_CHECKING:
    from collections.abc import Iterator

LOST = (elsewhere.ConnectionLost, elsewhere.ProtocolError, elsewhere.AuthenticationError)


@pytest.fixture
def server(ledger: Ledger) -> Iterator[elsewhere.Server]:
    with serve(ledger) as server:
        yield server


@pytest.fixture
def keeper(process_host: elsewhere.Host) -> Keeper:
    return process_host.spawn(Keeper)


def write_three(between: Between, session: int, answered: list[int]) -> elsewhere.ElsewhereError | None:
    """Three calls; gives what lost the connection, if anything did."""
    try:
        ledger = connect(between)
        answered.extend(ledger.write((session, number)) for number in range(3))
    except LOST as error:
        return error
    return None


def port_of(server: elsewhere.Server) -> int:
    return int(str(server.address).rpartition(":")[2])


def test_object_at_a_port_is_used_from_another_process(server, ledger, keeper):
    keeper.visit(server.address)

    count = keeper.call("write", "first")

    assert count == 1
    assert ledger.lines == ["first"]


def test_long_values_arrive_as_they_were(server):
    long = os.urandom(3_000_000)
    with Between(server.address) as between:
        ledger = connect(between)

        assert ledger.back(long) == long
        assert ledger.back([long[:70_000]] * 5) == [long[:70_000]] * 5


def test_streams_and_callbacks_go_through(server):
    with Between(server.address) as between:
        ledger = connect(between)

        assert list(elsewhere.stream(ledger.several, 1000)) == list(range(1000))
        assert ledger.ask(elsewhere.ref(lambda x: x + 1)) == 2


def test_both_sides_may_send_much_at_once(server):
    with Between(server.address) as between:
        ledger = connect(between)
        chunks = [bytes([number]) * 500_000 for number in range(40)]

        futures = [elsewhere.submit(ledger.back, chunk) for chunk in chunks]

        assert [future.result() for future in futures] == chunks


@pytest.mark.parametrize("use", [elsewhere.reserve, elsewhere.connect, lambda address: elsewhere.serve([], address)])
def test_port_needs_a_key(use):
    with pytest.raises(ValueError, match="authkey"):
        use("127.0.0.1:0")


def test_wrong_key_is_refused_as_at_a_socket(server, keeper):
    error = error_of(lambda: keeper.visit(str(server.address), b"another key of enough bytes"))

    assert isinstance(error, elsewhere.AuthenticationError)
    assert str(error).startswith("authentication failed at")


@pytest.mark.parametrize("address", ["127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536", ":80", "tcp://box"])
def test_what_is_no_port_is_refused(address):
    with pytest.raises(ValueError, match="host:port"):
        elsewhere.reserve(address, authkey=KEY)


def test_reserved_port_is_a_free_one(ledger):
    address = elsewhere.reserve("127.0.0.1:0", authkey=KEY)

    with elsewhere.serve(ledger, address) as server:
        address.wait_ready(5)

        assert server.address == address


def test_port_that_is_taken_is_not_taken_over(server, ledger):
    with pytest.raises(OSError, match="in use already"):
        elsewhere.serve(ledger, str(server.address), authkey=KEY)


def test_port_that_nobody_listens_at_is_an_error_at_once():
    with pytest.raises(elsewhere.ConnectionLost, match="nobody serves"):
        elsewhere.connect(str(elsewhere.reserve("127.0.0.1:0", authkey=KEY)), authkey=KEY)


def test_server_that_answers_nothing_is_given_up_in_time():
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(elsewhere.CallTimeout):
        elsewhere.connect(f"127.0.0.1:{silent.getsockname()[1]}", authkey=KEY, timeout=0.2)


def test_nothing_goes_in_the_clear(server):
    with Between(server.address) as between:
        connect(between).write("a secret that is looked for")

        said = between.seen[UP] + between.seen[DOWN]

    assert len(said) > 500
    for text in (b"secret", b"ELSEWHER", b"write", KEY):
        assert text not in said


@pytest.mark.parametrize("direction", [UP, DOWN])
def test_bit_that_was_changed_never_gives_a_wrong_value(server, direction):
    """At most the other side waits: for what is still missing, where a length was made greater."""
    with Between(server.address) as between:
        connect(between).back("value")
        length = len(between.seen[direction])

    refused = 0
    for at in range(length):
        with Between(server.address, direction, flip=at) as between:
            try:
                ledger = elsewhere.connect(between.address, Ledger, authkey=KEY, timeout=0.5)
                assert elsewhere.options(ledger, timeout=0.5).back("value") == "value"
            except (*LOST, elsewhere.CallTimeout):
                refused += 1  # only what came after the value may have been changed without that
    assert refused > length // 2


@pytest.mark.parametrize("direction", [UP, DOWN])
def test_stream_that_is_cut_behind_any_byte_ends_in_an_error_and_runs_no_half_call(server, ledger, direction):
    with Between(server.address) as between:
        assert write_three(between, 1000, []) is None
        length = len(between.seen[direction])

    ends: list[tuple[elsewhere.ElsewhereError | None, int]] = []
    for at in range(length + 1):
        answered: list[int] = []
        with Between(server.address, direction, cut=at) as between:
            ends.append((write_three(between, at, answered), len(answered)))
    with Between(server.address) as between:
        connect(between).write("the last")  # behind all that was accepted of the others

    ran = {at: [number for session, number in ledger.lines[:-1] if session == at] for at in range(length + 1)}
    assert length > 300
    for at, (error, answered_) in enumerate(ends):
        may_have_run = error is not None and error.outcome == "unknown"
        assert error is not None or answered_ == 3
        assert answered_ <= len(ran[at]) <= answered_ + may_have_run
        assert ran[at] == list(range(len(ran[at])))
    assert sum(error is None for error, _ in ends) < length // 4, "only what comes behind the last call is not missed"


def test_recorded_session_runs_nothing_when_it_is_replayed(server, ledger):
    with Between(server.address) as between:
        connect(between).write("once")
        recorded = between.seen[UP]

    with socket.create_connection(("127.0.0.1", port_of(server))) as replay:
        replay.sendall(recorded)
        said = b""
        try:
            while data := replay.recv(4096):
                said += data
        except ConnectionResetError:
            pass

    assert ledger.lines == ["once"]
    assert len(said) <= 48, "the server said more than the answer to an opening"


def test_recorded_server_is_not_believed_and_asks_for_nothing(server):
    """It also called the client back then, which is not called again."""
    asked: list[int] = []
    with Between(server.address) as between:
        connect(between).ask(elsewhere.ref(asked.append))
        recorded = bytes(between.seen[DOWN])

    with socket.create_server(("127.0.0.1", 0)) as impostor:

        def play() -> None:
            client, _ = impostor.accept()
            with client, contextlib.suppress(OSError):
                client.recv(80)
                client.sendall(recorded)
                while client.recv(4096):
                    pass

        thread = threading.Thread(target=play)
        thread.start()
        error = error_of(
            lambda: elsewhere.connect(f"127.0.0.1:{impostor.getsockname()[1]}", authkey=KEY, timeout=5),
        )
        thread.join()

    assert isinstance(error, elsewhere.AuthenticationError)
    assert asked == [1]


def test_server_that_is_told_its_own_words_lets_nobody_in(server, ledger):
    """Behind an opening that was recorded: they are what it said to that opening, and to another one."""
    with Between(server.address) as between:
        connect(between).write("once")
        opening, words = bytes(between.seen[UP][:80]), bytes(between.seen[DOWN])

    for said_back in (words[:48], words[48:], words):
        with socket.create_connection(("127.0.0.1", port_of(server))) as raw, contextlib.suppress(ConnectionResetError):
            raw.sendall(opening)
            answer = raw.recv(48)
            assert len(answer) == 48
            raw.sendall(answer + said_back)
            assert raw.recv(1) == b""

    assert ledger.lines == ["once"]
    assert server.stats()["connections"] <= 1


def test_own_bytes_sent_back_are_refused():
    with socket.create_server(("127.0.0.1", 0)) as mirror:

        def reflect() -> None:
            client, _ = mirror.accept()
            with client, contextlib.suppress(ConnectionResetError):
                while data := client.recv(4096):
                    client.sendall(data)

        thread = threading.Thread(target=reflect)
        thread.start()
        error = error_of(
            lambda: elsewhere.connect(f"127.0.0.1:{mirror.getsockname()[1]}", authkey=KEY, timeout=5),
        )
        thread.join()

    assert isinstance(error, elsewhere.AuthenticationError)


@pytest.mark.parametrize("garbage", [b"GET / HTTP/1.1\r\n\r\n" * 8, b"\x16\x03\x01" + bytes(200), b"\xff" * 100])
def test_garbage_ends_the_stream_and_harms_nobody(server, keeper, garbage):
    with socket.create_connection(("127.0.0.1", port_of(server))) as raw:
        raw.sendall(garbage)
        try:
            said = raw.recv(100)
        except ConnectionResetError:
            said = b""

    assert said == b""
    keeper.visit(server.address)
    assert keeper.call("write", 1) == 1


def test_silent_strangers_keep_nobody_out(server, keeper):
    silent = [socket.create_connection(("127.0.0.1", port_of(server))) for _ in range(80)]

    keeper.visit(server.address)
    count = keeper.call("write", 1)
    half_open = server.stats()["half_open"]
    for raw in silent:
        raw.close()

    assert count == 1
    assert half_open <= 64


def test_connection_that_is_cut_in_a_call_says_that_it_may_have_run(server, ledger):
    with Between(server.address) as between:
        waiting = elsewhere.submit(connect(between).wait)
        while not ledger.entered.wait(0.01):
            waiting.done()

    error = waiting.exception()
    ledger.gate.set()

    assert isinstance(error, elsewhere.ConnectionLost)
    assert error.outcome == "unknown"


@pytest.mark.parametrize("kind", ["f8", "u1", "c16", "f4"])
@pytest.mark.parametrize("length", [8_192, 100_003])
def test_array_arrives_usable_where_it_lies(server, kind, length):
    array = np.arange(length).astype(kind)
    with Between(server.address) as between:
        ledger = connect(between)

        back = ledger.back(array)
        back[0] += 1

    assert back.flags.aligned
    assert back.flags.writeable
    assert np.array_equal(back[1:], array[1:])
    assert array[0] == 0


def test_read_only_array_arrives_read_only(server):
    array = np.arange(100_000.0)
    array.flags.writeable = False
    with Between(server.address) as between:
        back = connect(between).back(array)

    assert not back.flags.writeable
    assert np.array_equal(back, array)


def test_arrays_of_one_message_are_not_of_one_memory(server):
    arrays = [np.full(20_000, number) for number in range(3)]
    with Between(server.address) as between:
        first, second, third = connect(between).back(arrays)

    first[:] = 7

    assert [second[0], second[-1], third[0], third[-1]] == [1, 1, 2, 2]


def test_array_with_much_around_it_arrives(server):
    array = np.arange(50_000.0)
    with Between(server.address) as between:
        before, back, behind = connect(between).back((b"1" * 300_000, array, "2" * 300_000))

    assert np.array_equal(back, array)
    assert (before, behind) == (b"1" * 300_000, "2" * 300_000)


def test_argument_of_a_large_array_may_be_kept_and_written_there(server, ledger):
    array = np.ones(1_000_000)
    with Between(server.address) as between:
        remote = connect(between)
        remote.write(array)

        ledger.lines[0] += 1

        assert np.array_equal(remote.back(array), array)
    assert ledger.lines[0].sum() == 2_000_000


LARGE = np.arange(4_000_000.0)


def test_large_array_to_a_peer_that_reads_no_more_is_given_up_in_time(server):
    with Between(server.address, UP, hold=1_000_000) as between:
        ledger = connect(between)

        with pytest.raises(elsewhere.CallTimeout):
            elsewhere.options(ledger, timeout=0.3).write(LARGE)

        between.resume.set()
        assert ledger.back(5) == 5


def test_large_array_arrives_whole_by_a_peer_that_stopped_reading_for_a_while(server, ledger):
    array = LARGE.copy()
    with Between(server.address, UP, hold=1_000_000) as between:
        remote = connect(between)
        sender = threading.Thread(target=remote.write, args=(array,))
        sender.start()
        between.is_held.wait()
        between.resume.set()
        sender.join()

    assert np.array_equal(ledger.lines[0], array)


def test_small_calls_are_answered_beside_large_arrays(server):
    with Between(server.address) as between:
        ledger = connect(between)
        results: list[bool] = []

        def send(what: np.ndarray[Any, Any], times: int) -> None:
            results.extend(np.array_equal(ledger.back(what), what) for _ in range(times))

        threads = [threading.Thread(target=send, args=(LARGE[: 500_000 + number], 4)) for number in range(3)]
        threads.append(threading.Thread(target=send, args=(LARGE[:3], 100)))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert results == [True] * 112


@pytest.mark.parametrize("cut", [200_000, 300_000, 1_000_000, 7_999_000])
def test_large_array_that_is_cut_off_on_its_way_runs_nothing(server, ledger, cut):
    with Between(server.address, UP, cut=cut) as between:
        remote = connect(between)

        with pytest.raises(LOST):
            remote.write(LARGE[:1_000_000])

    assert ledger.lines == []


def test_array_may_be_changed_as_soon_as_its_call_is_over(server, ledger):
    array = LARGE.copy()
    with Between(server.address) as between:
        remote = connect(between)

        remote.write(array)
        array[:] = -1

    assert np.array_equal(ledger.lines[0], LARGE)


def test_large_array_among_other_arguments_arrives_where_it_stands(server):
    with Between(server.address) as between:
        ledger = connect(between)

        first, array, last, other = ledger.back(["first", LARGE, b"last" * 100_000, LARGE[::-1].copy()])

    assert (first, last) == ("first", b"last" * 100_000)
    assert np.array_equal(array, LARGE)
    assert np.array_equal(other, LARGE[::-1])


def test_large_array_beside_what_only_pickle_can_write_arrives(server):
    with Between(server.address) as between:
        ledger = connect(between)

        array, more = ledger.back((LARGE, {"a", 1, frozenset([2.5])}))

        again, same = ledger.back([LARGE, LARGE])

    assert np.array_equal(array, LARGE)
    assert more == {"a", 1, frozenset([2.5])}
    assert again is same
