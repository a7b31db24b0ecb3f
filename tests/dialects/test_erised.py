"""What users of erised know, through its dialect."""

from __future__ import annotations

import copy
import gc
import importlib
import os
import queue
import threading

import pytest

import elsewhere
from elsewhere.dialects.erised import Future, Proxy
from programs import has_ended


class Dog:
    def bark(self, *, loud):
        sound = "woof-woof"
        return sound.upper() if loud else sound

    def growl(self):
        text = "grrr"
        raise ValueError(text)

    def sleep(self):
        threading.Event().wait()

    def oversleep(self):
        raise TimeoutError

    def crash(self):
        os._exit(3)

    def keep(self, thing):
        self.kept = thing
        return thing


class Person:
    def __init__(self):
        self.dog = Dog()
        self.name = "ada"
        self._age = 36
        self.noted = []

    def hello(self):
        return f"I am {self.name}"

    def itself(self):
        return self

    def note(self, number):
        self.noted.append(number)
        return list(self.noted)


@pytest.fixture(params=[False, True], ids=["process", "local"])
def proxy(request):
    proxy = Proxy(Person(), local=request.param)
    yield proxy
    proxy.terminate()


@pytest.fixture
def remote():
    proxy = Proxy(Person())
    yield proxy
    proxy.terminate()


def test_call_gives_a_future_at_any_depth(proxy):
    future = proxy.dog.bark(loud=True)

    assert isinstance(future, Future)
    assert future.result() == "WOOF-WOOF"
    assert future.result() == "WOOF-WOOF"
    assert proxy.hello().result() == "I am ada"


def test_attributes_are_set_and_retrieved_at_any_depth(proxy):
    proxy.dog.age = 3
    proxy.name = "eve"

    assert proxy.dog.age.retrieve().result() == 3
    assert proxy.name.retrieve().result() == "eve"
    assert proxy.hello().result() == "I am eve"
    assert proxy._age.retrieve().result() == 36


def test_nothing_cannot_be_put_into_a_process():
    with pytest.raises(ValueError, match="can't be None"):
        Proxy(None)


def test_call_that_raises_ends_nothing(proxy):
    future = proxy.dog.growl()

    with pytest.raises(ValueError, match="grrr"):
        future.result()
    assert isinstance(future.exception(), ValueError)
    assert proxy.dog.bark(loud=False).result() == "woof-woof"
    assert proxy.dog.bark(loud=False).exception() is None


def test_calls_run_in_the_order_made(proxy):
    futures = [proxy.note(number) for number in range(5)]

    assert futures[-1].result() == [0, 1, 2, 3, 4]


def test_failure_of_setting_is_raised_by_a_call_after_it(remote):
    remote.dog.nobody.name = "x"

    with pytest.raises(AttributeError, match="nobody"):
        all(iter(lambda: remote.hello().result(), None))  # until it has arrived
    assert remote.hello().result() == "I am ada"


def test_result_that_is_not_there_in_time_is_both_errors(remote):
    future = remote.dog.sleep()

    with pytest.raises(queue.Empty):
        future.result(timeout=0.01)
    with pytest.raises(TimeoutError):
        future.exception(timeout=0.01)
    assert future.running()
    assert not future.done()
    assert not future.cancelled()


def test_timeout_of_the_method_is_its_own(remote):
    with pytest.raises(TimeoutError) as caught:
        remote.dog.oversleep().result(timeout=30)

    assert not isinstance(caught.value, queue.Empty)


def test_futures_cannot_be_cancelled(proxy):
    future = proxy.hello()

    with pytest.raises(NotImplementedError, match="not implemented"):
        future.cancel()
    assert future.result() == "I am ada"
    assert not future.cancelled()


def test_all_futures_are_waited_for(proxy):
    futures = [proxy.note(number) for number in range(3)]

    proxy.wait_all_futures()

    assert all(future.done() for future in futures)
    with pytest.raises(ValueError, match="no call"):
        proxy.wait_all_futures()


def test_local_calls_run_when_a_result_is_asked_for():
    person = Person()
    proxy = Proxy(person, local=True)

    first, second = proxy.note(1), proxy.note(2)
    assert person.noted == []
    assert second.result() == [1, 2]
    assert first.done()

    third = proxy.note(3)
    proxy.terminate()
    assert person.noted == [1, 2, 3]
    assert third.result() == [1, 2, 3]


def test_local_calls_run_when_nobody_has_the_proxy_any_more():
    person = Person()
    proxy = Proxy(person, local=True)

    note = proxy.note
    first = note(1)
    del proxy
    gc.collect()
    assert person.noted == []
    del note
    gc.collect()
    assert person.noted == [1]
    assert first.result() == [1]


class Whereabouts:
    def pid(self):
        return os.getpid()


def test_process_ends_with_its_last_proxy():
    proxy = Proxy(Whereabouts())
    pid = proxy.pid().result()

    assert pid != os.getpid()
    del proxy
    gc.collect()
    assert has_ended(pid)


def test_local_object_is_the_object_itself():
    person, thing = Person(), threading.Lock()
    proxy = Proxy(person, local=True)

    assert proxy.dog.keep(thing).result() is thing
    assert person.dog.kept is thing
    proxy.terminate()


def test_end_of_the_process_ends_its_calls():
    proxy = Proxy(Person())
    future = proxy.dog.sleep()

    proxy.terminate()

    with pytest.raises(elsewhere.ElsewhereError):
        future.result()
    with pytest.raises(elsewhere.ElsewhereError):
        proxy.hello().result()


def test_argument_that_cannot_be_copied_is_an_error(remote):
    with pytest.raises(elsewhere.ArgumentError, match="lock"):
        remote.dog.keep(threading.Lock()).result()

    assert remote.hello().result() == "I am ada"


def test_process_that_died_is_told(remote):
    remote.dog.crash()

    with pytest.raises(elsewhere.HostDied) as caught:
        remote.hello().result(timeout=60)
    assert caught.value.exitcode == 3


def test_proxy_is_made_of_names_alone(proxy):
    assert "dog.age" in repr(proxy.dog.age)
    assert copy.copy(proxy.dog).bark(loud=False).result() == "woof-woof"
    assert hasattr(proxy, "whatever")
    with pytest.raises(AttributeError):
        proxy.__wrapped__


def test_results_are_asked_for_by_several_threads(remote):
    futures = [remote.note(number) for number in range(20)]
    found = [None] * 20

    def ask(number):
        found[number] = len(futures[number].result())

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found == list(range(1, 21))


def test_names_stand_in_the_modules_of_erised_too():
    module = importlib.import_module("elsewhere.dialects.erised.proxy")
    dialect = importlib.import_module("elsewhere.dialects.erised")

    assert all(getattr(module, name) is getattr(dialect, name) for name in module.__all__)
    assert set(dialect.__all__) >= set(module.__all__)


def test_private_attribute_is_set_at_any_depth(proxy):
    proxy._age = 40
    proxy.dog._age = 3

    assert proxy._age.retrieve().result() == 40
    assert proxy.dog._age.retrieve().result() == 3


def test_items_are_reached_by_the_methods_that_python_has_for_them(proxy):
    proxy.noted.append(5)

    proxy.noted.__setitem__(0, 6)

    assert proxy.noted.__getitem__(0).result() == 6
    assert (proxy.noted.__len__().result(), proxy.noted.__contains__(6).result()) == (1, True)
    with pytest.raises(AttributeError):
        proxy.__array_interface__


@pytest.mark.parametrize("name", ["_home", "_place"])
def test_every_name_is_the_objects(proxy, name):
    setattr(proxy.dog, name, 1)

    assert getattr(proxy.dog, name).retrieve().result() == 1


def test_local_object_gives_itself():
    person = Person()
    proxy = Proxy(person, local=True)

    assert proxy.itself().result() is person
    assert proxy.dog.keep(person).result() is person
    proxy.terminate()


def test_copies_are_the_proxy_itself(proxy):
    assert copy.copy(proxy) is proxy
    assert copy.deepcopy(proxy.dog) is proxy.dog
