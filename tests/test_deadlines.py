"""How long a call may take: `options(timeout=)` and `deadline`."""

from __future__ import annotations

import asyncio
import threading

import pytest

import elsewhere
from elsewhere import deadline, get, options, post, stream, submit
from kennel import Dog
from workshop import Book, kept_busy

SHORT = 0.02


@pytest.fixture
def dog(process_host: elsewhere.Host) -> Dog:
    return process_host.spawn(Dog, "rex", age=3)


USES = {
    "call": lambda dog: dog.bark(),
    "get": lambda dog: get(dog.age),
    "get with a default": lambda dog: get(dog.nothing, default=1),
    "set an attribute": lambda dog: setattr(dog, "age", 5),
    "delete an attribute": lambda dog: delattr(dog, "age"),
    "set an item": lambda dog: dog.tricks.__setitem__("sit", 1),
    "operator": lambda dog: dog.age + 1,
    "comparison": lambda dog: dog.age == 3,
    "len": len,
    "str": str,
    "in": lambda dog: "tom" in dog,
    "iter": iter,
    "with": lambda dog: dog.lock.__enter__(),
    "submit": lambda dog: submit(dog.bark).result(),
    "stream": lambda dog: next(stream(dog.count_to, 3)),
    "generator": lambda dog: dog.count_to(3),
    "async": lambda dog: dog.fetch(1).result(),
    "ref": lambda dog: elsewhere.ref(dog.friends),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES.keys())
def test_deadline_covers_every_use(process_host, dog, use):
    with kept_busy(process_host), deadline(SHORT), pytest.raises(elsewhere.CallTimeout):
        use(dog)
    assert dog.bark() == "woof"


@pytest.mark.parametrize(
    "use", [use for name, use in USES.items() if name != "next"], ids=[n for n in USES if n != "next"]
)
def test_timeout_of_a_proxy_covers_every_use(process_host, dog, use):
    hurried = options(dog, timeout=SHORT)

    with kept_busy(process_host), pytest.raises(elsewhere.CallTimeout):
        use(hurried)
    assert dog.bark() == "woof"


def test_timeout_is_told_with_what_is_known(process_host, dog):
    with kept_busy(process_host), pytest.raises(elsewhere.CallTimeout) as caught:
        options(dog, timeout=SHORT).bark()

    assert isinstance(caught.value, TimeoutError)
    assert caught.value.method == "Dog.bark"
    assert caught.value.host == f"host {process_host.pid}"
    assert caught.value.outcome in ("not_started", "unknown")


def test_call_that_timed_out_before_its_turn_does_not_run(process_host):
    book = process_host.spawn(Book)

    with kept_busy(process_host), pytest.raises(elsewhere.CallTimeout):
        options(book, timeout=SHORT).write(1)

    assert book.read() == []


def test_answers_after_a_timeout_are_the_right_ones(process_host, dog):
    for number in range(20):
        with kept_busy(process_host), pytest.raises(elsewhere.CallTimeout):
            options(dog, timeout=0.001).echo("late")
        assert dog.echo(number) == number


def test_shorter_of_nested_deadlines_holds(process_host, dog):
    with kept_busy(process_host):
        with deadline(SHORT), deadline(60), pytest.raises(elsewhere.CallTimeout):
            dog.bark()
        with deadline(60), deadline(SHORT), pytest.raises(elsewhere.CallTimeout):
            dog.bark()


def test_shorter_of_deadline_and_timeout_holds(process_host, dog):
    with kept_busy(process_host):
        with deadline(60), pytest.raises(elsewhere.CallTimeout):
            options(dog, timeout=SHORT).bark()
        with deadline(SHORT), pytest.raises(elsewhere.CallTimeout):
            options(dog, timeout=60).bark()


def test_deadline_ends_with_its_block(process_host, dog):
    with deadline(SHORT):
        pass
    with kept_busy(process_host):
        future = submit(dog.bark)
        with pytest.raises(TimeoutError):
            future.result(timeout=3 * SHORT)

    assert future.result() == "woof"


def test_deadline_that_has_passed_ends_a_call_at_once(dog):
    with deadline(0), pytest.raises(elsewhere.CallTimeout):
        dog.bark()
    assert dog.bark() == "woof"


def test_deadline_counts_from_the_making_of_the_call(process_host, dog):
    with kept_busy(process_host):
        with deadline(SHORT):
            future = submit(dog.bark)

        with pytest.raises(elsewhere.CallTimeout):
            future.result()


def test_deadline_of_one_thread_is_none_of_another(process_host, dog):
    results: list[str] = []
    with deadline(0):
        thread = threading.Thread(target=lambda: results.append(dog.bark()))
        thread.start()
        thread.join()

    assert results == ["woof"]


def test_deadline_holds_for_awaited_calls(process_host, dog):
    async def play() -> None:
        with deadline(SHORT):
            await submit(dog.bark)

    with kept_busy(process_host), pytest.raises(elsewhere.CallTimeout):
        asyncio.run(play())


def test_tasks_have_deadlines_of_their_own(process_host, dog):
    async def hurried() -> str:
        with deadline(SHORT):
            try:
                return await submit(dog.bark)
            except elsewhere.CallTimeout:
                return "too late"

    async def patient() -> str:
        return await submit(dog.bark)

    async def play() -> list[str]:
        with kept_busy(process_host):
            tasks = [asyncio.create_task(hurried()), asyncio.create_task(patient())]
            first = await tasks[0]
        return [first, await tasks[1]]

    assert asyncio.run(play()) == ["too late", "woof"]


def test_options_leave_the_proxy_as_it_was(process_host, dog):
    options(dog, timeout=0)

    assert dog.bark() == "woof"


def test_paths_inherit_options(process_host, dog):
    hurried = options(dog, timeout=SHORT).friends

    with kept_busy(process_host), pytest.raises(elsewhere.CallTimeout):
        len(hurried)


def test_options_proxy_is_the_same_object(dog):
    assert options(dog, timeout=5) == dog
    assert hash(options(dog, timeout=5)) == hash(dog)


def test_none_takes_a_timeout_away(process_host, dog):
    patient = options(options(dog, timeout=0), timeout=None)

    assert patient.bark() == "woof"


@pytest.mark.parametrize("seconds", [-1, float("nan")])
def test_time_that_means_nothing_is_refused(dog, seconds):
    with pytest.raises(ValueError, match="seconds"):
        options(dog, timeout=seconds)
    with pytest.raises(ValueError, match="seconds"):
        deadline(seconds)


@pytest.mark.parametrize("seconds", ["1", None, [1]])
def test_deadline_that_is_no_number_is_refused(seconds):
    with pytest.raises(TypeError):
        deadline(seconds)


def test_infinite_deadline_is_a_long_one(dog):
    with deadline(float("inf")):
        assert dog.bark() == "woof"


def test_post_under_a_deadline_is_sent(process_host):
    book = process_host.spawn(Book)
    with deadline(60):
        post(book.write, 1)

    assert book.read() == [1]


@pytest.mark.parametrize("use", USES.values(), ids=USES.keys())
def test_time_that_is_over_ends_every_use_before_it_is_sent(host, use):
    dog = host.spawn(Dog, "rex", age=3)
    made = host._calls_made()

    with deadline(0), pytest.raises(elsewhere.CallTimeout) as caught:
        use(dog)
    with pytest.raises(elsewhere.CallTimeout):
        use(options(dog, timeout=0))

    assert caught.value.outcome == "not_started"
    assert host._calls_made() == made


@pytest.mark.parametrize(
    "use", [lambda host: host.run(len, []), lambda host: host.spawn(list), lambda host: host.send(1)]
)
def test_deadline_covers_what_the_host_itself_is_asked(host, use):
    with deadline(0), pytest.raises(elsewhere.CallTimeout):
        use(host)
    assert host.run(len, [1]) == 1
