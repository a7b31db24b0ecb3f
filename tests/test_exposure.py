"""What may be reached of an object that is served with a list of names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import elsewhere
from kennel import Dog, error_of
from visitors import Keeper

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def keeper(process_host: elsewhere.Host) -> Keeper:
    """A visitor in another process."""
    return process_host.spawn(Keeper)


class Safe:
    """Has things to show and things to hide."""

    def __init__(self) -> None:
        self.label = "safe"
        self.content = ["gold"]
        self.owner = Dog("rex")

    def __len__(self) -> int:
        return 1

    def __getitem__(self, key: int) -> str:
        return self.content[key]

    def open(self) -> list[str]:
        return self.content

    def keeper(self) -> Any:
        return elsewhere.ref(self.owner)

    def several(self) -> Iterator[str]:
        yield from self.content


@pytest.fixture
def visit(keeper):
    """Serve a safe with a list of names, and let the keeper visit it."""
    servers = []

    def visit(expose: Any) -> Keeper:
        server = elsewhere.serve(Safe(), expose=expose).start()
        servers.append(server)
        keeper.visit(server.address)
        return keeper

    yield visit
    for server in servers:
        server.close()


def test_listed_names_are_read_and_called(visit):
    keeper = visit(["label", "open"])

    assert keeper.read("label") == "safe"
    assert keeper.call("open") == ["gold"]


def test_names_that_are_not_listed_do_not_exist(visit):
    keeper = visit(["label"])

    for name in ("open", "content", "__class__", "__dict__", "__init__", "__len__"):
        assert isinstance(error_of(lambda name=name: keeper.reach(name)), AttributeError)


def test_setting_needs_a_listing_of_its_own(visit):
    keeper = visit(["label", "content", "content="])

    keeper.set("content", ["silver"])

    assert keeper.read("content") == ["silver"]
    assert isinstance(error_of(lambda: keeper.set("label", "x")), AttributeError)


def test_operators_work_where_they_are_listed(visit):
    keeper = visit(["__getitem__"])

    assert keeper.use(lambda safe: safe[0]) == "gold"
    assert isinstance(error_of(lambda: keeper.use(len)), AttributeError)
    assert isinstance(error_of(lambda: keeper.use(lambda safe: safe())), AttributeError)


def test_nothing_is_reached_around_the_list(visit):
    keeper = visit(["label", "open"])

    ways = [
        lambda: keeper.apply(lambda safe: safe.content),
        lambda: keeper.use(lambda safe: elsewhere.get(safe.open.__self__)),
        lambda: keeper.use(lambda safe: elsewhere.get(elsewhere.attribute(safe.open, "__func__"))),
        lambda: keeper.use(lambda safe: elsewhere.get(safe.label.upper())),
        lambda: keeper.use(lambda safe: safe.open(safe.content)),
        lambda: keeper.use(lambda safe: elsewhere.get(elsewhere.attribute(safe, "label.upper"))),
        lambda: keeper.use(lambda safe: safe.label.format(safe)),
    ]

    for way in ways:
        assert isinstance(error_of(way), (AttributeError, TypeError)), way


def test_objects_of_other_classes_have_lists_of_their_own(visit):
    keeper = visit({Safe: ["keeper"], Dog: ["bark"]})

    assert keeper.use(lambda safe: safe.keeper().bark()) == "woof"
    assert isinstance(error_of(lambda: keeper.use(lambda safe: safe.keeper().grow())), AttributeError)


def test_generator_of_a_listed_method_is_iterated(visit):
    keeper = visit(["several"])

    assert keeper.use(lambda safe: list(safe.several())) == ["gold"]


@pytest.mark.parametrize("expose", ["label", [1], ["a b"], {"Safe": []}])
def test_list_that_means_nothing_is_refused(expose):
    with pytest.raises(TypeError, match="expose"):
        elsewhere.serve(Safe(), expose=expose)
