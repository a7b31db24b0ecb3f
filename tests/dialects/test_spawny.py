"""What users of spawny know, through its dialect."""

from __future__ import annotations

import importlib
import logging
import math
import os
import pickle
import sys
import threading
from collections import OrderedDict
from pathlib import Path
from pickle import PicklingError

import greetings
import pytest

import elsewhere
import interpreters
import programs
from elsewhere.dialects.spawny import (
    DaemonCouldNotSendMsgError,
    DaemonProxy,
    Definition,
    InstanceDefinition,
    ModuleDefinition,
    ObjectDaemonProxy,
    ObjectProxy,
    ScriptDefinition,
    UnknownException,
    run_module,
    run_object,
    run_script,
)

FILE = str(Path(greetings.__file__))
SCRIPT = """
    import math
    import threading
    from collections import OrderedDict

    class Local:
        def __init__(self):
            self.items = [1]
            self.lock = threading.Lock()

        def items_of(self):
            return self.items

        @property
        def itself(self):
            return self

    class LocalError(Exception):
        pass

    class Stop(BaseException):
        pass

    odct = OrderedDict(a=1)
    foo = "hello world"
    number = 7
    items = [1]
    local = Local()
    nested = OrderedDict(inner=Local())

    def add(first, second=1):
        return first + second

    def words(**words):
        return words

    def fail(name):
        raise {"local": LocalError, "stop": Stop, "exit": SystemExit, "value": ValueError}[name]("bad")

    def lock():
        return threading.Lock()
    """


@pytest.fixture(scope="module")
def remote():
    proxy = run_script(SCRIPT)
    yield proxy
    proxy.terminate_daemon()


# ---------------------------------------------------------------- scripts and modules


def test_what_a_script_defines_stays_there_and_is_compared_there(remote):
    assert isinstance(remote, ObjectProxy)
    assert isinstance(remote.odct, ObjectProxy)
    assert remote.odct == OrderedDict([("a", 1)])
    assert isinstance(remote.foo, ObjectProxy)
    assert remote.foo == "hello world"


@pytest.mark.parametrize("path", [None, FILE], ids=["by name", "by path"])
def test_module_is_imported_by_the_daemon(path):
    module = run_module("greetings", path)

    assert isinstance(module, ObjectProxy)
    assert module.pairs == OrderedDict([("a", 1)])
    assert module.text == "hello world"
    assert module.greet("earthling") == "hello, earthling!"
    assert isinstance(module.greeter, ObjectProxy)
    assert isinstance(module.Greeter, ObjectProxy)
    assert module.greeter.greet("mister") == "[one] hello, mister!"
    module.terminate_daemon()


def test_instance_of_a_module_that_is_imported_here_too_is_a_copy():
    module = run_module("greetings")

    made = module.Greeter("one")

    assert isinstance(made, greetings.Greeter)
    assert made == module.greeter


def test_instance_of_a_module_that_only_the_daemon_has_cannot_be_sent():
    module = run_module("greetings", FILE)

    with pytest.raises(PicklingError):
        module.Greeter("one")

    assert module.greeter.name == "one"


def test_number_is_counted_with_there_and_its_sum_is_here():
    number = run_module("greetings").number

    assert isinstance(number, ObjectProxy)
    assert number + 1 == 2
    number += 1
    assert number == 2
    assert type(number) is int


def test_parts_at_any_depth_act_there(remote):
    remote.items.append(2)

    assert remote.items == [1, 2]
    assert remote.math.pi == math.pi
    assert remote.math.sqrt(4) == 2
    assert remote.local.items_of() == [1]
    assert remote.local.items == [1]
    assert remote.odct.get("a") == 1


def test_value_below_a_part_is_a_copy(remote):
    remote.local.items.append(2)

    assert remote.local.items == [1]


def test_value_below_a_part_that_cannot_be_copied_is_a_part(remote):
    lock = remote.local.lock

    assert isinstance(lock, ObjectProxy)
    assert lock.acquire()
    assert remote.local.lock.locked()
    assert remote.local.itself.itself.items == [1]
    assert remote.local.itself.child_names == ["local", "itself"]


def test_part_knows_where_it_is(remote):
    assert remote.is_multi_object
    assert remote.child_names is None
    assert not remote.items.is_multi_object
    assert remote.items.child_names == ["items"]
    assert remote.items.daemon is remote.daemon


def test_name_is_set_in_the_script():
    remote = run_script("value = 1\ndef read(): return value\n")

    remote.value = 5

    assert remote.read() == 5
    del remote.value
    with pytest.raises(NameError):
        remote.read()


def test_source_is_appended_to_a_script():
    remote = run_script("def one(): return 1\ndef other(): return 2\n")
    assert remote.one() + remote.other() == 3

    remote.daemon.append("def two(): return one() + 1\nother = 4\n")

    assert remote.two() == 2
    assert remote.other == 4
    with pytest.raises(ZeroDivisionError):
        remote.daemon.append("1 / 0")


def test_source_is_appended_to_a_module_and_to_nothing_else():
    module, thing = run_module("greetings", FILE), run_object([1])

    module.daemon.append("def shout(who): return greet(who).upper()")

    assert module.shout("you") == "HELLO, YOU!"
    with pytest.raises(TypeError, match="list"):
        thing.daemon.append("pass")


# ---------------------------------------------------------------- objects


def test_object_is_used_as_if_it_were_here():
    there = run_object("hello, world!")

    assert str(there) == f"{there}" == "hello, world!"
    assert repr(there) == "'hello, world!'"
    assert there[0:5] == "hello"
    assert there.upper() == "HELLO, WORLD!"


def test_item_is_a_copy_unless_it_cannot_be_copied():
    there = run_script("""
        import threading
        things = [[1], threading.Lock()]
    """)

    first = there.things[0]

    assert type(first) is list
    assert there.things[1].acquire()
    assert there.things[1].locked()
    with pytest.raises(IndexError):
        there.things[2]


def test_instance_is_made_by_the_daemon():
    there = run_object(InstanceDefinition("io", "StringIO", "hello, world!"))

    assert there.getvalue() == "hello, world!"
    assert str(run_object(InstanceDefinition("builtins", "str", "x"))) == "x"
    assert run_object(InstanceDefinition(None, "int", "7")) == 7


def test_instance_is_made_of_a_class_that_is_not_here(tmp_path, monkeypatch):
    (tmp_path / "pantry.py").write_text("class Jar:\n    def open(self): return 'honey'\n")
    monkeypatch.syspath_prepend(tmp_path)

    there = run_object(InstanceDefinition("pantry", "Jar"))

    assert there.open() == "honey"
    assert "pantry" not in sys.modules


def test_attribute_of_an_object_is_a_copy():
    there = run_object(greetings.Greeter("one"))

    there.greeted.append("nobody")

    assert there.greeted == []


def test_numbers_are_counted_with_there(remote):
    number = remote.number

    assert (number + 1, 1 + number, number - 1, 1 - number) == (8, 8, 6, -6)
    assert (number * 2, 2 * number, number / 2, 14 / number) == (14, 14, 3.5, 2)
    assert (number // 2, 15 // number, number % 4, 9 % number) == (3, 2, 3, 2)
    assert (divmod(number, 4), divmod(15, number), number**2, 2**number) == ((1, 3), (2, 1), 49, 128)
    assert (-number, +number, abs(number), int(number), float(number)) == (-7, 7, 7, 7, 7.0)
    assert (round(number), math.trunc(number), math.floor(number), math.ceil(number)) == (7, 7, 7, 7)
    assert pow(number, 2, 5) == 4
    assert number > 6
    assert hash(number) == hash(7)
    assert bool(number)
    assert number == number


def test_lists_and_mappings_are_looked_into_there(remote):
    assert "a" in remote.odct
    assert list(remote.odct) == ["a"]
    assert len(remote.odct) == 1
    assert remote.items + [5] == [*remote.items, 5]  # noqa: RUF005 - the sum is made there


@pytest.mark.parametrize("thing", [greetings.greet, len])
def test_object_itself_can_be_called(thing):
    there = run_object(thing)

    assert there("x") == thing("x")


def test_names_of_keyword_arguments_are_the_functions(remote):
    given = {"names": 1, "cmd_type": 2, "to_execute": 3, "to_execute_args": 4, "log_errors": 5, "self": 6}

    assert remote.words(**given) == given


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("script", "kind"),
    [("def (", SyntaxError), ("raise ValueError(1)", ValueError), ("import no_such_module", ModuleNotFoundError)],
)
def test_failure_of_a_script_is_raised_here(script, kind):
    with pytest.raises(kind):
        run_script(script)


def test_exit_of_a_script_is_an_unknown_exception():
    with pytest.raises(UnknownException, match="SystemExit"):
        run_script("import sys; sys.exit(1)")


def test_failure_to_import_or_to_make_is_raised_here():
    with pytest.raises(ModuleNotFoundError):
        run_module("no_such_module")
    with pytest.raises(FileNotFoundError):
        run_module("greetings", "/nowhere/greetings.py")
    with pytest.raises(TypeError, match="name"):
        run_object(InstanceDefinition("greetings", "Greeter"))


def test_exception_is_raised_here_with_its_class(remote):
    with pytest.raises(ValueError, match="bad"):
        remote.fail("value")


def test_exception_that_cannot_be_sent_says_so_and_ends_nothing(remote):
    with pytest.raises(DaemonCouldNotSendMsgError) as caught:
        remote.fail("local")

    assert caught.value.flag == "ERR_FLAG"
    assert caught.value.contents == "bad"
    assert isinstance(caught.value.exc, PicklingError)
    assert "LocalError" in str(caught.value)
    assert remote.add(1) == 2


def test_result_that_cannot_be_sent_says_so_and_ends_nothing(remote):
    with pytest.raises(DaemonCouldNotSendMsgError) as caught:
        remote.lock()

    assert caught.value.flag == "OK_FLAG"
    assert isinstance(caught.value.exc, PicklingError)
    assert remote.add(1) == 2


@pytest.mark.parametrize(("name", "kind"), [("exit", "SystemExit"), ("stop", "Stop")])
def test_what_is_no_exception_is_an_unknown_one_and_ends_nothing(remote, name, kind):
    with pytest.raises(UnknownException) as caught:
        remote.fail(name)

    assert caught.value.info == kind
    assert remote.add(1) == 2


def test_name_that_is_not_there_is_an_attribute_error(remote):
    with pytest.raises(AttributeError, match="nothing"):
        remote.nothing

    assert not hasattr(remote.items, "nothing")


def test_exceptions_can_be_pickled():
    error = DaemonCouldNotSendMsgError.create_from(1, "hello", UnknownException(use_sys=False))

    loaded = pickle.loads(pickle.dumps(error))

    assert (loaded.flag, loaded.contents, loaded.exc.info) == ("1_FLAG", "hello", "<unknown>")
    assert str(loaded) == str(error)


def test_unknown_exception_takes_the_class_that_is_handled():
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt:
        assert UnknownException().info is KeyboardInterrupt


def test_process_that_died_is_told():
    remote = run_script("import os\ndef die(): os._exit(3)\n")

    with pytest.raises(elsewhere.HostDied):
        remote.die()

    remote.daemon.p.join()
    assert remote.daemon.p.exitcode == 3


# ---------------------------------------------------------------- start and end


@pytest.mark.parametrize(
    "definition", [ScriptDefinition("x = 1"), ModuleDefinition("greetings"), InstanceDefinition("io", "StringIO"), [1]]
)
def test_daemon_is_made_of_a_definition_or_an_object(definition):
    daemon = DaemonProxy(definition)
    process = daemon.p

    assert daemon.is_started()
    assert repr(daemon) == str(daemon) == f"DaemonProxy<{process.pid}>"
    assert isinstance(daemon.obj_proxy, ObjectProxy)
    daemon.terminate_daemon()
    assert not process.is_alive()
    assert repr(daemon) == "DaemonProxy<not started>"


def test_definitions_say_what_they_are_of():
    assert InstanceDefinition("greetings", "Greeter", "x").get_type() is greetings.Greeter
    assert InstanceDefinition("greetings", "Greeter", name="x").instantiate().name == "x"
    assert str(InstanceDefinition("io", "StringIO", 1, a=2)) == "io.StringIO((1,);{'a': 2})"
    assert InstanceDefinition("", "int").get_type() is int
    assert not InstanceDefinition("io", "StringIO").is_multi_object()
    for definition in (ScriptDefinition(""), ModuleDefinition("io")):
        assert isinstance(definition, Definition)
        assert definition.is_multi_object()
        assert definition.get_type() is type(sys)
    assert ObjectDaemonProxy is DaemonProxy


def test_terminated_daemon_is_gone_at_once():
    remote = run_script("x = 1\ndef one(): return 1\n")
    process, one, part = remote.daemon.p, remote.one, remote.x

    part.terminate_daemon()

    assert not process.is_alive()
    assert repr(remote) == "ObjectProxy<not started>"
    for use in (remote.terminate_daemon, one, lambda: remote.x, lambda: part + 1, lambda: remote.daemon.append("")):
        with pytest.raises(Exception, match=r"DaemonProxy<not started>. Cannot perform remote calls"):
            use()


def test_method_holds_its_daemon():
    pop = run_object([1]).pop

    assert pop() == 1


def test_part_holds_its_daemon_which_ends_with_it():
    part = run_script("x = [1]").x
    pid = part.daemon.p.pid
    part.append(2)

    assert part == [1, 2]
    part = None

    assert programs.has_ended(pid)


def test_logger_is_spawnys(caplog):
    run_object("x").terminate_daemon()

    assert {record.name for record in caplog.records} == {"spawny"}
    assert any("DONE. PID=" in record.message for record in caplog.records)
    assert any("terminated successfully" in record.message for record in caplog.records)


def test_logger_needs_few_names():
    told = []

    class Own:
        def info(self, *args):
            told.append(args)

        debug = warning = info

    there = run_object("x", logger=Own())
    there.upper()

    assert len(told) == 3


def test_error_is_logged_unless_a_name_was_looked_up(remote, caplog):
    assert not hasattr(remote, "nothing")
    with pytest.raises(ValueError, match="bad"):
        remote.fail("value")

    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_threads_get_their_own_answers(remote):
    found = {}

    def ask(number):
        found[number] = {remote.add(number, second) - second for second in range(50)}

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found == {number: {number} for number in range(8)}


def test_program_that_forgets_a_daemon_ends():
    source = """
        from elsewhere.dialects import spawny
        kept = [spawny.run_script("x = [1]").x, spawny.run_object([2])]
        kept[0].append(2)
        print([one.daemon.p.pid for one in kept])
        """

    code, printed, complaints = programs.run(source)

    assert (code, complaints) == (0, "")
    pids = printed.splitlines()[-1].strip("[]").split(",")
    assert [programs.has_ended(int(pid)) for pid in pids] == [True, True]


# ---------------------------------------------------------------- other interpreters


def test_interpreter_that_is_named_is_used_for_modules_and_scripts(oldest):
    module = run_module("greetings", FILE, python_exe=oldest)
    script = run_script("import sys\nversion = list(sys.version_info[:2])\n", python_exe=oldest)

    assert module.version == script.version
    assert module.version < list(sys.version_info[:2])
    assert module.greeter.greet("you") == "[one] hello, you!"
    assert module.greeter.greeted == ["you"]
    assert module.number + 1 == 2
    assert module.daemon.p.name == oldest


def test_errors_of_another_interpreter_are_the_same(oldest):
    remote = run_script(SCRIPT, python_exe=oldest)

    with pytest.raises(UnknownException, match="SystemExit"):
        remote.fail("exit")
    with pytest.raises(DaemonCouldNotSendMsgError):
        remote.fail("local")
    with pytest.raises(DaemonCouldNotSendMsgError):
        remote.lock()
    with pytest.raises(SyntaxError):
        run_script("def (", python_exe=oldest)
    with pytest.raises(StopIteration):
        run_script("empty = iter(())", python_exe=oldest).empty.__next__()
    assert isinstance(remote.local.lock, ObjectProxy)


def test_modules_beside_the_program_are_found_by_another_interpreter(oldest):
    module = run_module("greetings", python_exe=oldest)

    assert module.version < list(sys.version_info[:2])


def test_interpreter_of_one_daemon_is_not_that_of_the_next(oldest):
    old, new = (run_module("sys", python_exe=python) for python in (oldest, None))

    assert old.hexversion < sys.hexversion
    assert new.hexversion == sys.hexversion


def test_interpreter_that_does_not_exist_is_this_one_with_a_warning():
    with pytest.warns(RuntimeWarning, match="there is no python_exe"):
        there = run_module("sys", python_exe="/nowhere/bin/python")

    assert there.executable == sys.executable


def test_interpreter_that_is_none_is_an_error_and_no_endless_wait():
    with pytest.raises(elsewhere.HostStartError):
        run_object("x", python_exe="/bin/false")


def test_environment_of_the_same_version_is_used(tmp_path):
    python = interpreters.in_empty_environment(sys.executable, tmp_path / "empty")

    there = run_module("sys", python_exe=python)

    assert os.path.samefile(str(there.prefix), tmp_path / "empty")


def test_names_stand_in_the_modules_of_spawny_too():
    module = importlib.import_module("elsewhere.dialects.spawny.main")
    dialect = importlib.import_module("elsewhere.dialects.spawny")

    assert all(getattr(module, name) is getattr(dialect, name) for name in module.__all__)
    assert set(dialect.__all__) <= set(module.__all__)
