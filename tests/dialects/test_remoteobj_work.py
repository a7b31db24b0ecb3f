"""What users of remoteobj know of functions in the background, and of exceptions by name, through its dialect."""

from __future__ import annotations

import itertools
import logging
import multiprocessing as mp
import os
import pickle
import re
import signal
import threading
from multiprocessing import forkserver, resource_tracker

import numpy as np
import pytest

import elsewhere
from elsewhere.dialects import remoteobj
from elsewhere.dialects.remoteobj import Except, LocalExcept, RemoteException, job, process, thread

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


def add(a, b=1):
    return a + b


def count(n):
    yield from range(n)


def fail(*args):
    raise ValueError(*args)


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def count_and_die():
    yield from range(3)
    die()


class Odd(Exception):
    """Cannot be unpickled, nor be pickled with a lock in it."""

    def __init__(self, number, thing):
        super().__init__(f"odd {number}")
        self.thing = thing


@pytest.fixture(params=[True, False], ids=["thread", "process"])
def start(request):
    """Start a function in the background, in both ways."""
    return lambda *args, **options: job(*args, threaded_=request.param, **options)


def test_what_a_function_returns_comes_home(start):
    with start(add, 2, b=3) as one:
        pass

    assert (one.result, one.result) == (5, 5)
    one.raise_any()


def test_what_a_function_yields_comes_home_while_it_runs(start):
    gate = mp.Event()

    def work():
        yield 1
        gate.wait()
        yield 2

    with start(work) as one:
        while one.result is None:
            pass
        items = one.result
        first = next(items)
        gate.set()

        assert [first, *items] == [1, 2]


def test_what_a_function_raises_is_raised_where_it_is_joined(start):
    one = start(fail, "no")
    one.start()

    with pytest.raises(ValueError, match="no"):
        one.join()
    one.join(raises=False)
    assert one.result is None
    assert isinstance(one.exc.last, ValueError)
    with pytest.raises(ValueError, match="no"):
        one.raise_any()


def test_exception_of_a_block_is_raised_at_its_end(start):
    with pytest.raises(ValueError, match="no"), start(fail, "no"):
        pass
    with start(fail, "no", raises_=False) as quiet:
        pass

    assert quiet.exc.get().args == ("no",)


def test_exception_of_a_process_has_its_traceback_as_the_cause():
    with pytest.raises(ValueError, match="no") as caught, process(fail, "no"):
        pass

    assert "in fail" in str(caught.value.__cause__)


@pytest.mark.parametrize("thing", [3, threading.Lock()], ids=["that is not loaded", "that is not pickled"])
def test_exception_that_cannot_travel_comes_home_all_the_same(thing):
    def work():
        raise Odd(1, thing)

    with process(work, raises_=False) as one:
        pass

    assert type(one.exc.last).__name__ == "Odd"
    assert "odd 1" in str(one.exc.last)


def test_exit_of_a_function_is_that_of_its_process():
    with process(os._exit, 3) as killed, process(exit, 4) as left:
        pass

    assert (killed.exitcode, left.exitcode) == (3, 4)
    assert (killed.result, left.result) == (None, None)


def test_result_that_cannot_be_pickled_is_an_error():
    with pytest.raises(elsewhere.ResultError, match="lock"), process(threading.Lock):
        pass


def test_function_whose_result_is_not_wanted_sends_none(start):
    with start(threading.Lock, results_=False) as one:
        pass

    assert one.result is None


@pytest.mark.parametrize("takes_first", [True, False])
def test_big_results_come_home_before_and_after_joining(takes_first):
    for _ in range(5):
        with process(np.arange, 1_000_000) as one:
            while takes_first and one.result is None:
                pass

        assert one.result.sum() == 499999500000


def test_many_big_items_come_home_while_nobody_takes_them():
    with process(lambda: (bytes(100_000) for _ in range(20))) as one:
        pass

    assert sum(map(len, one.result)) == 2_000_000


def test_process_that_is_killed_is_joined_in_silence():
    with process(die) as one:
        pass

    assert (one.result, one.exitcode) == (None, -signal.SIGKILL)


def test_items_of_a_process_that_is_killed_end():
    one = process(count_and_die).start()
    while one.result is None:
        pass

    items = one.result
    kept = one.exc.get_result()
    assert [next(items), next(items)] == [0, 1]
    one.join()
    assert (list(items), list(kept)) == ([2], [])


def test_items_that_are_taken_from_a_thread_that_failed_end():
    def work():
        yield 1
        fail("late")

    with thread(work, raises_=False) as one:
        while one.result is None:
            pass
        items = list(one.result)

    assert items == [1]
    assert one.exc.last.args == ("late",)


def test_closing_is_called_before_joining(start):
    end = mp.Event()

    with start(end.wait, close_=end.set) as one:
        pass

    assert one.result is True


def test_joining_ends_in_time(start):
    gate = mp.Event()
    with start(gate.wait, timeout_=0.01, close_=None) as one:
        pass

    alive = one.is_alive()
    gate.set()
    one.join(30)
    assert (alive, one.is_alive()) == (True, False)


def test_names_are_those_of_the_functions():
    first, second = process(add, 1), thread(add, 1)
    named = [process(add, 1, name_="adder"), thread(add, 1, name_="adder")]

    assert first.name.startswith("add-process-")
    assert first.name.rpartition("-")[2].isdigit()
    assert second.name.startswith("add-thread-")
    assert [one.name for one in named] == ["adder", "adder"]
    assert (first.daemon, second.daemon, process(add, 1, daemon_=False).daemon) == (True, True, False)
    assert isinstance(first, mp.Process)
    assert isinstance(second, threading.Thread)


@pytest.fixture(params=["forkserver", "spawn"])
def method(request):
    before = mp.get_start_method()
    mp.set_start_method(request.param, force=True)
    yield request.param
    mp.set_start_method(before, force=True)
    forkserver._forkserver._stop()
    resource_tracker._resource_tracker._stop()


def test_processes_of_other_start_methods_send_everything_home(method):
    with process(add, 2, b=3, close_=lambda: None) as returning, process(count, 3) as yielding:
        pass
    with pytest.raises(ValueError, match=method), process(fail, method):
        pass

    assert returning.result == 5
    assert list(yielding.result) == [0, 1, 2]


def keep(exc, name):
    with exc(name, raises=False):
        fail(name)


def test_groups_are_kept_in_processes_of_other_start_methods(method):
    exc = Except()
    child = mp.Process(target=keep, args=(exc, method))
    child.start()
    child.join()

    assert [error.args for error in exc[method]] == [(method,)]


def keep_the_interpreter() -> None:
    re.match(r"(a+)+$", "a" * 40 + "b")  # years


def ignore_polite_signals() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Event().wait()


@pytest.mark.parametrize("work", [threading.Event().wait, keep_the_interpreter, ignore_polite_signals])
def test_process_ends_with_the_one_that_started_it(work):
    def start():
        child = process(work)
        child.start()
        queue.put(child.pid)
        threading.Event().wait()

    queue = mp.SimpleQueue()
    parent = process(start, daemon_=False)
    parent.start()
    end = os.pidfd_open(queue.get())
    parent.kill()
    parent.join()
    queue.close()

    mp.connection.wait([end])  # the watchdog ends this where it never is
    os.close(end)
    assert parent.result is None


def test_results_of_a_process_that_died_end_in_what_it_shares_with_others():
    exc = Except()
    dying = process(count_and_die, exc_=exc).start()
    returning = process(add, 2, b=3).start()
    dying.join()
    returning.join()

    assert list(exc.get_result()) == [0, 1, 2]
    assert returning.result == 5


def test_what_brings_nothing_home_from_a_process_is_refused():
    with pytest.raises(TypeError, match="a LocalExcept brings nothing home from a process"):
        process(fail, "unheard", exc_=LocalExcept())


def test_thread_is_thrown_an_exception():
    def work():
        is_in.set()
        while True:
            pass

    is_in = threading.Event()
    one = thread(work).start()
    is_in.wait()
    one.throw(ValueError("thrown"))

    with pytest.raises(ValueError, match="thrown"):
        one.join()


def test_threads_are_found_by_name():
    gate = threading.Event()
    with thread(gate.wait, name_="waiter", close_=gate.set) as one:
        assert remoteobj.find_thread("waiter") is one
        assert remoteobj.find_thread(one) is one
    assert remoteobj.find_thread("MainThread") is threading.main_thread()
    assert remoteobj.find_thread("nobody") is None
    with pytest.raises(ValueError, match="nobody"):
        remoteobj.find_thread("nobody", require=True)
    with pytest.raises(ValueError, match="nobody"):
        remoteobj.raise_thread(ValueError, "nobody")
    with pytest.raises(ValueError, match="does not run"):
        remoteobj.raise_thread(ValueError, one)


def test_exception_is_raised_in_the_main_thread():
    with pytest.raises(KeyboardInterrupt), thread(remoteobj.raise_thread, KeyboardInterrupt):
        for _ in itertools.count():
            pass


def test_printing_is_one_piece(capsys):
    remoteobj.mprint("a", 1)
    remoteobj.mprint("b", end="")

    assert capsys.readouterr().out == "a 1\nb"


def test_crash_is_a_crash():
    with process(remoteobj.segfault, False) as one:
        pass

    assert one.exitcode == -signal.SIGSEGV


# ---------------------------------------------------------------- exceptions by name
@pytest.fixture(params=[LocalExcept, Except])
def kind(request):
    return request.param


def test_block_keeps_what_it_raises_in_its_group(kind):
    exc = kind(raises=False)

    with exc("init"):
        fail(1)
    with exc("init"):
        fail(2)
    with exc:
        fail(3)

    assert [error.args[0] for error in exc.group("init")] == [1, 2]
    assert [error.args[0] for error in exc["init"]] == [1, 2]
    assert [error.args[0] for error in exc] == [error.args[0] for error in exc.all()] == [1, 2, 3]
    assert (exc.get("init").args[0], exc.get("init", latest=False).args[0], exc.get().args[0]) == (2, 1, 3)
    assert (exc.get(...).args[0], exc.first.args[0], exc.last.args[0]) == (3, 1, 3)
    assert (exc.group("other"), exc.get("other")) == ([], None)


def test_groups_are_true_where_there_is_an_exception(kind):
    exc = kind(raises=False)
    before = bool(exc)
    with exc:
        fail()

    assert (before, bool(exc)) == (False, True)
    exc.clear()
    assert (bool(exc), exc.first, exc.last, exc.get_result()) == (False, None, None, None)


def test_exceptions_go_on_unless_it_is_said_otherwise(kind):
    exc = kind()

    with pytest.raises(ValueError, match="on"), exc("a"):
        fail("on")
    with exc("a", raises=False):
        fail("ends")
    with pytest.raises(KeyError), exc("a", raises=False, types=ValueError):
        raise KeyError
    with pytest.raises(KeyboardInterrupt), exc:
        raise KeyboardInterrupt

    assert [error.args[0] for error in exc] == ["on", "ends"]


def test_types_say_what_is_kept(kind):
    exc = kind(KeyError, SystemExit, raises=False)

    with exc:
        raise SystemExit
    with pytest.raises(ValueError, match="not mine"), exc:
        fail("not mine")

    assert [type(error) for error in exc] == [SystemExit]


def test_innermost_block_keeps_an_exception_alone_unless_all_are_to(kind):
    once, every = kind(), kind(catch_once=False, raises=False)

    with pytest.raises(ValueError, match="once"), once("outer"), once("inner"):
        fail("once")
    with pytest.raises(ValueError, match="every"), every("outer"), every("inner"):
        fail("every")

    assert (len(once["outer"]), len(once["inner"])) == (0, 1)
    assert (len(every["outer"]), len(every["inner"])) == (1, 1)


def test_what_was_kept_is_raised(kind):
    exc = kind(raises=False)
    exc.raise_any()
    with exc("a"):
        fail("first")
    with exc("a"):
        fail("last")
    exc.raise_any("b")
    exc.raise_any(None)

    for arguments, text in (({}, "last"), ({"name": "a"}, "last"), ({"name": "a", "latest": False}, "first")):
        with pytest.raises(ValueError, match=text):
            exc.raise_any(**arguments)
    with pytest.raises(ValueError, match="first"):
        exc.raise_any(latest=False)


def test_what_is_kept_is_logged_where_that_is_wanted(kind, caplog):
    logger = logging.getLogger("of.mine")
    with kind(raises=False, log=True):
        fail("one")
    with kind(raises=False)(log=logger):
        fail("two")
    with kind(raises=False, log=logger)(log=True, log_tb=True):
        fail("three")
    with kind(raises=False)(log=True):
        fail("four")
    with kind(raises=False, log=True)(log=False), kind(raises=False):
        fail("five")

    logged = [(record.name, record.message, bool(record.exc_info)) for record in caplog.records]
    assert logged == [
        ("remoteobj", "(ValueError) one", False),
        ("of.mine", "(ValueError) two", False),
        ("of.mine", "three", True),
        ("remoteobj", "(ValueError) four", False),
    ]
    caplog.clear()  # the records hold what they are about


def test_all_that_was_kept_is_logged(kind, caplog):
    exc = kind(raises=False)
    for number in (1, 2):
        with exc(f"group {number}"):
            fail(number)

    exc.log_error()
    exc.log_tracebacks("group 1")
    exc.log_error(all=False)

    assert [record.message for record in caplog.records] == [
        "(ValueError) 1",
        "(ValueError) 2",
        "1",
        "(ValueError) 2",
    ]
    caplog.clear()  # the records hold what they are about


def test_function_is_wrapped(kind):
    exc = kind()

    assert exc.wrap(add)(1) == 2
    assert (exc.get_result(), exc.pop_result(), exc.get_result()) == (2, 2, None)
    assert exc.wrap(fail)("kept") is None
    assert exc.get().args == ("kept",)
    assert exc.wrap(add).__name__ == "add"
    exc.clear()
    exc.wrap(add, result=False)(1)
    assert exc.get_result() is None
    exc.set_result(iter("ab"))
    assert list(exc.get_result()) == ["a", "b"]
    exc.set_result(iter("cd"))
    assert list(exc.pop_result()) == ["c", "d"]
    exc.clear_result()
    assert list(exc.get_result()) == []


def test_groups_are_summed_up(kind):
    exc = kind(raises=False)
    nothing = str(exc)
    with exc("init"):
        fail("no")

    assert "No exceptions raised" in nothing
    assert kind.__name__ in nothing
    assert "init [1 raised] - last: (ValueError: 'no')" in str(exc)
    exc.pull()


def test_groups_of_several_processes_come_together():
    exc = Except()

    def work(number):
        with exc("shared", raises=False):
            fail(number)
        return len(exc["shared"])

    with process(work, 1) as first, process(work, 2) as second:
        pass

    assert sorted(error.args[0] for error in exc["shared"]) == [1, 2]
    assert (first.result, second.result) == (1, 1)
    assert ["in fail" in str(error.__cause__) for error in exc["shared"]] == [True, True]


def test_groups_that_are_not_stored_there_come_home_all_the_same():
    exc = Except(store_remote=False)

    def work():
        with pytest.raises(ValueError, match="no"), exc("outer"), exc("inner"):
            fail("no")
        return len(exc.all())

    with process(work) as one:
        pass

    assert one.result == 0
    assert ([len(exc["outer"]), len(exc["inner"])], len(exc.all())) == ([0, 1], 1)


def test_groups_whose_owner_is_gone_are_kept_where_they_are():
    def work():
        exc = Except()
        inner = process(outlive, exc, daemon_=False)
        inner.start()
        os._exit(0)

    def outlive(exc):
        mp.parent_process().join()
        with exc("alone", raises=False):
            fail("alone")
        queue.put(len(exc["alone"]))

    queue = mp.SimpleQueue()
    with process(work, daemon_=False):
        assert queue.get() == 1
    queue.close()


def test_copy_of_a_group_in_its_own_process_is_the_group():
    exc = Except()

    assert pickle.loads(pickle.dumps(exc)) is exc


def test_wrapped_exception_is_unpickled_as_itself_with_its_traceback():
    try:
        fail("no")
    except ValueError as error:
        wrapped = RemoteException(error)

    error = pickle.loads(pickle.dumps(wrapped))

    assert (type(error), error.args) == (ValueError, ("no",))
    assert "in fail" in str(error.__cause__)
