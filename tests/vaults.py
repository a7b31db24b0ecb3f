"""An object of which some names may be reached and others not, and the ways around that which an attacker tries."""

from __future__ import annotations

import collections
import functools
import types
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


class Pocket:
    """Part of no list."""

    def __init__(self, coin: Coin) -> None:
        self.coin = coin


class Refusal(Exception):
    """Has more arguments than it tells its base, and an attribute of its own."""

    def __init__(self, reason: str, coin: Coin) -> None:
        super().__init__(reason)
        self.coin = coin


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

    def hold(self, how: str) -> Any:
        """A coin inside of something."""
        coin = self.coins[0]
        return {
            "lists": [[coin]],
            "tuple": (coin, [1]),
            "dict": {"coin": coin},
            "object": Pocket(coin),
            "namespace": types.SimpleNamespace(coin=coin),
            "set": {coin},
            "key": {coin: 1},
            "deque": collections.deque([coin]),
            "partial": functools.partial(print, coin),
            "closure": lambda: coin,
            "method": [coin.flip],
            "exception": LookupError(coin),
        }[how]

    def echo(self, thing: Any) -> Any:
        return thing

    def look_up(self, key: Any) -> Any:
        return {}[key]

    def refuse(self, how: str) -> None:
        coin = self.coins[0]
        if how == "cause":
            raise LookupError(how) from Refusal(how, coin)
        if how == "member":
            raise ExceptionGroup(how, [LookupError(coin)])
        raise {"argument": LookupError(coin), "attribute": Refusal(how, coin)}[how]

    def pockets(self) -> Iterator[Any]:
        yield [self.coins[0]]
        return Pocket(self.coins[0])

    def tell(self, callback: Callable[[Any], Any]) -> None:
        callback([Pocket(self.coins[0])])


SHOWN = ["label", "coin", "coin_by_reference", "itself", "each", "show_to", "method", "all_coins", "wait"]
SHOWN += ["hold", "echo", "look_up", "refuse", "pockets", "tell"]


def raised(call: Callable[[], Any]) -> Any:
    """What a call raises."""
    try:
        call()
    except Exception as error:
        return error
    raise AssertionError


def ended(stream: Iterator[Any]) -> Any:
    """What a generator returned."""
    try:
        while True:
            next(stream)
    except StopIteration as end:
        return end.value


def told(vault: Any) -> Any:
    """What a callback is given."""
    given: list[Any] = []
    vault.tell(ref(given.append))
    return given[0]


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
    "a copy of a method": lambda vault: get(get(vault.coin).__self__.code),
    "a copy of a method in a list": lambda vault: get(vault.hold("method")[0].__self__.mint),
    "lists": lambda vault: get(vault.hold("lists")[0][0].mint),
    "a tuple": lambda vault: get(vault.hold("tuple")[0].mint),
    "a dict": lambda vault: get(vault.hold("dict")["coin"].mint),
    "an object": lambda vault: get(vault.hold("object").coin.mint),
    "a copy of an object": lambda vault: get(options(vault, result="value").hold("object").coin.mint),
    "a namespace": lambda vault: get(vault.hold("namespace").coin.mint),
    "a deque": lambda vault: get(vault.hold("deque")[0].mint),
    "a partial": lambda vault: get(vault.hold("partial").args[0].mint),
    "a closure": lambda vault: get(vault.hold("closure")().mint),
    "an exception that is a result": lambda vault: get(vault.hold("exception").args[0].mint),
    "what comes back": lambda vault: get(vault.echo([vault])[0].code),
    "what comes back inside of a class": lambda vault: get(vault.echo(Pocket(vault)).coin.code),
    "a key that is missing": lambda vault: get(raised(lambda: vault.look_up(vault)).args[0].code),
    "an exception's argument": lambda vault: get(raised(lambda: vault.refuse("argument")).args[0].mint),
    "an exception's attribute": lambda vault: get(raised(lambda: vault.refuse("attribute")).coin.mint),
    "an exception's cause": lambda vault: get(raised(lambda: vault.refuse("cause")).__cause__.coin.mint),
    "a member of a group": lambda vault: get(raised(lambda: vault.refuse("member")).exceptions[0].args[0].mint),
    "an item of a stream": lambda vault: get(next(iter(stream(vault.pockets)))[0].mint),
    "an item of a generator": lambda vault: get(next(vault.pockets())[0].mint),
    "what a generator returned": lambda vault: get(ended(vault.pockets()).coin.mint),
    "what a callback is given inside of something": lambda vault: get(told(vault)[0].coin.mint),
}
