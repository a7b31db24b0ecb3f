"""Small objects that are passed around, each copied in a way of its own. Importable in hosts."""

from __future__ import annotations

import abc
import copyreg
import dataclasses
from typing import Any, Generic, TypeVar

Content = TypeVar("Content")


@dataclasses.dataclass
class Toy:
    name: str
    parts: Any = None


@dataclasses.dataclass(frozen=True)
class Medal:
    year: int
    town: str


class Nothing:
    """Has no attributes."""


class Shape(abc.ABC):
    @abc.abstractmethod
    def area(self) -> float:
        """Give its area."""


class Square(Shape):
    def __init__(self, side: float) -> None:
        self.side = side

    def area(self) -> float:
        return self.side**2


class Box(Toy, Generic[Content]):
    """A class with bases, one of which is generic."""

    class Lid:
        """Known as `Box.Lid`."""

        def __init__(self, colour: str) -> None:
            self.colour = colour


class Careful:
    """Refuses that its attributes are set, and keeps one under the name of a property."""

    def __init__(self, weight: int) -> None:
        self.__dict__["weight"] = weight

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(name)

    @property
    def weight(self) -> str:
        return f"{self.__dict__['weight']} kg"


class Copied:
    """Holds what it says about how it was copied."""

    def __init__(self, how: str = "as it is") -> None:
        self.how = how


class Reduced(Copied):
    def __reduce__(self) -> Any:
        return type(self), ("by __reduce__",)


class ReducedForAProtocol(Copied):
    def __reduce_ex__(self, protocol: Any) -> Any:
        return type(self), ("by __reduce_ex__",)


class WithAState(Copied):
    def __getstate__(self) -> Any:
        return {"how": "by __getstate__"}


class TakesAState(Copied):
    def __setstate__(self, state: Any) -> None:
        self.how = "by __setstate__"


class TakesArguments(Copied):
    def __new__(cls, *args: object) -> Any:
        made = super().__new__(cls)
        made.__dict__["made_with"] = args
        return made

    def __getnewargs__(self) -> tuple[object, ...]:
        return ("by __getnewargs__",)


class MakesItself(Copied):
    def __new__(cls, *_args: object) -> Any:
        made = super().__new__(cls)
        made.__dict__["made"] = "by __new__"
        return made


class AnswersEverything(Copied):
    """Has an answer to every name that its class has not, as a mock has."""

    def __getattr__(self, name: str) -> Any:
        if name == "__setstate__":
            return lambda _state: self.__dict__.update(how="by __getattr__")
        raise AttributeError(name)


class Registered(Copied):
    """Known to copyreg."""


copyreg.pickle(Registered, lambda _registered: (Registered, ("by copyreg",)))


class Slotted:
    __slots__ = ("how",)

    def __init__(self, how: str = "as it is") -> None:
        self.how = how


class HalfSlotted(Slotted):
    """Has slots of its base, and a `__dict__`."""


class Numbered(int):
    """Is more than its attributes."""


class Late:
    """A class that tests give a way of its own, later."""

    def __init__(self) -> None:
        self.how = "as it is"


def give_late_a_state() -> None:
    """Have `Late` take its state in a way of its own, in this process."""

    def take(late: Late, state: dict[str, Any]) -> None:
        late.__dict__.update(state, how="by a late __setstate__")

    Late.__setstate__ = take


def have_late_reduced() -> None:
    """Have `Late` copied in a way of its own, in this process."""
    Late.__reduce__ = lambda _late: (Copied, ("by a late __reduce__",))


def forget_that() -> None:
    """Take that back."""
    del Late.__setstate__


class Pretending(Copied):
    """Says that it is of another class, as a mock with a specification does."""

    @property
    def __class__(self) -> Any:
        return Copied


class Counting(Copied):
    """Has another `__dict__` than it says."""

    @property
    def __dict__(self) -> Any:
        return {"how": "by a __dict__ of its own"}
