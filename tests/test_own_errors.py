"""The errors of elsewhere itself: with all that they know they are copied, pickled and sent through other libraries."""

from __future__ import annotations

import concurrent.futures
import copy
import pickle
import signal
import textwrap
import threading

import pytest

import elsewhere
from doomed import Doomed
from kennel import Dog
from programs import run
from workshop import Book, kept_busy


def caught(call, *args) -> elsewhere.ElsewhereError:
    with pytest.raises(elsewhere.ElsewhereError) as info:
        call(*args)
    return info.value


def host_died_by_exit() -> elsewhere.ElsewhereError:
    with elsewhere.Host() as host:
        return caught(host.spawn(Doomed).say_and_exit, "last words")


def host_died_by_signal() -> elsewhere.ElsewhereError:
    with elsewhere.Host() as host:
        return caught(host.spawn(Doomed).kill_itself)


def host_start_error() -> elsewhere.ElsewhereError:
    return caught(lambda: elsewhere.Host(preload=["no_such_module_anywhere"]))


def host_closed() -> elsewhere.ElsewhereError:
    with elsewhere.Host() as host:
        dog = host.spawn(Dog, "rex")
    return caught(dog.bark)


def call_timeout() -> elsewhere.ElsewhereError:
    with elsewhere.Host() as host:
        dog = host.spawn(Dog, "rex")
        with kept_busy(host), elsewhere.deadline(0.05):
            return caught(dog.bark)


def call_cancelled() -> elsewhere.ElsewhereError:
    with elsewhere.Host() as host:
        book = host.spawn(Book)
        with kept_busy(host):
            future = elsewhere.submit(book.read)
            future.cancel()
            return caught(future.result)


def remote_error() -> elsewhere.ElsewhereError:
    with elsewhere.Host() as host:
        return caught(host.run, exit_with, 3)


def exit_with(code: int) -> None:
    raise SystemExit(code)


def remote_group() -> elsewhere.ElsewhereError:
    with elsewhere.Host() as host:
        return caught(host.run, raise_base_group)


def raise_base_group() -> None:
    raise BaseExceptionGroup("base", [SystemExit(3), ValueError(1)])


def argument_error() -> elsewhere.ElsewhereError:
    with elsewhere.Host() as host:
        return caught(host.spawn(Dog, "rex").echo, threading.Lock())


def result_error() -> elsewhere.ElsewhereError:
    with elsewhere.Host() as host:
        dog = host.spawn(Dog, "rex")
        return caught(lambda: elsewhere.get(dog.lock))


def object_gone() -> elsewhere.ElsewhereError:
    with elsewhere.Host() as host:
        dog = host.spawn(Dog, "rex")
        path = dog.bark
        elsewhere.close(dog)
        return caught(path)


def met_elsewhere() -> elsewhere.ElsewhereError:
    """An error that a method met itself: of a third host."""
    with elsewhere.Host() as host:
        return caught(host.run, meet_a_death)


def meet_a_death() -> None:
    with elsewhere.Host(name="third") as third:
        third.spawn(Doomed).kill_itself()


MADE = {
    make.__name__: make
    for make in (
        host_died_by_exit,
        host_died_by_signal,
        host_start_error,
        host_closed,
        call_timeout,
        call_cancelled,
        remote_error,
        remote_group,
        argument_error,
        result_error,
        object_gone,
        met_elsewhere,
    )
}

KNOWN = (
    "outcome",
    "host",
    "method",
    "remote",
    "pid",
    "exitcode",
    "signal",
    "stderr_tail",
    "type_name",
    "message",
    "traceback",
    "__notes__",
)


def known(error: BaseException) -> dict[str, object]:
    """All that an error says."""
    found = {name: getattr(error, name) for name in KNOWN if hasattr(error, name)}
    return {"class": type(error).__name__, "bases": type(error).__mro__[1].__name__, "text": str(error), **found}


@pytest.fixture(scope="module")
def errors() -> dict[str, elsewhere.ElsewhereError]:
    return {name: make() for name, make in MADE.items()}


@pytest.fixture(params=MADE)
def error(request, errors) -> elsewhere.ElsewhereError:
    return errors[request.param]


def test_each_is_of_another_kind(errors) -> None:
    assert known(errors["host_died_by_exit"])["exitcode"] == 3
    assert "last words" in errors["host_died_by_exit"].stderr_tail
    assert known(errors["host_died_by_signal"])["signal"] == signal.SIGKILL
    assert errors["call_cancelled"].outcome == "not_started"
    assert errors["met_elsewhere"].remote
    assert "third" in errors["met_elsewhere"].host
    assert len({type(error).__name__ for error in errors.values()}) == 10


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickle_keeps_all(error, protocol: int) -> None:
    again = pickle.loads(pickle.dumps(error, protocol))

    assert known(again) == known(error)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_copy_keeps_all(error, copied) -> None:
    again = copied(error)

    assert again is not error
    assert known(again) == known(error)


def test_pickle_of_a_group_keeps_its_members(errors) -> None:
    again = pickle.loads(pickle.dumps(errors["remote_group"]))

    assert isinstance(again, ExceptionGroup)
    assert [type(member).__name__ for member in again.exceptions] == ["RemoteSystemExit", "ValueError"]


def test_error_crosses_to_a_host_and_back(error, process_host) -> None:
    dog = process_host.spawn(Dog, "rex")

    again = dog.echo(error)

    assert known(again) == known(error)


def raise_it(error: BaseException) -> None:
    raise error


def test_error_that_another_host_raises_again_is_the_same_and_met_there(error, process_host) -> None:
    again = caught(process_host.run, raise_it, error)

    ours, theirs = known(again), known(error)
    notes = [note for note in ours.pop("__notes__") if f"host {process_host.pid} " not in note]
    assert ours.pop("remote")
    theirs.pop("remote")
    assert notes == theirs.pop("__notes__", [])
    assert ours == theirs


POOLS = {
    "concurrent.futures": """
        with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
            found = [pool.submit(raise_it, error).exception() for error in errors]
        """,
    "multiprocessing": """
        with context.Pool(1) as pool:
            calls = [pool.apply_async(raise_it, (error,)) for error in errors]
            found = [pytest.raises(elsewhere.ElsewhereError, call.get).value for call in calls]
            pool.close()
            pool.join()
        """,
}


@pytest.mark.parametrize("library", POOLS)
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_error_goes_through_a_pool_of_processes(errors, tmp_path, library: str, method: str) -> None:
    (tmp_path / "errors").write_bytes(pickle.dumps(list(errors.values())))
    source = f"""
        import concurrent.futures, multiprocessing, pickle, sys
        import pytest
        import elsewhere
        from test_own_errors import known, raise_it

        errors = pickle.load(open(sys.argv[1], "rb"))
        context = multiprocessing.get_context({method!r})
        {textwrap.dedent(POOLS[library]).strip().replace(chr(10), chr(10) + "        ")}
        assert [known(error) for error in found] == [known(error) for error in errors]
        print(len(found))
        """

    assert run(source, str(tmp_path / "errors")) == (0, "12\n", "")


def test_error_goes_through_an_executor_of_threads(error) -> None:
    with concurrent.futures.ThreadPoolExecutor(1) as pool, pytest.raises(elsewhere.ElsewhereError) as info:
        pool.submit(raise_it, error).result()

    assert info.value is error


def test_cancelled_error_is_pickled_where_concurrent_futures_is_not_loaded() -> None:
    source = """
    import pickle, sys
    import elsewhere
    assert "concurrent.futures" not in sys.modules
    early = pickle.dumps(elsewhere.CallCancelled("early", outcome="not_started"))
    import concurrent.futures
    late = pickle.dumps(elsewhere.CallCancelled("late", outcome="unknown"))
    for data in (early, late):
        error = pickle.loads(data)
        print(type(error).__name__, error, error.outcome)
    """

    assert run(source) == (0, "CallCancelled early not_started\nCallCancelled late unknown\n", "")
