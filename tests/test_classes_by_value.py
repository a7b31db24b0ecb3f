"""Objects of classes that travel by value, sent again and again: the class there is what it is here, each time."""

from __future__ import annotations

import abc
import collections
import dataclasses
import enum
import logging
import math
import threading
from typing import Generic, NamedTuple, TypeVar

import pytest

import elsewhere
from elsewhere import get
from workshop import Keeper

RATE = 2
"""What methods of classes in these tests read, and what tests rebind."""

PRICES = {"lamp": 20}

T = TypeVar("T")


@pytest.fixture
def keeper(process_host):
    return process_host.spawn(Keeper)


def total(keeper: Keeper) -> object:
    return keeper.thing.total()


def ask(keeper: Keeper, thing: object) -> object:
    """What `thing.total()` is over there."""
    keeper.keep(thing)
    return elsewhere.submit(total, keeper).result()


def order_class():
    """A class like that of somebody's script."""

    @dataclasses.dataclass
    class Order:
        number: int
        item: str = "lamp"

        def total(self) -> object:
            return self.number

    return Order


def test_instance_comes_back_as_one_of_the_very_class(keeper):
    order = order_class()(3)

    backs = [keeper.path_of(order) for _ in range(3)]

    assert backs == [order, order, order]
    assert {type(back) for back in backs} == {type(order)}


def test_instances_of_one_class_are_of_one_class_there(keeper):
    order = order_class()
    keeper.keep(order(1))
    first = elsewhere.submit(lambda keeper: id(type(keeper.thing)), keeper).result()

    keeper.keep(order(2))

    assert elsewhere.submit(lambda keeper: id(type(keeper.thing)), keeper).result() == first


def test_method_that_is_replaced_is_replaced_there(keeper):
    order = order_class()
    before = ask(keeper, order(3))

    order.total = lambda self: -self.number

    assert (before, ask(keeper, order(3))) == (3, -3)


def test_method_that_is_added_is_added_there(keeper):
    order = order_class()
    ask(keeper, order(3))

    order.double = lambda self: 2 * self.number
    keeper.keep(order(3))

    assert elsewhere.submit(lambda keeper: keeper.thing.double(), keeper).result() == 6


def test_attribute_of_the_class_that_changes_each_time_is_seen_there(keeper):
    class Order:
        count = 0

        def total(self) -> object:
            return self.count

    seen = []
    for count in range(12):
        Order.count = count
        seen.append(ask(keeper, Order()))

    assert seen == list(range(12))


def test_list_of_the_class_that_grows_is_seen_there(keeper):
    class Order:
        items: list[str] = []

        def total(self) -> object:
            return self.items

    before = ask(keeper, Order())
    Order.items.append("lamp")

    assert (before, ask(keeper, Order())) == ([], ["lamp"])


def test_global_that_is_rebound_is_seen_there(keeper, monkeypatch):
    class Order:
        def total(self) -> object:
            return RATE

    before = ask(keeper, Order())
    monkeypatch.setitem(globals(), "RATE", 5)

    assert (before, ask(keeper, Order())) == (2, 5)


def test_global_that_changes_inside_is_seen_there(keeper, monkeypatch):
    class Order:
        def total(self) -> object:
            return PRICES["lamp"]

    before = ask(keeper, Order())
    monkeypatch.setitem(PRICES, "lamp", 30)

    assert (before, ask(keeper, Order())) == (20, 30)


def test_global_that_is_there_later_is_seen_there(keeper, monkeypatch):
    class Order:
        def total(self) -> object:
            try:
                return LATER
            except NameError:
                return None

    before = ask(keeper, Order())
    monkeypatch.setitem(globals(), "LATER", 7)

    assert (before, ask(keeper, Order())) == (None, 7)


def test_variable_of_a_function_around_is_seen_there(keeper):
    rate = 2

    class Order:
        def total(self) -> object:
            return rate

    before = ask(keeper, Order())
    rate = 5

    assert (before, ask(keeper, Order())) == (2, 5)


def test_function_that_a_method_calls_is_seen_there(keeper):
    def price() -> int:
        return helper()

    def helper() -> int:
        return 2

    class Order:
        def total(self) -> object:
            return price()

    before = ask(keeper, Order())
    helper = lambda: 5  # noqa: E731, F811 - another function in the same variable

    assert (before, ask(keeper, Order())) == (2, 5)


def test_default_that_is_replaced_is_seen_there(keeper):
    class Order:
        def total(self, rate: int = 2) -> object:
            return rate

    before = ask(keeper, Order())
    Order.total.__defaults__ = (5,)

    assert (before, ask(keeper, Order())) == (2, 5)


def test_base_that_changes_is_seen_there(keeper):
    class Base(abc.ABC):
        @abc.abstractmethod
        def rate(self) -> int:
            """Give it."""

        def total(self) -> object:
            return self.rate()

    class Order(Base):
        def rate(self) -> int:
            return 2

    before = ask(keeper, Order())
    Base.total = lambda self: 10 * self.rate()

    assert (before, ask(keeper, Order())) == (2, 20)


def test_properties_constants_and_loggers_of_a_class_arrive(keeper):
    log = logging.getLogger("orders")

    class Size(enum.Enum):
        SMALL = 1

    class Order:
        rates = (1, 2.5, "x", None, frozenset({7}))
        size = Size.SMALL

        @property
        def rate(self) -> float:
            return math.sqrt(self.rates[1] ** 2)

        @staticmethod
        def name() -> str:
            return log.name

        @classmethod
        def make(cls) -> str:
            return cls.__name__

        def total(self) -> object:
            return self.rate, self.name(), self.make(), self.size.name

    answers = [ask(keeper, Order()) for _ in range(3)]

    assert answers == [(2.5, "orders", "Order", "SMALL")] * 3


def test_class_with_super_arrives(keeper):
    class Base:
        def total(self) -> object:
            return 2

    class Order(Base):
        def total(self) -> object:
            return super().total() + 1

    assert [ask(keeper, Order()) for _ in range(3)] == [3, 3, 3]


def test_class_that_names_itself_arrives(keeper):
    class Order:
        def total(self) -> object:
            return type(self) is Order

    assert [ask(keeper, Order()) for _ in range(3)] == [True, True, True]


def test_class_with_a_lock_is_refused_each_time(keeper):
    class Order:
        lock = threading.Lock()

    for _ in range(3):
        with pytest.raises(elsewhere.ArgumentError, match="lock"):
            keeper.keep(Order())

    assert get(keeper.thing) is None


def test_class_with_a_class_of_its_own_arrives_each_time(keeper):
    class Kind(type):
        """Makes classes."""

    class Order(metaclass=Kind):
        def total(self) -> object:
            return 1

    assert [ask(keeper, Order()) for _ in range(3)] == [1, 1, 1]


def test_each_host_gets_the_class(process_host):
    order = order_class()
    with elsewhere.Host() as other:
        keepers = [process_host.spawn(Keeper), other.spawn(Keeper)]

        answers = [ask(keeper, order(number)) for number in range(2) for keeper in keepers]

    assert answers == [0, 0, 1, 1]


def test_instance_made_there_is_of_the_class_here(keeper):
    order = order_class()

    made = [keeper.call(order, number) for number in range(3)]

    assert made == [order(0), order(1), order(2)]
    assert {type(order) for order in made} == {order}


def named_tuple() -> object:
    class Weight(NamedTuple):
        amount: int
        unit: str = "kg"

    return Weight(3)


def generic_named_tuple() -> object:
    class Pair(NamedTuple, Generic[T]):
        one: T
        two: T

    return Pair(1, 2)


@pytest.mark.parametrize("make", [named_tuple, generic_named_tuple, lambda: collections.namedtuple("Two", "a b")(1, 2)])
def test_tuple_with_names_arrives_as_one(keeper, make):
    value = make()

    keeper.keep(value)
    back = keeper.give()

    assert type(back) is type(value)
    assert (back, back._fields) == (value, value._fields)
    assert keeper.call(hasattr, back, "__dict__") is hasattr(value, "__dict__")
