"""Every special method of Python is forwarded, or it is in the published list of those that are not."""

from __future__ import annotations

import asyncio
import copy
import gc
import inspect
import os
import pickle
import re
import sys
import types
import unittest.mock
from pathlib import Path

import numpy as np
import pytest

import elsewhere
from data_model import FORWARDED, NOTING, REFUSING, Bare, Refusal, take_calls
from workshop import kept_busy

Proxy = elsewhere._core.Proxy
PAGE = Path(__file__).parent.parent / "docs" / "transparency.md"


@pytest.fixture(scope="module", params=["exec", "local"])
def shared_host(request):
    with elsewhere.Host(start=request.param) as host:
        host.run(asyncio.sleep, 0)  # a local host keeps the event loop that it makes for this
        yield host


def outcome(operation, thing):
    """What an operation gives, or the class and the text of what it raises."""
    try:
        result = operation(thing)
        if inspect.iscoroutine(result):
            result = asyncio.run(result)
    except Exception as error:
        return type(error), re.sub("0x[0-9a-f]+", "0x…", str(error))
    if result is thing:
        return "itself"
    return re.sub("0x[0-9a-f]+", "0x…", result) if isinstance(result, str) else result


# ---------------------------------------------------------------- forwarded
@pytest.mark.parametrize("name", FORWARDED)
def test_special_method_that_is_forwarded_is_called_there_and_gives_its_value(shared_host, name):
    proxy = shared_host.spawn(NOTING[name])
    expected, noted = outcome(FORWARDED[name], NOTING[name]()), take_calls()
    assert name in noted

    found = outcome(FORWARDED[name], proxy)

    assert found == expected
    assert shared_host.run(take_calls) == noted


@pytest.mark.parametrize("name", [name for name in FORWARDED if name != "__dir__"])  # which never raises
def test_what_a_forwarded_special_method_raises_is_raised_here(shared_host, name):
    proxy = shared_host.spawn(REFUSING[name])

    assert outcome(FORWARDED[name], REFUSING[name]()) == (Refusal, name)
    assert outcome(FORWARDED[name], proxy) == (Refusal, name)


@pytest.mark.parametrize("name", FORWARDED)
def test_object_without_a_forwarded_special_method_does_what_it_does_at_home(shared_host, name):
    proxy = shared_host.spawn(Bare)

    assert outcome(FORWARDED[name], proxy) == outcome(FORWARDED[name], Bare())


def test_power_with_a_modulus_runs_there_on_either_side(shared_host):
    number = shared_host.send(3)

    assert pow(number, 4, 5) == 1
    assert pow(5, number, 7) == 6
    assert pow(number, number, 10) == 7


def test_object_that_lacks_half_of_a_context_is_not_entered(shared_host):
    half = shared_host.spawn(HalfAContext)

    with pytest.raises(TypeError, match="missed __exit__"), half:
        pass

    assert elsewhere.get(half.entered) == 0


def test_special_methods_are_looked_up_on_the_type(shared_host):
    thing = shared_host.spawn(Loose)

    with pytest.raises(TypeError, match="context manager protocol"), thing:
        pass
    with pytest.raises(TypeError, match="has no len"):
        len(thing)


def test_awaitable_that_is_no_coroutine_is_awaited_there(shared_host):
    thing = shared_host.spawn(Patient)

    async def use() -> list[object]:
        async with thing as inside:
            return [inside, await anext(thing), *[item async for item in thing]]

    assert asyncio.run(use()) == ["entered", 1, 2, 3]


def test_async_for_over_a_proxy_asks_nothing_before_its_first_item(process_host):
    thing = process_host.spawn(Patient)

    with kept_busy(process_host):
        items = aiter(thing)

    assert asyncio.run(anext(items)) == 1


def test_loop_goes_on_while_async_for_waits_for_an_item(process_host):
    thing = process_host.spawn(Patient)

    async def first() -> object:
        with kept_busy(process_host):
            waiting = asyncio.ensure_future(anext(aiter(thing)))
            await asyncio.sleep(0)
            assert not waiting.done()
        return await waiting

    assert asyncio.run(first()) == 1


def test_iterator_of_an_iterator_is_its_proxy(shared_host):
    thing = shared_host.spawn(Loose)

    assert iter(thing) is thing
    assert list(thing) == [1, 2]


def test_end_of_an_iterator_looks_like_its_end_at_home(shared_host):
    thing = shared_host.spawn(Loose, 2)

    with pytest.raises(StopIteration) as caught:
        next(thing)

    assert caught.value.args == ()


class Unbound:
    """Methods of a context that are no plain functions: bound otherwise, or not at all."""

    __enter__ = staticmethod(lambda: "without self")

    @classmethod
    def __exit__(cls, *error):
        return cls.__name__


class Counting:
    """What is no descriptor is called as it is."""

    def __call__(self, *error):
        return len(error)


class Given(Unbound):
    __exit__ = Counting()


@pytest.mark.parametrize("kind", [Unbound, Given])
def test_methods_of_a_context_are_bound_as_they_are_at_home(shared_host, kind):
    there, here = shared_host.spawn(kind), kind()

    assert there.__enter__() == here.__enter__() == "without self"
    assert there.__exit__(None, None, None) == here.__exit__(None, None, None)


class HalfAContext:
    entered = 0

    def __enter__(self):
        self.entered += 1


class Loose:
    """An iterator whose object, but not whose type, has some special methods."""

    def __init__(self, number=0):
        self.number = number
        self.__enter__ = self.__exit__ = self.__len__ = lambda *args: 1

    def __iter__(self):
        return self

    def __next__(self):
        if self.number == 2:
            raise StopIteration
        self.number += 1
        return self.number


class Soon:
    """An awaitable."""

    def __init__(self, value):
        self.value = value

    def __await__(self):
        yield from asyncio.sleep(0).__await__()
        return self.value


class Patient:
    """Gives awaitables of its own where others give coroutines."""

    number = 0

    def __aenter__(self):
        return Soon("entered")

    def __aexit__(self, *args):
        return Soon(None)

    def __aiter__(self):
        return self

    def __anext__(self):
        self.number += 1
        return Soon(self.number) if self.number < 4 else self.end()

    async def end(self):
        raise StopAsyncIteration


# ---------------------------------------------------------------- not forwarded
def raises(kind, text, operation):
    """A check that an operation on a proxy fails here."""

    def check(proxy):
        with pytest.raises(kind, match=text):
            operation(proxy)

    return check


def has_no(name):
    """A check that the proxy has no attribute of that name."""
    return raises(AttributeError, "begins with an underscore", lambda proxy: getattr(proxy, name))


def subclass(base):
    return type("Sub", (base,), {})


def check_del(proxy):
    weak = elsewhere.ref(proxy.copy())
    del weak
    gc.collect()
    assert not hasattr(Proxy, "__del__")


def check_repr(proxy):
    assert repr(proxy).startswith("<proxy of ")


def check_get(proxy):
    assert type("Box", (), {"it": proxy})().it is proxy


def check_set(proxy):
    box = type("Box", (), {"it": proxy})()
    box.it = 1
    assert vars(box) == {"it": 1}
    del box.it
    assert box.it is proxy


def check_copies(proxy):
    assert copy.copy(proxy) is proxy
    assert copy.deepcopy([proxy])[0] is proxy


def check_class(proxy):
    assert proxy.__class__ is type(proxy) is Proxy
    assert not isinstance(proxy, dict)


def check_documentation(proxy):
    assert proxy.__doc__ == Proxy.__doc__
    assert proxy.__module__ == "elsewhere"


def check_missing(proxy):
    with pytest.raises(KeyError):
        elsewhere.get(proxy["nothing"])
    has_no("__missing__")(proxy)


def check_match(proxy):
    match proxy:
        case dict():
            pytest.fail("a proxy is no dict")
        case [*_]:
            pytest.fail("a proxy is no sequence")
        case {"a": _}:
            pytest.fail("a proxy is no mapping")


def check_size(proxy):
    assert sys.getsizeof(proxy) < 1000


def check_slots(proxy):
    assert not hasattr(Proxy, "__slots__")


def check_state(proxy):
    assert proxy.__getstate__() is None


def check_reduce(proxy):
    if elsewhere.host_of(proxy).pid == os.getpid():  # local
        with pytest.raises(TypeError, match="cannot be pickled"):
            pickle.dumps(proxy)
    else:
        assert b"_grants" in pickle.dumps(proxy)  # of the way to the object, and not of the object


def check_annotations(proxy):
    assert getattr(proxy, "__annotations__", {}) == {}  # the interpreter gives a class an empty dict when it is asked


def check_weakref(proxy):
    has_no("__weakref__")(proxy)


def check_array_ufunc(proxy):
    assert proxy.__array_ufunc__ is None


NOT_FORWARDED = {
    # the life of an object and of a class
    "__new__": raises(TypeError, "cannot create", lambda proxy: Proxy()),
    "__init__": raises(TypeError, "cannot create", lambda proxy: Proxy(1)),
    "__del__": check_del,
    "__init_subclass__": raises(TypeError, "not an acceptable base type", lambda proxy: subclass(Proxy)),
    "__class_getitem__": raises(TypeError, "not subscriptable", lambda proxy: Proxy[int]),
    "__mro_entries__": raises(TypeError, "cannot create", lambda proxy: types.new_class("Sub", (proxy,))),
    "__prepare__": has_no("__prepare__"),
    "__set_name__": check_get,
    "__instancecheck__": raises(TypeError, "isinstance", lambda proxy: isinstance(1, proxy)),
    "__subclasscheck__": raises(TypeError, "issubclass", lambda proxy: issubclass(int, proxy)),
    "__subclasshook__": lambda proxy: check_class(proxy),
    # descriptors
    "__get__": check_get,
    "__set__": check_set,
    "__delete__": check_set,
    "__objclass__": has_no("__objclass__"),
    # what is known of a proxy without asking
    "__repr__": check_repr,
    "__class__": check_class,
    "__doc__": check_documentation,
    "__module__": check_documentation,
    "__dict__": has_no("__dict__"),
    "__slots__": check_slots,
    "__weakref__": check_weakref,
    "__annotations__": check_annotations,
    "__annotate__": has_no("__annotate__"),
    "__type_params__": has_no("__type_params__"),
    "__match_args__": check_match,
    "__sizeof__": check_size,
    # copies and pickles
    "__copy__": check_copies,
    "__deepcopy__": check_copies,
    "__replace__": has_no("__replace__"),
    "__reduce__": check_reduce,
    "__reduce_ex__": check_reduce,
    "__getstate__": check_state,
    "__setstate__": has_no("__setstate__"),
    "__getnewargs__": has_no("__getnewargs__"),
    "__getnewargs_ex__": has_no("__getnewargs_ex__"),
    "__getinitargs__": has_no("__getinitargs__"),
    # what would fetch the object, or lend its memory
    "__buffer__": raises(TypeError, "bytes-like", memoryview),
    "__release_buffer__": has_no("__release_buffer__"),
    "__fspath__": raises(TypeError, "os.PathLike", os.fspath),
    "__array__": raises(TypeError, r"use get\(p\)", np.asarray),
    "__array_ufunc__": check_array_ufunc,
    "__array_function__": has_no("__array_function__"),
    "__array_interface__": has_no("__array_interface__"),
    "__array_struct__": has_no("__array_struct__"),
    "__array_priority__": has_no("__array_priority__"),
    "__array_wrap__": has_no("__array_wrap__"),
    "__array_finalize__": has_no("__array_finalize__"),
    "__array_namespace__": has_no("__array_namespace__"),
    "__dlpack__": has_no("__dlpack__"),
    "__dlpack_device__": has_no("__dlpack_device__"),
    # called by others than Python's operators
    "__missing__": check_missing,
    "__await__": raises(TypeError, "await", lambda proxy: asyncio.run(awaiting(proxy))),
}


async def awaiting(proxy):
    return await proxy


@pytest.mark.parametrize("name", NOT_FORWARDED)
def test_special_method_that_is_not_forwarded_asks_nobody(shared_host, name):
    proxy = shared_host.send({"a": 1})
    asked = shared_host._calls_made()

    NOT_FORWARDED[name](proxy)

    made = shared_host._calls_made() - asked
    of_the_check = {"__del__": 1, "__missing__": 1}
    if shared_host.pid != os.getpid():
        of_the_check |= {"__reduce__": 1, "__reduce_ex__": 1}  # a grant of the host, not the object's own method
    assert made == of_the_check.get(name, 0)


# ---------------------------------------------------------------- the lists are whole
NO_SPECIAL_METHODS = set(
    # attributes of types, functions, modules and exceptions, which Python's operators do not look up on an object
    """__abstractmethods__ __base__ __bases__ __basicsize__ __builtins__ __cause__ __closure__ __code__ __context__
    __defaults__ __dictoffset__ __file__ __flags__ __func__ __globals__ __itemsize__ __kwdefaults__ __mro__ __name__
    __notes__ __origin__ __package__ __path__ __qualname__ __self__ __signature__ __spec__ __subclasses__
    __suppress_context__ __text_signature__ __traceback__ __weakrefoffset__ __wrapped__ __firstlineno__
    __static_attributes__ __slotnames__ __getformat__ __setformat__""".split()
)


def slots_of_loaded_types() -> set[str]:
    """The special methods that some type of this interpreter has as a slot: what its C code calls."""
    found: set[str] = set()
    left, seen = [object], set()
    while left:
        kind = left.pop()
        if id(kind) in seen:  # a class may have a hash of its own
            continue
        seen.add(id(kind))
        found.update(name for name, value in vars(kind).items() if isinstance(value, types.WrapperDescriptorType))
        left += type.__subclasses__(kind)
    return {name for name in found if name.startswith("__")}


def test_every_slot_of_the_interpreter_is_in_one_of_the_lists():
    assert slots_of_loaded_types() - FORWARDED.keys() - NOT_FORWARDED.keys() == set()


def test_every_special_method_that_the_library_mocks_is_in_one_of_the_lists():
    known = unittest.mock._all_magics | unittest.mock._unsupported_magics

    assert known - FORWARDED.keys() - NOT_FORWARDED.keys() - NO_SPECIAL_METHODS == set()


def test_proxy_has_no_special_method_beyond_the_lists():
    own = {name for name in dir(Proxy) if name.startswith("__")}

    assert own - FORWARDED.keys() - NOT_FORWARDED.keys() - NO_SPECIAL_METHODS == set()


def test_no_special_method_is_in_both_lists():
    assert FORWARDED.keys() & NOT_FORWARDED.keys() == set()


@pytest.mark.parametrize(("heading", "names"), [("forwarded", FORWARDED), ("not forwarded", NOT_FORWARDED)])
def test_published_list_is_the_one_that_is_tested(heading, names):
    section = PAGE.read_text(encoding="utf-8").split(f"### Special methods that are {heading}\n")[1].split("\n#")[0]

    assert set(re.findall(r"`(__\w+__)`", section)) == set(names)
