"""Results by reference in the tables of three processes: what is held, and that it goes when it is dropped."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

import pytest

import elsewhere
from elsewhere import by_reference, get, ref

if TYPE_CHECKING:
    from collections.abc import Iterator


class Tree:
    """A part of its parent, which its children outlive."""

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.branches = [Tree(depth - 1) for _ in range(2)] if depth else []

    @by_reference
    def branch(self, number: int) -> Tree:
        return self.branches[number]

    @by_reference
    def all_branches(self) -> list[Tree]:
        return self.branches

    def prune(self) -> None:
        self.branches.clear()

    def first(self) -> Tree:
        return ref(self.branches[0])

    @by_reference
    def each(self) -> Iterator[Tree]:
        yield from self.branches


class Keeper:
    """Keeps what it is given, in a third process."""

    def __init__(self) -> None:
        self.kept: list[Any] = []

    def keep(self, *things: Any) -> None:
        self.kept.extend(things)

    def keep_branch(self, tree: Tree) -> None:
        self.kept.append(tree.branch(0))

    def compare(self, tree: Tree) -> tuple[bool, bool]:
        return self.kept[0] == tree, hash(self.kept[0]) == hash(tree)

    def depth(self) -> int:
        return get(self.kept[-1].depth)

    def forget(self) -> None:
        self.kept.clear()


@pytest.fixture(scope="module")
def hosts() -> Iterator[tuple[elsewhere.Host, elsewhere.Host]]:
    with elsewhere.Host() as first, elsewhere.Host() as second:
        first.run(len, [])
        yield first, second


@pytest.fixture
def garden(hosts) -> elsewhere.Host:
    return hosts[0]


@pytest.fixture
def shed(hosts) -> elsewhere.Host:
    return hosts[1]


def held(host: elsewhere.Host) -> int:
    """How many objects of the host are held here."""
    gc.collect()
    return host.stats()["imports"]


def test_result_is_let_go_when_its_last_proxy_is(garden) -> None:
    tree = garden.spawn(Tree, 1)
    before = held(garden)

    branch = tree.branch(0)
    again = tree.branch(0)
    assert held(garden) == before + 1
    del branch
    assert held(garden) == before + 1
    del again

    assert held(garden) == before


def test_result_of_a_result_outlives_its_parents(garden) -> None:
    before = held(garden)
    tree = garden.spawn(Tree, 2)
    branch = tree.branch(0)
    leaf = branch.branch(1)

    tree.prune()
    del tree, branch
    assert held(garden) == before + 1

    assert get(leaf.depth) == 0
    del leaf
    assert held(garden) == before


def test_proxies_of_one_object_that_came_by_different_ways_are_one(garden) -> None:
    tree = garden.spawn(Tree, 1)
    before = held(garden)

    ways = [tree.branch(0), tree.first(), ref(tree.branches[0]), ref(tree.all_branches()[0]), next(tree.each())]

    assert all(way == ways[0] for way in ways)
    assert len({hash(way) for way in ways}) == 1
    assert len(set(ways)) == 1
    assert held(garden) == before + 1


def test_third_process_keeps_what_the_owner_let_go(garden, shed) -> None:
    keeper = shed.spawn(Keeper)
    before = held(garden), shed.stats()["exports"]
    tree = garden.spawn(Tree, 1)
    keeper.keep(tree.branch(0))

    tree.prune()
    del tree

    assert held(garden) == before[0] + 1
    assert shed.stats()["exports"] == before[1] + 1
    assert keeper.depth() == 0
    keeper.forget()
    while held(garden) != before[0] or shed.stats()["exports"] != before[1]:
        keeper.forget()


def test_result_that_a_third_process_asks_for_is_let_go_with_it(garden, shed) -> None:
    keeper = shed.spawn(Keeper)
    tree = garden.spawn(Tree, 1)
    before = held(garden), shed.stats()["exports"]

    keeper.keep_branch(tree)
    assert keeper.depth() == 0
    keeper.forget()

    while held(garden) != before[0] or shed.stats()["exports"] != before[1]:
        keeper.forget()


def test_proxies_in_a_third_process_are_equal_and_hash_alike(garden, shed) -> None:
    keeper = shed.spawn(Keeper)
    tree = garden.spawn(Tree, 1)

    keeper.keep(tree.branch(0))

    assert keeper.compare(tree.first()) == (True, True)
    assert keeper.compare(tree.branch(1))[0] is False


def test_objects_that_are_gone_over_there_leave_the_host_nothing(garden) -> None:
    tree = garden.spawn(Tree, 1)
    before = garden.stats()["exports"]

    for _ in range(20):
        tree.all_branches()
        tree.branch(1)
        for _ in tree.each():
            pass

    assert garden.stats()["exports"] == before
    assert held(garden) <= 3
