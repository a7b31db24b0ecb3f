"""Hosts that a zygote forks: what they share, what they do not, and that nothing of it depends on the zygote's life."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import random
import resource
import signal
import sys
import threading
import time
from pathlib import PurePath

import pytest

import elsewhere
from conftest import children, children_of, open_descriptors, retire_zygotes
from kennel import Dog
from programs import finish, has_ended, numbers, run, start


@pytest.fixture(autouse=True)
def no_zygote_of_another_test() -> None:
    retire_zygotes()


def zygote() -> elsewhere.Host:
    return elsewhere.Host(start="zygote")


def kinds_of_descriptors() -> list[str]:
    return sorted(kind.partition(":")[0] for kind in open_descriptors().values())


def test_hosts_are_children_of_one_process_that_is_a_child_of_this_one():
    with zygote() as one, zygote() as other:
        parents = {one.run(os.getppid), other.run(os.getppid)}

        assert one.pid != other.pid
        assert parents == {pid for pid, _ in elsewhere._core._zygotes()} <= children_of(os.getpid())
        assert children() == {one.pid, other.pid}


def test_host_does_what_hosts_do():
    with zygote() as host:
        dog = host.spawn(Dog, "rex")

        assert dog.bark() == "woof"
        assert dog.pid() == host.pid
    assert host.exitcode == 0


@pytest.mark.parametrize("concurrency", ["serial", "async", "caller", 3])
def test_calls_run_as_they_are_to(concurrency):
    with elsewhere.Host(start="zygote", concurrency=concurrency) as host:
        assert host.run(os.getpid) == host.pid


def test_exit_code_is_told():
    with zygote() as host:
        with pytest.raises(elsewhere.HostDied, match="exited with code 7") as caught:
            host.run(os._exit, 7)

        assert caught.value.exitcode == host.exitcode == 7


def test_signal_is_told():
    host = zygote()
    host.kill()
    host.wait()

    with pytest.raises(elsewhere.HostDied, match="SIGKILL"):
        host.run(int)
    assert host.exitcode == -signal.SIGKILL


def test_last_words_are_kept():
    with zygote() as host, pytest.raises(elsewhere.HostDied) as caught:
        host.run(say_and_abort)

    assert caught.value.stderr_tail == "the last words"


def say_and_abort() -> None:
    os.write(2, b"the last words")
    os.abort()


def test_host_outlives_its_zygote_and_its_exit_code_is_then_not_known():
    with zygote() as host:
        parent = host.run(os.getppid)
        os.kill(parent, signal.SIGKILL)
        assert has_ended(parent)

        assert host.run(os.getpid) == host.pid
        with pytest.raises(elsewhere.HostDied, match="zygote that it was forked from ended first") as caught:
            host.run(os._exit, 7)
        assert caught.value.exitcode is None
        assert host.exitcode is None


def test_exit_code_that_was_told_before_the_zygote_died_is_known():
    host = zygote()
    parent = host.run(os.getppid)
    host.close()
    os.kill(parent, signal.SIGKILL)
    assert has_ended(parent)

    assert host.exitcode == 0


def test_zygote_that_died_is_followed_by_another():
    with zygote() as host:
        parent = host.run(os.getppid)
        os.kill(parent, signal.SIGKILL)
        assert has_ended(parent)

        with zygote() as other:
            assert other.run(os.getppid) not in (parent, os.getpid())


DYING_PRELOAD = """
import os

def count():
    with open({forks!r}, "a") as file:
        file.write("x")
        file.flush()
        if os.path.getsize({forks!r}) == 2:
            os._exit(9)

os.register_at_fork(after_in_parent=count)
"""
"""Its zygote forks a host, forks another and ends before it tells of it."""


def test_host_of_a_zygote_that_died_in_the_midst_is_asked_for_again(tmp_path):
    (tmp_path / "preload_of_zygotes_that_die.py").write_text(DYING_PRELOAD.format(forks=str(tmp_path / "forks")))
    options = {"start": "zygote", "preload": ["preload_of_zygotes_that_die"], "path": [str(tmp_path)]}

    with elsewhere.Host(**options) as one, elsewhere.Host(**options) as other:
        dogs = [other.spawn(Dog, str(number)) for number in range(20)]

        assert [dog.bark() for dog in dogs] == ["woof"] * 20
        assert other.run(os.getppid) not in (one.run(os.getppid), os.getpid())
    assert (tmp_path / "forks").stat().st_size == 3


def test_zygotes_that_are_killed_at_any_moment_fail_no_start():
    is_over = threading.Event()

    def kill() -> None:
        chance = random.Random(1)
        while not is_over.wait(chance.random() * 0.02):
            for pid, _ in elsewhere._core._zygotes():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, chance.choice([signal.SIGKILL, signal.SIGTERM]))

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        for _ in range(60):
            with zygote() as host:
                assert host.run(os.getpid) == host.pid
            assert host.exitcode in (0, None)
    finally:
        is_over.set()
        killer.join()


@pytest.mark.slow
def test_host_of_a_stopped_zygote_ends_all_the_same():
    with zygote() as host:
        parent = host.run(os.getppid)
        os.kill(parent, signal.SIGSTOP)
        try:
            host.kill()

            assert host.wait(20)
            assert host.exitcode is None
        finally:
            os.kill(parent, signal.SIGCONT)


def test_start_by_a_stopped_zygote_ends_in_time_and_the_next_one_has_another():
    with zygote() as host:
        parent = host.run(os.getppid)
        os.kill(parent, signal.SIGSTOP)
        try:
            with pytest.raises(elsewhere.HostStartError, match="not ready after"):
                elsewhere.Host(start="zygote", start_timeout=0.2)
            with zygote() as other:
                assert other.run(os.getppid) != parent
        finally:
            os.kill(parent, signal.SIGCONT)


def test_ctrl_c_does_not_end_a_zygote():
    with zygote() as host:
        parent = host.run(os.getppid)
        os.kill(parent, signal.SIGINT)

        with zygote() as other:
            assert other.run(os.getppid) == parent


def test_host_has_the_surroundings_of_its_start(tmp_path, monkeypatch):
    with zygote() as first:
        parent = first.run(os.getppid)
        monkeypatch.setenv("FROM_HERE", "here")
        monkeypatch.delenv("HOME")
        monkeypatch.chdir(tmp_path)
        monkeypatch.syspath_prepend("/of/here")
        before = os.umask(0o027)
        try:
            with zygote() as host:
                assert host.run(os.getppid) == parent
                assert host.run(dict, host.run(os.environ.copy)) == dict(os.environ)
                assert host.run(os.getcwd) == str(tmp_path)
                assert host.run(lambda: sys.path[0]) == "/of/here"
                assert host.run(os.umask, 0) == 0o027
        finally:
            os.umask(before)


@pytest.mark.parametrize(
    "entries", [["/of/here"], [f"/of/here/{'x' * 100}/{n}" for n in range(500)], [PurePath("/of/here")]]
)
def test_import_path_reaches_a_host_whatever_it_is(monkeypatch, entries):
    monkeypatch.setattr(sys, "path", [*entries, *sys.path])
    with zygote() as first, zygote() as host:
        assert host.run(os.getppid) == first.run(os.getppid) != os.getpid()
        assert host.run(look_at_path) == sys.path


def look_at_path() -> list[object]:
    return list(sys.path)


def test_environment_is_that_of_the_start_although_the_zygote_was_replaced(monkeypatch):
    with zygote() as first:
        parent = first.run(os.getppid)
        monkeypatch.setenv("FROM_HERE", "here")
        os.kill(parent, signal.SIGKILL)
        assert has_ended(parent)

        with zygote() as host:
            assert host.run(os.getenv, "FROM_HERE") == "here"
        monkeypatch.delenv("FROM_HERE")
        with zygote() as host:
            assert host.run(os.getenv, "FROM_HERE") is None


def test_environment_that_is_no_text_reaches_a_host():
    program = """
    import os, sys, elsewhere

    if sys.argv[1] == "later":
        elsewhere.Host(start="zygote").close()
    os.environ["BYTES_OF_HERE"] = os.fsdecode(b"\\xff")
    with elsewhere.Host(start="zygote") as host:
        print(host.run(os.getenvb, b"BYTES_OF_HERE"), host.run(os.getppid) == os.getpid())
    """

    assert run(program, "first") == (0, "b'\\xff' False\n", "")
    assert run(program, "later") == (0, "b'\\xff' False\n", "")


def test_environment_and_directory_may_be_given(tmp_path):
    with elsewhere.Host(start="zygote", env={"FROM_THERE": "there"}, cwd=tmp_path) as host:
        assert host.run(os.getenv, "FROM_THERE") == "there"
        assert host.run(os.getcwd) == str(tmp_path)
    with zygote() as host:
        assert host.run(os.getenv, "FROM_THERE") is None
        assert host.run(os.getcwd) == os.getcwd()


def test_limits_of_this_process_hold_in_a_host():
    program = """
    import resource, elsewhere
    with elsewhere.Host(start="zygote") as first:
        resource.setrlimit(resource.RLIMIT_NOFILE, (333, 333))
        with elsewhere.Host(start="zygote") as second:
            print(first.run(resource.getrlimit, resource.RLIMIT_NOFILE)[0] == 333)
            print(second.run(resource.getrlimit, resource.RLIMIT_NOFILE)[0] == 333)
    """

    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] != 333
    assert run(program) == (0, "False\nTrue\n", "")


def test_what_libc_reads_at_its_start_makes_another_zygote(monkeypatch):
    with zygote() as first:
        monkeypatch.setenv("TZ", "Asia/Tokyo")
        with zygote() as second:
            assert first.run(os.getppid) != second.run(os.getppid)
            assert second.run(lambda: time.tzname[0]) == "JST"


def test_four_zygotes_are_kept(monkeypatch):
    for number in range(6):
        monkeypatch.setenv("TZ", f"UTC+{number}")
        with zygote() as host:
            host.run(int)
    monkeypatch.setenv("TZ", "UTC+2")
    with zygote() as host:
        assert host.run(os.getppid) in children_of(os.getpid())

        pause = threading.Event()
        while len(elsewhere._core._zygotes()) > 4:
            pause.wait(0.01)


def test_hosts_draw_different_numbers_and_hash_alike():
    with zygote() as one, zygote() as other:
        assert one.run(draw) != other.run(draw)
        assert one.run(hash, "of one secret") == other.run(hash, "of one secret")


def draw() -> float:
    return random.random()


def test_hosts_draw_different_numbers_from_a_preloaded_random():
    with (
        elsewhere.Host(start="zygote", preload=["random"]) as one,
        elsewhere.Host(start="zygote", preload=["random"]) as other,
    ):
        assert one.run(os.getppid) == other.run(os.getppid) != os.getpid()
        assert one.run(draw) != other.run(draw)


def test_preloaded_numpy_is_there_and_draws_different_numbers():
    def draw_and_look() -> tuple[bool, float]:
        loaded = "numpy" in sys.modules
        return loaded, importlib.import_module("numpy").random.rand()

    with (
        elsewhere.Host(start="zygote", preload=["numpy", "numpy.random"]) as one,
        elsewhere.Host(start="zygote", preload=["numpy", "numpy.random"]) as other,
    ):
        (one_loaded, one_number), (other_loaded, other_number) = one.run(draw_and_look), other.run(draw_and_look)

        assert one_loaded
        assert other_loaded
        assert one_number != other_number
        assert one.run(os.getppid) == other.run(os.getppid) != os.getpid()


def test_hosts_have_cloudpickle_once_it_was_needed():
    program = """
    import elsewhere, workers

    found = []
    for _ in range(3):
        with elsewhere.Host(start="zygote") as host:
            found += [host.run(workers.is_imported, "cloudpickle"), host.run(lambda: 1)]
            found.append(host.run(workers.is_imported, "cloudpickle"))
    print(*found)
    """

    assert run(program) == (0, "False 1 True True 1 True True 1 True\n", "")


def test_preload_is_imported_once(tmp_path):
    (tmp_path / "preload_of_zygotes.py").write_text("import os\nwho = os.getpid()\n")
    options = {"start": "zygote", "preload": ["preload_of_zygotes"], "path": [str(tmp_path)]}

    with elsewhere.Host(**options) as one, elsewhere.Host(**options) as other:
        who = elsewhere.get(one.module("preload_of_zygotes").who)

        assert who == elsewhere.get(other.module("preload_of_zygotes").who)
        assert who == one.run(os.getppid)


def test_preload_sees_the_directory_environment_and_path(tmp_path):
    (tmp_path / "preload_of_zygotes_that_looks.py").write_text(
        "import os, sys\n"
        "seen = [os.getcwd(), os.environ['FROM_THERE'], sys.path[0]]\n"
        "sys.path.append('/of/the/preload')\n"
    )
    directory = str(tmp_path)

    with elsewhere.Host(
        start="zygote",
        preload=["preload_of_zygotes_that_looks"],
        path=[directory],
        cwd=directory,
        env={"FROM_THERE": "there"},
    ) as host:
        assert elsewhere.get(host.module("preload_of_zygotes_that_looks").seen) == [directory, "there", directory]
        assert host.run(lambda: sys.path[-1]) == "/of/the/preload"
        assert host.run(os.getppid) != os.getpid()


def test_preload_prints_where_its_first_host_does(tmp_path, capsys):
    (tmp_path / "preload_of_zygotes_that_prints.py").write_text("print('from the preload')\n")

    with elsewhere.Host(
        start="zygote", preload=["preload_of_zygotes_that_prints"], path=[str(tmp_path)], output="home"
    ) as host:
        host.run(print, "from the host")

    assert capsys.readouterr().out == "from the preload\nfrom the host\n"


def test_preload_that_fails_is_told_as_by_a_host_that_is_executed():
    texts = []
    for way in ("exec", "zygote"):
        with pytest.raises(elsewhere.HostStartError) as caught:
            elsewhere.Host(start=way, preload=["no_such_module_at_all"])
        texts.append(str(caught.value).partition("did not start")[2])

    assert texts[0] == texts[1]
    assert "no_such_module_at_all" in texts[0]


def test_preload_with_a_thread_is_executed_and_the_log_names_it_once(tmp_path, caplog):
    (tmp_path / "preload_of_zygotes_with_a_thread.py").write_text(
        "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True, name='mine').start()\n"
    )
    options = {"start": "zygote", "preload": ["preload_of_zygotes_with_a_thread"], "path": [str(tmp_path)]}

    with caplog.at_level(logging.WARNING, "elsewhere"):
        with elsewhere.Host(**options) as one, elsewhere.Host(**options) as other:
            assert one.run(os.getppid) == other.run(os.getppid) == os.getpid()
            assert one.run(threading.active_count) >= 2

    (record,) = caplog.records
    assert "preload_of_zygotes_with_a_thread" in record.getMessage()
    assert "mine" in record.getMessage()


def test_host_has_none_of_the_zygotes_descriptors():
    with elsewhere.Host(start="exec") as other, zygote(), zygote() as host:
        assert host.run(kinds_of_descriptors) == other.run(kinds_of_descriptors)


def test_owner_has_three_descriptors_for_a_host_and_three_for_a_zygote():
    def counted(host: elsewhere.Host) -> int:
        host.run(int)
        return len(open_descriptors())

    with elsewhere.Host(start="exec") as other:
        none = counted(other)
        with zygote() as first:
            one = counted(first)
            with zygote() as second:
                two = counted(second)

    assert one - none == 6
    assert two - one == 3


def test_zygote_has_one_thread():
    with zygote() as host:
        assert os.listdir(f"/proc/{host.run(os.getppid)}/task") == [str(host.run(os.getppid))]


FAMILY = """
import os, sys
import elsewhere

hosts = [elsewhere.Host(start="zygote") for _ in range(2)]
print(hosts[0].run(os.getppid), hosts[0].pid, hosts[1].pid, flush=True)
"""


def test_hosts_and_zygote_end_with_an_owner_that_is_killed():
    program = start(FAMILY + "sys.stdin.read()\n")
    family = list(numbers(program.stdout.readline()))
    program.kill()
    finish(program)

    assert len(family) == 3
    assert [has_ended(pid) for pid in family] == [True] * 3


def test_end_of_the_owner_is_quiet_and_ends_the_zygote():
    code, printed, complaints = run(FAMILY)

    assert (code, complaints) == (0, "")
    assert [has_ended(pid) for pid in numbers(printed)] == [True] * 3


def test_zygote_that_is_busy_with_its_preload_ends_with_its_owner(tmp_path):
    (tmp_path / "preload_of_zygotes_that_hangs.py").write_text(
        "import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(3600)\n"
    )
    program = start(
        """
        import sys, elsewhere
        elsewhere.Host(start="zygote", preload=["preload_of_zygotes_that_hangs"], path=[sys.argv[1]])
        """,
        str(tmp_path),
    )
    pid = int(program.stdout.readline())
    program.kill()
    finish(program)

    assert has_ended(pid)


def test_ctrl_c_ends_the_wait_for_a_zygote(tmp_path):
    (tmp_path / "preload_of_zygotes_that_hangs.py").write_text(
        "import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(3600)\n"
    )
    program = start(
        """
        import sys, elsewhere
        try:
            elsewhere.Host(start="zygote", preload=["preload_of_zygotes_that_hangs"], path=[sys.argv[1]])
        except KeyboardInterrupt:
            print("interrupted")
        """,
        str(tmp_path),
    )
    pid = int(program.stdout.readline())
    program.send_signal(signal.SIGINT)

    assert finish(program) == (0, "interrupted\n", "")
    assert has_ended(pid)


def test_fork_of_the_owner_has_a_zygote_of_its_own():
    program = """
    import os, sys
    import elsewhere

    with elsewhere.Host(start="zygote") as host:
        parent = host.run(os.getppid)
        pid = os.fork()
        if pid == 0:
            with elsewhere.Host(start="zygote") as mine:
                print(mine.run(os.getppid) != parent, flush=True)
            sys.exit(0)
        print(os.waitpid(pid, 0)[1], host.run(os.getppid) == parent)
        with elsewhere.Host(start="zygote") as other:
            print(other.run(os.getppid) == parent)
    """

    assert run(program, flags=["-W", "ignore::DeprecationWarning"]) == (0, "True\n0 True\nTrue\n", "")


def test_threads_that_start_hosts_at_once_share_a_zygote():
    parents: list[int] = []

    def start_one() -> None:
        with zygote() as host:
            parents.append(host.run(os.getppid))

    threads = [threading.Thread(target=start_one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(parents) == 8
    assert len(set(parents)) == 1


def test_host_of_a_zygote_may_have_hosts_of_its_own():
    with zygote() as host:
        inner = host.run(start_another_and_ask)

        assert inner not in (host.pid, host.run(os.getppid))


def start_another_and_ask() -> int:
    with zygote() as host:
        return host.run(os.getppid)


def test_exit_handlers_of_a_preload_run_in_each_host(tmp_path):
    (tmp_path / "preload_of_zygotes_with_an_end.py").write_text(
        f"import atexit, os\n"
        f"def note():\n"
        f"    with open({str(tmp_path / 'ends')!r}, 'a') as file:\n"
        f"        file.write(str(os.getpid()) + ' ')\n"
        f"atexit.register(note)\n"
    )
    options = {"start": "zygote", "preload": ["preload_of_zygotes_with_an_end"], "path": [str(tmp_path)]}
    with elsewhere.Host(**options) as one, elsewhere.Host(**options) as other:
        pids = {one.pid, other.pid}

    assert set(numbers((tmp_path / "ends").read_text())) == pids
