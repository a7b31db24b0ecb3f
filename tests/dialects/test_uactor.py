"""What users of uactor know, through its dialect: actors, their ends, their proxies here and elsewhere."""

from __future__ import annotations

import gc
import multiprocessing.managers
import os
import pickle
import threading
from multiprocessing import connection

import pytest
from uactor_staff import Broken, Context, Desk, Lender, Stubborn, Times, Worker

import elsewhere
from elsewhere.dialects import uactor


@pytest.fixture(scope="module")
def desk():
    with Desk() as desk:
        yield desk


def test_actor_is_a_proxy_and_lives_in_a_process_of_its_own(worker):
    assert type(worker) is Worker.proxy_class
    assert issubclass(Worker.proxy_class, uactor.ActorProxy)
    assert isinstance(worker, uactor.BaseProxy)
    assert uactor.typeid(worker) == "actor"
    assert worker.pid() != os.getpid()
    assert repr(worker).startswith("<Worker.proxy_class object, typeid 'actor' at")
    assert "Worker object at" in str(worker)


def test_what_is_listed_is_exposed(desk):
    desk.data = [4]

    assert desk.data == [4]
    assert desk.size == 3
    assert desk.drawer is None
    assert desk.mixed() == "mixed"
    assert list(desk.files()) == [4]


@pytest.mark.parametrize("name", ["secret", "letter_", "_drawer"])
def test_what_is_not_listed_is_not_there(desk, name):
    with pytest.raises(AttributeError, match=f"'Desk.proxy_class' object has no attribute '{name}'"):
        getattr(desk, name)


def test_name_that_is_declared_away_is_a_plain_method(desk):
    assert desk.letter() == "never listed"


@pytest.mark.parametrize(
    ("name", "args"), [("secret", ()), ("__getattribute__", ("secret",)), ("__setattr__", ("x", 1)), ("__reduce__", ())]
)
def test_nothing_is_reached_around_the_list(desk, name, args):
    with pytest.raises(AttributeError):
        desk._callmethod(name, args)


def test_nothing_is_reached_around_the_list_by_a_connection_either(desk):
    key = bytes(multiprocessing.current_process().authkey)
    stage = elsewhere.connect(desk.connection_address, authkey=key)
    gate = stage.find(0)

    with pytest.raises(AttributeError, match="expose"):
        elsewhere.get(stage.actor)
    with pytest.raises(AttributeError, match="secret"):
        gate.call("secret")
    with pytest.raises(AttributeError, match="expose"):
        elsewhere.attribute(gate, "_obj").secret()


def test_attribute_that_is_not_exposed_cannot_be_set(desk):
    with pytest.raises(AttributeError, match="secret"):
        desk.secret = 1
    with pytest.raises(AttributeError, match="setter"):
        desk.drawer = 1


def test_all_public_methods_are_exposed_where_nothing_is_listed(worker):
    assert worker.pid() > 0
    with pytest.raises(AttributeError):
        worker._private()
    with pytest.raises(AttributeError):
        worker.notes


def test_methods_of_the_proxy_class_are_the_proxys_own():
    class Kind(uactor.ActorProxy):
        def pid(self):
            return "here", self._callmethod("pid")

    class Special(Worker):
        proxy_class = Kind

    with Special() as special:
        here, pid = special.pid()

        assert here == "here"
        assert pid != os.getpid()
        assert isinstance(special, Kind)
        assert type(special) is Special.proxy_class


def test_class_becomes_an_actor_by_its_last_base():
    with Times(3) as times:
        assert times.handle(2) == 6
        assert len(times) == 3
        assert (times.version(), times.kind()) == (1, "Times")
        assert isinstance(times, uactor.ActorProxy)


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ({"_method_to_typeid_": {"x": "nope"}}, "typeid 'nope' is not defined"),
        ({"_proxies_": {"actor": uactor.BaseProxy}}, "typeid 'actor' is reserved"),
    ],
)
def test_class_that_cannot_be_is_refused(members, text):
    with pytest.raises(TypeError, match=text):
        type("Wrong", (uactor.Actor,), members)


def test_option_that_means_nothing_is_refused():
    class Wrong(uactor.Actor):
        _options_ = {"adress": None}

    with pytest.raises(TypeError, match="adress"):
        Wrong()


def test_error_of_the_constructor_is_its_own_and_leaves_nothing():
    with pytest.raises(LookupError, match="no worker today"):
        Worker(fails=True)


def test_hooks_run_in_order(worker):
    with Context(worker) as entered:
        worker.note("inside")

    assert entered == "entered"
    assert worker.noted() == ["enter", "inside", ("exit", None, "None", None), "shutdown"]


def test_error_of_the_block_is_the_users_own(worker):
    with pytest.raises(KeyError, match="mine"), Context(worker):
        raise KeyError("mine")

    assert worker.noted()[1:] == [("exit", KeyError, "'mine'", None), "shutdown"]


def test_error_of_the_block_that_cannot_travel_is_the_users_own(worker):
    with pytest.raises(Stubborn), Context(worker):
        raise Stubborn

    assert worker.noted()[-1] == "shutdown"


def test_actor_may_swallow_the_error_of_the_block(worker):
    with Context(worker, swallows=True):
        raise KeyError("mine")

    assert worker.noted()[-1] == "shutdown"


def test_failure_to_leave_is_raised_or_noted(worker):
    with pytest.raises(OSError, match="cannot leave"), Context(worker, fails=True):
        pass
    with pytest.raises(KeyError) as caught, Context(worker, fails=True):
        raise KeyError("mine")

    assert "cannot leave" in caught.value.__notes__[0]
    assert worker.noted().count("shutdown") == 2


def test_leaving_after_shutdown_is_a_broken_pipe():
    with pytest.raises(BrokenPipeError), Worker() as worker:
        worker.shutdown()


def test_use_after_shutdown_is_one_clear_error():
    worker = Worker()
    shared = worker.shared()
    worker.shutdown()

    for use in (worker.pid, worker.shutdown, shared._getvalue, lambda: pickle.dumps(shared), lambda: worker.shared()):
        with pytest.raises(uactor.ActorGoneError) as caught:
            use()
        assert isinstance(caught.value, (BrokenPipeError, uactor.ProxyError))
        assert isinstance(caught.value.__cause__, elsewhere.HostClosed)
    assert str(worker) == repr(worker)


def test_death_of_the_process_is_told():
    worker = Worker()

    with pytest.raises(EOFError) as caught:
        worker.crash()

    assert isinstance(caught.value, uactor.ActorGoneError)
    assert isinstance(caught.value.__cause__, elsewhere.HostDied)
    assert "SIGKILL" in str(caught.value)


def test_process_ends_with_its_last_proxy():
    worker = Worker()
    shared = worker.shared()
    end = os.pidfd_open(worker.pid())

    del worker
    gc.collect()
    assert list(shared) == [1, 2]  # its proxies are enough
    del shared
    gc.collect()

    with os.fdopen(end, "rb", buffering=0):
        assert connection.wait([end], timeout=60)


def test_process_ends_though_a_call_from_elsewhere_runs(worker):
    busy = Worker()
    end = os.pidfd_open(busy.pid())
    worker.note(busy)
    errors: list[BaseException] = []
    waiting = threading.Thread(target=wait_for_first, args=(worker, errors))
    waiting.start()
    while not busy.is_waited_for():
        pass

    del busy
    gc.collect()
    waiting.join()
    has_ended = connection.wait([end], timeout=60)
    os.close(end)

    assert has_ended
    assert isinstance(errors[0], uactor.ActorGoneError)


def wait_for_first(worker, errors):
    try:
        worker.wait_for_first()
    except uactor.ActorGoneError as error:
        errors.append(error)


def test_errors_are_the_methods_own(worker):
    with pytest.raises(Broken) as caught:
        worker.break_down()
    with pytest.raises(elsewhere.RemoteError):
        worker.leave()
    with pytest.raises(elsewhere.RemoteError, match="Stubborn"):
        worker.be_stubborn()

    assert caught.value.second == "two"
    assert any("in break_down" in note for note in caught.value.__notes__)
    assert worker.pid() > 0


def test_result_that_cannot_be_copied_is_an_error_that_names_it(worker):
    with pytest.raises(elsewhere.ResultError, match="lock"):
        worker.lock()


def test_calls_of_several_threads_run_at_the_same_time(worker):
    waiting = threading.Thread(target=worker.wait)
    waiting.start()

    worker.call(uactor.Actor.shutdown, None)  # a call goes through while another one waits
    worker._callmethod("shutdown")

    waiting.join()
    assert not waiting.is_alive()


def test_actor_that_returns_itself_gives_a_proxy(worker):
    me, (again, explicit) = worker.myself(), worker.us()

    assert type(me) is type(again) is type(explicit) is Worker.proxy_class
    assert me == again == explicit == worker
    assert len({me, again, explicit, worker}) == 1
    assert me != worker.shared()
    assert me != "me"


def test_proxies_are_made_in_actors_alone():
    with pytest.raises(uactor.ProxyError, match="only be created under actor processes"):
        uactor.proxy([], "list")


def test_proxies_that_cannot_be_are_errors(worker):
    with pytest.raises(uactor.ProxyError, match="No proxy is registered with typeid 'nope'"):
        worker.shared("nope")
    with pytest.raises(uactor.ProxyError, match="foreign actor"):
        worker.shared("actor")


def test_typeid_belongs_to_proxies():
    with pytest.raises(ValueError, match="is not a proxy"):
        uactor.typeid([])
    with pytest.raises(uactor.ProxyError):
        uactor.typeid(uactor.BaseProxy())


def test_typeids_are_listed():
    assert "actor" not in uactor.ActorManager.typeids()
    assert set(Worker.manager_class.typeids()) == {"actor", *uactor.ActorManager.typeids()}
    assert set(uactor.Actor.manager_class.typeids()) == {"actor", *uactor.ActorManager.typeids()}
    assert len(Worker.manager_class.typeids()) == 19


def test_object_may_have_proxies_of_two_kinds(worker):
    assert worker.shared("list")[0] == 1
    assert worker.shared("auto").count(1) == 1


@pytest.mark.parametrize("inner", ["entered", "given", "itself"])
def test_context_of_a_proxy_that_was_given_ends_no_actor(inner):
    with Lender() as entered:
        first = entered
    with pytest.raises(uactor.ActorGoneError):
        first.pid()  # the block of the actor's own proxy has ended it

    actor = Lender()
    with {"entered": actor.__enter__, "given": actor.me, "itself": actor.myself}[inner]() as other:
        assert other.pid() == actor.pid()

    assert other == actor
    assert actor.pid() == other.pid()
    actor.shutdown()


def test_context_within_the_same_context_leaves_the_actor_to_the_outer_one():
    with Lender() as outer, outer as inner:
        assert inner.pid() == outer.pid()
    with pytest.raises(uactor.ActorGoneError):
        outer.pid()


@pytest.mark.parametrize("args", [(), (1,), (1, 2)])
@pytest.mark.parametrize("kind", [StopIteration, StopAsyncIteration])
def test_end_of_an_iteration_is_raised_as_itself(worker, kind, args):
    with pytest.raises(kind) as caught:
        worker.end(kind, *args)

    assert caught.value.args == args


def test_class_of_proxies_of_ones_own_keeps_what_it_sets():
    with Lender() as lender:
        lent = lender.lent()

        assert (lent.count(), lent.count()) == (1, 2)
        with pytest.raises(AttributeError, match="to set"):
            lender.counted = 1


def test_class_of_proxies_that_is_none_of_uactors_is_refused_with_the_class():
    with pytest.raises(
        TypeError, match=r"_proxies_ has .*ListProxy.* as 'own', which is no subclass of uactor.BaseProxy"
    ):
        type("Wrong", (uactor.Actor,), {"_proxies_": {"own": multiprocessing.managers.ListProxy}})


def test_methods_have_names_and_can_be_called_by_their_class(worker):
    assert (worker.pid.__name__, Worker.proxy_class.pid.__name__) == ("pid", "pid")
    assert list(map(Worker.proxy_class.pid, [worker, worker])) == [worker.pid()] * 2
    assert pickle.loads(pickle.dumps(worker.pid))() == worker.pid()


def test_attribute_is_not_deleted_by_a_proxy(desk):
    with pytest.raises(AttributeError, match=r"'data' of a 'Desk\.proxy_class' object cannot be deleted"):
        del desk.data
