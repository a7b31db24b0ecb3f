"""Log records of hosts: which come home, as what, in which order."""

from __future__ import annotations

import asyncio
import atexit
import logging
import logging.config
import os
import pathlib
import signal
import subprocess
import sys
import threading
import traceback

import pytest

import elsewhere
from conftest import children
from programs import finish, run, start

NAME = "elsewhere.tests.there"


@pytest.fixture(params=["exec", "zygote"])
def host(request):
    """A host whose log records come home, and that imports logging only later, or has it by then."""
    with elsewhere.Host(start=request.param, logging=True, name="shop") as host:
        if request.param == "zygote":
            host.module("logging")
        yield host


@pytest.fixture(autouse=True)
def _levels():
    """Put back what a test changes of the levels here."""
    root, logger = logging.getLogger(), logging.getLogger(NAME)
    before = root.level, logger.level
    yield
    logging.disable(logging.NOTSET)
    root.setLevel(before[0])
    logger.setLevel(before[1])


def log(level: int, message: object, *args: object, **options) -> None:
    logging.getLogger(NAME).log(level, message, *args, **options)


def log_each(count: int) -> None:
    for number in range(count):
        logging.getLogger(NAME).warning("number %d", number)


def log_error() -> None:
    try:
        {}["lost"]
    except KeyError:
        logging.getLogger(NAME).exception("it failed")


def log_and_die(message: str) -> None:
    logging.getLogger(NAME).warning(message)
    os._exit(3)


def log_at_own_level() -> None:
    """As a library does that knows better."""
    logging.getLogger(NAME).setLevel(logging.DEBUG)
    logging.getLogger(NAME).debug("by its own level")
    logging.getLogger(NAME).warning("done")


def log_in_threads(names: str, count: int) -> None:
    def work(name: str) -> None:
        for number in range(count):
            logging.getLogger(NAME).warning("%s %d", name, number)

    workers = [threading.Thread(target=work, args=(name,), name=name) for name in names]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def log_at_exit(message: str) -> None:
    atexit.register(logging.getLogger(NAME).warning, message)


def log_in_a_fork(message: str) -> int:
    child = os.fork()
    if child == 0:
        logging.getLogger(NAME).warning(message)
        os._exit(0)
    return os.waitpid(child, 0)[1]


def log_between(go: str, done: str) -> None:
    pathlib.Path(go).read_text()
    log_each(10_000)
    pathlib.Path(done).write_text("done")


def is_enabled(level: int) -> bool:
    return logging.getLogger(NAME).isEnabledFor(level)


def log_through(host: elsewhere.Host, message: str) -> int | None:
    with elsewhere.Host(logging=True, name="inner") as inner:
        inner.run(log, logging.WARNING, message)
        return inner.pid


class Picky:
    """Cannot be pickled."""

    def __str__(self) -> str:
        return "a picky one"

    __repr__ = __str__

    def __reduce__(self):
        raise TypeError("no")


class Noted:
    """Can be pickled, and is the same class on both sides."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __str__(self) -> str:
        return f"number {self.number}"


def test_record_is_here_before_the_result_of_the_call(host, caplog):
    host.run(log, logging.WARNING, "%d dogs", 3)

    (record,) = caplog.records
    assert (record.name, record.levelno, record.levelname) == (NAME, logging.WARNING, "WARNING")
    assert (record.msg, record.args, record.getMessage()) == ("%d dogs", (3,), "3 dogs")


def test_record_names_its_host_and_where_it_was_made(host, caplog):
    host.run(log, logging.WARNING, "here")

    (record,) = caplog.records
    assert (record.process, record.processName) == (host.pid, "shop")
    assert (record.threadName, record.funcName) == ("MainThread", "log")
    assert record.pathname == __file__
    assert record.lineno > 0


def test_host_without_a_name_is_named_by_its_process(caplog):
    with elsewhere.Host(logging=True) as host:
        host.run(log, logging.WARNING, "here")

    assert caplog.records[0].processName == f"host {host.pid}"


def test_records_are_not_brought_home_unless_asked_for(caplog):
    with elsewhere.Host() as host:
        host.run(log, logging.WARNING, "there")

    assert caplog.records == []


def test_records_of_here_and_there_are_in_the_order_of_the_program(host, caplog):
    for number in range(50):
        logging.getLogger(NAME).warning("here %d", number)
        host.run(log, logging.WARNING, "there %d", number)

    expected = [f"{place} {number}" for number in range(50) for place in ("here", "there")]
    assert caplog.messages == expected


def test_records_of_one_call_are_all_here_in_their_order(host, caplog):
    host.run(log_each, 500)

    assert caplog.messages == [f"number {number}" for number in range(500)]


def test_records_of_each_thread_there_are_in_order(host, caplog):
    host.run(log_in_threads, "abcd", 50)

    for name in "abcd":
        ours = [record for record in caplog.records if record.threadName == name]
        assert [record.getMessage() for record in ours] == [f"{name} {number}" for number in range(50)]


def test_records_of_awaited_calls_are_here_with_the_result(host, caplog):
    script = host.script("import logging\ndef warn(text): logging.getLogger('elsewhere.tests.there').warning(text)")

    async def play():
        await elsewhere.submit(script.warn, "one")
        return list(caplog.messages)

    assert asyncio.run(play()) == ["one"]


def test_answer_waits_for_the_record_before_it_that_another_thread_is_showing(host):
    handled = []
    begun = threading.Event()

    def handle(record):
        begun.set()
        threading.Event().wait(0.1)  # a slow handler
        handled.append(record.getMessage())

    handler = logging.Handler()
    handler.emit = handle  # type: ignore[method-assign]
    logging.getLogger(NAME).addHandler(handler)
    script = host.script(f"import logging\ndef warn(text): logging.getLogger({NAME!r}).warning(text)")

    elsewhere.post(script.warn, "first")
    begun.wait(20)
    host.run(len, [])
    found = list(handled)

    assert found == ["first"]
    logging.getLogger(NAME).removeHandler(handler)


def test_record_of_a_post_comes_while_nobody_waits(host):
    heard = threading.Event()
    handler = logging.Handler()
    handler.emit = lambda record: heard.set()  # type: ignore[method-assign]
    logging.getLogger(NAME).addHandler(handler)

    elsewhere.post(host.script(f"import logging\ndef warn(): logging.getLogger({NAME!r}).warning('x')").warn)

    assert heard.wait(20)
    logging.getLogger(NAME).removeHandler(handler)


def test_levels_of_here_hold_there(host, caplog):
    logging.getLogger(NAME).setLevel(logging.INFO)

    host.run(log, logging.DEBUG, "debug")
    host.run(log, logging.INFO, "info")

    assert caplog.messages == ["info"]
    assert host.run(is_enabled, logging.INFO)
    assert not host.run(is_enabled, logging.DEBUG)


@pytest.mark.parametrize("level", [logging.DEBUG, logging.ERROR])
def test_levels_from_before_the_host_hold_there(caplog, level):
    logging.getLogger(NAME).setLevel(level)

    with elsewhere.Host(logging=True) as host:
        host.run(log, level, "wanted")
        host.run(log, level - 1, "unwanted")

    assert caplog.messages == ["wanted"]


def test_level_of_the_root_and_of_a_parent_hold_there(host, caplog):
    logging.getLogger().setLevel(logging.ERROR)
    host.run(log, logging.WARNING, "unwanted")
    logging.getLogger("elsewhere.tests").setLevel(logging.DEBUG)
    host.run(log, logging.DEBUG, "wanted")
    logging.getLogger("elsewhere.tests").setLevel(logging.NOTSET)
    host.run(log, logging.WARNING, "unwanted again")

    assert caplog.messages == ["wanted"]


def test_disabled_levels_hold_there(host, caplog):
    logging.disable(logging.WARNING)
    host.run(log, logging.WARNING, "unwanted")
    logging.disable(logging.NOTSET)
    host.run(log, logging.WARNING, "wanted")

    assert caplog.messages == ["wanted"]


def test_configuration_as_a_whole_holds_there(host, caplog):
    try:
        logging.config.dictConfig({"version": 1, "incremental": True, "loggers": {NAME: {"level": "CRITICAL"}}})
        host.run(log, logging.ERROR, "unwanted")
        host.run(log, logging.CRITICAL, "wanted")
    finally:
        logging.getLogger(NAME).setLevel(logging.NOTSET)

    assert caplog.messages == ["wanted"]


def test_record_that_nobody_wants_here_is_not_sent_whatever_the_level_there(host, caplog):
    logging.getLogger(NAME).setLevel(logging.WARNING)
    sent = host.script("""
        import logging
        from elsewhere import _core, _logs
        sent = []
        tell = _core._tell_owner
        def count(*parts):
            sent.append(parts)
            return tell(*parts)
        class Counting:
            _tell_owner = staticmethod(count)
        _logs._core = Counting
    """)

    host.run(log_at_own_level)

    assert caplog.messages == ["done"]
    assert len(sent.sent) == 1


def test_exception_comes_as_text(host, caplog):
    host.run(log_error)

    (record,) = caplog.records
    assert record.exc_info is None
    assert record.exc_text.startswith("Traceback (most recent call last):\n")
    assert '{}["lost"]' in record.exc_text
    assert record.exc_text.endswith("KeyError: 'lost'")
    assert "KeyError: 'lost'" in caplog.text


def test_stack_comes_as_text(host, caplog):
    host.run(log, logging.WARNING, "here", stack_info=True)

    assert "in log\n" in caplog.records[0].stack_info


@pytest.mark.parametrize(
    ("message", "args"),
    [
        ("plain", ()),
        ("%s %r %.1f", ("a", None, 1.5)),
        ("%(dog)s", ({"dog": "rex"},)),
        ("%s", ([1, (2, {"k": b"v"})],)),
    ],
)
def test_plain_arguments_come_as_they_are(host, caplog, message, args):
    host.run(log, logging.WARNING, message, *args)

    here = logging.LogRecord(NAME, logging.WARNING, "", 1, message, args, None)
    (record,) = caplog.records
    assert (record.msg, record.args, record.getMessage()) == (here.msg, here.args, here.getMessage())


def test_arguments_that_pickle_come_as_objects(host, caplog):
    host.run(log, logging.WARNING, "%s", Noted(5))

    (record,) = caplog.records
    assert isinstance(record.args[0], Noted)
    assert record.getMessage() == "number 5"


def test_record_whose_arguments_do_not_pickle_is_formatted_there(host, caplog):
    script = host.script("""
        import logging
        from test_logging import NAME, Picky
        class Own:
            def __str__(self): return "my own"
        def warn():
            logging.getLogger(NAME).warning("%s and %s", Picky(), 5)
            logging.getLogger(NAME).warning("%s", Own())
            logging.getLogger(NAME).warning(Picky())
    """)

    script.warn()

    assert [(record.msg, record.args) for record in caplog.records] == [
        ("a picky one and 5", None),
        ("my own", None),
        ("a picky one", None),
    ]


def test_extra_attributes_come_along(host, caplog):
    script = host.script("""
        import logging
        from test_logging import NAME, Noted, Picky
        def warn():
            extra = {"user": "rex", "noted": Noted(7), "picky": Picky()}
            logging.getLogger(NAME).warning("x", extra=extra)
    """)

    script.warn()

    (record,) = caplog.records
    assert (record.user, record.noted.number, record.picky) == ("rex", 7, "a picky one")


def test_arguments_that_do_not_fit_the_message_are_told_there(caplog, capfd):
    with elsewhere.Host(logging=True) as host:
        host.run(log, logging.WARNING, "%d and %d", Noted(1))
        host.run(log, logging.WARNING, "after")

    assert caplog.messages == ["after"]


def test_long_record_is_cut(host, caplog):
    host.run(log, logging.WARNING, "x" * 1_000_000)

    (record,) = caplog.records
    assert record.getMessage().startswith("x" * 65_000)
    assert record.getMessage().endswith("more characters")
    assert len(record.getMessage()) < 70_000


def test_last_records_before_a_death_are_here(caplog):
    host = elsewhere.Host(logging=True)

    with pytest.raises(elsewhere.HostDied):
        host.run(log_and_die, "farewell")

    assert caplog.messages == ["farewell"]
    host.close()


def test_records_before_a_death_in_a_post_are_here(caplog):
    host = elsewhere.Host(logging=True)
    script = host.script("""
        import os
        from test_logging import log_each
        def die():
            log_each(200)
            os.abort()
    """)

    elsewhere.post(script.die)
    host.wait(20)

    assert caplog.messages == [f"number {number}" for number in range(200)]
    host.close()


def test_records_at_the_hosts_exit_are_here_with_its_close(caplog):
    with elsewhere.Host(logging=True) as host:
        host.run(log_at_exit, "good night")

    assert caplog.messages == ["good night"]


def test_logging_is_not_imported_for_it():
    with elsewhere.Host(start="exec", logging=True) as host:
        assert "logging" not in host.module("sys").modules


def test_logging_that_is_imported_by_a_preload_is_heard(caplog):
    with elsewhere.Host(logging=True, preload=["logging", "test_logging"]) as host:
        host.run(log, logging.WARNING, "heard")

    assert caplog.messages == ["heard"]


def test_record_of_a_host_of_a_host_comes_all_the_way(host, caplog):
    pid = host.run(log_through, None, "from far away")

    (record,) = [record for record in caplog.records if record.name == NAME]
    assert record.getMessage() == "from far away"
    assert (record.process, record.processName) == (pid, "inner")


def test_fork_of_a_host_logs_as_a_process_of_its_own():
    program = """
    import elsewhere
    from test_logging import log_in_a_fork, log
    with elsewhere.Host(logging=True) as host:
        print(host.run(log_in_a_fork, "from the fork"))
    """

    code, printed, complaints = run(program)

    assert (code, printed) == (0, "0\n")
    assert complaints.splitlines()[-1] == "from the fork"


def test_handler_here_may_use_the_host(host, caplog):
    seen = []

    class Asking(logging.Handler):
        def emit(self, record):
            seen.append((record.getMessage(), host.run(abs, -1)))

    handler = Asking()
    logging.getLogger(NAME).addHandler(handler)
    host.run(log_each, 2)
    logging.getLogger(NAME).removeHandler(handler)

    assert seen == [("number 0", 1), ("number 1", 1)]


@pytest.mark.timeout(60)
def test_flood_is_bounded_and_what_is_dropped_is_said(host):
    stuck, may_go_on, last = threading.Event(), threading.Event(), threading.Event()
    numbers, gaps = [], []

    class Slow(logging.Handler):
        def emit(self, record):
            stuck.set()
            may_go_on.wait()
            if record.getMessage() == "the end":
                last.set()
            elif record.name == NAME:
                numbers.append(record.args[0])
            else:
                gaps.append(record.args[0])

    handler = Slow()
    for name in (NAME, "elsewhere"):
        logging.getLogger(name).addHandler(handler)
    logging.getLogger(NAME).propagate = False
    count = 30_000
    try:
        script = host.script("from test_logging import log, log_each")
        elsewhere.post(script.log, logging.WARNING, "%d", -1)
        stuck.wait()  # the service thread is in the handler from here on
        script.log_each(count)
        may_go_on.set()
        script.log(logging.WARNING, "the end")
        assert last.wait(20)
    finally:
        may_go_on.set()
        logging.getLogger(NAME).propagate = True
        for name in (NAME, "elsewhere"):
            logging.getLogger(name).removeHandler(handler)

    assert gaps
    assert len(numbers) + sum(gaps) == count + 1
    assert numbers[-1] == count - 1
    assert numbers == sorted(numbers)


def test_host_whose_owner_is_stopped_logs_on(tmp_path):
    go, done = str(tmp_path / "go"), str(tmp_path / "done")
    os.mkfifo(go)
    os.mkfifo(done)
    program = """
    import sys
    import elsewhere
    from test_logging import log_between

    with elsewhere.Host(logging=True) as host:
        elsewhere.post(host.module("test_logging").log_between, *sys.argv[1:])
        print("ready", flush=True)
        host.run(abs, -1)
    """
    with start(program, go, done, stderr=subprocess.DEVNULL) as owner:
        assert owner.stdout.readline() == "ready\n"
        owner.send_signal(signal.SIGSTOP)
        pathlib.Path(go).write_text("go")
        said = pathlib.Path(done).read_text()
        owner.send_signal(signal.SIGCONT)

        assert said == "done"
        assert finish(owner)[0] == 0


def test_local_host_logs_as_this_process_does(caplog):
    with elsewhere.Host(start="local", logging=True) as host:
        host.run(log, logging.WARNING, "here")

    assert caplog.messages == ["here"]
    assert caplog.records[0].process == os.getpid()


@pytest.mark.parametrize("value", [None, 1, "home"])
def test_logging_that_means_nothing_is_refused(value):
    before = children()

    with pytest.raises(TypeError, match="logging"):
        elsewhere.Host(logging=value)

    assert children() == before


def test_filter_here_that_fails_disturbs_no_call(host):
    class Failing(logging.Filter):
        def filter(self, record):
            raise LookupError("filtered")

    failing = Failing()
    told = []
    hook, sys.unraisablehook = sys.unraisablehook, told.append
    logging.getLogger(NAME).addFilter(failing)
    try:
        assert host.run(log_each, 2) is None
    finally:
        logging.getLogger(NAME).removeFilter(failing)
        sys.unraisablehook = hook

    assert {type(one.exc_value) for one in told} == {LookupError}
    assert "filtered" in "".join(traceback.format_exception(told[0].exc_value))
