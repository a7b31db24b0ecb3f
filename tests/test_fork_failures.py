"""Forks that do not become hosts, or hardly: what their parent is told, and what of it stays as it was."""

from __future__ import annotations

import json
import os
import select
import signal
import socket

import pytest

from programs import LIMIT, run, start


def test_fork_that_fails_on_its_way_does_nothing_of_its_parents_end():
    program = """
    import atexit, io, os, resource, sys, tempfile
    import elsewhere

    place = tempfile.TemporaryDirectory()
    atexit.register(lambda: os.write(1, b"the end of the program\\n"))
    most = []
    limit = lambda: most and resource.setrlimit(resource.RLIMIT_NOFILE, (most[-1], 64))
    os.register_at_fork(after_in_child=limit)
    sys.stderr = io.StringIO()
    tails = []
    for number in range(24):
        most.append(number)
        try:
            elsewhere.Host(start="fork").close()
        except elsewhere.HostStartError as error:
            tails.append(number < 3 or "Error" in error.stderr_tail)  # with less it has no stderr
    print(os.path.exists(place.name), len(tails) > 2, all(tails), len(tails) < 24)
    """

    code, printed, _ = run(program)

    assert (code, printed) == (0, "True True True True\nthe end of the program\n")


@pytest.mark.parametrize("how", ["os._exit(3)", "threading.Event().wait()"])
def test_what_ends_with_the_parent_cannot_hinder_a_fork_behind_its_start(how):
    program = f"""
    import atexit, os, threading
    import elsewhere

    class Held:
        def __del__(self):
            if os.getpid() != parent:
                {how}

        def at_exit(self):
            pass

    parent = os.getpid()
    atexit.register(Held().at_exit)
    try:
        elsewhere.Host(start="fork", start_timeout=1.0)
    except elsewhere.HostStartError as error:
        print("exit code 3" in str(error) or "not ready after 1 s" in str(error))
    """

    assert run(program) == (0, "True\n", "")


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
def test_parent_without_standard_streams_has_hosts_with_them(closed, tmp_path):
    program = """
    import json, os, sys
    from pathlib import Path
    import elsewhere

    def streams():
        print("out", flush=True)
        print("error", file=sys.stderr, flush=True)
        return [os.readlink(f"/proc/self/fd/{number}") for number in (0, 1, 2)]

    closed, place = json.loads(sys.argv[1]), Path(sys.argv[2])
    for number in closed:
        os.close(number)
    with elsewhere.Host(start="fork", output="discard") as host:
        place.write_text(json.dumps([host.run(streams), host.run(streams)]))
    """
    found = tmp_path / "found"

    code, _, _ = run(program, json.dumps(closed), str(found))

    assert code == 0
    first, second = json.loads(found.read_text())
    assert first == second
    assert first[1] == "/dev/null"
    assert first[2].startswith("pipe:")
    assert not first[0].startswith("anon_inode:")


def test_signals_do_not_end_a_host_that_waits_for_its_stream():
    program = """
    import os, signal
    from elsewhere import _core, _host_main

    _host_main._handle_signals()
    os.set_blocking(1, False)
    signal.set_wakeup_fd(1)  # each signal writes its number, at once
    os.write(1, b"r")
    _core.adopt_owner("serial")
    signal.set_wakeup_fd(-1)
    os.write(1, b"a")
    """
    ours, theirs = socket.socketpair()
    with start(program, stdin=theirs) as process:
        theirs.close()
        assert process.stdout is not None
        words = process.stdout.fileno()
        assert os.read(words, 1) == b"r"
        for _ in range(20):
            process.send_signal(signal.SIGINT)
            assert select.select([words], [], [], LIMIT)[0]
            assert os.read(words, 1) == bytes([signal.SIGINT])
        ours.close()
        assert os.read(words, 1) == b"a"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a user that has no other process")
def test_fork_that_leaves_no_room_for_the_thread_that_watches_it_is_a_start_error():
    program = """
    import os, resource
    import elsewhere

    with elsewhere.Host(start="fork") as host:
        host.run(abs, -1)  # what is imported later cannot be read any more
    os.setuid(61234)
    found = set()
    for limit in range(1, 6):
        resource.setrlimit(resource.RLIMIT_NPROC, (limit, 100))
        try:
            with elsewhere.Host(start="fork", start_timeout=20.0, output="discard") as host:
                found.add(str(host.run(abs, -1)))
        except elsewhere.HostStartError:
            found.add("error")
        resource.setrlimit(resource.RLIMIT_NPROC, (100, 100))
        with elsewhere.Host(start="fork") as host:
            assert host.run(abs, -1) == 1
    print(sorted(found))
    """

    assert run(program) == (0, "['1', 'error']\n", "")
