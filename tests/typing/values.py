"""What the type checkers make of `get`, `ref`, `attribute`, `is_proxy`, `close`, shared memory, calls and operators."""

from collections.abc import Callable, Iterator
from typing import Any, assert_type

import numpy as np
from tests.typing.objects import Box, Dog

from elsewhere import (
    Future,
    Host,
    attribute,
    by_reference,
    close,
    get,
    is_proxy,
    ref,
    serve,
    shared_array,
    shared_memory,
    submit,
)


def getting(dog: Dog, box: Box[int], anything: Any) -> None:
    assert_type(get(dog), Dog)
    assert_type(get(dog.age), int)
    assert_type(get(dog.weight), float)
    assert_type(get(dog.friends[0].name), str)
    assert_type(get(dog["flea"]), bytes)
    assert_type(get(dog.owner), Dog | None)
    assert_type(get(box.content), int)
    assert_type(get(5), int)
    assert_type(get(anything), Any)
    assert_type(get(anything.name), Any)


def getting_with_a_default(dog: Dog, anything: Any) -> None:
    assert_type(get(dog.age, default=None), int | None)
    assert_type(get(dog.age, default=0), int)
    assert_type(get(dog.age, default="none"), int | str)
    assert_type(get(dog.friends[0], default=False), Dog | bool)
    assert_type(get(anything.name, default=""), Any | str)


def sharing() -> None:
    assert_type(shared_array((2, 3), "f4"), np.ndarray[Any, Any])
    assert_type(shared_array(5), np.ndarray[Any, Any])
    assert_type(shared_memory(5), memoryview)


def referring(dog: Dog) -> None:
    assert_type(ref(dog), Dog)
    assert_type(ref(dog.friends), list[Dog])
    assert_type(ref(dog.bark)(loud=True), str)
    assert_type(ref([1]), list[int])
    assert_type(dog.chew(ref([1])), list[list[int]])


def naming(dog: Dog) -> None:
    assert_type(attribute(dog, "_secret"), Any)
    assert_type(attribute(dog.friends[0], "_secret"), Any)
    assert_type(get(attribute(dog, "_secret")), Any)


def asking(dog: Dog, anything: object) -> None:
    assert_type(is_proxy(dog), bool)
    assert_type(is_proxy(dog.age), bool)
    assert_type(is_proxy(anything), bool)


def closing(dog: Dog) -> None:
    assert_type(close(dog), None)
    assert_type(close(dog, timeout=1.0), None)


def plain_calls(dog: Dog, box: Box[int]) -> None:
    assert_type(dog.bark(loud=True), str)
    assert_type(dog.friends[0].bark(), str)
    assert_type(dog.weigh(), int)
    assert_type(dog.weigh("kg"), float)
    assert_type(dog.chew("bone"), list[str])
    assert_type(dog("sit"), bool)
    assert_type(box.take(), int)


def operators(dog: Dog) -> None:
    assert_type(dog.age + 1, int)
    assert_type(dog.age < 3, bool)
    assert_type(dog + dog, list[Dog])
    assert_type(len(dog), int)
    assert_type("flea" in dog, bool)
    assert_type(str(dog.age), str)
    assert_type(iter(dog), Iterator[float])
    dog.age += 1
    dog.friends[0].name = "tom"
    del dog.owner


def passing(dog: Dog, call: Callable[[Callable[[int], None]], str]) -> None:
    heard: list[int] = []
    assert_type(call(heard.append), str)
    assert_type(call(ref(heard).append), str)
    assert_type(dog.chew(dog.friends[0]), list[Dog])


class Kennel:
    @by_reference
    def dogs(self, count: int = 1) -> list[Dog]:
        return [Dog("rex")] * count

    @by_reference
    def first(self) -> Dog | None:
        return None

    @by_reference
    @classmethod
    def largest(cls) -> "Kennel":
        return cls()

    @staticmethod
    @by_reference
    def count(name: str) -> int:
        return len(name)

    @by_reference
    async def fetch(self, name: str) -> Dog:
        return Dog(name)


@by_reference
def adopt_all(kennel: Kennel) -> list[Dog]:
    return kennel.dogs()


def declaring(host: Host) -> None:
    kennel = host.spawn(Kennel)
    assert_type(by_reference(adopt_all)(kennel), list[Dog])
    assert_type(kennel.dogs(3), list[Dog])
    assert_type(kennel.first(), Dog | None)
    assert_type(Kennel.largest(), Kennel)
    assert_type(kennel.count("rex"), int)
    assert_type(submit(kennel.dogs, count=2), Future[list[Dog]])
    assert_type(submit(kennel.fetch, "rex"), Future[Dog])
    assert_type(host.run(adopt_all, kennel), list[Dog])
    Host(returns={Kennel: ["dogs"], list: ("copy",)})
    serve(Kennel(), returns=["dogs"])
    serve(Kennel(), returns={Kennel: {"dogs"}})
