"""An object of which some names may be reached and others not, and the ways around that which an attacker tries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import elsewhere
from elsewhere import attribute, by_reference, get, options, ref, stream, submit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Coin:
    """Part of a vault, with a list of its own where one is given."""

    def __init__(self, worth: int) -> None:
        self.worth, self.mint = worth, "secret mint"

    def flip(self) -> str:
        return "heads"


class Vault:
    """Has things to show and things to hide."""

    def __init__(self) -> None:
        self.label, self.code = "vault", "1234"
        self.coins = [Coin(1), Coin(2)]

    def __iter__(self) -> Iterator[str]:
        yield self.code

    def __reduce__(self) -> Any:
        return Vault, ()

    def coin(self) -> Coin:
        return self.coins[0]

    def coin_by_reference(self) -> Coin:
        return ref(self.coins[1])

    def itself(self) -> Vault:
        return self

    def each(self) -> Iterator[Coin]:
        yield from self.coins

    def show_to(self, callback: Callable[[Any], Any]) -> Any:
        return callback(ref(self.coins))

    def method(self) -> Any:
        return self.coin

    @by_reference
    def all_coins(self) -> list[Coin]:
        return self.coins

    async def wait(self) -> Coin:
        return self.coins[0]


SHOWN = ["label", "coin", "coin_by_reference", "itself", "each", "show_to", "method", "all_coins", "wait"]

WAYS: dict[str, Callable[[Any], Any]] = {
    "a name": lambda vault: get(vault.code),
    "a name behind a listed one": lambda vault: get(vault.label.upper),
    "a call of it": lambda vault: vault.label.upper(),
    "an item of it": lambda vault: get(vault.label[0]),
    "a name of a method": lambda vault: get(vault.coin.__name__),
    "the object of a method": lambda vault: get(attribute(vault.coin, "__self__").code),
    "the function of a method": lambda vault: get(attribute(vault.coin, "__func__")),
    "the globals of a method": lambda vault: get(attribute(vault.coin, "__globals__")),
    "the class": lambda vault: get(attribute(vault, "__class__").__name__),
    "the attributes": lambda vault: get(attribute(vault, "__dict__")),
    "the constructor": lambda vault: attribute(vault, "__init__")(),
    "the reduction": lambda vault: attribute(vault, "__reduce__")(),
    "getattribute": lambda vault: attribute(vault, "__getattribute__")("code"),
    "setattr": lambda vault: attribute(vault, "__setattr__")("label", "x"),
    "a dotted name": lambda vault: get(attribute(vault, "coin.mint")),
    "an assignment": lambda vault: setattr(vault, "label", "x"),
    "a deletion": lambda vault: delattr(vault, "label"),
    "a format": lambda vault: f"{vault.code}",
    "a format of names": lambda vault: "{0.code}".format(vault),  # noqa: UP030, UP032 - the way it is
    "an operator": lambda vault: vault + 1,
    "a comparison": lambda vault: vault < 1,
    "a length": len,
    "an iteration": list,
    "a stream": lambda vault: list(stream(vault)),
    "a call of the object": lambda vault: vault(),
    "an item": lambda vault: get(vault[0]),
    "an item of an item": lambda vault: get(vault["coins"][0]),
    "a test": lambda vault: 1 in vault,
    "getattr over there": lambda vault: submit(getattr, vault, "code").result(),
    "vars over there": lambda vault: submit(vars, vault).result(),
    "a function over there": lambda vault: submit(lambda it: it.code, vault).result(),
    "an argument": lambda vault: vault.show_to(vault.code),
    "a lazy path": lambda vault: get(elsewhere.lazy(vault).coin().mint),
    "a future": lambda vault: get(elsewhere.lazy(submit(vault.coin)).mint),
    "a pinned name": lambda vault: ref(vault.code),
    "a copy of the whole": get,
    "a copy of what it gives of itself": lambda vault: options(vault, result="value").itself(),
    "a part by reference": lambda vault: get(vault.coin_by_reference().mint),
    "a part by value": lambda vault: options(vault, result="value").coin(),
    "a part that was offered": lambda vault: get(vault.coin().mint),
    "a part of a coroutine": lambda vault: get(vault.wait().result().mint),
    "the declared list": lambda vault: vault.all_coins()[0].mint.upper(),
    "a method of the declared list": lambda vault: vault.all_coins().copy(),
    "an item of the declared list": lambda vault: get(vault.all_coins()[0]),
    "an iteration of the declared list": lambda vault: list(vault.all_coins()),
    "a part of a generator": lambda vault: [get(coin.mint) for coin in vault.each()],
    "the frame of a generator": lambda vault: get(vault.each.gi_frame),
    "a part that is read ahead": lambda vault: [get(coin.mint) for coin in stream(vault.each)],
    "what a callback is given": lambda vault: vault.show_to(lambda coins: get(coins[0].mint)),
    "the object of a given method": lambda vault: get(attribute(vault.method(), "__self__").code),
}
