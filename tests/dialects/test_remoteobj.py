"""What users of remoteobj know of its proxies, through its dialect."""

from __future__ import annotations

import multiprocessing as mp
import os
import threading

import pytest

import elsewhere
from elsewhere.dialects import remoteobj
from elsewhere.dialects.remoteobj import Proxy, View
from remote_dog import Dog

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


class Parent:
    def says(self) -> str:
        return "first"


class Child(Parent):
    def says(self) -> str:
        return "second"


class Grandchild(Child):
    def says(self) -> str:
        return "third"


class Numbers(list):
    """A list that can have attributes."""


@pytest.fixture
def dog():
    return Dog()


@pytest.fixture
def remote(dog):
    """The proxy of a dog that listens in another process."""
    with remoteobj.listener(dog, bg=True):
        yield dog.remote


def test_calls_of_the_page_give_what_it_says():
    numbers = Numbers()
    numbers.something = 5
    numbers.another = []
    r_obj = numbers.remote = remoteobj.Proxy(numbers)

    with remoteobj.listener(numbers):
        r_obj.append(5)
        r_obj.another.append(6)

        assert isinstance(r_obj.another.append, remoteobj.Proxy)
        assert isinstance(r_obj[0], remoteobj.Proxy)
        assert isinstance(r_obj.another[0], remoteobj.Proxy)
        assert remoteobj.get(r_obj[0]) == r_obj[0].__ == r_obj[0].get_() == 5
        r_obj[0] = 6
        r_obj.something = 10
        assert (r_obj[0].__, r_obj.something.__, r_obj.another.__) == (6, 10, [6])
        assert remoteobj.get(r_obj.something, default=False) == 10


@pytest.mark.parametrize(
    ("ask", "kind"),
    [
        (lambda remote: remote.tags["nope"].__, KeyError),
        (lambda remote: remote.nope(), AttributeError),
        (lambda remote: remote.passto(len), TypeError),
        (lambda remote: list(remote.age), TypeError),
    ],
)
def test_error_in_no_code_of_the_object_has_a_cause_too(remote, ask, kind):
    with pytest.raises(kind) as caught:
        ask(remote)

    assert kind.__name__ in str(caught.value.__cause__)


def test_attribute_that_is_not_there_is_named_by_the_short_way_too(remote):
    with pytest.raises(AttributeError, match="'Dog' object has no attribute 'nope'"):
        remote.nope.__
    with pytest.raises(AttributeError, match=r"^_lacking$"):
        remote.nope._lacking
    with pytest.raises(AttributeError, match=r"^_secret$"):
        remote._secret


def test_argument_that_cannot_be_sent_is_no_error_from_over_there(remote):
    with pytest.raises(TypeError) as caught:
        remote.add(threading.Lock())

    assert "raised in" not in str(caught.value.__cause__)


class Switch:
    """The object of the page's full example, with the attribute that it forgets."""

    def __init__(self):
        self.remote = remoteobj.Proxy(self)
        self.x = 0
        self.is_on = False

    def inc(self):
        self.x += 1

    def toggle(self, state=None):
        self.is_on = not self.is_on if state is None else state


def run_in_background(switch, end):
    with switch.remote.background_listen():
        while not end.wait(0.001):
            if switch.is_on:
                switch.inc()


def run_in_main_thread(switch, end):
    with switch.remote:
        while not end.is_set():
            if switch.is_on:
                switch.inc()
            switch.remote.process_requests()


@pytest.mark.parametrize("run", [run_in_background, run_in_main_thread])
def test_full_example_of_the_page_runs(run):
    switch = Switch()
    end = mp.Event()
    process = mp.Process(target=run, args=(switch, end))
    process.start()
    switch.remote.wait_until_listening()

    switch.remote.toggle(True)
    while not switch.remote.x.__:
        pass
    switch.remote.toggle(False)
    is_on = switch.remote.is_on.__
    end.set()
    process.join()

    assert (is_on, switch.x, process.exitcode) == (False, 0, 0)


def test_chaining_gives_the_very_proxy(remote, dog):
    before = remote.age.__

    after = remote.grow().grow().grow().age.__

    assert (before, after, dog.age) == (3, 6, 3)
    assert remote.grow() is remote
    assert remote.get_() is remote
    assert remote.me() is remote


def test_super_is_the_method_of_the_class_above(remote):
    assert (remote.sound(), remote.super.sound()) == ("woof", "...")
    assert "Dog object" in remote.super.attrs_("__repr__")()
    with pytest.raises(AttributeError, match="super"):
        remote.super.super.sound()


def test_super_of_super_is_the_next_class_above():
    class Grown(Grandchild):
        pass

    person = Grown()
    person.remote = remoteobj.Proxy(person)

    with remoteobj.listener(person, bg=True):
        remote = person.remote
        there = [remote.says(), remote.super.says(), remote.super.super.says(), remote.super.super.super.says()]
        with pytest.raises(AttributeError, match="says"):
            remote.super.super.super.super.super.super.says()

    assert there == ["third", "third", "second", "first"]
    assert View().super.super.says().resolve_view(person) == "second"


def test_object_is_asked_where_it_listens(remote):
    assert remote.pid() != os.getpid()
    assert remote.add(1, 2, scale=3) == 9
    assert remote.add(default=7) == 7
    assert (remote.tags["color"].__, remote.attrs_("_secret").__, remote.attrs_("toys.__len__")()) == (
        "brown",
        "bone",
        2,
    )


def test_attributes_and_items_are_set_and_deleted_there(remote, dog):
    remote.name = "rex"
    remote.tags["size"] = 2
    del remote.tags["color"]
    del remote.age

    assert (remote.name.__, remote.tags.__) == ("rex", {"size": 2})
    with pytest.raises(AttributeError, match="age"):
        remote.age.get_(default=3)
    assert dog.tags == {"color": "brown"}


def test_operators_ask_there(remote):
    remote.toys.clear()

    assert ("color" in remote.tags, "size" in remote.tags, len(remote.tags)) == (True, False, 1)
    assert (bool(remote.toys), bool(remote.tags), bool(remote)) == (False, True, True)
    assert (remote.age == 3, remote.age == 4, remote.age != 4) == (True, False, True)
    assert remote.age == remote.age
    assert (str(remote), repr(remote.age)) == ("a dog", "<Remote a dog : (?.age)>")
    assert len({remote, remote.age, remote.age}) == 2


def test_iteration_ends(remote):
    assert list(remote.toys) == ["ball", "rope"]
    assert list(remote.bury()) == ["ball", "rope"]
    assert list(remote.tags) == ["color"]


def test_function_is_passed_to_the_object(remote):
    assert remote.toys.passto(len) == 2
    assert remote.passto(getattr, "age") == 3
    assert isinstance(remote.passto(getattr, "age", _proxy=False), Proxy)


def test_call_that_is_not_made_is_a_proxy(remote):
    call = remote.grow(_proxy=False).age

    assert isinstance(call, Proxy)
    assert remote.age.__ == 3
    assert (call.get_(), call.get_()) == (4, 5)


@pytest.mark.parametrize("options", [{"eager_proxy": False}, {"proxy_call": False}])
def test_proxy_that_is_not_eager_makes_calls_when_it_is_told(options):
    dog = Dog(**options)

    with remoteobj.listener(dog, bg=True):
        call = dog.remote.add(1, 2)

        assert isinstance(call, Proxy)
        assert (call.__, dog.remote.add(1, 2, _proxy=True)) == (3, 3)
        assert dog.remote.grow().age.__ == 4


def test_exception_is_raised_here_with_its_traceback_as_the_cause(remote):
    with pytest.raises(ValueError, match="grrr") as caught:
        remote.growl()

    assert "in growl" in str(caught.value.__cause__)
    assert remote.sound() == "woof"


def test_what_is_no_exception_is_raised_here_too(remote):
    with pytest.raises(SystemExit) as exited:
        remote.quit()
    with pytest.raises(StopIteration):
        remote.stop()
    with pytest.raises(KeyboardInterrupt):
        remote.interrupt()

    assert exited.value.code == 4
    assert remote.sound() == "woof"


def test_result_that_cannot_be_pickled_stays_there(remote):
    lock = remote.lock()

    assert elsewhere.is_proxy(lock)
    assert lock.acquire() is True
    assert remote.sound() == "woof"


def test_argument_that_cannot_be_pickled_is_an_error(remote):
    with pytest.raises(TypeError, match="lock"):
        remote.add(threading.Lock())

    assert remote.sound() == "woof"


def test_proxy_as_an_argument_is_the_proxy_there(remote):
    assert remote.compare(remote) == (True, 3)
    assert remote.passto(values_of, remote.age, remote.tags["color"]) == [3, "brown"]


def test_proxy_by_keyword_is_the_proxy_there(remote):
    assert remote.compare(other=remote) == (True, 3)
    assert remote.passto(value_of, place=remote.tags["color"]) == "brown"
    assert remote(other=remote.age, _proxy=False).get_() == 3


def value_of(_, *, place):
    return place.get_()


def values_of(_, *places):
    return [place.get_() for place in places]


def test_nobody_listening_is_a_runtime_error_for_each_operation(dog):
    remote = dog.remote
    asking = [
        remote.sound,
        remote.age.get_,
        lambda: setattr(remote, "age", 4),
        lambda: delattr(remote, "age"),
        lambda: remote.tags.update(a=1),
        lambda: operator_set(remote.tags),
        lambda: len(remote.tags),
        lambda: "a" in remote.tags,
        lambda: bool(remote),
        lambda: list(remote.toys),
        lambda: remote.age == 3,
    ]

    for ask in asking:
        with pytest.raises(RuntimeError, match="not running for <Remote a dog"):
            ask()
    assert str(remote) == repr(remote) == "<Remote a dog : (?)>"


def operator_set(tags):
    tags["color"] = "red"


def test_default_is_given_while_nobody_listens(dog):
    remote = dog.remote

    assert remote.add(1, _default=8) == 8
    assert remote.add(1, _default=lambda: 9) == 9
    assert remote.passto(len, _default=None) is None
    assert remote.age.get_(default=5) == 5
    assert remoteobj.get(remote.age, default=6) == 6
    assert remote.age.get_(default_local=True) == 3


def test_default_of_the_call_goes_before_that_of_the_proxy():
    remote = Dog(default=7).remote

    assert (remote.age.__, remote.sound(), remote.sound(_default=8)) == (7, 7, 8)


def test_default_is_not_for_what_the_object_lacks(remote):
    with pytest.raises(AttributeError, match="nope"):
        remote.nope.get_(default=3)


def test_value_that_has_no_truth_is_a_default_too(dog):
    class Array:
        def __eq__(self, other):
            raise TypeError

        __hash__ = None

    array = Array()

    assert dog.remote.age.get_(default=array) is array


def test_asked_where_it_listens_it_answers_in_the_same_thread(dog):
    with dog.remote.listen_(bg=True) as remote:
        lock = dog.lock()
        remote.own = lock

        assert remote is dog.remote
        assert remote.thread() == threading.get_ident()
        assert remote.own.__ is lock
        assert remote.grow() is dog  # here it is the object, and no proxy comes home
        assert remote.listening_ is True
        assert list(remote.toys) == ["ball", "rope"]


def test_method_may_ask_its_own_proxy(remote):
    assert remote.ask_itself() is True


def test_several_threads_and_processes_get_their_own_answers(remote):
    def ask(start):
        wrong.extend(n for n in range(start, start + 50) if remote.add(n) != n)

    def ask_from_afar(start):
        ask(start)
        assert wrong == []

    wrong = []
    children = [remoteobj.process(ask_from_afar, n * 1000) for n in range(2)]
    for child in children:
        child.start()
    threads = [remoteobj.thread(ask, 5000 + n * 1000) for n in range(4)]
    for thread in threads:
        thread.start()

    for one in [*threads, *children]:
        one.join()

    assert wrong == []


def test_names_of_the_first_version_are_there_unless_the_object_has_them(dog):
    remote = dog.remote
    with remote.background_listen():
        here = remote.listening
    after = remote.listening

    assert (here, after) == (True, False)
    assert isinstance(remote.as_view(False), View)
    assert remote.background_stop() is remote
    dog.listening = "to music"
    assert isinstance(remote.listening, Proxy)
    assert remote.listening.get_(default_local=True) == "to music"


def test_process_that_made_the_proxy_is_local_and_no_other(remote):
    assert remote.is_local
    assert not remote.passto(is_local_there)


def is_local_there(dog):
    return dog.remote.is_local


def listen_by_hand(dog, end):
    dog.remote.listening = True
    while not end.is_set():
        dog.remote.process_requests()
    dog.remote.listening = False


def test_listening_of_the_first_version_is_set(dog):
    end = mp.Event()
    process = mp.Process(target=listen_by_hand, args=(dog, end))
    process.start()
    dog.remote.wait_until_listening(timeout=20)

    answer = dog.remote.grow().age.__
    end.set()
    process.join()

    assert (answer, process.exitcode, dog.remote.listening) == (4, 0, False)


def test_listening_set_to_false_ends_a_listener_elsewhere(dog):
    process = mp.Process(target=background_until_stopped, args=(dog,))
    process.start()
    dog.remote.wait_until_listening(timeout=20)

    dog.remote.listening = False
    process.join()

    assert (process.exitcode, dog.remote.listening) == (0, False)


def background_until_stopped(dog):
    dog.remote.run_listener()


def test_object_that_has_a_listening_of_its_own_keeps_it(remote, dog):
    remote.passto(set_listening, "to music")

    dog.listening = "to nothing"
    remote.listening = "to the radio"

    assert remote.attrs_("listening").__ == "to the radio"
    assert (dog.listening, remote.listening_) == ("to nothing", True)


def set_listening(dog, value):
    dog.listening = value


def test_default_of_the_first_version_is_given_by_calls(dog):
    remote = dog.remote

    assert remote.sound(default="silence") == "silence"
    assert remote.toys.append("stick", default=None) is None
    assert remote.toys[0].upper(default="NONE") == "NONE"
    assert remote.sound(_default="first", default="second") == "first"
    assert Dog(default=7).remote.sound(default=8) == 8
    with pytest.raises(RuntimeError, match="not running"):
        remote.add(1, default=5)  # which is its own argument


def test_default_of_the_first_version_is_not_passed_to_who_listens(remote):
    assert remote.sound(default="silence") == "woof"
    assert remote.toys.append("stick", default=None) is None
    assert remote.toys[-1].upper(default=None) == "STICK"
    assert remote.sound(default="silence", _proxy=False).upper() == "WOOF"
    assert remote.add(1, default=5) == 6
    with pytest.raises(TypeError, match="unexpected"):
        remote.sound(defualt="silence")


def test_default_of_the_first_version_is_not_passed_here_either(dog):
    with dog.remote.background_listen():
        assert dog.remote.sound(default="silence") == "woof"
        assert dog.remote.add(1, default=5) == 6


def test_listener_of_the_first_version_runs_until_it_is_stopped(dog):
    def listen():
        dog.remote.run_listener()
        return "done"

    with remoteobj.thread(listen) as thread:
        while not dog.remote.listening_:
            pass
        dog.remote.stop_listen_()

    assert thread.result == "done"


def test_listener_in_a_thread_is_stopped_however_soon_it_is_found():
    for _ in range(200):
        dog = Dog()
        with remoteobj.thread(dog.remote.run_listener) as thread:
            while not dog.remote.listening_:
                pass
            dog.remote.stop_listen_()

        assert not thread.is_alive()


def test_names_that_begin_with_an_underscore_are_the_proxys_own(dog):
    dog.remote._mine = 1

    assert dog.remote._mine == 1
    del dog.remote._mine
    with pytest.raises(AttributeError):
        dog.remote._mine
    assert not hasattr(dog, "_mine")


def test_view_writes_its_steps_and_takes_them():
    view = View().tags["color"].upper()

    assert str(view) == "(?.tags['color'].upper())"
    assert str(View().super.sound()) == "(super(?).sound())"
    assert str(View().passto(len, 1)) == "(len(?, 1))"
    assert view.resolve_view(Dog()) == "BROWN"
    assert View((".", "age")).resolve_view(Dog()) == 3
    assert View().attrs_("tags.get", "__name__").resolve_view(Dog()) == "get"
    with pytest.raises(TypeError, match="no items"):
        iter(view)
    frozen = View(frozen=True)
    assert not hasattr(frozen, "age")
    with pytest.raises(TypeError, match="nothing follows"):
        frozen["age"]
    with pytest.raises(TypeError, match="nothing follows"):
        frozen()
