"""Local hosts: what is copied, what is handed over, what they cannot do, and a debugger that steps into the object."""

from __future__ import annotations

import bdb
import inspect
import io
import os
import pdb  # noqa: T100 - it is what is tested
import threading
import traceback
import types

import pytest

import elsewhere
from kennel import Awkward, Dog


@pytest.fixture
def handing():
    """A local host that hands values over as they are."""
    with elsewhere.Host(start="local", copy=False) as host:
        yield host


@pytest.fixture
def rex(handing):
    """A dog, and the proxy of this very dog."""
    dog = Dog("rex")
    return dog, handing.send(dog)


def test_local_host_copies_by_default():
    toys = ["ball"]
    with elsewhere.Host(start="local") as host:
        dog = host.spawn(Dog, "rex")

        assert dog.echo(toys) == toys
        assert dog.echo(toys) is not toys
        assert isinstance(dog.make_lock(), type(dog))


def test_result_that_nobody_asked_for_before_the_end_is_still_handed_over():
    things = ["ball"]
    host = elsewhere.Host(start="local", copy=False)
    dog = host.send(Dog("rex"))
    looked_at, left = elsewhere.submit(dog.echo, things), elsewhere.submit(dog.echo, things)

    host.close()

    assert looked_at.result() is things
    assert looked_at.result() is things
    del left


def test_arguments_and_results_are_handed_over_as_they_are(rex):
    dog, proxy = rex
    toys = {"ball": [threading.Lock()]}

    assert proxy.echo(toys) is toys
    assert proxy.make_lock() is dog.lock
    assert proxy.mixed()[1] is dog.lock
    assert elsewhere.get(proxy.friends) is dog.friends


def test_sent_object_is_the_very_object(rex):
    dog, proxy = rex

    proxy.grow(3)

    assert dog.age == 3
    assert elsewhere.get(proxy) is dog


def test_values_that_are_set_are_handed_over(rex):
    dog, proxy = rex
    tricks: dict[str, int] = {}

    proxy.tricks = tricks
    proxy["sit"] = 1

    assert dog.tricks is tricks
    assert tricks == {"sit": 1}


def test_constructor_gets_its_arguments_as_they_are(handing):
    lock = threading.Lock()

    keeper = handing.spawn(types.SimpleNamespace, lock=lock, inner=[lock])

    assert elsewhere.get(keeper.lock) is lock
    assert elsewhere.get(keeper.inner)[0] is lock


def test_result_that_is_the_receiver_is_its_proxy(rex):
    _, proxy = rex

    assert proxy.itself() == proxy
    assert elsewhere.is_proxy(proxy.itself())


def test_proxy_that_comes_home_is_the_object_and_a_path_its_value(rex):
    dog, proxy = rex

    assert proxy.call(lambda one: one is dog, proxy)
    assert proxy.call(lambda one: one is dog.friends, proxy.friends)


def test_marked_reference_is_the_object_itself(rex):
    _, proxy = rex
    toys = ["ball"]

    assert proxy.echo(elsewhere.ref(toys)) is toys


def test_reference_that_is_asked_for_is_a_proxy(rex):
    dog, proxy = rex
    friends = elsewhere.ref(proxy.friends)

    assert elsewhere.is_proxy(friends)
    friends.append("tom")
    assert dog.friends == ["tom"]


def test_functions_and_methods_are_handed_over(rex):
    _, proxy = rex
    other = Dog("tom")

    def grow(years):
        return other.grow(years)

    assert proxy.call(grow, 1) == 1
    assert proxy.call(other.grow, 1) == 2
    assert other.age == 2


def test_generator_is_handed_over(rex):
    _, proxy = rex

    assert inspect.isgenerator(proxy.count_to(3))
    assert list(proxy.count_to(3)) == [1, 2, 3]
    assert list(elsewhere.stream(proxy.count_to, 3)) == [1, 2, 3]


def test_futures_and_coroutines_give_the_very_value(rex):
    _, proxy = rex
    toys = ["ball"]

    assert elsewhere.submit(proxy.echo, toys).result() is toys
    assert proxy.fetch(toys).result() is toys


def test_exception_is_the_very_one_with_its_traceback(rex):
    _, proxy = rex
    error = Awkward(3, "bad")

    with pytest.raises(Awkward) as caught:
        proxy.fail(error)

    assert caught.value is error
    assert traceback.extract_tb(error.__traceback__)[-1].name == "fail"
    assert not hasattr(error, "__notes__")


@pytest.mark.parametrize("error", [SystemExit(3), StopIteration(3), GeneratorExit()])
def test_exception_that_would_end_the_caller_is_told_as_everywhere(rex, error):
    _, proxy = rex

    with pytest.raises(elsewhere.RemoteError) as caught:
        proxy.fail(error)

    assert type(caught.value).__name__ == f"Remote{type(error).__name__}"


def test_what_was_handed_over_is_not_held(handing, rex):
    _, proxy = rex

    proxy.echo(["ball"])
    handing.run(len, [1, 2])

    assert handing.stats()["exports"] == 0


def test_call_that_was_cancelled_lets_go_of_its_arguments(handing, rex):
    _, proxy = rex

    assert elsewhere.submit(proxy.echo, ["ball"]).cancel()

    assert proxy.bark() == "woof"
    assert handing.stats()["exports"] == 0


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"copy": False}, ValueError),
        ({"start": "exec", "copy": False}, ValueError),
        ({"start": "local", "copy": None}, TypeError),
        ({"start": "local", "copy": 1}, TypeError),
    ],
)
def test_copy_that_means_nothing_is_refused(options, error):
    with pytest.raises(error, match="copy"):
        elsewhere.Host(**options)


# What a local host cannot do: each item stands in docs/places.md.


@pytest.fixture(params=[True, False], ids=["copying", "handing over"])
def local(request):
    with elsewhere.Host(start="local", copy=request.param) as host:
        yield host


def test_local_host_is_this_process(local):
    assert local.run(os.getpid) == os.getpid() == local.pid


def test_kill_ends_a_local_host_and_what_it_has_not_begun(local):
    dog = local.spawn(Dog, "rex")
    waiting = elsewhere.submit(dog.bark)

    local.kill()

    assert not local.alive
    with pytest.raises(elsewhere.HostClosed) as caught:
        waiting.result()
    assert caught.value.outcome == "not_started"
    with pytest.raises(elsewhere.HostClosed):
        dog.bark()


def test_kill_does_not_end_what_a_local_host_runs(local):
    finished = []

    def kill_and_go_on():
        local.kill()
        finished.append(True)

    with pytest.raises(elsewhere.HostClosed):
        local.spawn(Dog, "rex").call(elsewhere.ref(kill_and_go_on))

    assert finished == [True]


def test_local_host_has_no_exit_code_and_nothing_to_wait_for(local):
    assert local.exitcode is None
    assert local.wait() is False
    local.close()
    assert local.exitcode is None
    assert local.wait() is True


def test_deadline_does_not_end_what_a_local_host_runs(local):
    ran = threading.Event()

    def overrun():
        threading.Event().wait(0.1)
        ran.set()

    dog = local.spawn(Dog, "rex")
    with pytest.raises(elsewhere.CallTimeout), elsewhere.deadline(0.02):
        dog.call(elsewhere.ref(overrun))

    assert ran.is_set()


class Stepper(bdb.Bdb):
    """Steps on and on, and writes down each line it stops at."""

    def __init__(self) -> None:
        super().__init__()
        self.stops: list[str] = []

    def user_line(self, frame: types.FrameType) -> None:
        if frame.f_code.co_filename != bdb.__file__:  # CPython 3.13 stops in its own last line
            self.stops.append(frame.f_code.co_name)
        self.set_step()


def stops_of(play) -> list[str]:
    """The functions that a debugger stops in, one after another, when it steps through `play`."""
    tracer, stepper = threading.gettrace(), Stepper()
    try:
        stepper.runcall(play)
    finally:
        threading.settrace(tracer)
    return [name for at, name in enumerate(stepper.stops) if at == 0 or stepper.stops[at - 1] != name]


def test_debugger_steps_from_the_call_into_the_method(local):
    dog = local.spawn(Dog, "rex")
    dog.bark()

    def play():
        dog.bark(loud=True)

    assert stops_of(play) == ["play", "bark"]


def test_debugger_steps_into_methods_that_call_each_other(local):
    dog = local.spawn(Dog, "rex")
    dog.bark()

    def play():
        count = dog.grow()
        dog.name = "tom"
        len(dog)
        return count + dog.age

    assert stops_of(play) == ["play", "grow", "play", "__len__", "play"]


def test_debugger_steps_through_objects_that_are_handed_over(rex):
    _, proxy = rex

    def bark():
        return "wuff"

    def play():
        return proxy.call(bark)

    assert stops_of(play) == ["play", "call", "bark"]


def test_pdb_shows_the_object_and_the_way_to_it(local):
    dog = local.spawn(Dog, "rex")
    dog.bark()
    commands = io.StringIO("step\nstep\nstep\np self.name\np years\nwhere\ncontinue\n")
    shown = io.StringIO()

    def play():
        return dog.grow(5)

    pdb.Pdb(stdin=commands, stdout=shown, nosigint=True, readrc=False).runcall(play)

    text = shown.getvalue()
    assert "'rex'" in text
    assert "5\n" in text
    assert text.index("return dog.grow(5)") < text.index("self.age += years")


def test_breakpoint_in_the_method_is_met(local):
    dog = local.spawn(Dog, "rex")
    shown = io.StringIO()
    debugger = pdb.Pdb(stdin=io.StringIO("continue\np loud\ncontinue\n"), stdout=shown, nosigint=True, readrc=False)
    debugger.set_break(inspect.getfile(Dog), inspect.getsourcelines(Dog.bark)[1] + 1)

    debugger.runcall(lambda: dog.bark(loud=True))

    assert "True\n" in shown.getvalue()


class Chatty:
    """Posts further calls to itself as long as it is run."""

    def __init__(self) -> None:
        self.said = 0

    def say(self, me) -> None:
        self.said += 1
        elsewhere.submit(me.say, me)


@pytest.mark.timeout(20)
def test_close_begins_nothing_after_its_time(local):
    ended = []
    dog = local.spawn(Dog, "rex")
    calls = [elsewhere.submit(dog.call, elsewhere.ref(lambda: ended.append(pause.wait(0.05)))) for _ in range(50)]
    pause = threading.Event()

    local.close(timeout=0.2)

    outcomes = [getattr(call.exception(), "outcome", None) for call in calls]
    assert len(ended) >= 1
    assert outcomes == [None] * len(ended) + ["not_started"] * (50 - len(ended))
    assert isinstance(calls[-1].exception(), elsewhere.HostClosed)


def test_close_of_a_local_host_finishes_what_was_accepted(local):
    dog = local.spawn(Dog, "rex")
    calls = [elsewhere.submit(dog.grow) for _ in range(20)]
    elsewhere.post(dog.grow)

    local.close()

    assert [call.result() for call in calls] == list(range(1, 21))
