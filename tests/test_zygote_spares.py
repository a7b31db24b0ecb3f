"""Forks of a zygote that are there before a host is wanted: what becomes of them, and that nothing depends on them."""

from __future__ import annotations

import contextlib
import importlib
import os
import random
import signal
import sys
import threading
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import elsewhere
from conftest import PATIENCE, children_of, open_descriptors, retire_zygotes
from elsewhere import _zygote
from programs import finish, has_ended, numbers, run, start

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def no_zygote_of_another_test() -> None:
    retire_zygotes()


@pytest.fixture
def parent() -> Iterator[int]:
    """A zygote with two hosts, so that it has a spare in a moment."""
    with elsewhere.Host(start="zygote"), elsewhere.Host(start="zygote") as host:
        yield host.run(os.getppid)


def spare_of(zygote: int) -> int:
    """The process id of the spare of a zygote, once there is one."""
    deadline = time.monotonic() + PATIENCE
    while not (found := children_of(zygote, spares=True)):
        assert time.monotonic() < deadline, "no spare"
        threading.Event().wait(0.001)
    return found.pop()


def spare_at_rest(zygote: int) -> int:
    """The same, once it has done what it does beforehand, and waits."""
    spare = spare_of(zygote)
    place = Path(f"/proc/{spare}")
    deadline = time.monotonic() + PATIENCE
    while (
        len(os.listdir(place / "task")) < 2  # with the watch thread
        or "/memfd:elsewhere" in (place / "maps").read_text()
        or "\nState:\tS" not in (place / "status").read_text()
    ):
        assert time.monotonic() < deadline, "the spare does not come to rest, or keeps memory of its rehearsal"
        threading.Event().wait(0.001)
    return spare


def open_in(process: int) -> list[str]:
    """What a process has open."""
    return [os.readlink(f"/proc/{process}/fd/{fd}") for fd in os.listdir(f"/proc/{process}/fd")]


def test_spare_is_the_next_host(parent):
    spare = spare_of(parent)
    with elsewhere.Host(start="zygote") as host:
        assert host.pid == host.run(os.getpid) == spare
        assert host.run(os.getppid) == parent
    assert host.exitcode == 0


def test_spare_follows_spare(parent):
    spares = []
    for _ in range(3):
        spares.append(spare_of(parent))
        with elsewhere.Host(start="zygote") as host:
            assert host.pid == spares[-1]

    assert len(set(spares)) == 3


def test_zygote_of_a_single_host_has_no_spare():
    with elsewhere.Host(start="zygote") as host:
        zygote = host.run(os.getppid)
        others = [elsewhere.Host(start="zygote", preload=["decimal"]) for _ in range(2)]
        spare_of(others[0].run(os.getppid))  # by now the other one would have one, too

        assert children_of(zygote) == {host.pid}
        assert not children_of(zygote, spares=True)
        for other in others:
            other.close()


def test_host_that_was_a_spare_has_the_surroundings_of_its_start(parent, tmp_path, monkeypatch):
    spare = spare_of(parent)
    monkeypatch.setenv("FROM_HERE", "here")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("/of/here")
    before = os.umask(0o027)
    try:
        with elsewhere.Host(start="zygote") as host:
            assert host.pid == spare
            assert host.run(dict, host.run(os.environ.copy)) == dict(os.environ)
            assert host.run(os.getcwd) == str(tmp_path)
            assert host.run(lambda: sys.path[0]) == "/of/here"
            assert host.run(os.umask, 0) == 0o027
    finally:
        os.umask(before)


@pytest.mark.parametrize("concurrency", ["serial", "async", "caller", 3])
def test_host_that_was_a_spare_runs_calls_as_they_are_to(parent, concurrency):
    spare = spare_of(parent)
    with elsewhere.Host(start="zygote", concurrency=concurrency) as host:
        assert host.run(os.getpid) == host.pid == spare
        assert elsewhere.submit(host.run, int, "7").result() == 7


def test_host_that_was_a_spare_is_like_the_others(parent):
    def look() -> tuple[list[str], int, list[str]]:
        kinds = sorted(kind.partition(":")[0] for kind in open_descriptors().values())
        shared = Path("/proc/self/maps").read_text().count("/memfd:elsewhere")
        return (
            kinds,
            shared,
            sorted(Path(f"/proc/self/task/{task}/comm").read_text() for task in os.listdir("/proc/self/task")),
        )

    with elsewhere.Host(start="zygote") as forked:
        assert spare_of(parent) != forked.pid
        with elsewhere.Host(start="exec") as executed, elsewhere.Host(start="zygote") as host:
            assert host.run(os.getppid) == parent
            assert host.run(look) == executed.run(look) == forked.run(look)


def test_hosts_that_were_spares_draw_different_numbers(parent):
    drawn = []
    for _ in range(2):
        spare = spare_of(parent)
        with elsewhere.Host(start="zygote") as host:
            assert host.pid == spare
            drawn.append(host.run(draw))

    assert drawn[0] != drawn[1]


def draw() -> float:
    return random.random()


def test_hosts_that_were_spares_draw_different_numbers_from_a_preloaded_numpy():
    pytest.importorskip("numpy")
    drawn = []

    def another() -> elsewhere.Host:
        return elsewhere.Host(start="zygote", preload=["numpy.random"])

    with another() as first, another():
        for _ in range(2):
            spare = spare_of(first.run(os.getppid))
            with another() as host:
                assert host.pid == spare
                drawn.append(host.run(draw_from_numpy))

    assert drawn[0] != drawn[1]


def draw_from_numpy() -> float:
    return importlib.import_module("numpy.random").rand()


def test_spare_has_nothing_of_its_zygote(parent):
    spare = spare_at_rest(parent)
    shared = set(open_in(spare)) & set(open_in(parent))

    assert {name for name in shared if not name.startswith("anon_inode:")} == {"/dev/null"}


def test_spare_waits_without_using_the_cpu(parent):
    spare = spare_at_rest(parent)

    before = Path(f"/proc/{spare}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
    with elsewhere.Host(start="exec") as host:
        host.run(draw)
    assert Path(f"/proc/{spare}/stat").read_text().rsplit(")", 1)[1].split()[11:13] == before


def test_spare_that_died_is_nobodys_host_and_is_followed_by_another(parent, caplog):
    spare = spare_of(parent)
    os.kill(spare, signal.SIGKILL)
    assert has_ended(spare)

    with elsewhere.Host(start="zygote") as host:
        assert host.run(os.getppid) == parent
        assert host.pid != spare
        assert spare_of(parent) not in (spare, host.pid)
    assert not caplog.records


def test_spares_that_are_killed_at_any_moment_fail_no_start(parent):
    is_over = threading.Event()

    def kill() -> None:
        chance = random.Random(1)
        while not is_over.wait(chance.random() * 0.002):
            for zygote, _ in elsewhere._core._zygotes():
                for spare in children_of(zygote, spares=True):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(spare, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        for _ in range(60):
            host = elsewhere.Host(start="zygote")  # what is killed from here on is no spare
            with contextlib.suppress(elsewhere.HostDied):
                assert host.run(os.getpid) == host.pid
            host.close()
    finally:
        is_over.set()
        killer.join()


def test_spare_that_is_stopped_keeps_nobody_waiting_beyond_the_time(parent):
    spare = spare_at_rest(parent)
    os.kill(spare, signal.SIGSTOP)
    try:
        with pytest.raises(elsewhere.HostStartError, match="not ready"):
            elsewhere.Host(start="zygote", start_timeout=0.5)
        assert has_ended(spare)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(spare, signal.SIGCONT)

    with elsewhere.Host(start="zygote") as host:
        assert host.run(os.getpid) == host.pid


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL], ids=["term", "hup", "kill"])
def test_spare_ends_with_its_zygote(parent, number):
    spare = spare_of(parent)
    os.kill(parent, number)

    assert has_ended(spare)


def test_spare_ends_with_a_zygote_that_is_not_wanted_any_more():
    with elsewhere.Host(start="zygote"), elsewhere.Host(start="zygote") as host:
        zygote = host.run(os.getppid)
        spare = spare_of(zygote)
        elsewhere._core._retire_zygotes()

        assert has_ended(spare)
        assert host.run(os.getppid) == zygote


FAMILY = """
import os, sys
import elsewhere
from test_zygote_spares import spare_of

hosts = [elsewhere.Host(start="zygote") for _ in range(2)]
print(hosts[0].run(os.getppid), spare_of(hosts[0].run(os.getppid)), flush=True)
"""


def test_spare_ends_with_an_owner_that_is_killed():
    program = start(FAMILY + "sys.stdin.read()\n")
    family = list(numbers(program.stdout.readline()))
    program.kill()
    finish(program)

    assert len(family) == 2
    assert [has_ended(pid) for pid in family] == [True] * 2


def test_spare_ends_with_its_owner_quietly():
    code, printed, complaints = run(FAMILY)

    assert (code, complaints) == (0, "")
    assert [has_ended(pid) for pid in numbers(printed)] == [True] * 2


def test_ctrl_c_and_other_signals_that_hosts_bear_leave_a_spare(parent):
    spare = spare_of(parent)
    for number in (signal.SIGINT, signal.SIGURG, signal.SIGCHLD):
        os.kill(spare, number)

    with elsewhere.Host(start="zygote") as host:
        assert host.run(os.getpid) == spare


def test_handlers_of_a_preload_for_polite_signals_are_those_of_a_spare(tmp_path):
    (tmp_path / "preload_of_spares.py").write_text(
        f"import os, signal\nsignal.signal(signal.SIGTERM, lambda *_: open({str(tmp_path / 'told')!r}, 'x').close())\n"
    )

    def another() -> elsewhere.Host:
        return elsewhere.Host(start="zygote", preload=["preload_of_spares"], path=[str(tmp_path)])

    with another() as one, another():
        spare = spare_of(one.run(os.getppid))
        os.kill(spare, signal.SIGTERM)
        with another() as host:
            assert host.run(os.getpid) == spare
        assert (tmp_path / "told").exists()


def test_spare_lacks_nothing_that_was_needed_since():
    program = """
    import os, elsewhere, workers
    from test_zygote_spares import spare_of

    hosts = [elsewhere.Host(start="zygote") for _ in range(2)]
    spare = spare_of(hosts[0].run(os.getppid))
    hosts[0].run(lambda: 1)
    with elsewhere.Host(start="zygote") as host:
        print(host.pid != spare, host.run(workers.is_imported, "cloudpickle"))
        spare = spare_of(hosts[0].run(os.getppid))
    with elsewhere.Host(start="zygote") as host:
        print(host.pid == spare, host.run(workers.is_imported, "cloudpickle"))
    """

    assert run(program) == (0, "True True\nTrue True\n", "")


def test_spare_from_before_rights_were_given_up_is_nobodys_host():
    program = """
    import os, threading, elsewhere, confined
    from test_zygote_spares import spare_of

    def look() -> None:
        given_up.wait()
        with elsewhere.Host(start="zygote") as host:  # of a thread that still has them, so that its zygote is asked
            print(host.pid != spare, host.run(os.getppid) == os.getpid())

    given_up = threading.Event()
    thread = threading.Thread(target=look)
    thread.start()
    hosts = [elsewhere.Host(start="zygote") for _ in range(2)]
    spare = spare_of(hosts[0].run(os.getppid))
    confined.give_up_rights()
    given_up.set()
    thread.join()
    """

    code, printed, complaints = run(program)

    assert (code, printed) == (0, "True True\n")
    assert "may not do the same as the one that is to fork it" in complaints


def test_threads_that_start_hosts_at_once_have_one_each(parent):
    spare = spare_of(parent)
    pids = []
    together = threading.Barrier(6)

    def begin() -> None:
        together.wait()
        with elsewhere.Host(start="zygote") as host:
            pids.append(host.run(os.getpid))
            together.wait()

    threads = [threading.Thread(target=begin) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(pids)) == 6
    assert spare in pids


def imported_there(host: elsewhere.Host, name: str) -> int:
    """The value that a module has over there, which is imported for that."""
    return elsewhere.get(host.module(name).VALUE)


@pytest.mark.parametrize("age", [0, 1000])
def test_spare_finds_modules_that_were_made_after_it(parent, tmp_path, monkeypatch, age):
    (tmp_path / "first_of_them.py").write_text("VALUE = 1")
    monkeypatch.syspath_prepend(str(tmp_path))
    os.utime(tmp_path, (time.time() - age,) * 2)
    with elsewhere.Host(start="zygote") as host:
        assert imported_there(host, "first_of_them") == 1
        spare = spare_at_rest(parent)  # expects the same path
        (tmp_path / "second_of_them.py").write_text("VALUE = 2")
        (tmp_path / "first_of_them.py").unlink()

        with elsewhere.Host(start="zygote") as other:
            assert other.pid == spare
            assert imported_there(other, "second_of_them") == 2
            with pytest.raises(ModuleNotFoundError):
                imported_there(other, "first_of_them")


def test_spare_finds_modules_where_there_was_nothing_before(parent, tmp_path, monkeypatch):
    place = tmp_path / "made_later"
    monkeypatch.syspath_prepend(str(place))
    with elsewhere.Host(start="zygote") as host:
        spare = spare_at_rest(parent)
        place.mkdir()
        (place / "third_of_them.py").write_text("VALUE = 3")

        with elsewhere.Host(start="zygote") as other:
            assert other.pid == spare
            assert imported_there(other, "third_of_them") == 3
    assert host.exitcode == 0


def test_host_that_was_a_spare_has_the_modules_of_the_others(parent):
    with elsewhere.Host(start="zygote") as forked:
        spare = spare_at_rest(parent)
        with elsewhere.Host(start="zygote") as host:
            assert host.pid == spare
            theirs, ours = (one.run(lambda: sorted(sys.modules)) for one in (forked, host))
            assert ours == theirs


def test_spare_knows_who_looks_where_each_import_does(tmp_path, monkeypatch):
    there, behind, archive = (tmp_path / name for name in ("there", "behind", "archive.zip"))
    there.mkdir()
    behind.mkdir()
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("module_of_it.py", "")
    monkeypatch.chdir(tmp_path)
    known: dict[str, Any] = {}
    monkeypatch.setattr(sys, "path_importer_cache", known)
    path = ["", "there", b"/", str(archive), str(tmp_path / "nothing"), str(there), sys.path[-1], str(behind)]

    _zygote._find_finders(path)

    assert list(known) == [str(there)]
    assert known[str(there)]._path_mtime == -1  # it has not read what is there
