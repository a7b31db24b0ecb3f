"""Objects of standard-library and numpy types that are put elsewhere and kept here, and what is done to both alike.

Owns: the types, the steps of a program, how a step is taken, and the form in which values are compared. Must not know:
which of the two it handles.
"""

from __future__ import annotations

import array
import builtins
import collections
import copy
import datetime as dt
import decimal
import enum
import fractions
import functools
import io
import ipaddress
import itertools
import math
import numbers
import operator
import pathlib
import pickle
import random
import re
import types
import uuid
import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import elsewhere


class Mode(enum.IntFlag):
    """A flag."""

    READ = 1
    WRITE = 2


@dataclass
class Point:
    """A dataclass with operators of its own."""

    x: int
    y: int = 0

    def __add__(self, other: Point) -> Point:
        return Point(self.x + other.x, self.y + other.y) if isinstance(other, Point) else NotImplemented

    def __imul__(self, factor: int) -> Point:
        self.x *= factor
        self.y *= factor
        return self

    def __call__(self, *args: object, **kwargs: object) -> tuple[object, ...]:
        return (self.x, args, kwargs)


@dataclass(frozen=True)
class Mark:
    """Stands for an object of the program: the one that it is about, or a second one of the same type."""

    name: str

    def __repr__(self) -> str:
        return self.name


UNCOPIED = "it cannot be copied"
ITSELF, OTHER = Mark("ITSELF"), Mark("OTHER")


# ---------------------------------------------------------------- what is done
def entered(thing: Any) -> Any:
    with thing as inside:
        return "itself" if inside is thing else inside


UNARY = {
    **{name: getattr(builtins, name) for name in ("len", "bool", "str", "hash", "int", "float", "complex", "bytes")},
    **{name: getattr(builtins, name) for name in ("abs", "round", "reversed", "iter", "next", "dir", "format")},
    **{name: getattr(operator, name) for name in ("neg", "pos", "invert", "index", "length_hint", "truth", "not_")},
    **{name: getattr(math, name) for name in ("trunc", "floor", "ceil")},
    **{name: getattr(builtins, name) for name in ("list", "tuple", "sorted", "sum", "min", "max", "any", "all")},
    "chr": chr, "hex": hex, "enumerate": lambda it: list(enumerate(it)),
    "zip": lambda it: list(zip(it, it, strict=True)),
    "call": lambda it: it(),
    "range": lambda it: list(range(it))[:9], "set": lambda it: sorted(set(it)),
    "islice": lambda it: list(itertools.islice(it, 3)), "joined": lambda it: ",".join(map(str, it)),
    "slice": lambda it: elsewhere.get(it[:]),
    "with": entered, "f-string": lambda it: f"{it}|{it:>4}", "percent": lambda it: "%s" % (it,),  # noqa: UP031 - what is tested
}  # fmt: skip
BINARY = {
    name: getattr(operator, name)
    for name in (
        "add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "lshift", "rshift", "and_", "or_", "xor", "matmul",
        "eq", "ne", "lt", "le", "gt", "ge",
    )
} | {
    "divmod": divmod, "round": round, "contains": operator.contains,
    "getitem": lambda it, key: elsewhere.get(it[key]),
    "in a list": lambda it, _: it in [it],  # noqa: FURB171 - what is tested
    "call": lambda it, x: it(x, key=x),
}  # fmt: skip
REFLECTED = [*list(BINARY)[:19], "divmod"]
COMPARISONS = ["eq", "ne", "lt", "le", "gt", "ge"]
BUFFERS = (memoryview, array.array, bytes, bytearray)
MIRRORED = {"eq": "eq", "ne": "ne", "lt": "gt", "le": "ge", "gt": "lt", "ge": "le"}
IN_PLACE = [
    "iadd", "isub", "imul", "itruediv", "ifloordiv", "imod", "ipow", "ilshift", "irshift", "iand", "ior", "ixor",
    "imatmul",
]  # fmt: skip
TERNARY = {"pow": pow, "rpow": lambda it, x, y: pow(x, it, y), "setitem": operator.setitem, "setattr": setattr}
SPECIFICATIONS = ["", "5", ">8", "x", ".2f", "%Y", "nonsense"]
COMMON = [
    0, 1, 2, -1, 3, 2.5, -0.5, True, None, "a", "b", "ab", "", b"a", b"", 1j, [1, 2], [], (1, 2), {1, 2},
    frozenset({2}), {"a": 1}, {1: 2}, slice(0, 2), slice(None, None, -1), bytearray(b"b"), fractions.Fraction(1, 2),
    decimal.Decimal("1.5"), dt.timedelta(seconds=30), range(2), ..., int, ITSELF, OTHER,
]  # fmt: skip


@dataclass
class Kind:
    """A type of object: what to begin with, what to call and look at, what to give to it."""

    name: str
    values: list[Any]
    operands: list[Any] = field(default_factory=list)
    without: str = ""
    """Names that are left out: what they give differs from one process or moment to another, they touch files, or end
    the object."""
    only: str = ""
    """Or the only names that are taken."""
    has_random_hash: bool = False
    """Whether each process hashes it in its own way."""

    def names(self) -> list[str]:
        """The public names of the type."""
        if self.only:
            return self.only.split()
        left_out = set(self.without.split())
        return [name for name in dir(self.values[0]) if not name.startswith("_") and name not in left_out]

    def methods(self) -> list[str]:
        return [name for name in self.names() if callable(getattr(self.values[0], name, None))]

    def attributes(self) -> list[str]:
        return [name for name in self.names() if not callable(getattr(self.values[0], name, None))]


ARRAY_NAMES = """all any argmax argmin argsort astype clip conj copy cumprod cumsum diagonal dot fill flatten item max
    mean min nonzero prod ptp put ravel repeat reshape round searchsorted sort squeeze std sum swapaxes take tobytes
    tolist trace transpose var T dtype imag itemsize nbytes ndim real shape size"""
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # matrices are meant to go out of use; until then they work elsewhere, too
    MATRICES = [np.matrix([[1, 2], [3, 4]]), np.matrix([[1, 0], [0, 1]])]
NOW = dt.datetime(2024, 2, 29, 12, 30, 15, 250)  # noqa: DTZ001 - also one without a time zone
KINDS = [
    Kind("list", [[3, 1, 2], [], ["b", "a"], [[1], [2, 3]]]),
    Kind("tuple", [(3, 1, 2), (), ("b", "a")], has_random_hash=True),
    Kind("dict", [{"a": 1, "b": 2}, {}, {1: [2]}]),
    Kind("set", [{3, 1, 2}, set()], [{5}, [7]], without="pop"),
    Kind("frozenset", [frozenset({3, 1, 2}), frozenset()]),
    Kind("deque", [collections.deque([3, 1, 2]), collections.deque([1, 2], maxlen=2)]),
    Kind("Counter", [collections.Counter("aab"), collections.Counter()], [collections.Counter("ab")],
         without="setdefault"),
    Kind("OrderedDict", [collections.OrderedDict(a=1, b=2), collections.OrderedDict()]),
    Kind("defaultdict", [collections.defaultdict(list, a=[1]), collections.defaultdict(None)]),
    Kind("bytearray", [bytearray(b"cab"), bytearray()], [b"c", 99], without="fromhex maketrans"),
    Kind("bytes", [b"cab", b""], [b"c", 99], without="fromhex maketrans", has_random_hash=True),
    Kind("str", ["cab", "", "%s and %d", "12"], ["c", "{}"], without="maketrans", has_random_hash=True),
    Kind("int", [7, 0, -300]),
    Kind("bool", [True, False]),
    Kind("float", [2.5, 0.0, -0.0, float("inf"), float("nan")], without="fromhex"),
    Kind("complex", [3 + 2j, 0j]),
    Kind("Fraction", [fractions.Fraction(7, 2), fractions.Fraction(0)], [fractions.Fraction(1, 3)]),
    Kind("Decimal", [decimal.Decimal("7.25"), decimal.Decimal("NaN"), decimal.Decimal(0)], [decimal.Decimal(3)]),
    Kind("datetime", [NOW, NOW.replace(tzinfo=dt.UTC)], [dt.timedelta(days=1), NOW],
         without="now today utcnow isocalendar", has_random_hash=True),
    Kind("date", [NOW.date()], [dt.timedelta(days=1), NOW.date()], without="today isocalendar", has_random_hash=True),
    Kind("time", [NOW.time()], [NOW.time()], has_random_hash=True),
    Kind("timedelta", [dt.timedelta(seconds=90), dt.timedelta(0)], [dt.timedelta(seconds=7)], has_random_hash=True),
    Kind("range", [range(4), range(9, 0, -2), range(0)], [range(4)], has_random_hash=True),
    Kind("array", [array.array("i", [3, 1, 2]), array.array("d"), array.array("B", b"ab")],
         [array.array("i", [5])], without="fromfile tofile buffer_info"),
    Kind("memoryview", [memoryview(b"cab"), memoryview(bytearray(b"cab"))], [b"cab"], without="obj release",
         has_random_hash=True),
    Kind("PurePosixPath", [pathlib.PurePosixPath("/a/b.c"), pathlib.PurePosixPath()], ["x.y", "/a"],
         has_random_hash=True),
    Kind("Path", [pathlib.Path("/nowhere/b.c")], ["x.y", "/nowhere"], has_random_hash=True,
         only="""as_posix as_uri exists is_absolute is_dir is_file is_relative_to iterdir joinpath match read_text
         relative_to stat unlink with_name with_stem with_suffix anchor drive name parent parents parts root stem
         suffix suffixes"""),
    Kind("StringIO", [io.StringIO("one\ntwo\n"), io.StringIO()], ["x\n"], without="close detach"),
    Kind("BytesIO", [io.BytesIO(b"one\ntwo\n"), io.BytesIO()], [b"x\n"], without="close detach getbuffer"),
    Kind("Random", [random.Random(7)], without="seed setstate"),
    Kind("Pattern", [re.compile("(?P<x>a)|b"), re.compile(b"a")], ["cab", b"cab"], without="groupindex",
         has_random_hash=True),
    Kind("UserList", [collections.UserList([3, 1, 2])]),
    Kind("UserDict", [collections.UserDict(a=1)]),
    Kind("UserString", [collections.UserString("cab")], has_random_hash=True),
    Kind("ChainMap", [collections.ChainMap({"a": 1}, {"b": 2})]),
    Kind("SimpleNamespace", [types.SimpleNamespace(a=1, b=[2])], only="a b"),
    Kind("UUID", [uuid.UUID(int=7)], [uuid.UUID(int=8)]),
    Kind("IPv4Address", [ipaddress.ip_address("192.0.2.1")], has_random_hash=True),
    Kind("slice", [slice(1, 7, 2)], [10]),
    Kind("IntFlag", [Mode.READ, Mode.READ | Mode.WRITE], [Mode.WRITE], only="bit_length name numerator real value"),
    Kind("dataclass", [Point(1, 2)], [Point(3)]),
    Kind("ndarray", [np.array([3, 1, 2]), np.array([[1.5, 2.0], [0.0, 4.0]]), np.array([], dtype=np.uint8)],
         [np.array([1, 0, 2]), np.float32(2)], only=ARRAY_NAMES),
    Kind("numpy bool array", [np.array([True, False])], [np.array([True, True])], only=ARRAY_NAMES),
    Kind("numpy integer", [np.int64(7), np.uint8(200)], [np.int8(3)], only=ARRAY_NAMES),
    Kind("numpy float", [np.float64(2.5), np.float32(0)], [np.float64(3)], only=ARRAY_NAMES),
    Kind("matrix", MATRICES[:1], MATRICES, only=ARRAY_NAMES),
    Kind("masked array", [np.ma.masked_array([1, 2, 3], mask=[0, 1, 0])], [np.array([1, 1, 1])], only=ARRAY_NAMES),
    Kind("dtype", [np.dtype("int64"), np.dtype([("a", "i4"), ("b", "f8")])], ["int64", "a"], has_random_hash=True,
         only="alignment byteorder char descr hasobject isbuiltin isnative itemsize kind name names ndim num "
              "shape str newbyteorder"),
    Kind("datetime64", [np.datetime64("2024-02-29")], [np.timedelta64(1, "D")], only=ARRAY_NAMES,
         has_random_hash=True),
]  # fmt: skip


# ---------------------------------------------------------------- how it is done
class Twin:
    """One of the two: the object that a program is about, here or elsewhere, and a second one."""

    def __init__(self, value: Any, other: Any) -> None:
        self.value = value
        self.other = other

    def given(self, operand: Any) -> Any:
        """The operand for this twin: never one that the other twin has too."""
        if isinstance(operand, Mark):
            return self.value if operand is ITSELF else self.other
        return copy.deepcopy(operand)

    def take(self, step: tuple[Any, ...]) -> Any:  # noqa: C901 - a table, of which each row is one line
        """Take a step and give what comes of it."""
        match step:
            case ("unary", name):
                return UNARY[name](self.value)
            case ("binary", name, operand):
                return BINARY[name](self.value, self.given(operand))
            case ("reflected", name, operand):
                return self.reflected(name, operand)
            case ("ternary", name, first, second):
                return TERNARY[name](self.value, self.given(first), self.given(second))
            case ("in place", name, operand):
                return getattr(operator, name)(self.value, self.given(operand))
            case ("delete item", key):
                return operator.delitem(self.value, self.given(key))
            case ("delete", name):
                return delattr(self.value, name)
            case ("get", name):
                return elsewhere.get(getattr(self.value, name))
            case ("format", specification):
                return format(self.value, specification)
            case ("method", name, args, kwargs):
                return getattr(self.value, name)(
                    *map(self.given, args), **{k: self.given(v) for k, v in kwargs.items()}
                )
        raise AssertionError(step)

    def reflected(self, name: str, operand: Any) -> Any:
        """The object on the right. Of `value < it` Python makes `it > value`, and an error there names that."""
        try:
            return BINARY[name](self.given(operand), self.value)
        except (TypeError, ValueError):
            if name not in MIRRORED or elsewhere.is_proxy(self.value) or isinstance(operand, Mark):
                raise
            return BINARY[MIRRORED[name]](self.value, self.given(operand))

    def outcome(self, step: tuple[Any, ...]) -> Any:
        """What comes of a step in a form that can be compared, be it a value or an error."""
        try:
            result = self.take(step)
            return plain(result), result is self.value
        except Exception as error:
            return failure(error), False


def failure(error: BaseException) -> tuple[str, object, str]:
    """An error: its class, or the name of the class where no error of that class can be rebuilt."""
    kind = type(error)
    is_class = not isinstance(error, elsewhere.RemoteError) and is_copied(error)
    return "raised", kind if is_class else f"{kind.__module__}.{kind.__qualname__}", text_of(str(error))


def plain(value: Any, depth: int = 0) -> Any:
    """A value as something that `==` compares without exceptions to the rule, with the types of all its parts."""
    if elsewhere.is_proxy(value):
        try:
            copied = elsewhere.get(value)
        except elsewhere.ResultError:
            return text_of(str(value))
        return text_of(str(value)) if elsewhere.is_proxy(copied) else plain(copied, depth)  # as a module is
    if depth > 5:
        return "…"
    kind = type(value)
    if look.dispatch(kind) is not look.dispatch(object):
        return kind, look(value, depth)
    if hasattr(kind, "__next__"):
        return "an iterator over", items(value, depth)
    return (kind, text_of(repr(value))) if is_copied(value) else text_of(str(value))


@functools.singledispatch
def look(value: Any, depth: int) -> Any:
    """What is in a value of the types that follow."""


@look.register(np.ndarray)
@look.register(np.generic)
def _of_array(value: Any, depth: int) -> Any:
    return value.dtype.str, value.shape, plain(value.tolist())


@look.register
def _of_masked_array(value: np.ma.MaskedArray, depth: int) -> Any:
    return plain(value.data.view(np.ndarray)), plain(np.ma.getmaskarray(value))


@look.register
def _of_file(value: io.StringIO | io.BytesIO, depth: int) -> Any:
    return value.getvalue(), value.tell()


@look.register
def _of_random(value: random.Random, depth: int) -> Any:
    return value.getstate()


@look.register
def _of_view(value: memoryview, depth: int) -> Any:
    return value.tobytes(), value.format, value.shape, value.readonly


@look.register
def _of_namespace(value: types.SimpleNamespace, depth: int) -> Any:
    return plain(vars(value), depth + 1)


@look.register
def _of_set(value: set | frozenset, depth: int) -> Any:
    return sorted((plain(part, depth + 1) for part in value), key=repr)


@look.register
def _of_sequence(value: list | tuple | collections.deque | collections.UserList, depth: int) -> Any:
    return getattr(value, "maxlen", None), [plain(part, depth + 1) for part in value]


@look.register
def _of_mapping(value: dict | collections.UserDict, depth: int) -> Any:
    pairs = [(plain(key, depth + 1), plain(part, depth + 1)) for key, part in value.items()]
    return getattr(value, "default_factory", None), pairs


def state(value: Any) -> Any:
    """What `plain` gives of a copy of an object, be it here or elsewhere."""
    try:
        if elsewhere.is_proxy(value):
            copied = elsewhere.get(value)
        else:
            copied = value[:] if isinstance(value, memoryview) else pickle.loads(pickle.dumps(value))
    except Exception:
        return UNCOPIED
    try:
        return plain(copied)
    except Exception as error:
        return failure(error)


def is_copied(value: Any) -> bool:
    """Whether a copy can be made of an object that is here."""
    try:
        pickle.loads(pickle.dumps(value))
    except Exception:
        return False
    return True


def items(iterator: Any, depth: int) -> list[Any]:
    """The first items of an iterator and how it ended."""
    found = []
    try:
        found.extend(plain(item, depth + 1) for item in itertools.islice(iterator, 500))
    except Exception as error:
        found.append(failure(error))
    return found


def text_of(text: str) -> str:
    return re.sub(r"0x[0-9a-f]+", "0x…", text)


# ---------------------------------------------------------------- what need not agree
def agree(
    step: tuple[Any, ...], here: tuple[Any, bool], there: tuple[Any, bool], twin: Any, is_path: bool = False
) -> bool:
    """Whether the outcomes of a step are the same: value and identity, or error.

    Of a constant nobody can tell whether it is the very one, so it may travel as a copy. `get` always copies, and of a
    path comes the object's own proxy, but for what is done in place.
    """
    (value, is_same), (found, is_found_same) = here, there
    constants = (int, float, complex, str, bytes, tuple, frozenset)
    is_place = is_path and step[0] != "in place"
    may_differ = step[0] == "get" or is_place or (isinstance(twin, constants) and not is_found_same)
    return bool(value == found) and (is_same == is_found_same or may_differ)


def is_left_to_chance(kind: Kind, step: tuple[Any, ...], twin: Any, is_in_process: bool) -> bool:
    """Whether what comes of a step is known to differ, for reasons that docs/transparency.md gives."""
    is_of_numpy = isinstance(twin, (np.ndarray, np.generic))
    if step == ("unary", "hash"):  # the hash of an object that has no value, or a random one in each process
        return (kind.has_random_hash and not is_in_process) or not has_own_hash(twin)
    if len(step) == 3 and step[1] in ("eq", "ne") and step[2] is ITSELF:  # proxies of one object are equal, untold
        return is_of_numpy or twin != twin
    if step[:2] == ("ternary", "rpow"):
        step = ("reflected", "pow", step[2])
    if step[0] != "reflected":
        return False
    _, name, left = step  # the object on the left is here and begins, knowing only a proxy
    return (
        (name == "mod" and isinstance(left, (str, bytes, bytearray)))  # to which it looks like a mapping
        or (name == "pow" and isinstance(left, fractions.Fraction))  # which makes a float of what it does not know
        or (isinstance(left, bytearray) and name in COMPARISONS and (is_of_numpy or isinstance(twin, BUFFERS)))
        or (isinstance(left, numbers.Number | decimal.Decimal) and is_of_numpy and name in COMPARISONS)
    )


def has_own_hash(value: Any) -> bool:
    """Whether a copy hashes like the original."""
    try:
        return hash(pickle.loads(pickle.dumps(value))) == hash(value)
    except TypeError:
        return True
