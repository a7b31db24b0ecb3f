"""Views and options: the same object, with calls made as futures, later, or with another rule for results."""

from __future__ import annotations

import asyncio
import inspect

import pytest

import elsewhere
from data_model import FORWARDED, NOTING
from elsewhere import futures, get, lazy, options, ref
from kennel import Dog
from workshop import Keeper, kept_busy


class Counter:
    """Counts how often it is asked."""

    def __init__(self):
        self.asked = 0

    def ask(self, step=1):
        self.asked += step
        return self

    def value(self):
        return self.asked


@pytest.fixture
def dog(host):
    return host.spawn(Dog, "rex", age=3)


def test_futures_view_gives_a_future_for_each_call(dog):
    view = futures(dog)

    future = view.bark(loud=True)

    assert isinstance(future, elsewhere.Future)
    assert future.result() == "WOOF"


def test_futures_view_gives_a_future_for_get(dog):
    view = futures(dog)

    assert get(view.age).result() == 3
    assert get(view.tail, default="none").result() == "none"
    with pytest.raises(AttributeError):
        get(view.tail).result()


def test_setting_through_a_futures_view_keeps_its_order(dog):
    view = futures(dog)

    view.age = 9
    view["sit"] = 1
    del view["sit"]

    assert get(view.age).result() == 9
    assert get(dog.tricks) == {}


def test_failed_set_of_a_futures_view_is_raised_by_its_next_call(dog, caplog):
    view = futures(dog)
    del view["unknown"]
    get(futures(dog).age).result()  # a later call of the same host: the failure has arrived
    failure = None
    while failure is None:  # it is told by the service thread
        try:
            view.bark().result()
        except KeyError as error:
            failure = error

    assert failure.args == ("unknown",)
    assert view.bark().result() == "woof"
    assert "futures view" in caplog.text


@pytest.mark.parametrize("operation", [len, bool, iter, next, lambda view: view + 1, lambda view: view < 1, reversed])
def test_operator_of_a_futures_view_is_a_type_error(dog, operation):
    with pytest.raises(TypeError, match="futures view"):
        operation(futures(dog))


def test_text_of_a_futures_view_is_its_repr_and_asks_nobody(dog):
    view = futures(dog).friends

    assert str(view) == f"{view}" == repr(view)
    assert "friends" in str(view)
    with pytest.raises(TypeError, match="futures view"):
        format(view, "5")


NOT_OPERATORS = {
    "__getattribute__", "__getattr__", "__setattr__", "__delattr__", "__getitem__", "__setitem__", "__delitem__",
    "__call__", "__hash__", "__dir__", "__str__", "__length_hint__",
}  # fmt: skip
"""What a futures view does in its own way, and what Python takes a TypeError of for the lack of a hint."""


@pytest.mark.parametrize("name", [name for name in FORWARDED if name not in NOT_OPERATORS])
def test_every_operator_of_a_futures_view_is_a_type_error_and_asks_nobody(host, name):
    view = futures(host.spawn(NOTING[name]))
    asked = host._calls_made()

    with pytest.raises(TypeError, match="futures view"):
        finish(FORWARDED[name](view))

    assert host._calls_made() == asked


def finish(result):
    """Run what an operation gave, if it is to be awaited."""
    return asyncio.run(result) if inspect.iscoroutine(result) else result


def test_failed_set_of_a_futures_view_is_raised_by_its_next_get(dog, caplog):
    view = futures(dog)
    del view.tricks["unknown"]
    failure = None
    while failure is None:  # it is told by the service thread
        try:
            get(view.age).result()
        except KeyError as error:
            failure = error

    assert failure.args == ("unknown",)
    assert get(view.age).result() == 3


def test_setting_through_a_futures_view_does_not_wait(process_host):
    dog = process_host.spawn(Dog, "rex")
    view = futures(dog)

    with kept_busy(process_host):
        view.age = 9
        del view.lock
        view["sit"] = 1

    assert (get(dog.age), get(dog.lock, default="gone"), get(dog.tricks)) == (9, "gone", {"sit": 1})


def test_name_or_key_of_a_futures_view_extends_the_path(process_host):
    view = futures(process_host.spawn(Dog, "rex"))

    with kept_busy(process_host):
        path = view.friends[0].name

    assert elsewhere.is_proxy(path)
    assert repr(path).startswith("<path Dog.friends[0].name in ")


def test_operators_of_a_lazy_view_run_at_once(host):
    counter = host.spawn(Counter)
    path = lazy(counter).ask().asked

    assert path + 10 == 11
    assert path == 2
    assert [1, 2, 3, 4][path] == 4


def test_views_compose(dog):
    assert get(lazy(futures(dog)).bark()) == "woof"
    assert futures(lazy(dog)).bark().result() == "woof"
    assert get(futures(lazy(dog).itself()).age).result() == 3
    assert elsewhere.is_proxy(futures(options(dog, result="proxy")).echo([1]).result())


@pytest.mark.parametrize("view", [futures, lazy, lambda dog: options(dog, timeout=60)])
def test_view_is_the_object_as_an_argument(dog, view):
    keeper = elsewhere.host_of(dog).spawn(Keeper, dog)

    assert keeper.is_kept(view(dog))
    assert keeper.same(view(dog).tricks, dog.tricks)


def test_lazy_view_takes_calls_as_steps_of_one_trip(host):
    counter = host.spawn(Counter)

    path = lazy(counter).ask().ask(step=2).value()

    assert get(counter.asked) == 0
    assert get(path) == 3
    assert get(path) == 6


def test_lazy_path_is_evaluated_where_it_is_passed(host):
    counter, dog = host.spawn(Counter), host.spawn(Dog, "rex")

    assert dog.echo(lazy(counter).ask(5).value()) == 5
    assert dog.echo([lazy(counter).ask(step=1).value(), {}]) == [6, {}]


def test_lazy_path_can_be_pinned(host):
    counter = host.spawn(Counter)

    assert ref(lazy(counter).ask()) == counter


def test_lazy_path_says_what_it_is(host):
    counter = host.spawn(Counter)

    assert repr(lazy(counter).ask(1).value).startswith("<path Counter.ask(…).value in ")


def test_failing_step_of_a_lazy_path_is_raised_when_it_is_evaluated(dog):
    path = lazy(dog).fail(ValueError("no")).name

    with pytest.raises(ValueError, match="no"):
        get(path)


def test_views_are_equal_to_what_they_view(dog):
    assert (futures(dog) == dog) is True
    assert (lazy(dog) == dog) is True
    assert hash(lazy(dog)) == hash(dog)


def test_views_take_proxies_only():
    with pytest.raises(TypeError, match="expected a proxy"):
        futures([])
    with pytest.raises(TypeError, match="expected a proxy"):
        lazy([])


def test_result_proxy_gives_a_proxy_of_what_could_be_copied(host):
    names = host.send({"a": [1]})

    inner = options(names, result="proxy").get("a")
    inner.append(2)

    assert elsewhere.is_proxy(inner)
    assert get(names) == {"a": [1, 2]}


def test_result_value_makes_what_cannot_be_copied_an_error_that_names_it(dog):
    with pytest.raises(elsewhere.ResultError, match=r"\[1\]") as caught:
        options(dog, result="value").mixed()

    assert caught.value.outcome == "finished"


def test_options_that_are_not_named_stay(dog):
    bounded = options(options(dog, timeout=0.05), result="proxy")

    with pytest.raises(elsewhere.CallTimeout):
        bounded.sleep(1)


@pytest.mark.parametrize("wrong", [{"result": "copy"}, {"timeout": -1}, {"timeout": float("nan")}])
def test_wrong_option_is_refused(dog, wrong):
    with pytest.raises(ValueError, match=r"result must be|number of seconds"):
        options(dog, **wrong)
