"""Results that are declared to go by reference: on a function, for a host, for a server."""

from __future__ import annotations

import asyncio
import importlib
import threading
from typing import TYPE_CHECKING, Any

import pytest

import elsewhere
from elsewhere import by_reference, get, is_proxy, options, post, ref, stream, submit
from kennel import Dog
from visitors import Keeper

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


class Order:
    """Can be copied, and would be."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.state = "new"

    def ship(self) -> None:
        self.state = "shipped"


class Shop:
    """Declares which of its results go by reference."""

    def __init__(self, count: int = 2) -> None:
        self._orders = [Order(number) for number in range(count)]
        self.extra: list[str] = []

    @by_reference
    def orders(self) -> list[Order]:
        return self._orders

    @by_reference
    def order(self, number: int) -> Order | None:
        return self._orders[number] if number < len(self._orders) else None

    @by_reference
    def count(self) -> int:
        return len(self._orders)

    @by_reference
    def pair(self) -> tuple[Order, ...]:
        return tuple(self._orders)

    @by_reference
    async def fetch(self, number: int) -> Order:
        await asyncio.sleep(0)
        return self._orders[number]

    @by_reference
    def each(self) -> Iterator[Order]:
        yield from self._orders

    @by_reference
    async def each_later(self) -> AsyncIterator[Order]:
        for order in self._orders:
            await asyncio.sleep(0)
            yield order

    @by_reference
    def itself(self) -> Shop:
        return self

    @by_reference
    def make_lock(self) -> Any:
        return threading.Lock()

    @by_reference
    def fail(self) -> Order:
        raise LookupError("no orders")

    @by_reference
    @classmethod
    def flagship(cls) -> Order:
        return Order(100)

    @staticmethod
    @by_reference
    def sample() -> Order:
        return Order(200)

    @by_reference
    def __getitem__(self, number: int) -> Order:
        return self._orders[number]

    @by_reference
    def __enter__(self) -> list[str]:
        return self.extra

    def __exit__(self, *_: object) -> None:
        self.extra.append("left")

    @by_reference
    def __call__(self) -> Order:
        return self._orders[0]

    @by_reference
    def __add__(self, other: int) -> Order:
        return self._orders[other]

    def copied(self) -> list[Order]:
        return self._orders

    def states(self) -> list[str]:
        """Calls its own declared methods."""
        assert type(self.orders()) is list
        return [order.state for order in self.orders()]


class Branch(Shop):
    """Overrides what its base declares, and says nothing."""

    def orders(self) -> list[Order]:
        return self._orders[:1]


@by_reference
def open_shop() -> Shop:
    return Shop()


@pytest.fixture
def shop(host: elsewhere.Host) -> Shop:
    return host.spawn(Shop)


def test_result_of_a_declared_method_is_a_proxy_of_the_very_object(shop) -> None:
    orders = shop.orders()
    orders.append(Order(7))

    assert is_proxy(orders)
    assert len(shop.copied()) == 3
    assert orders == shop.orders()


def test_calls_inside_of_the_host_see_the_object_itself(shop) -> None:
    order = shop.order(0)
    assert order is not None
    order.ship()

    assert shop.states() == ["shipped", "new"]


def test_methods_beside_it_give_copies_as_ever(shop) -> None:
    assert type(shop.copied()) is list


def test_declared_result_that_is_none_or_a_number_is_that(shop) -> None:
    assert shop.order(5) is None
    assert type(shop.count()) is int


def test_declared_tuple_is_a_proxy(shop) -> None:
    pair = shop.pair()

    assert is_proxy(pair)
    assert get(pair[1].number) == 1


def test_result_of_a_declared_coroutine_is_a_proxy(shop) -> None:
    order = shop.fetch(1).result()
    order.ship()

    assert is_proxy(order)
    assert shop.states() == ["new", "shipped"]


def test_items_of_a_declared_generator_are_proxies(shop) -> None:
    for order in shop.each():
        order.ship()

    assert shop.states() == ["shipped", "shipped"]


def test_items_that_are_read_ahead_of_a_declared_generator_are_proxies(shop) -> None:
    for order in stream(shop.each):
        order.ship()

    assert shop.states() == ["shipped", "shipped"]


def test_items_of_a_declared_async_generator_are_proxies(shop) -> None:
    async def ship() -> list[bool]:
        return [is_proxy(order) async for order in shop.each_later()]

    assert asyncio.run(ship()) == [True, True]


def test_declared_result_that_is_the_receiver_is_the_receiver(shop) -> None:
    assert shop.itself() == shop
    assert hash(shop.itself()) == hash(shop)


def test_declared_method_that_raises_raises(shop) -> None:
    with pytest.raises(LookupError, match="no orders"):
        shop.fail()


def test_declared_methods_of_the_class_give_proxies(shop) -> None:
    assert get(shop.flagship().number) == 100
    assert is_proxy(shop.flagship())
    assert is_proxy(shop.sample())


def test_declared_special_methods_give_proxies(shop) -> None:
    with shop as extra:
        extra.append("in")

    assert get(shop.extra) == ["in", "left"]
    assert is_proxy(shop())
    assert is_proxy(shop + 1)


def test_value_option_asks_for_a_copy_all_the_same(shop) -> None:
    assert type(options(shop, result="value").orders()) is list


def test_future_of_a_declared_method_gives_a_proxy_and_is_pipelined(shop) -> None:
    future = submit(shop.order, 0)
    shipped = submit(Order.ship, elsewhere.lazy(future))

    assert shipped.result() is None
    assert future.result() == shop.order(0)
    assert shop.states() == ["shipped", "new"]


def test_function_that_is_run_for_its_declared_result_gives_a_proxy(host) -> None:
    shop = host.run(open_shop)
    shop.extra.append("x")

    assert is_proxy(shop)
    assert get(shop.extra) == ["x"]


def test_function_of_a_module_gives_a_proxy_where_it_is_declared(host) -> None:
    module = host.module("test_returns")

    assert is_proxy(module.open_shop())
    assert is_proxy(module.Shop.flagship())


def test_bound_method_by_reference_keeps_its_declaration(host, shop) -> None:
    method = ref(shop.orders)

    assert is_proxy(method())


def test_method_that_overrides_a_declared_one_is_declared_with_it(host) -> None:
    branch = host.spawn(Branch)

    assert is_proxy(branch.orders())


def test_declared_results_are_released_when_they_are_dropped(host, shop) -> None:
    before = host.stats()["imports"]

    held = [shop.order(0), shop.order(1), shop.orders(), *shop.each()]
    assert host.stats()["imports"] == before + 3
    del held

    assert host.stats()["imports"] == before


def test_post_of_a_declared_method_leaves_nothing(host, shop) -> None:
    before = host.stats()["imports"]

    post(shop.orders)

    assert shop.count() == 2
    assert host.stats()["imports"] == before


def test_class_of_the_main_module_takes_its_declarations_along(host) -> None:
    shop = host.spawn(make_by_value())

    assert is_proxy(shop.orders())


def make_by_value() -> type:
    class Local:
        """Is pickled by value, with what its functions carry."""

        @by_reference
        def orders(self) -> list[int]:
            return [1, 2]

    return Local


class Kennel:
    """Knows nothing of declarations."""

    def __init__(self) -> None:
        self.inside = {"rex": Dog("rex")}
        self.names = ["rex"]

    def dogs(self) -> dict[str, Dog]:
        return self.inside

    def list_names(self) -> list[str]:
        return self.names

    def name_of(self, name: str) -> str | None:
        return name if name in self.inside else None


class SmallKennel(Kennel):
    """Is declared by its base."""


def test_host_declares_methods_of_classes_that_know_nothing_of_it(process_host) -> None:
    with elsewhere.Host(returns={Kennel: ["list_names", "name_of"]}) as host:
        kennel, other = host.spawn(SmallKennel), process_host.spawn(Kennel)

        kennel.list_names().append("tom")

        assert get(kennel.names) == ["rex", "tom"]
        assert kennel.name_of("rex") == "rex"
        assert kennel.name_of("tom") is None
        assert type(other.list_names()) is list


def test_local_host_declares_for_itself_alone() -> None:
    returns = {Kennel: ["list_names"]}
    with elsewhere.Host(start="local", returns=returns) as host, elsewhere.Host(start="local") as other:
        assert is_proxy(host.spawn(Kennel).list_names())
        assert type(other.spawn(Kennel).list_names()) is list


def test_host_that_is_forked_declares() -> None:
    with elsewhere.Host(start="exec") as outer:  # a process with one thread
        assert outer.run(use_in_fork) == (True, False)


def use_in_fork() -> tuple[bool, bool]:
    with elsewhere.Host(start="fork", returns={Kennel: ["list_names"]}) as host:
        kennel = host.spawn(Kennel)
        return is_proxy(kennel.list_names()), is_proxy(kennel.dogs())


def test_host_declares_methods_of_built_in_classes() -> None:
    with elsewhere.Host(returns={list: ["__iter__", "copy"]}) as host:
        numbers = host.send([[1], [2]])

        for element in numbers:
            element.append(0)

        assert get(numbers) == [[1, 0], [2, 0]]
        assert is_proxy(numbers.copy())


def test_class_that_is_not_to_be_had_there_leaves_no_host(tmp_path, monkeypatch) -> None:
    (tmp_path / "hidden_module.py").write_text("class Hidden:\n    def method(self): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    hidden = importlib.import_module("hidden_module").Hidden
    monkeypatch.undo()

    with pytest.raises(elsewhere.ArgumentError, match="hidden_module"):
        elsewhere.Host(returns={hidden: ["method"]})


@pytest.fixture
def keeper(process_host: elsewhere.Host) -> Keeper:
    return process_host.spawn(Keeper)


def test_server_declares_methods_of_the_class_of_its_object(keeper) -> None:
    kennel = Kennel()
    with elsewhere.serve(kennel, returns=["list_names"]) as server:
        keeper.visit(server.address)
        keeper.use(lambda kennel: kennel.list_names().append("tom"))

        assert kennel.names == ["rex", "tom"]
        assert type(keeper.call("dogs")) is dict
        keeper.let_go()


def test_server_declares_by_class(keeper) -> None:
    kennel = Kennel()
    returns = {Kennel: ["dogs"], dict: ["get"]}
    with elsewhere.serve(kennel, returns=returns) as server:
        keeper.visit(server.address)
        keeper.use(lambda kennel: kennel.dogs().get("rex").grow(3))

        assert kennel.inside["rex"].age == 3
        keeper.let_go()


def test_declared_result_of_a_narrowed_server_shows_what_its_class_exposes(keeper) -> None:
    kennel = Kennel()
    expose = {Kennel: ["list_names"], list: ["append"]}
    with elsewhere.serve(kennel, expose=expose, returns=["list_names"]) as server:
        keeper.visit(server.address)
        keeper.use(lambda kennel: kennel.list_names().append("tom"))

        with pytest.raises(AttributeError, match="does not expose 'clear' of list"):
            keeper.use(lambda kennel: kennel.list_names().clear())
        with pytest.raises(AttributeError, match="does not expose"):
            keeper.use(lambda kennel: list(kennel.list_names()))
        assert kennel.names == ["rex", "tom"]
        keeper.let_go()


@pytest.mark.parametrize("wrong", [3, property(lambda self: 1), Dog, None])
def test_declaration_of_what_is_no_function_is_refused(wrong) -> None:
    with pytest.raises(TypeError, match="by_reference belongs to"):
        by_reference(wrong)


def test_declaration_of_a_built_in_function_says_what_to_do() -> None:
    with pytest.raises(TypeError, match="returns="):
        by_reference(len)


@pytest.mark.parametrize(
    ("returns", "error", "text"),
    [
        (["names"], TypeError, "returns maps classes"),
        ({"Kennel": ["names"]}, TypeError, "is no class"),
        ({Kennel: "names"}, TypeError, "iterable of str"),
        ({Kennel: [1]}, TypeError, "not the name"),
        ({Kennel: ["mames"]}, ValueError, "no method of that name"),
        ({Kennel: ["__doc__"]}, TypeError, "no method of Kennel"),
    ],
)
def test_declaration_of_a_host_that_means_nothing_is_refused(returns, error, text) -> None:
    with pytest.raises(error, match=text):
        elsewhere.Host(returns=returns)
