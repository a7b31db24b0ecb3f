"""Objects and a class whose special methods raise, for a test to see who calls them. A module of its own: pytest itself
touches whatever a test module names."""

from __future__ import annotations

import elsewhere

LOOKED_AT = (
    "__hash__",
    "__eq__",
    "__ne__",
    "__repr__",
    "__str__",
    "__bool__",
    "__len__",
    "__iter__",
    "__call__",
    "__index__",
    "__getattr__",
    "__dir__",
    "__reduce__",
    "__reduce_ex__",
    "__getstate__",
    "__copy__",
    "__deepcopy__",
    "__sizeof__",
    "__format__",
    "__instancecheck__",
)


class Touched(BaseException):
    """Nobody is to see it: nobody asked."""


def refuse(self, *_, **__):
    raise Touched


class Sensitive:
    """Every special method that a library might call by the way raises; its plain ones do their work."""

    def __init__(self) -> None:
        self.number = 0

    def add(self, number: int) -> int:
        self.number += number
        return self.number

    def itself(self) -> Sensitive:
        return self

    def another(self) -> Sensitive:
        return elsewhere.ref(Sensitive())

    def with_another(self) -> list[object]:
        return [1, elsewhere.ref(self), elsewhere.ref(Sensitive())]

    def count(self, number: int):
        yield from range(number)

    async def fetch(self) -> int:
        return self.number

    def fail(self) -> None:
        raise KeyError(1)


for _name in LOOKED_AT:
    setattr(Sensitive, _name, refuse)


class Meta(type):
    """A class that is as sensitive as its objects."""


class SensitiveClass(Sensitive, metaclass=Meta):
    pass


for _name in ("__hash__", "__eq__", "__repr__", "__bool__", "__len__", "__getattr__", "__instancecheck__"):
    setattr(Meta, _name, refuse)
