"""The verbs that make calls: submit, post, stream, run, and calls by the proxy itself."""

from __future__ import annotations

import asyncio
import functools
import inspect
import operator
import os

import pytest

import elsewhere
from elsewhere import get, post, stream, submit
from kennel import Dog
from workshop import Book, Keeper, kept_busy


@pytest.fixture
def dog(host: elsewhere.Host) -> Dog:
    return host.spawn(Dog, "rex", age=3)


@pytest.fixture
def keeper(host: elsewhere.Host) -> Keeper:
    return host.spawn(Keeper)


@pytest.fixture
def book(host: elsewhere.Host) -> Book:
    return host.spawn(Book)


def score(dog: Dog, factor: int, *, extra: int = 0) -> int:
    return dog.age * factor + extra


def name_and_rest(prefix: str, *, of: Dog) -> str:
    return prefix + of.name


def count_ages(dog: Dog, number: int):
    for extra in range(number):
        yield dog.age + extra


async def age_later(dog: Dog) -> int:
    await asyncio.sleep(0)
    return dog.age


def test_call_waits_and_gives_the_value(dog):
    assert dog.bark(loud=True) == "WOOF"


def test_root_may_be_called_itself(host):
    adder = host.spawn(operator.itemgetter, 1)

    assert adder("abc") == "b"


def test_keywords_named_like_a_verbs_parameters_belong_to_the_method(keeper):
    assert submit(keeper.open, path="x", target=1).result() == ("x", "", {"target": 1})
    assert keeper.open(path="x", self_=1) == ("x", "", {"self_": 1})


def test_keywords_of_spawn_and_run_belong_to_the_function(host):
    assert host.run(dict, function=1, method=2) == {"function": 1, "method": 2}
    assert get(host.spawn(dict, cls=1, by_reference=2)) == {"cls": 1, "by_reference": 2}


@pytest.mark.parametrize("verb", [get, elsewhere.ref, elsewhere.close, elsewhere.host_of, elsewhere.is_proxy])
def test_verbs_take_their_subject_by_position_alone(verb, dog):
    with pytest.raises(TypeError):
        verb(path=dog)
    with pytest.raises(TypeError):
        verb(proxy=dog)
    with pytest.raises(TypeError):
        verb(x=dog)


def test_submit_does_not_wait(host, dog):
    with kept_busy(host):
        future = submit(dog.bark)

        assert not future.done()
    assert future.result() == "woof"


def test_submit_runs_a_plain_function_in_the_host_of_its_first_proxy(dog):
    assert submit(score, dog, 2, extra=1).result() == 7


def test_submit_finds_the_proxy_among_keywords(dog):
    assert submit(name_and_rest, "the ", of=dog).result() == "the rex"


def test_submit_takes_builtin_functions(dog):
    assert submit(get, dog.age).result() == 3
    assert submit(len, dog).result() == 0
    assert submit(setattr, dog, "age", 9).result() is None
    assert get(dog.age) == 9


def test_submit_of_a_coroutine_function_runs_it_there(dog):
    assert submit(age_later, dog).result() == 3


def test_submit_of_a_plain_function_without_a_proxy_is_a_type_error():
    with pytest.raises(TypeError, match="none of its arguments is a proxy"):
        submit(len, [1])
    with pytest.raises(TypeError, match="none of its arguments is a proxy"):
        post(print, 1)
    with pytest.raises(TypeError, match="none of its arguments is a proxy"):
        stream(range, 1)


@pytest.mark.parametrize("name", ["spawn", "send", "module", "script"])
def test_method_of_a_host_that_waits_cannot_be_submitted_and_says_what_can(host, name):
    with pytest.raises(TypeError, match=r"waits for its answer.*only `run`"):
        submit(getattr(host, name), "math")


@pytest.mark.parametrize("verb", [submit, post, stream])
def test_verbs_refuse_what_cannot_be_called(verb, dog):
    with pytest.raises(TypeError, match="expected a proxy or a function"):
        verb(5, dog)


def test_post_runs_without_an_answer(book):
    assert post(book.write, "posted") is None
    assert book.read() == ["posted"]


def test_post_runs_a_plain_function(dog):
    post(setattr, dog, "age", 8)

    assert get(dog.age) == 8


def test_stream_runs_a_plain_generator_function(dog):
    assert list(stream(count_ages, dog, 3)) == [3, 4, 5]


def test_run_runs_a_function_in_the_host(process_host):
    assert process_host.run(operator.add, 1, 2) == 3
    assert process_host.run(os.getpid) == process_host.pid


def test_async_method_gives_a_future_at_once(host, dog):
    with kept_busy(host):
        future = dog.fetch("stick")

        assert isinstance(future, elsewhere.Future)
        assert not future.done()
    assert future.result() == "stick"


def test_async_method_is_awaited(dog):
    async def play() -> str:
        return await dog.fetch("ball")

    assert asyncio.run(play()) == "ball"


def test_async_method_through_submit_gives_its_value(dog):
    assert submit(dog.fetch, "bone").result() == "bone"


def test_async_method_on_a_deeper_path_gives_a_finished_future(host, dog):
    dog.befriend(host.spawn(Dog, "tom"))
    keeper = host.spawn(Keeper, dog)

    future = keeper.thing.fetch("stick")

    assert isinstance(future, elsewhere.Future)
    assert future.done()
    assert future.result() == "stick"


def test_async_method_that_raises_gives_the_exception(host):
    failing = host.spawn(Failing)

    with pytest.raises(KeyError, match="lost"):
        failing.fetch("stick").result()


class Failing:
    async def fetch(self, value: object) -> None:
        raise KeyError("lost")


class Inherited(Failing):
    def bark(self) -> str:
        return "woof"

    @staticmethod
    async def call(name: str) -> str:
        return f"{name}!"

    @classmethod
    async def breed(cls) -> str:
        return cls.__name__


def test_inherited_static_and_class_coroutine_functions_give_futures(host):
    dog = host.spawn(Inherited)

    assert dog.bark() == "woof"
    assert dog.call("rex").result() == "rex!"
    assert dog.breed().result() == "Inherited"
    with pytest.raises(KeyError):
        dog.fetch(1).result()


def test_coroutines_of_one_host_share_a_loop(host):
    looper = host.spawn(Looper)

    looper.remember().result()

    assert looper.is_same().result()


class Looper:
    async def remember(self) -> None:
        self.loop = asyncio.get_running_loop()

    async def is_same(self) -> bool:
        return asyncio.get_running_loop() is self.loop


def test_calls_of_one_thread_start_in_the_order_made(book):
    futures = [submit(book.write, number) for number in range(100)]
    for number in range(100, 200):
        post(book.write, number)
    book.write(200)

    assert book.read() == list(range(201))
    assert all(future.done() for future in futures)


def test_large_and_small_calls_keep_their_order(book):
    lines = [bytes(500_000 if number % 3 == 0 else number) for number in range(30)]

    for line in lines:
        post(book.write, line)

    assert [len(line) for line in book.read()] == [len(line) for line in lines]


def test_get_after_post_sees_what_was_posted(dog):
    post(dog.grow, 5)

    assert get(dog.age) == 8


def test_posts_of_two_hosts_do_not_wait_for_each_other(process_host):
    with elsewhere.Host() as other:
        book = other.spawn(Book)
        with kept_busy(process_host):
            post(book.write, 1)

            assert book.read() == [1]


def test_submit_is_sent_without_anyone_waiting(process_host, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    book = process_host.spawn(Notifier)

    future = submit(book.notify, str(pipe))
    arrived = pipe.read_bytes()  # blocks until the call runs

    assert arrived == b"here"
    assert future.result() is None


def test_post_is_sent_without_anyone_waiting(process_host, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    book = process_host.spawn(Notifier)

    post(book.notify, str(pipe))

    assert pipe.read_bytes() == b"here"


class Notifier:
    def notify(self, path: str) -> None:
        with open(path, "wb") as pipe:
            pipe.write(b"here")


def test_posted_call_that_fails_spoils_nothing(dog, monkeypatch):
    monkeypatch.setattr("sys.unraisablehook", lambda _: None)  # a local host reports it here

    post(dog.fail, ValueError("no"))

    assert dog.bark() == "woof"


def test_more_calls_than_the_window_holds_all_run(book):
    futures = [submit(book.write, number) for number in range(3000)]

    assert [future.result() for future in futures] == [None] * 3000
    assert book.read() == list(range(3000))


def test_async_method_that_fails_on_a_deeper_path_fails_in_its_future(host, dog):
    keeper = host.spawn(Keeper, dog)

    future = keeper.thing.fetch_nothing()

    assert isinstance(future, elsewhere.Future)
    assert future.done()
    with pytest.raises(LookupError, match="nothing there"):
        future.result()


def test_method_that_fails_on_a_deeper_path_raises_at_once(host, dog):
    keeper = host.spawn(Keeper, dog)

    with pytest.raises(KeyError, match="at once"):
        keeper.thing.fail(KeyError("at once"))


def parameters_of(verb) -> dict[str, inspect.Parameter]:
    """By name, what a verb takes; those of a class are its constructor's, but for the instance."""
    taken = dict(inspect.signature(verb).parameters)
    taken.pop("self", None)
    return taken


VERBS = [
    getattr(elsewhere, name)
    for name in elsewhere.__all__
    if name.islower() and callable(getattr(elsewhere, name)) and getattr(elsewhere, name) is not elsewhere.Future
]


NAMED = {elsewhere.reserve, elsewhere.serve}
"""Verbs that take no arguments for others, and whose address may be given by name."""


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb not in NAMED], ids=lambda verb: verb.__name__)
def test_parameters_of_a_verb_are_positional_only_or_named_options(verb):
    kinds = {parameter.kind for parameter in parameters_of(verb).values()}

    assert inspect.Parameter.POSITIONAL_OR_KEYWORD not in kinds


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.__name__)
def test_verb_that_passes_keywords_on_has_no_option_of_its_own(verb):
    kinds = {parameter.kind for parameter in parameters_of(verb).values()}

    assert not {inspect.Parameter.VAR_KEYWORD, inspect.Parameter.KEYWORD_ONLY} <= kinds


@pytest.mark.parametrize("options", [{"timeout": 1}, {"path": "x"}, {"target": 1, "args": 2, "kwargs": 3}])
def test_keywords_of_every_calling_verb_belong_to_the_method(book, options):
    keeper = elsewhere.host_of(book).spawn(Keeper)

    assert submit(keeper.call, dict, **options).result() == options
    assert list(stream(keeper.call, sorted, list(options), key=None)) == sorted(options)
    post(keeper.call, setattr, book, "lines", list(options))
    assert elsewhere.host_of(book).run(dict, **options) == options
    assert book.read() == list(options)


def kinds_of(*things: object, last: object = None) -> list[str]:
    return [type(thing).__name__ for thing in (*things, last)]


@pytest.fixture
def other_book():
    with elsewhere.Host() as other:
        yield other.spawn(Book)


def test_plain_function_runs_in_the_host_of_its_first_proxy(book, other_book):
    assert submit(kinds_of, 1, book, last=other_book).result() == ["int", "Book", "Proxy"]
    assert submit(kinds_of, other_book, last=book).result() == ["Book", "Proxy"]


def test_path_or_stream_among_the_arguments_says_where_a_plain_function_runs(host, dog):
    assert submit(kinds_of, dog.tricks).result() == ["dict", "NoneType"]
    assert submit(kinds_of, dog.count_to(3)).result() == ["generator", "NoneType"]


def test_proxy_inside_of_an_argument_does_not_say_where_a_plain_function_runs(dog):
    with pytest.raises(TypeError, match="none of its arguments is a proxy"):
        submit(sum, [dog.age])


def test_plain_function_may_be_a_lambda_a_class_or_a_partial(dog):
    assert submit(lambda dog, more: dog.age + more, dog, 4).result() == 7
    assert elsewhere.is_proxy(submit(Keeper, dog).result().thing)
    assert submit(functools.partial(score, factor=2), dog).result() == 6


def test_plain_function_keeps_to_the_options_of_its_first_proxy(process_host):
    dog = process_host.spawn(Dog, "rex")

    assert elsewhere.is_proxy(submit(kinds_of, elsewhere.options(dog, result="proxy")).result())
    with kept_busy(process_host), pytest.raises(elsewhere.CallTimeout):
        submit(kinds_of, 1, elsewhere.options(dog, timeout=0.02)).result()


def test_plain_function_is_broken_off_where_its_first_proxy_says_so(process_host, tmp_path):
    book = elsewhere.options(process_host.spawn(Book), timeout=1.5, interrupt=True)
    os.mkfifo(tmp_path / "pipe")
    future = submit(spin, book, str(tmp_path / "pipe"))
    (tmp_path / "pipe").read_bytes()

    with pytest.raises(elsewhere.CallTimeout):
        future.result()

    assert elsewhere.options(book, timeout=None).read() == ["broken off"]


def spin(book: Book, path: str) -> None:
    with open(path, "wb") as pipe:
        pipe.write(b"!")
    try:
        while True:
            pass
    except elsewhere.CallCancelled:
        book.write("broken off")
