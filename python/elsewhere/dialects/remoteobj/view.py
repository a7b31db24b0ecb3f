"""Steps from an object to a part of it, noted down to be taken later: `View`.

Owns: what the steps are, how they are written and taken. Must not know: where the object is.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Self

__all__ = ["Step", "View", "all_sent", "called", "sent", "take", "takes_default"]

Step = tuple[str, Any]
"""What is done, and with what: `(".", "name")`, `("[]", key)`, `("()", (args, kwargs))`, and those in `_TAKE`."""


class View:
    """What is to be done with an object, step by step. Nothing is done before `resolve_view`.

    Each step gives a new view: attributes but those that begin with an underscore, items, calls, `super`. Of an object
    `x` whose class has `bark`, `View().super.bark(2)` means `super(type(x), x).bark(2)`, and each further `super` the
    next class above.
    """

    _keys: tuple[Step, ...]
    _frozen: bool

    def __init__(self, *keys: Step, frozen: bool = False) -> None:
        """Begin with the steps `keys`; no step can follow those of a frozen view."""
        self._keys = keys
        self._frozen = frozen

    def _extend(self, *keys: Step, frozen: bool = False) -> Self:
        self._check_open()
        view = object.__new__(type(self))
        view.__dict__.update(self.__dict__, _keys=self._keys + keys, _frozen=frozen)
        return view

    def _check_open(self) -> None:
        if self._frozen:
            text = f"nothing follows {View.__str__(self)}, which gives nothing"
            raise TypeError(text)

    def __getattr__(self, name: str) -> Self:
        """Step to an attribute; names that begin with an underscore are the view's own, and reached by `attrs_`."""
        if name.startswith("_") or self._frozen:
            raise AttributeError(name)
        return self._extend((".", name))

    def attrs_(self, *names: str) -> Self:
        """Step to attributes of any name; "a.b" are two."""
        return self._extend(*[(".", part) for name in names for part in name.split(".")])

    @property
    def super(self) -> Self:
        """Step to the methods of the class above."""
        return self._extend((".", "super"))

    def __getitem__(self, key: Any) -> Self:
        """Step to an item."""
        return self._extend(("[]", key))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Step to what a call gives."""
        return self._extend(("()", (args, kwargs)))

    def passto(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Step to what `func(x, *args, **kwargs)` gives, where x is what the steps lead to."""
        return self._extend(("f()", (func, args, kwargs)))

    def __iter__(self) -> Iterator[Any]:
        """Not there: nothing is known yet of what the steps lead to."""
        text = f"{View.__str__(self)} is a view, which has no items"
        raise TypeError(text)

    def resolve_view(self, obj: Any) -> Any:
        """Take all steps from `obj`, and give what the last one leads to."""
        return take(obj, self._keys)

    def _in_transit(self) -> Any:
        return self

    def __str__(self) -> str:
        """Write the steps as a program would."""
        text = "?"
        for operation, operand in self._keys:
            text = _WRITE[operation](text, operand)
        return text if text.startswith("(") else f"({text})"


def take(obj: Any, keys: tuple[Step, ...] | str) -> Any:
    """Take steps from `obj`, or the one to the attribute of a name."""
    if isinstance(keys, str):
        return getattr(obj, keys)
    for operation, operand in keys:
        if operation == ".":
            obj = getattr(obj, operand) if operand != "super" else _above(obj)
        else:
            obj = _TAKE[operation](obj, operand)
    return obj


def _above(obj: Any) -> Any:
    """The methods of the class above that of `obj`; of such methods, those of the next class above."""
    kind: type = type(obj)
    if kind is not super:
        return super(kind, obj)
    above = type(obj.__self__).__mro__
    return super(above[min(above.index(obj.__thisclass__) + 1, len(above) - 1)], obj.__self__)


def called(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call it. A `default=` that it does not take is the proxy's own, as in remoteobj 0.0.1."""
    if "default" in kwargs and not takes_default(func):
        kwargs = {name: value for name, value in kwargs.items() if name != "default"}
    return func(*args, **kwargs)


def takes_default(func: Callable[..., Any]) -> bool:
    """Whether `default=` can be passed to it; where nobody knows, it can."""
    try:
        parameters = inspect.signature(func).parameters
    except (TypeError, ValueError):
        return True
    one = parameters.get("default")
    by_name = {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}
    return (one is not None and one.kind in by_name) or any(
        other.kind is inspect.Parameter.VAR_KEYWORD for other in parameters.values()
    )


def _set_item(obj: Any, pair: tuple[Any, Any]) -> None:
    obj[pair[0]] = pair[1]


def _delete_item(obj: Any, key: Any) -> None:
    del obj[key]


def all_sent(keys: tuple[Step, ...]) -> tuple[Step, ...] | str:
    """Steps as they travel to the object. A single step to an attribute, which is what most are, is its name."""
    if len(keys) == 1:
        operation, operand = keys[0]
        if operation == "." and operand != "super":
            return operand  # type: ignore[no-any-return]
    for operation, _ in keys:
        if operation in _WITH_VALUES:
            return tuple([(one, _operand_sent(one, operand)) for one, operand in keys])
    return keys


def _operand_sent(operation: str, operand: Any) -> Any:
    if operation in _CALLS:
        return *map(sent, operand[:-1]), options_sent(operand[-1])
    return sent(operand) if operation in _WITH_VALUES else operand


def options_sent(options: dict[str, Any]) -> dict[str, Any]:
    """Keyword arguments as they travel."""
    return {name: sent(value) for name, value in options.items()}


def sent(value: Any) -> Any:
    """A value as it travels: for a proxy, also in a tuple, its name."""
    kind = type(value)
    if issubclass(kind, View):
        return value._in_transit()
    if kind is tuple:
        return tuple([sent(one) for one in value])
    return value


_CALLS = frozenset({"()", "f()"})
_WITH_VALUES = _CALLS | {".=", "[]=", "in"}

_TAKE: dict[str, Callable[[Any, Any], Any]] = {
    "[]": lambda obj, key: obj[key],
    "()": lambda obj, call: called(obj, *call),
    "f()": lambda obj, call: call[0](obj, *call[1], **call[2]),
    ".=": lambda obj, pair: setattr(obj, *pair),
    "del.": delattr,
    "[]=": _set_item,
    "del[]": _delete_item,
    "in": lambda obj, key: key in obj,
    "len": lambda obj, _: len(obj),
}


def _arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    return ", ".join([*map(repr, args), *[f"{name}={value!r}" for name, value in kwargs.items()]])


def _write_passed(text: str, call: tuple[Any, tuple[Any, ...], dict[str, Any]]) -> str:
    func, args, kwargs = call
    rest = _arguments(args, kwargs)
    return f"{getattr(func, '__name__', func)}({text}{', ' if rest else ''}{rest})"


_WRITE: dict[str, Callable[[str, Any], str]] = {
    ".": lambda text, name: f"super({text})" if name == "super" else f"{text}.{name}",
    "[]": lambda text, key: f"{text}[{key!r}]",
    "()": lambda text, call: f"{text}({_arguments(*call)})",
    "f()": _write_passed,
    ".=": lambda text, pair: f"{text}.{pair[0]} = {pair[1]!r}",
    "del.": lambda text, name: f"del {text}.{name}",
    "[]=": lambda text, pair: f"{text}[{pair[0]!r}] = {pair[1]!r}",
    "del[]": lambda text, key: f"del {text}[{key!r}]",
    "in": lambda text, key: f"{key!r} in {text}",
    "len": lambda text, _: f"len({text})",
}
