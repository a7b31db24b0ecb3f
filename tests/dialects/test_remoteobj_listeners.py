"""Who listens for the proxies of remoteobj's dialect, how that ends, and how they get to other processes."""

from __future__ import annotations

import copy
import multiprocessing as mp
import os
import pickle
import signal
import threading
from multiprocessing import forkserver, resource_tracker
from pathlib import Path

import pytest

from elsewhere.dialects import remoteobj
from elsewhere.dialects.remoteobj import Proxy
from remote_dog import Dog

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


@pytest.fixture
def dog():
    return Dog()


@pytest.fixture
def remote(dog):
    """The proxy of a dog that listens in another process."""
    with remoteobj.listener(dog, bg=True):
        yield dog.remote


@pytest.fixture(params=["forkserver", "spawn"])
def context(request):
    yield mp.get_context(request.param)
    forkserver._forkserver._stop()
    resource_tracker._resource_tracker._stop()


class Plain:
    """What can be pickled, with its proxy."""

    def __init__(self):
        self.remote = Proxy(self)
        self.age = 3

    def grow(self):
        self.age += 1
        return self

    def pid(self):
        return os.getpid()


def listen_until_it_is_grown(thing):
    with thing.remote as remote:
        while thing.age < 5:
            remote.process_requests(timeout=1)


def use_from_afar(thing, answers):
    answers.put((thing.remote.grow().pid(), thing.remote.listening_, thing.age))


def test_object_listens_in_processes_of_other_start_methods(context):
    thing = Plain()
    child = context.Process(target=listen_until_it_is_grown, args=(thing,))
    child.start()

    assert thing.remote.wait_until_listening(child) is True
    assert thing.remote.grow() is thing.remote
    assert thing.remote.pid() == child.pid
    assert thing.remote.grow() is thing.remote
    child.join()
    assert (thing.age, child.exitcode) == (3, 0)


def test_object_is_used_from_processes_of_other_start_methods(context):
    thing = Plain()
    answers = context.SimpleQueue()
    with thing.remote.listen_(bg=True):
        child = context.Process(target=use_from_afar, args=(thing, answers))
        child.start()
        answer = answers.get()
        child.join()
    answers.close()

    assert answer == (os.getpid(), True, 3)
    assert thing.age == 4


def test_pickled_proxy_leads_to_the_same_listener():
    thing = Plain()
    with remoteobj.listener(thing, bg=True) as process:
        twin = pickle.loads(pickle.dumps(thing))

        assert twin.remote is not thing.remote
        assert twin.remote.pid() == process.pid
        assert twin.remote.grow() is twin.remote
        assert twin.age == 3


def test_copy_of_an_object_has_an_address_of_its_own():
    thing = Plain()
    with remoteobj.listener(thing, bg=True):
        twin = copy.deepcopy(thing)

        assert twin.remote.listening_ is False
        assert twin.remote.age.get_(default_local=True) == 3
        twin.age = 9
        assert twin.remote.age.get_(default_local=True) == 9
        assert copy.copy(thing.remote).pid() == thing.remote.pid()


def kill_when_it_is_in(dog, pid):
    dog.is_in.wait()
    os.kill(pid, signal.SIGKILL)


def test_listener_that_is_killed_is_noticed(dog):
    with remoteobj.listener(dog, bg=True) as process:
        dog.remote.sound()
        killer = remoteobj.thread(kill_when_it_is_in, dog, process.pid)

        with killer, pytest.raises(RuntimeError, match="not running"):
            dog.remote.wait()
        process.join()
        assert dog.remote.listening_ is False
        assert dog.remote.sound(_default="none") == "none"
        with pytest.raises(RuntimeError, match="not running"):
            dog.remote.sound()


def test_method_that_kills_its_process_is_noticed(remote):
    assert remote.die(_default="gone") == "gone"
    assert remote.sound(_default="gone") == "gone"


def test_listener_that_comes_back_is_found(dog):
    pids = []
    for _ in range(2):
        with remoteobj.listener(dog, bg=True) as process:
            pids.append((dog.remote.pid(), process.pid))

    assert [asked for asked, _ in pids] == [pid for _, pid in pids]
    assert pids[0] != pids[1]


def client(dog, answers, default):
    answers.put(dog.remote.add(1, 2, _default=default))


@pytest.fixture
def waiting(dog):
    """A dog that listens here, and a client whose request waits."""
    answers = mp.SimpleQueue()
    dog.remote.listen_()
    with remoteobj.process(client, dog, answers, "none"):
        while not dog.remote._home._server.stats()["waiting"]:
            threading.Event().wait(0.001)
        yield dog.remote, answers
        dog.remote.stop_listen_()
    answers.close()


def test_requests_are_answered_in_the_thread_that_polls(waiting):
    remote, answers = waiting

    handled = (remote.poll(), remote.poll(), remote.process_requests())

    assert answers.get() == 3
    assert handled == (True, False, 0)


def test_requests_are_cancelled(waiting):
    remote, answers = waiting

    cancelled = remote.cancel_requests()

    assert answers.get() == "none"
    assert cancelled == 1


def test_requests_are_answered_before_a_listener_stops(waiting):
    remote, answers = waiting

    remote.stop_listen_()

    assert answers.get() == 3
    assert remote.listening_ is False


def test_requests_are_cancelled_by_a_listener_that_fulfills_nothing(waiting):
    remote, answers = waiting
    remote._home._fulfills = False

    remote.stop_listen_()

    assert answers.get() == "none"


def test_option_says_that_nothing_is_fulfilled():
    assert Dog(fulfill_final=False).remote._home._fulfills is False


def test_listening_is_set_and_seen(dog):
    remote = dog.remote
    before = remote.listening_
    remote.listening_ = True
    while_it_is = remote.listening_
    remote.listening_ = False

    assert (before, while_it_is, remote.listening_) == (False, True, False)
    assert (remote.poll(), remote.process_requests(), remote.cancel_requests()) == (False, 0, 0)
    assert remote.stop_listen_() is remote


def listen_as_long_as_it_is_wanted(dog):
    with dog.remote.listen_(bg=True):
        while dog.remote.listening_:
            threading.Event().wait(0.001)


def poll_as_long_as_it_is_wanted(dog):
    with dog.remote.listen_():
        while dog.remote.listening_:
            dog.remote.process_requests(0.01)


@pytest.mark.parametrize("listen", [listen_as_long_as_it_is_wanted, poll_as_long_as_it_is_wanted])
def test_listener_is_stopped_by_another_process(dog, listen):
    with remoteobj.process(listen, dog) as process:
        dog.remote.wait_until_listening(process)
        answer = dog.remote.add(1, 2)

        dog.remote.stop_listen_()

    assert answer == 3
    assert process.exitcode == 0
    assert dog.remote.listening_ is False
    assert dog.remote.stop_listen_() is dog.remote


def test_block_that_is_already_listening_ends_it(dog):
    with dog.remote as remote:
        assert remote.listening_
    with dog.remote.listen_(bg=True), dog.remote.listen_():
        assert dog.remote.sound() == "woof"

    assert dog.remote.listening_ is False


def test_method_may_stop_its_listener(dog):
    end = mp.SimpleQueue()

    def listen():
        with dog.remote.listen_(bg=True):
            end.get()

    with remoteobj.process(listen) as process:
        dog.remote.wait_until_listening(process)

        assert dog.remote.leave() == "left"
        end.put(None)
    end.close()
    assert process.exitcode == 0


def test_listener_runs_in_the_main_thread_of_its_process(dog):
    with remoteobj.listener(dog):
        main = dog.remote.passto(is_main_thread)
    with remoteobj.listener(dog, bg=True):
        beside = dog.remote.passto(is_main_thread)

    assert (main, beside) == (True, False)


def is_main_thread(_):
    return threading.current_thread() is threading.main_thread()


def test_listener_calls_its_callback_again_and_again(dog):
    @remoteobj.listener_func
    def growing(thing):
        thing.age += 1

    for options in ({}, {"bg": False}):
        with growing(dog, **options):
            while dog.remote.age.__ < 10:
                pass

    assert dog.age == 3


def test_listener_takes_a_function_of_its_own(dog):
    def work(thing, event, callback):
        with thing.remote.listen_(bg=True):
            while not event.wait(1):
                pass
        return callback

    with remoteobj.listener(dog, bg=work) as process:
        assert dog.remote.sound() == "woof"

    assert process.result is None
    assert remoteobj.dummy_listener is remoteobj.listener


def test_waiting_for_a_listener_ends_with_its_process(dog):
    for waiting in (remoteobj.process(len, ""), remoteobj.thread(len, "")):
        with waiting:
            with pytest.raises(RuntimeError, match="died"):
                dog.remote.wait_until_listening(waiting)
            assert dog.remote.wait_until_listening(waiting, fail=False) is False


@pytest.mark.parametrize("arguments", [{"timeout": 0.01}, {"proc": 0.01}])
def test_waiting_for_a_listener_ends_in_time(dog, arguments):
    with pytest.raises(TimeoutError):
        dog.remote.wait_until_listening(**arguments)


def wake_ups(pid):
    """How often threads of a process have gone to sleep so far."""
    statuses = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/status")]
    return sum(int(text.partition("\nvoluntary_ctxt_switches:")[2].split()[0]) for text in statuses)


@pytest.mark.parametrize("bg", [True, False])
def test_listener_that_is_asked_nothing_sleeps(dog, bg):
    with remoteobj.listener(dog, bg=bg) as process:
        dog.remote.sound()
        threading.Event().wait(0.1)  # who was just asked looks for more, for a moment
        before = wake_ups(process.pid)
        threading.Event().wait(0.5)

        assert wake_ups(process.pid) - before < 20


def test_client_that_waits_for_a_result_sleeps():
    gate = mp.Event()

    def work():
        yield 1
        gate.wait()
        yield 2

    def take():
        with remoteobj.process(work) as one:
            while one.result is None:
                pass
            items = one.result
            next(items)
            is_waiting.set()
            answers.put(list(items))

    is_waiting, answers = mp.Event(), mp.SimpleQueue()
    with remoteobj.process(take, daemon_=False) as taker:
        is_waiting.wait()
        threading.Event().wait(0.1)
        before = wake_ups(taker.pid)
        threading.Event().wait(0.5)
        after = wake_ups(taker.pid)
        gate.set()
        rest = answers.get()
    answers.close()

    assert (after - before < 20, rest) == (True, [2])


def test_address_is_refused_to_a_second_listener(dog):
    with remoteobj.listener(dog, bg=True), pytest.raises(OSError, match="served"):
        dog.remote.listen_()


@pytest.mark.parametrize("make", [mp.Process, threading.Thread])
def test_process_that_was_not_started_listens_as_little_as_one_that_has_ended(make):
    dog = Dog()

    assert dog.remote.wait_until_listening(make(), fail=False) is False
    with pytest.raises(RuntimeError, match="not been started"):
        dog.remote.wait_until_listening(make())
    with dog.remote:
        assert dog.remote.wait_until_listening(make())
