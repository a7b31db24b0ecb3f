"""What users of uactor do with proxies beyond the process that made the actor: pass, pickle, inherit, connect."""

from __future__ import annotations

import copy
import gc
import multiprocessing
import os
import pickle
import select
from multiprocessing import connection, forkserver, resource_tracker

import pytest
from uactor_staff import KEY, Chief, Foreman, Keyed, Recruit, Registry, Worker

from elsewhere.dialects import uactor


def test_proxies_go_to_other_actors_and_come_back(worker):
    with Worker() as other:
        assert worker.call(other.pid) == other.pid()
        worker.note(other)
        (back,) = worker.noted()

        assert type(back) is Worker.proxy_class
        assert back == other
        assert back.pid() == other.pid()
        assert worker.has_proxy(other) == (True, False)
        assert worker.has_proxy(worker) == (True, True)


def test_result_proxies_go_to_other_actors(worker):
    with Worker() as other:
        shared = other.shared()
        worker.call(shared.append, 3)

        worker.note(shared)
        del shared
        (back,) = worker.noted()

        assert list(back) == [1, 2, 3]


def test_methods_of_proxies_are_callbacks(worker):
    with Worker() as other:
        worker.call(other.note, "called back")
        worker.start_wait(other)

        other.call(worker.note, "and back")
        while len(other.noted()) < 2:
            pass

        assert other.noted() == ["called back", "from a thread"]
        assert worker.noted() == ["and back"]


def test_pickled_proxy_is_loaded_as_often_as_one_likes(worker):
    shared = worker.shared()
    actor, data = pickle.dumps(worker), pickle.dumps(shared)

    assert [pickle.loads(actor).pid() for _ in range(2)] == [worker.pid()] * 2
    assert [list(pickle.loads(data)) for _ in range(2)] == [[1, 2]] * 2
    assert pickle.loads(data) == shared


def test_pickle_of_what_is_gone_says_so(worker):
    data = pickle.dumps(worker.shared())
    assert list(pickle.loads(data)) == [1, 2]  # kept until it is loaded
    gc.collect()

    while (error := error_of_loading(data)) is None:
        gc.collect()

    assert isinstance(error, uactor.ProxyError)
    assert "gone" in str(error)


def error_of_loading(data):
    try:
        pickle.loads(data)
    except uactor.ProxyError as error:
        return error
    return None


def test_deep_copy_of_a_proxy_is_a_copy_of_the_object(worker):
    assert copy.deepcopy(worker.shared()) == [1, 2]


def use(proxies, answers):
    worker, shared = proxies
    with worker:  # it is not this process's to end
        worker.note("from a child")
    shared.append(os.getpid())
    worker.shutdown()
    with Worker() as own:
        answers.send((worker.pid(), own.pid()))


@pytest.fixture
def context(request):
    """A way to start processes; what multiprocessing keeps running for it is ended."""
    yield multiprocessing.get_context(request.param)
    if request.param == "forkserver":
        forkserver._forkserver._stop()
    resource_tracker._resource_tracker._stop()


@pytest.mark.parametrize("context", ["fork", "spawn", "forkserver"], indirect=True)
def test_proxies_are_used_in_children_which_have_actors_of_their_own(worker, context):
    shared = worker.shared()
    reading, writing = context.Pipe(duplex=False)
    child = context.Process(target=use, args=((worker, shared), writing))

    child.start()
    writing.close()
    pid, other = reading.recv()
    child.join()
    reading.close()

    assert pid == worker.pid() != other
    assert list(shared) == [1, 2, child.pid]
    assert worker.noted() == ["from a child"]
    assert worker.wait(60)  # told to shut down


def test_address_and_key_lead_to_a_running_actor(worker):
    key = bytes(multiprocessing.current_process().authkey)

    with Worker.connect(worker.connection_address, key) as same:
        assert same.pid() == worker.pid()
        assert same == worker
    same.shutdown()  # tells the actor, and leaves its process to its owner

    assert worker.wait(60)


def test_connecting_fails_with_what_users_catch(worker, tmp_path):
    with pytest.raises(uactor.AuthkeyError):
        Worker.connect(worker.connection_address, b"wrong")
    with pytest.raises(ConnectionRefusedError):
        Worker.connect(("127.0.0.1", 1), KEY)
    with pytest.raises(FileNotFoundError):
        Worker.connect(str(tmp_path / "nobody"), KEY)
    with pytest.raises(TypeError):
        Worker.connect(worker.connection_address, "text")


def test_actor_at_a_port_is_reached_by_any_name_of_it():
    class Networked(Worker):
        _options_ = {"address": ("0.0.0.0", 0), "authkey": KEY}

    with Networked() as owner:
        host, port = owner.connection_address
        with Networked.connect(("localhost", port), KEY, capture=[("localhost", port)]) as actor:
            shared = actor.shared()

            assert host == "0.0.0.0"
            assert actor.connection_address == ("localhost", port)
            assert actor.pid() == owner.pid()
            assert list(shared) == [1, 2]


def test_actors_have_actors():
    with Chief(Worker) as chief:
        assert chief.other_type() == "Worker.proxy_class"
        assert chief.other.pid() != os.getpid()
        assert chief.recruit() == "Chief.proxy_class"


def test_proxy_of_an_actor_with_a_key_needs_a_connection():
    with Chief(Keyed) as chief:
        with pytest.raises(uactor.AuthKeyError):
            chief.other

        with Keyed.connect(chief.other_address, KEY) as connected:
            other = chief.other

            assert other == connected
            assert other.pid() == connected.pid()
    del other, connected


def test_actor_has_the_keys_that_its_maker_had(worker):
    with Keyed() as keyed, Worker() as later:
        later.note(keyed)
        (back,) = later.noted()

        assert back == keyed
        assert later.call(keyed.pid) == keyed.pid()
        with pytest.raises(uactor.AuthkeyError, match="connect to it first"):
            worker.note(keyed)


def test_method_of_an_object_of_the_caller_calls_back(worker):
    seen = []

    class Listener:
        def hear(self, word):
            seen.append(word)
            return len(seen)

    assert worker.call(Listener().hear, "word") == 1
    with Worker.connect(worker.connection_address) as same:
        assert same.call(Listener().hear, "again") == 2
    assert seen == ["word", "again"]


def test_serializer_and_context_are_taken():
    class Optional(Worker):
        _options_ = {"serializer": "pickle", "ctx": multiprocessing.get_context("spawn"), "shutdown_timeout": 5.0}

    with Optional() as worker:
        assert worker.pid() != os.getpid()


def test_actors_end_with_a_maker_that_is_killed(worker):
    chief = Chief(Worker)
    other = chief.other
    end = os.pidfd_open(other.pid())

    with pytest.raises(uactor.ActorGoneError):
        chief.crash()
    has_ended = connection.wait([end], timeout=60)
    os.close(end)

    assert has_ended
    with pytest.raises(uactor.ActorGoneError):
        other.pid()


def test_actors_find_each_other_at_a_port():
    with Registry() as registry, Recruit(registry.connection_address) as recruit:
        assert registry.pids() == [recruit.pid()]
        assert registry.first() == recruit
        with Registry.connect(registry.connection_address, KEY) as same:
            same.shutdown()
        assert registry.wait(60)


def test_actor_is_served_where_its_options_say(tmp_path):
    class Placed(Worker):
        _options_ = {"address": str(tmp_path / "socket")}

    with Placed() as placed, Placed.connect(tmp_path / "socket") as same:
        assert placed.connection_address == str(tmp_path / "socket")
        assert same.pid() == placed.pid()


def test_actor_that_its_maker_gives_away_lives_as_long_as_the_proxy():
    with Foreman() as foreman:
        worker, other = foreman.hire(), foreman.hire()
        worker.note(1)
        other.note(2)
        ended = os.pidfd_open(worker.pid())
        notes = worker.noted() + other.noted()
        del worker
        is_readable = select.select([ended], [], [], 20)[0]  # the process is gone
        os.close(ended)

        assert notes == [1, 2]
        assert is_readable
        assert other.noted() == [2]
