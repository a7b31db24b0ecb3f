"""What users of pyoad know, through its dialect."""

from __future__ import annotations

import copy
import gc
import importlib
import logging
import os
import pickle
import sys
import threading
import weakref

import pytest

import elsewhere
import interpreters
import programs
from elsewhere.dialects.pyoad import InstanceDefinition, ObjectDaemonProxy, init_mp_context

RECORDS = [
    "[{}] Object daemon started in : " + sys.executable,
    "[{}] Object daemon  was asked to exit - closing communication connection",
    "[{}] Object daemon  terminating",
]


class StubbornError(Exception):
    def __reduce__(self):
        raise TypeError


class Counter:
    def __init__(self, count=0):
        if count < 0:
            text = "below zero"
            raise ValueError(text)
        self.count = count
        self.noted = []

    def add(self, number=1):
        self.count += number
        return self.count

    def same(self, value):
        return value

    def itself(self):
        return self

    def words(self, **words):
        return words

    def pid(self):
        return os.getpid()

    def fail(self, error):
        raise error()

    def lock(self):
        return threading.Lock()

    def die(self):
        os._exit(3)


@pytest.fixture(scope="module")
def words():
    proxy = ObjectDaemonProxy(["hello", "world"])
    yield proxy
    proxy.terminate_daemon()


@pytest.fixture(scope="module")
def counter():
    proxy = ObjectDaemonProxy(Counter())
    yield proxy
    proxy.terminate_daemon()


# ---------------------------------------------------------------- the page


def test_string_is_used_as_if_it_were_here(capsys):
    daemon_str = ObjectDaemonProxy("hello, world!")

    print(daemon_str)
    print(daemon_str[0:5])

    printed = capsys.readouterr().out.splitlines()
    assert printed == [RECORDS[0].format(daemon_str.p.pid), "hello, world!", "hello"]


def test_daemon_ends_with_its_last_reference_and_says_so(capsys):
    daemon_str = ObjectDaemonProxy("hello, world!")
    pid = daemon_str.p.pid

    daemon_str = None
    gc.collect()

    assert programs.has_ended(pid)
    assert capsys.readouterr().out.splitlines() == [record.format(pid) for record in RECORDS]


def test_instance_is_made_by_the_daemon():
    daemon_strio = ObjectDaemonProxy(InstanceDefinition("io", "StringIO", "hello, world!"))

    assert daemon_strio.getvalue() == "hello, world!"


def test_instance_of_a_builtin_is_made_by_the_daemon():
    assert str(ObjectDaemonProxy(InstanceDefinition("builtins", "str", 1))) == "1"


@pytest.mark.parametrize("module", [None, ""])
def test_class_without_a_module_is_a_builtin(module):
    assert ObjectDaemonProxy(InstanceDefinition(module, "int", "7")) == 7


def test_class_without_a_module_may_be_of_main():
    source = """
        from elsewhere.dialects.pyoad import InstanceDefinition, ObjectDaemonProxy
        class Dog:
            def bark(self):
                return "woof"
        print(ObjectDaemonProxy(InstanceDefinition(None, "Dog")).bark())
        """

    code, printed, _ = programs.run(source)

    assert code == 0
    assert "woof" in printed.splitlines()


def test_file_in_memory_acts_as_one_here_does():
    there = ObjectDaemonProxy(InstanceDefinition("io", "StringIO", "str\nhello"))

    there.write("**")
    there.seek(0)

    assert there.getvalue() == "**r\nhello"
    assert there.readlines() == ["**r\n", "hello"]
    there.close()
    with pytest.raises(ValueError, match="closed"):
        there.getvalue()


# ---------------------------------------------------------------- what is done with a proxy


def test_special_methods_act_there(words):
    assert str(words) == "['hello', 'world']"
    assert repr(words) == "ObjectDaemonProxy<['hello', 'world']>"
    assert format(words) == str(words)
    assert words == ["hello", "world"]
    assert words != ["hello"]
    assert words == words
    assert ["a"] < words
    assert "world" in words
    assert len(words) == 2
    assert list(words) == ["hello", "world"]
    assert list(reversed(words)) == ["world", "hello"]
    assert bool(words)
    assert words.__sizeof__() > 0


def test_items_are_set_and_deleted_there():
    there = ObjectDaemonProxy({"a": 1, "b": 2})
    proxy = there

    there["c"] = 3
    del there["a"]
    there |= {"d": 4}

    assert there is proxy
    assert copy.copy(there) == {"b": 2, "c": 3, "d": 4}
    assert there | {"e": 5} == {"b": 2, "c": 3, "d": 4, "e": 5}
    assert {"e": 5} | there == {"e": 5, "b": 2, "c": 3, "d": 4}


def test_item_is_a_copy_and_not_a_place():
    words = ObjectDaemonProxy({"a": ["hello"]})
    text = ObjectDaemonProxy("hello, world!")

    first = words["a"]
    first.append("world")

    assert (type(first), words["a"]) == (list, ["hello"])
    assert "".join([text[0:2], text[-1]]) == "he!"
    with pytest.raises(KeyError):
        words["zz"]


def test_hash_is_that_of_the_object():
    assert hash(ObjectDaemonProxy(12)) == hash(12)


def test_attribute_is_a_copy(counter):
    counter.noted.append(1)

    assert counter.noted == []


def test_attribute_is_set_and_deleted_there():
    there = ObjectDaemonProxy(Counter())

    there.count = 5
    there._private = 6
    assert there.add() == 6
    assert there._private == 6
    del there._private

    assert not hasattr(there, "_private")


def test_method_that_is_replaced_is_seen():
    there = ObjectDaemonProxy(Counter())
    assert there.add() == 1

    there.add = 7

    assert there.add == 7


def test_result_is_a_copy_even_of_the_object_itself(counter):
    assert isinstance(counter.itself(), Counter)


def test_copy_and_pickle_are_those_of_the_object():
    there = ObjectDaemonProxy(Counter(3))

    copies = [copy.copy(there), copy.deepcopy(there), pickle.loads(pickle.dumps(there)), there.same(there)]

    assert [type(one) for one in copies] == [Counter] * 4
    assert [one.count for one in copies] == [3] * 4


def test_names_of_keyword_arguments_are_the_methods(counter):
    given = {"cmd_type": 1, "meth_or_attr_name": 2, "name": 3, "args": 4, "daemon": 5}

    assert counter.words(**given) == given


def test_instance_of_its_class_is_not_what_a_proxy_is(counter):
    assert not isinstance(counter, Counter)


def test_object_that_cannot_be_pickled_is_inherited():
    source = """
        import threading
        from elsewhere.dialects.pyoad import ObjectDaemonProxy
        there = ObjectDaemonProxy(threading.Lock())
        print(there.acquire(), there.locked())
        """

    _, printed, _ = programs.run(source)

    assert "True True" in printed.splitlines()


def test_object_that_cannot_be_pickled_is_refused_beside_other_threads():
    over = threading.Event()
    other = threading.Thread(target=over.wait)
    other.start()
    try:
        with pytest.raises(elsewhere.ArgumentError, match="lock"):
            ObjectDaemonProxy(threading.Lock())
    finally:
        over.set()
        other.join()


def test_proxy_can_be_weakly_referenced(counter):
    assert weakref.ref(counter)() is counter


# ---------------------------------------------------------------- errors


def test_failure_to_make_the_object_is_raised_here():
    with pytest.raises(ValueError, match="below zero"):
        ObjectDaemonProxy(InstanceDefinition("test_pyoad", "Counter", -1))
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        ObjectDaemonProxy(InstanceDefinition("no_such_module", "Counter"))
    with pytest.raises(AttributeError, match="NoSuchClass"):
        ObjectDaemonProxy(InstanceDefinition("io", "NoSuchClass"))


def test_end_of_an_iteration_is_raised_as_itself(counter):
    with pytest.raises(StopIteration):
        counter.fail(StopIteration)


@pytest.mark.parametrize("error", [StubbornError, SystemExit, KeyboardInterrupt])
def test_exception_that_cannot_travel_ends_nothing(counter, error):
    with pytest.raises(elsewhere.RemoteError, match=error.__name__):
        counter.fail(error)

    assert counter.same(1) == 1


def test_result_that_cannot_be_copied_is_a_type_error(counter):
    with pytest.raises(TypeError, match="lock"):
        counter.lock()

    assert counter.same(1) == 1


def test_name_that_is_not_there_is_an_attribute_error(counter):
    with pytest.raises(AttributeError, match="nothing"):
        counter.nothing

    assert not hasattr(counter, "nothing")


def test_process_that_died_is_told():
    there = ObjectDaemonProxy(Counter())

    with pytest.raises(elsewhere.HostDied):
        there.die()

    there.p.join()
    assert there.p.exitcode == 3
    assert not there.p.is_alive()


# ---------------------------------------------------------------- start and end


def test_terminated_daemon_is_gone_at_once(caplog):
    there = ObjectDaemonProxy(Counter())
    process, add = there.p, there.add
    assert there.is_started()

    there.terminate_daemon()

    assert not process.is_alive()
    assert not there.is_started()
    assert repr(there) == "ObjectDaemonProxy<not started>"
    for use in (there.terminate_daemon, add, lambda: there.count, lambda: len(there)):
        with pytest.raises(AttributeError, match="Cannot perform remote calls - daemon is not started"):
            use()
    assert [record.message for record in caplog.records] == [record.format(process.pid) for record in RECORDS]


def test_process_can_be_killed():
    there = ObjectDaemonProxy(Counter())

    there.p.kill()
    there.p.join()

    with pytest.raises(elsewhere.HostDied):
        there.add()


def test_logger_is_pyoads_or_ones_own(caplog):
    own = logging.getLogger("mine")
    with caplog.at_level(logging.DEBUG):
        there = ObjectDaemonProxy(Counter(), logger=own)
        there.add()
        there.terminate_daemon()

    assert there.logger is own
    assert {record.name for record in caplog.records} == {"mine"}
    assert "Object proxy asking daemon to execute method: add" in caplog.messages
    assert "Object proxy asking daemon to exit" in caplog.messages
    assert logging.getLogger("pyoad").handlers


def test_level_of_the_logger_decides_what_is_printed(capsys, monkeypatch):
    monkeypatch.setattr(logging.getLogger("pyoad"), "level", logging.WARNING)
    logging.getLogger("pyoad").manager._clear_cache()

    ObjectDaemonProxy("hello").terminate_daemon()

    assert capsys.readouterr().out == ""


def test_start_method_of_multiprocessing_stays_as_it_is():
    init_mp_context()

    assert "multiprocessing" not in sys.modules or sys.modules["multiprocessing"].get_start_method(allow_none=True) in {
        None,
        "fork",
    }


def test_threads_get_their_own_answers(counter):
    found = {}

    def ask(number):
        found[number] = [counter.same(number) for _ in range(50)]

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found == {number: [number] * 50 for number in range(8)}


def test_program_that_forgets_a_daemon_ends():
    source = """
        from elsewhere.dialects.pyoad import ObjectDaemonProxy
        there = ObjectDaemonProxy("hello")
        print(there.p.pid)
        """

    code, printed, complaints = programs.run(source)

    pid = next(programs.numbers(printed.splitlines()[1]))
    assert (code, complaints) == (0, "")
    assert programs.has_ended(pid)


def test_daemon_ends_with_a_program_that_is_killed():
    source = """
        import os, signal
        from elsewhere.dialects.pyoad import ObjectDaemonProxy
        there = ObjectDaemonProxy("hello")
        print(there.p.pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
        """

    code, printed, _ = programs.run(source)

    assert code == -9
    assert programs.has_ended(int(printed.split()[-1]))


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_fork_that_drops_a_daemon_leaves_it_to_its_owner(capfd):
    there = ObjectDaemonProxy(Counter())

    child = os.fork()
    if not child:
        del there
        os._exit(0)
    os.waitpid(child, 0)

    assert there.add() == 1
    assert "terminating" not in capfd.readouterr().out


# ---------------------------------------------------------------- other interpreters


def test_interpreter_that_is_named_is_used(tmp_path):
    python = interpreters.in_empty_environment(sys.executable, tmp_path / "empty")

    there = ObjectDaemonProxy(InstanceDefinition("pathlib", "Path", "x"), python_exe=python)
    beside = ObjectDaemonProxy(Counter())

    assert there.name == "x"
    assert os.readlink(f"/proc/{there.p.pid}/exe") == os.path.realpath(python)
    assert there.p.name == python
    assert "empty" not in str(beside.pid())


def test_interpreter_of_another_version_is_used(oldest):
    there = ObjectDaemonProxy(InstanceDefinition("io", "StringIO", "hello"), python_exe=oldest)

    assert there.getvalue() == "hello"
    assert os.path.realpath(oldest) == os.readlink(f"/proc/{there.p.pid}/exe")


def test_modules_of_the_program_are_found_by_another_interpreter(oldest, tmp_path, monkeypatch):
    (tmp_path / "cellar.py").write_text("import sys\nclass Cellar:\n    version = tuple(sys.version_info[:2])\n")
    monkeypatch.syspath_prepend(tmp_path)

    there = ObjectDaemonProxy(InstanceDefinition("cellar", "Cellar"), python_exe=oldest)

    assert there.version < sys.version_info[:2]


def test_interpreter_that_does_not_exist_is_this_one_with_a_warning():
    with pytest.warns(RuntimeWarning, match=r"there is no python_exe 'C:.*python.exe'"):
        there = ObjectDaemonProxy("hello", python_exe=r"C:\Anaconda3\envs\tools\python.exe")

    assert there == "hello"


def test_interpreter_that_dies_at_its_start_is_an_error():
    with pytest.raises(elsewhere.HostStartError):
        ObjectDaemonProxy("hello", python_exe="/bin/false")


def test_names_stand_in_the_modules_of_pyoad_too():
    module = importlib.import_module("elsewhere.dialects.pyoad.main")
    dialect = importlib.import_module("elsewhere.dialects.pyoad")

    assert all(getattr(module, name) is getattr(dialect, name) for name in module.__all__)
    assert set(dialect.__all__) <= set(module.__all__)
