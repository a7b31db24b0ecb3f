"""Arguments and results that cannot be pickled, rebuilt or found: a clear error, nothing half done, the host lives."""

from __future__ import annotations

import operator
import os
import sys
import threading
import time

import pytest

import elsewhere
from kennel import Dog
from programs import run


class OnlyPickles:
    """Pickles; to be rebuilt it calls a function."""

    def __init__(self, function, *args) -> None:
        self.rebuild = function, args

    def __reduce__(self):
        return self.rebuild


class PickleRaises:
    def __reduce__(self):
        raise ValueError("not today")


class PickleExits:
    def __reduce__(self):
        sys.exit("not today")


def fail() -> None:
    raise ValueError("broken in transit")


def fail_in_owner(owner: int) -> object:
    """Rebuild in the host, and raise in the process that runs the tests."""
    if os.getpid() != owner:
        return OnlyPickles(fail_in_owner, owner)
    raise ValueError("broken on the way home")


def exit_in_owner(owner: int) -> object:
    if os.getpid() != owner:
        return OnlyPickles(exit_in_owner, owner)
    sys.exit(3)


def interrupt_in_owner(owner: int) -> object:
    if os.getpid() != owner:
        return OnlyPickles(interrupt_in_owner, owner)
    raise GeneratorExit("broken on the way home")


def nested_list(depth: int) -> list:
    value: list = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.fixture
def dog(process_host):
    return process_host.spawn(Dog, "rex")


# Results


def test_result_that_cannot_be_copied_is_a_proxy(dog) -> None:
    lock = dog.make_lock()

    assert elsewhere.is_proxy(lock)
    assert lock.locked() is False


def test_get_of_what_cannot_be_copied_names_the_culprit(dog) -> None:
    with pytest.raises(elsewhere.ResultError) as caught:
        elsewhere.get(dog.lock)

    assert "lock" in str(caught.value)
    assert caught.value.outcome == "finished"


def test_get_names_the_path_to_the_culprit(process_host) -> None:
    kennel = process_host.spawn(dict, a=[1, 2, {"b": 3}])
    process_host.run(put_lock, kennel)

    with pytest.raises(elsewhere.ResultError, match=r"dict\['a'\].*result\[2\]\['lock'\], a _thread.lock") as caught:
        elsewhere.get(kennel["a"])

    assert caught.value.outcome == "finished"


def put_lock(kennel: dict) -> None:
    kennel["a"][2]["lock"] = threading.Lock()


@pytest.mark.parametrize("make", [fail_in_owner, exit_in_owner, interrupt_in_owner])
def test_result_whose_unpickling_raises_here_is_a_result_error(dog, make) -> None:
    with pytest.raises(elsewhere.ResultError) as caught:
        dog.call(make, os.getpid())

    assert caught.value.outcome == "finished"
    assert isinstance(caught.value.__cause__, BaseException)
    assert dog.bark() == "woof"


@pytest.mark.parametrize("make", [fail_in_owner, exit_in_owner])
def test_result_whose_unpickling_raises_disturbs_no_other_call(dog, make) -> None:
    futures = [
        elsewhere.submit(dog.call, make, os.getpid()) if number % 4 == 0 else elsewhere.submit(dog.echo, number)
        for number in range(64)
    ]

    for number, future in enumerate(futures):
        if number % 4 == 0:
            assert isinstance(future.exception(), elsewhere.ResultError)
        else:
            assert future.result() == number


def test_item_whose_unpickling_raises_here_is_a_result_error(dog) -> None:
    items = elsewhere.stream(dog.call, yield_broken, os.getpid())

    assert next(items) == 1
    with pytest.raises(elsewhere.ResultError):
        next(items)
    assert dog.bark() == "woof"


def yield_broken(owner: int):
    yield 1
    time.sleep(0.01)  # makes it another batch
    yield OnlyPickles(fail_in_owner, owner)


def test_result_that_is_too_deep_is_brought_by_reference(dog) -> None:
    value = dog.call(nested_list, 5000)

    assert elsewhere.is_proxy(value[0])  # a list gets proxies for those of its elements that cannot be copied
    assert len(value[0]) == 1


# Arguments


@pytest.mark.parametrize("value", [threading.Lock(), PickleRaises(), open(os.devnull)])
def test_argument_that_cannot_be_pickled_names_itself_and_a_way_out(host, value) -> None:
    dog = host.spawn(Dog, "rex")
    before = host.stats()

    with pytest.raises(elsewhere.ArgumentError) as caught:
        dog.echo([1, {"key": value}])

    assert caught.value.outcome == "not_started"
    for word in ("args[0][1]['key']", type(value).__name__, "ref(", "Dog.echo"):
        assert word in str(caught.value)
    assert dog.bark() == "woof"
    assert host.stats() == before


def test_nothing_is_sent_of_arguments_of_which_the_last_fails(process_host, dog) -> None:
    before = process_host.stats()

    with pytest.raises(elsewhere.ArgumentError):
        dog.echo(bytes(8 << 20), elsewhere.ref(object()), PickleRaises())

    assert dog.bark() == "woof"
    assert process_host.stats() == before


def test_argument_whose_pickling_exits_is_no_call(process_host, dog) -> None:
    before = process_host.stats()

    with pytest.raises(SystemExit):
        dog.echo(elsewhere.ref(object()), PickleExits())

    assert dog.bark() == "woof"
    assert process_host.stats() == before


@pytest.mark.parametrize("depth", [5000, 100_000])
def test_argument_that_is_too_deep_is_an_argument_error(dog, depth: int) -> None:
    value = nested_list(depth)

    with pytest.raises(elsewhere.ArgumentError) as caught:
        dog.echo(value)

    assert caught.value.outcome == "not_started"
    assert isinstance(caught.value.__cause__, RecursionError)
    assert dog.bark() == "woof"


def test_argument_that_is_deep_but_fits_arrives(dog) -> None:
    value = nested_list(300)

    assert dog.echo(value) == value


def test_argument_whose_unpickling_raises_there_is_an_argument_error(host) -> None:
    dog = host.spawn(Dog, "rex")

    with pytest.raises(elsewhere.ArgumentError, match="ValueError: broken in transit") as caught:
        dog.grow(OnlyPickles(fail))

    assert caught.value.outcome == "not_started"
    assert "in fail" in "".join(caught.value.__notes__)
    assert elsewhere.get(dog.age) == 0


def test_argument_of_a_module_that_is_not_there_says_so(dog, tmp_path, monkeypatch) -> None:
    (tmp_path / "only_here.py").write_text("class Thing: pass")
    monkeypatch.syspath_prepend(tmp_path)
    import only_here  # noqa: PLC0415 - it exists from now on

    with pytest.raises(elsewhere.ArgumentError, match=r"No module named 'only_here'.*importable in the host") as caught:
        dog.echo(only_here.Thing())

    assert caught.value.outcome == "not_started"
    assert dog.bark() == "woof"


def test_class_of_a_module_that_is_not_there_cannot_be_spawned(process_host, tmp_path, monkeypatch) -> None:
    (tmp_path / "also_only_here.py").write_text("class Thing: pass")
    monkeypatch.syspath_prepend(tmp_path)
    import also_only_here  # noqa: PLC0415 - it exists from now on

    with pytest.raises(elsewhere.ArgumentError, match="also_only_here"):
        process_host.spawn(also_only_here.Thing)

    assert process_host.run(abs, -1) == 1


def test_failed_spawn_of_a_host_of_its_own_leaves_no_host(tmp_path) -> None:
    with pytest.raises(elsewhere.ArgumentError):
        elsewhere.spawn(OnlyPickles, threading.Lock())
    with pytest.raises(ZeroDivisionError):
        elsewhere.spawn(divide, 1, 0)


def divide(a: int, b: int) -> float:
    return a / b


def test_classes_and_functions_of_main_travel() -> None:
    program = """
    import elsewhere

    class Thing:
        def __init__(self, number): self.number = number
        def more(self): return Thing(self.number + 1)

    with elsewhere.Host() as host:
        thing = host.spawn(Thing, 1)
        print(thing.more().number, host.run(lambda x: x.number, Thing(5)), type(thing.more()) is Thing)
    """

    assert run(program) == (0, "2 5 True\n", "")


def test_argument_whose_unpickling_exits_is_delivered_and_the_host_lives(dog) -> None:
    with pytest.raises(elsewhere.ElsewhereError, match="SystemExit") as caught:
        dog.grow(OnlyPickles(sys.exit, 3))

    assert caught.value.outcome == "not_started"
    assert elsewhere.get(dog.age) == 0


def test_argument_whose_unpickling_ends_the_process_is_a_death(dog) -> None:
    with pytest.raises(elsewhere.HostDied) as caught:
        dog.grow(OnlyPickles(os._exit, 3))

    assert (caught.value.exitcode, caught.value.outcome) == (3, "unknown")


# References


def test_references_in_results_arguments_and_closures_arrive_as_what_they_are(host) -> None:
    dog, other = host.spawn(Dog, "rex"), host.spawn(Dog, "bello")

    dog.befriend(other)
    friend = elsewhere.ref(dog.friends[0])

    assert friend == other
    assert hash(friend) == hash(other)
    assert {other: 1}[friend] == 1
    assert host.run(lambda: other.name) == "bello"
    assert host.run(lambda names: names[dog], {dog: "a key"}) == "a key"


def test_references_that_came_in_containers_are_released(process_host) -> None:
    dog = process_host.spawn(Dog, "rex")
    before = process_host.stats()

    for _ in range(10):
        mixed = dog.mixed()
        assert elsewhere.is_proxy(mixed[1])
        assert dog.echo({"key": [elsewhere.ref(object())]})
    del mixed
    dog.bark()
    process_host.run(abs, 1)

    assert process_host.stats() == before


# Calls that cannot be made


def test_missing_method_wrong_arguments_and_forbidden_names_leave_the_host_alive(host) -> None:
    dog = host.spawn(Dog, "rex")

    for call, error in (
        (lambda: dog.missing(), AttributeError),
        (lambda: dog.bark(1), TypeError),
        (lambda: dog.name(), TypeError),
        (lambda: dog.bark(soft=True), TypeError),
        (lambda: elsewhere.get(dog.friends[3]), IndexError),
        (lambda: dog["trick"](), KeyError),
        (lambda: elsewhere.get(elsewhere.attribute(dog, "__class__")), AttributeError),
        (lambda: dog.bark.missing.more(), AttributeError),
    ):
        with pytest.raises(error):
            call()
    assert dog.bark() == "woof"


def test_released_object_is_gone_and_the_host_lives(process_host) -> None:
    dog, other = process_host.spawn(Dog, "rex"), process_host.spawn(Dog, "bello")

    elsewhere.close(dog)

    with pytest.raises(elsewhere.ObjectGone) as caught:
        dog.bark()
    assert caught.value.outcome == "not_started"
    assert isinstance(caught.value, ReferenceError)
    assert other.bark() == "woof"


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_message_that_is_too_large_is_not_sent(process_host) -> None:
    dog = process_host.spawn(Dog, "rex")
    with pytest.raises(elsewhere.MessageTooLarge) as caught:
        dog.echo("x" * ((1 << 30) + 1))

    assert caught.value.outcome == "not_started"
    assert dog.bark() == "woof"


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_result_that_is_too_large_is_an_error_of_its_call(process_host) -> None:
    dog = process_host.spawn(Dog, "rex")
    with pytest.raises(elsewhere.ResultError) as caught:
        dog.call(operator.mul, "x", (1 << 30) + 1)

    assert caught.value.outcome == "finished"
    assert dog.bark() == "woof"


@pytest.mark.parametrize(
    "place",
    [lambda gone: gone, lambda gone: [gone], lambda gone: [gone, threading], lambda gone: gone.name],
    ids=["argument", "in a list", "in a pickle", "path"],
)
def test_closed_proxy_as_an_argument_is_an_object_that_is_gone(host, place) -> None:
    dog, gone = host.spawn(Dog, "rex"), host.spawn(Dog, "tom")
    elsewhere.close(gone)

    with pytest.raises(elsewhere.ObjectGone) as info:
        dog.echo(place(gone))

    assert info.value.outcome == "not_started"
    assert dog.echo(1) == 1
