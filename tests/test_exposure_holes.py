"""What an attacker tries who may reach a few names of an object, and wants the rest. No sandbox: see SECURITY.md.

All of it goes through the verbs of a proxy; who sends pickles of his own making runs code anyway.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import elsewhere
from elsewhere import is_proxy, stream
from kennel import error_of
from vaults import SHOWN, WAYS, Coin, Pocket, Vault, ended, raised, told
from visitors import Keeper

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def keepers() -> Iterator[elsewhere.Host]:
    with elsewhere.Host() as host:
        yield host


@pytest.fixture
def keeper(keepers) -> Iterator[Keeper]:
    """Has a proxy of a vault of which only some names are listed, and of coins one."""
    with elsewhere.serve(Vault(), expose={Vault: SHOWN, Coin: ["flip"]}) as server:
        keeper = keepers.spawn(Keeper)
        keeper.visit(server.address)
        yield keeper
        keeper.let_go()


@pytest.mark.parametrize("way", WAYS)
def test_way_around_the_list_ends_in_an_attribute_error(keeper, way) -> None:
    error = error_of(lambda: keeper.use(WAYS[way]))

    assert isinstance(error, (AttributeError, TypeError)), repr(error)


def test_listed_names_work_beside_all_that(keeper) -> None:
    assert keeper.read("label") == "vault"
    assert keeper.use(lambda vault: vault.coin().flip()) == "heads"
    assert keeper.use(lambda vault: vault.coin_by_reference().flip()) == "heads"
    assert keeper.use(lambda vault: [coin.flip() for coin in vault.each()]) == ["heads"] * 2
    assert keeper.use(lambda vault: [coin.flip() for coin in stream(vault.each)]) == ["heads"] * 2
    assert keeper.use(lambda vault: vault.itself() == vault)
    assert keeper.use(lambda vault: vault.method()().flip()) == "heads"
    assert keeper.use(lambda vault: vault.wait().result().flip()) == "heads"


def test_what_holds_an_object_of_a_listed_class_is_copied_around_its_proxy(keeper) -> None:
    assert keeper.use(lambda vault: type(vault.hold("object"))) is Pocket
    assert keeper.use(lambda vault: vault.hold("object").coin.flip()) == "heads"
    assert keeper.use(lambda vault: vault.hold("closure")().flip()) == "heads"
    assert keeper.use(lambda vault: vault.hold("method")[0]()) == "heads"
    assert keeper.use(lambda vault: raised(lambda: vault.refuse("attribute")).coin.flip()) == "heads"
    assert keeper.use(lambda vault: vault.echo([vault])[0] == vault)
    assert keeper.use(lambda vault: ended(vault.pockets()).coin.flip()) == "heads"
    assert keeper.use(lambda vault: told(vault)[0].coin.flip()) == "heads"


@pytest.mark.parametrize("how", ["set", "key"])
def test_object_of_a_listed_class_is_a_key_where_its_hash_is_listed(keepers, how) -> None:
    with elsewhere.serve(Vault(), expose={Vault: ["hold"], Coin: ["flip", "__hash__"]}) as server:
        keeper = keepers.spawn(Keeper)
        keeper.visit(server.address)

        assert keeper.use(lambda vault: [coin.flip() for coin in vault.hold(how)]) == ["heads"]
        keeper.let_go()


def test_object_of_a_listed_class_is_a_proxy_unless_copies_are_listed(keepers) -> None:
    with elsewhere.serve(Vault(), expose={Vault: ["coin"], Coin: ["__copy__"]}) as server:
        keeper = keepers.spawn(Keeper)
        keeper.visit(server.address)

        assert keeper.use(lambda vault: (is_proxy(vault.coin()), vault.coin().worth)) == (False, 1)
        keeper.let_go()


def test_server_without_lists_copies_as_ever(keepers) -> None:
    with elsewhere.serve(Vault()) as server:
        keeper = keepers.spawn(Keeper)
        keeper.visit(server.address)

        assert keeper.use(lambda vault: (is_proxy(vault.coin()), vault.coin().mint)) == (False, "secret mint")
        keeper.let_go()
