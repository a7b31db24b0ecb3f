"""What users of pipe-proxy know, through its dialect."""

from __future__ import annotations

import multiprocessing
import os
import threading
from multiprocessing import forkserver, resource_tracker

import pytest

import elsewhere
from elsewhere.dialects import pipeproxy
from elsewhere.dialects.pipeproxy import MissingFunctionError, ObjectProxy, ProxyListener, WrongArgumentsError, proxy


class Example:
    def __init__(self):
        self.parameter = None
        self.lock = threading.Lock()  # which no pickle takes
        self.run_by = []

    def set_parameter(self, parameter):
        self.run_by.append(threading.get_ident())
        self.parameter = parameter

    def get_parameter(self):
        return self.parameter

    def add(self, number, *, twice=False):
        self.parameter = (self.parameter or 0) + number * (2 if twice else 1)
        return self.parameter

    def echo(self, thing):
        return thing

    def get_lock(self):
        return self.lock

    def fail(self):
        text = "no"
        raise ValueError(text)

    def exit(self):
        raise SystemExit(3)

    def be_late(self):
        text = "its own"
        raise TimeoutError(text)

    def fail_inside(self):
        return len(self.parameter)

    def _private(self):
        return "private"

    @property
    def computed(self):
        text = "nobody asked for it"
        raise RuntimeError(text)


class Other:
    def bark(self):
        return "woof"


def set_to_five(example):
    example.set_parameter(5)


def add_often(example, times):
    for _ in range(times):
        example.add(1)


def tell(answers, example, name, *args):
    answers.send(getattr(example, name)(*args))


def ask_while_nobody_listens(answers, cues, example):
    answers.send(example.get_parameter())
    cues.recv()
    pipeproxy.REPLY_TIMEOUT = 0.01
    answers.send(example.add(1))
    pipeproxy.REPLY_TIMEOUT = 60.0
    answers.send(example.echo("own"))


@pytest.fixture
def example():
    return Example()


@pytest.fixture
def listener(example):
    made, listener = proxy.createProxy(example)
    listener.proxy = made
    yield listener
    listener.close()


@pytest.fixture
def example_proxy(listener):
    return listener.proxy


@pytest.fixture
def in_a_hurry(monkeypatch):
    """Calls give up soon."""
    assert pipeproxy.REPLY_TIMEOUT == 2.0
    monkeypatch.setattr(pipeproxy, "REPLY_TIMEOUT", 0.01)


@pytest.fixture(params=["fork", "spawn", "forkserver"])
def context(request):
    yield multiprocessing.get_context(request.param)
    forkserver._forkserver._stop()
    resource_tracker._resource_tracker._stop()


@pytest.fixture
def forking():
    return multiprocessing.get_context("fork")


def answer_until(listener, children):
    while any(child.is_alive() for child in children):
        listener.listen()
    for child in children:
        child.join()


def ask(context, listener, name, *args):
    """What a child process gets for a call."""
    reading, writing = context.Pipe(duplex=False)
    child = context.Process(target=tell, args=(writing, listener.proxy, name, *args))
    child.start()
    try:
        answer_until(listener, [child])
        return reading.recv()
    finally:
        child.join()
        reading.close()
        writing.close()


def test_method_that_another_process_calls_runs_on_the_object_here(context, example, listener):
    child = context.Process(target=set_to_five, args=(listener.proxy,))

    child.start()
    answer_until(listener, [child])

    assert example.get_parameter() == 5
    assert example.run_by == [threading.get_ident()]


def test_another_process_gets_what_the_method_returns(forking, example, listener):
    example.set_parameter(1)

    assert ask(forking, listener, "get_parameter") == 1


def test_one_listen_answers_one_call_and_gives_none(forking, example, listener):
    child = forking.Process(target=add_often, args=(listener.proxy, 2))
    child.start()

    first = listener.listen()
    while example.parameter is None:  # where the child has not asked within 0.2 s
        listener.listen()
    after_one = example.parameter
    answer_until(listener, [child])

    assert first is None
    assert after_one == 1
    assert example.parameter == 2


def test_what_is_made_has_the_classes_that_users_ask_for(listener, example_proxy):
    assert isinstance(example_proxy, ObjectProxy)
    assert isinstance(listener, ProxyListener)


def test_listen_returns_where_nobody_asks(listener):
    assert listener.listen() is None


def test_proxy_has_the_methods_and_nothing_else(example_proxy):
    assert callable(example_proxy._private)
    assert not hasattr(example_proxy, "parameter")
    assert not hasattr(example_proxy, "computed")
    assert not hasattr(example_proxy, "lock")
    assert "add" in dir(example_proxy)


def test_proxies_of_two_classes_do_not_share_methods(example_proxy):
    other, listener = proxy.createProxy(Other())

    assert not hasattr(other, "add")
    assert not hasattr(example_proxy, "bark")
    listener.close()


@pytest.mark.usefixtures("in_a_hurry")
def test_call_that_nobody_answers_gives_none_and_prints_a_warning(example_proxy, capsys):
    assert example_proxy.set_parameter(5) is None

    assert capsys.readouterr().out == "Warning: no reply received for request (set_parameter, (5,))\n"


@pytest.mark.usefixtures("in_a_hurry")
def test_call_that_was_given_up_is_run_by_the_next_listen(example, listener):
    listener.proxy.set_parameter(5)

    listener.listen()

    assert example.parameter == 5


def test_late_answer_does_not_go_to_the_next_call(forking, example, listener):
    (reading, writing), (cues, cue) = forking.Pipe(duplex=False), forking.Pipe(duplex=False)
    child = forking.Process(target=ask_while_nobody_listens, args=(writing, cues, listener.proxy))
    child.start()
    while not reading.poll():
        listener.listen()
    reading.recv()
    cue.send(None)
    given_up = reading.recv()  # nobody listens here

    answer_until(listener, [child])

    assert given_up is None
    assert example.parameter == 1
    assert reading.recv() == "own"
    for end in (reading, writing, cues, cue):
        end.close()


@pytest.mark.usefixtures("in_a_hurry")
def test_wrong_arguments_are_raised_by_listen(listener):
    listener.proxy.set_parameter(1, 2, 3)

    with pytest.raises(WrongArgumentsError, match="parameter"):
        listener.listen()


@pytest.mark.usefixtures("in_a_hurry")
def test_missing_function_is_raised_by_listen(example, listener):
    example.extra = len
    made, other = proxy.createProxy(example)
    del example.extra
    made.extra([])

    with pytest.raises(MissingFunctionError, match="extra"):
        other.listen()
    other.close()


@pytest.mark.usefixtures("in_a_hurry")
def test_error_of_a_method_is_raised_by_listen_as_itself(listener):
    listener.proxy.fail()
    listener.proxy.fail_inside()

    with pytest.raises(ValueError, match="no"):
        listener.listen()
    with pytest.raises(TypeError) as caught:
        listener.listen()
    assert not isinstance(caught.value, WrongArgumentsError)


def test_caller_of_a_method_that_raises_gets_none(forking, listener):
    reading, writing = forking.Pipe(duplex=False)
    child = forking.Process(target=tell, args=(writing, listener.proxy, "fail"))
    child.start()

    with pytest.raises(ValueError, match="no"):
        answer_until(listener, [child])

    assert reading.recv() is None
    child.join()
    reading.close()
    writing.close()


def test_several_processes_share_a_proxy(forking, example, listener):
    children = [forking.Process(target=add_often, args=(listener.proxy, 20)) for _ in range(3)]
    for child in children:
        child.start()

    answer_until(listener, children)

    assert example.parameter == 60


def test_thread_of_this_process_is_answered_in_the_thread_that_listens(example, listener):
    thread = threading.Thread(target=set_to_five, args=(listener.proxy,))
    thread.start()

    while example.parameter is None:
        listener.listen()
    thread.join()

    assert example.run_by == [threading.get_ident()]


def test_keyword_arguments_are_passed(example, listener):
    thread = threading.Thread(target=listener.proxy.add, args=(3,), kwargs={"twice": True})
    thread.start()

    while example.parameter is None:
        listener.listen()
    thread.join()

    assert example.parameter == 6


def test_result_that_cannot_be_pickled_arrives_as_a_proxy(forking, listener):
    reading, writing = forking.Pipe(duplex=False)
    child = forking.Process(target=take_lock, args=(writing, listener.proxy))
    child.start()

    answer_until(listener, [child])

    assert reading.recv()
    reading.close()
    writing.close()


def take_lock(answers, example):
    answers.send(elsewhere.is_proxy(example.get_lock()))


def test_argument_that_cannot_be_pickled_is_an_error_before_anything_is_sent(example, listener):
    with pytest.raises(TypeError):
        listener.proxy.set_parameter(example.lock)

    listener.listen()
    assert example.parameter is None


def test_call_after_close_is_an_error(forking, listener):
    reading, writing = forking.Pipe(duplex=False)
    listener.close()
    child = forking.Process(target=error_of_call, args=(writing, listener.proxy))

    child.start()
    child.join()

    assert reading.recv() == "ConnectionLost"
    reading.close()
    writing.close()


def error_of_call(answers, example):
    try:
        example.get_parameter()
    except elsewhere.ElsewhereError as error:
        answers.send(type(error).__name__)


def asked_in_a_thread(listener, call):
    """What a call gives that is made in a thread of this process, and what `listen()` raises of it."""
    given = []

    def ask():
        try:
            given.append(call())
        except Exception as error:
            given.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    raised = None
    while not given and raised is None:
        try:
            listener.listen()
        except BaseException as error:
            raised = error
    thread.join()
    return given[0], raised


def listen_for_ever(listener):
    while True:
        listener.listen()


def test_listener_that_is_closed_answers_nobody_and_uses_no_descriptor():
    there, listener = proxy.createProxy(Example())
    assert asked_in_a_thread(listener, there.get_parameter) == (None, None)  # from now on it looks at its bell

    listener.close()
    mine = [os.pipe() for _ in range(4)]  # one of them has the number now
    try:
        with pytest.raises(elsewhere.ConnectionLost):
            there.get_parameter()
        assert listener.listen() is None
        for readable, _ in mine:
            os.set_blocking(readable, False)
            with pytest.raises(BlockingIOError):
                os.read(readable, 8)
    finally:
        for pair in mine:
            for descriptor in pair:
                os.close(descriptor)


def test_call_that_waits_when_the_listener_is_closed_is_told_so():
    there, listener = proxy.createProxy(Example())
    given = []

    def ask():
        try:
            there.get_parameter()
        except elsewhere.ConnectionLost as error:
            given.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    while not listener._desk.requests:
        pass
    listener.close()
    thread.join()

    assert len(given) == 1


def test_lambda_is_an_argument_in_the_same_process_too():
    class Caller:
        def call(self, function):
            return function(3)

    there, listener = proxy.createProxy(Caller())

    assert asked_in_a_thread(listener, lambda: there.call(lambda number: number + 1)) == (4, None)


def test_exit_of_a_method_leaves_listen_and_ends_nobody_else(capsys):
    there, listener = proxy.createProxy(Example())

    given, raised = asked_in_a_thread(listener, there.exit)
    child = multiprocessing.get_context("fork").Process(target=there.exit)
    child.start()
    with pytest.raises(SystemExit) as caught:
        listen_for_ever(listener)
    child.join()

    assert (given, type(raised), raised.code, caught.value.code, child.exitcode) == (None, SystemExit, 3, 3, 0)
    assert "SystemExit" in capsys.readouterr().out


def test_timeout_that_a_method_raises_is_told_as_its_own(capsys):
    there, listener = proxy.createProxy(Example())

    given, raised = asked_in_a_thread(listener, there.be_late)

    assert (given, type(raised)) == (None, TimeoutError)
    assert "TimeoutError: its own" in capsys.readouterr().out
