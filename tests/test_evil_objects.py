"""Objects whose special methods raise or block: nobody calls them but whoever was asked to."""

from __future__ import annotations

import threading

import pytest

import elsewhere
import sensitive
from kennel import Dog, error_of


class User:
    """Uses what it is given, in a host."""

    def use(self, thing) -> int:
        thing.add(1)
        return thing.itself().add(1)

    def keep(self, thing) -> None:
        self.thing = thing

    def give(self):
        return self.thing

    def use_kept(self) -> int:
        return self.thing.add(1)


@pytest.mark.parametrize("name", sensitive.LOOKED_AT)
def test_object_is_as_sensitive_as_it_is_meant_to_be(name: str) -> None:
    with pytest.raises(sensitive.Touched):
        getattr(sensitive.Sensitive, name)(object.__new__(sensitive.Sensitive))


def test_nobody_touches_an_object_that_is_used_elsewhere(host) -> None:
    thing = host.spawn(sensitive.Sensitive)

    assert thing.add(1) == 1
    assert thing.itself() == thing
    assert thing.another().add(2) == 2
    found = thing.with_another()
    assert found[1] == thing
    assert found[2].add(3) == 3
    assert list(thing.count(3)) == list(elsewhere.stream(thing.count, 3)) == [0, 1, 2]
    assert thing.fetch().result() == elsewhere.submit(thing.add, 0).result() == 1
    assert type(error_of(thing.fail)) is KeyError
    assert "Sensitive" in repr(thing)
    assert "Sensitive" in repr(thing.number)
    assert elsewhere.host_of(thing) is host
    assert elsewhere.is_proxy(thing)
    elsewhere.close(thing)
    assert type(error_of(lambda: thing.add(1))) is elsewhere.ObjectGone


def test_nobody_touches_an_object_whose_class_is_sensitive_too(host) -> None:
    with_class = host.run(make_sensitive)

    assert with_class.add(1) == 1
    assert with_class.itself() == with_class
    assert type(error_of(with_class.fail)) is KeyError


def make_sensitive():
    return elsewhere.ref(sensitive.SensitiveClass())


def test_nobody_touches_an_object_that_is_offered_to_a_host(host) -> None:
    user = host.spawn(User)
    thing = sensitive.Sensitive()

    assert user.use(elsewhere.ref(thing)) == 2
    user.keep([elsewhere.ref(thing)][0])
    assert user.give() is thing
    assert user.use_kept() == 3
    assert elsewhere.submit(user.use_kept).result() == 4
    user.keep(None)


def test_what_was_asked_for_is_told(process_host) -> None:
    thing = process_host.spawn(sensitive.Sensitive)

    for ask in (hash, str, len, bool, list, lambda it: it == 1, lambda it: it()):
        assert type(error_of(lambda ask=ask: ask(thing))).__name__ == "RemoteTouched"
    assert thing.add(1) == 1


class Blocking:
    """Blocks in whatever is asked, until it is let go."""

    def __init__(self, entered, gate) -> None:
        object.__setattr__(self, "wait", lambda: (entered(), gate.wait()))

    def __eq__(self, _: object) -> bool:
        self.wait()
        return True

    def __hash__(self) -> int:
        self.wait()
        return 1

    def __repr__(self) -> str:
        self.wait()
        return "blocking"

    def __getattr__(self, name: str) -> str:
        self.wait()
        return name

    def work(self) -> int:
        return 1


ASKED = {
    "__eq__": lambda thing: thing == 1,
    "__hash__": hash,
    "__repr__": str,
    "__getattr__": lambda thing: elsewhere.get(thing.missing),
}


@pytest.mark.parametrize("ask", ASKED.values(), ids=ASKED)
def test_special_method_that_blocks_stalls_its_own_call_alone(ask) -> None:
    with elsewhere.Host(concurrency=2) as host:
        gate, entered = host.spawn(threading.Event), threading.Event()
        thing = host.spawn(Blocking, entered.set, gate)
        dog = host.spawn(Dog, "rex")
        answers: list[object] = []
        asking = threading.Thread(target=lambda: answers.append(ask(thing)))
        asking.start()
        entered.wait()

        assert thing.work() == 1
        assert dog.echo(2) == 2
        assert "Blocking" in repr(thing)
        assert elsewhere.submit(thing.work).result() == 1
        assert not answers

        gate.set()
        asking.join()
        assert answers
