"""Steps that peers write by hand, and so without what a client of ours checks before it sends them.

A peer with the key may send any pickle as well: this is a net, and no wall (see SECURITY.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import elsewhere
from strangers import ERROR, HELLO, REPLY, Frame, call, hello, proven
from visitors import KEY

if TYPE_CHECKING:
    from collections.abc import Iterator


class Coin:
    """What a purse has."""

    worth = 1

    def flip(self) -> str:
        return "heads"


class Purse:
    """Has a class to be changed, a text to be formatted and an object with methods."""

    def __init__(self) -> None:
        self.kind = Coin
        self.coin = Coin()
        self.text = "{0.__class__}"


def text(said: str) -> bytes:
    return b"\xd9" + bytes([len(said)]) + said.encode()


def name(said: str) -> bytes:
    """The step to an attribute."""
    return b"\x00" + text(said)


def called(*arguments: str) -> bytes:
    """The step of a call with texts."""
    return b"\x02" + bytes([0x90 + len(arguments)]) + b"".join(map(text, arguments)) + b"\x80"


def setting(said: str) -> bytes:
    """The step that sets an attribute to 1."""
    return b"\x03" + text(said) + b"\x01"


def deleting(said: str) -> bytes:
    return b"\x04" + text(said)


def beginning(said: str) -> bytes:
    """The step that goes on from a text instead."""
    return b"\x09" + text(said)


FORBIDDEN = {
    "the class": [name("coin"), name("__class__")],
    "all classes": [name("coin"), name("__class__"), name("__mro__"), name("__subclasses__"), called()],
    "the subclasses of a class": [name("kind"), name("__subclasses__"), called()],
    "the bases of a class": [name("kind"), name("__mro__")],
    "the globals of a method": [name("coin"), name("flip"), name("__globals__")],
    "the function of a method": [name("coin"), name("flip"), name("__func__")],
    "the object of a method": [name("coin"), name("flip"), name("__self__")],
    "the code of a method": [name("coin"), name("flip"), name("__code__")],
    "the attributes": [name("coin"), name("__dict__")],
    "the reduction": [name("coin"), name("__reduce_ex__"), called("2")],
    "the state": [name("coin"), name("__getstate__"), called()],
    "any attribute": [name("coin"), name("__getattribute__"), called("__class__")],
    "a dotted name": [name("coin.flip")],
    "a dotted name that is forbidden": [name("coin.__class__")],
    "the class, set": [name("coin"), setting("__class__")],
    "the attributes, set": [name("coin"), setting("__dict__")],
    "the attributes, deleted": [name("coin"), deleting("__dict__")],
    "the bases of a class, set": [name("kind"), setting("__bases__")],
    "an attribute of a method, set": [name("coin"), name("flip"), setting("worth")],
    "a dotted name, deleted": [deleting("coin.worth")],
}
"""What nobody reaches."""
UNLISTED = {
    "an attribute of a class, set": [name("kind"), setting("worth")],
    "an attribute of a class, deleted": [name("kind"), deleting("worth")],
    "an attribute of a class, by a method": [name("kind"), name("__setattr__"), called("worth", "2")],
    "an attribute, set": [name("coin"), setting("worth")],
    "an attribute, set by a method": [name("coin"), name("__setattr__"), called("worth", "2")],
    "all classes of a class": [name("kind"), name("mro"), called()],
    "a format of a text": [name("text"), name("format"), called("x")],
    "a format of a text of one's own": [beginning("{0.__class__}"), name("format"), called("x")],
    "a method of a text of one's own": [beginning("x"), name("upper"), called()],
}
"""What nobody reaches besides where a list does not name it."""


@pytest.fixture(params=[None, {Purse: ["kind", "coin", "text"], Coin: ["flip"]}], ids=["without a list", "with a list"])
def server(request: pytest.FixtureRequest) -> Iterator[elsewhere.Server]:
    with elsewhere.serve(Purse(), authkey=KEY, expose=request.param) as server:
        yield server


def answer_to(server: elsewhere.Server, steps: list[bytes]) -> Frame:
    """What the server says to a call of its object with these steps."""
    with proven(server, KEY) as peer:
        peer.say(hello() + call(1, name("root") + called() + b"".join(steps), count=2 + len(steps)))
        said = [peer.next_frame(), peer.next_frame()]
    assert [frame.kind for frame in said if frame][:1] == [HELLO]
    assert said[1] is not None
    return said[1]


def state(server: elsewhere.Server) -> list[dict[str, Any]]:
    """All that a step might have changed."""
    purse = server._obj
    return [dict(vars(purse)), dict(vars(purse.coin)), dict(vars(Coin)), dict(vars(Purse)), dict(vars(Coin.flip))]


def test_steps_by_hand_are_answered(server):
    assert answer_to(server, [name("coin"), name("flip"), called()]).kind == REPLY


@pytest.mark.parametrize("kind", FORBIDDEN)
def test_names_that_nobody_reaches_are_attribute_errors_and_change_nothing(server, kind):
    before = state(server)

    answer = answer_to(server, FORBIDDEN[kind])

    assert answer.kind == ERROR
    assert b"AttributeError" in answer.body
    assert state(server) == before


@pytest.mark.parametrize("kind", UNLISTED)
@pytest.mark.parametrize("server", [{Purse: ["kind", "coin", "text"], Coin: ["flip"]}], indirect=True, ids=[""])
def test_what_a_list_does_not_name_is_an_attribute_error_and_changes_nothing(server, kind):
    before = state(server)

    answer = answer_to(server, UNLISTED[kind])

    assert answer.kind == ERROR
    assert b"AttributeError" in answer.body
    assert state(server) == before
