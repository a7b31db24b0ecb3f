"""What a host still does when its owner is done with it."""

from __future__ import annotations

import atexit
import os
import tempfile
import threading
import weakref

import elsewhere


def prepare_an_end(path):
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def say(text, write=os.write):
        write(file, f"{text}\n".encode())

    class Kept:
        def __del__(self, say=say):
            say("taken_apart")

    thread = threading.Thread(target=lambda: (threading.main_thread().join(), say("thread")))
    atexit.register(say, "atexit")
    tempfile.kept = Kept()
    tempfile.watched = type("Watched", (), {})()
    weakref.finalize(tempfile.watched, say, "finalizer")
    thread.start()
    print("buffered", end="")


def test_host_of_a_zygote_ends_as_a_process_does_but_leaves_what_modules_hold(tmp_path):
    path = tmp_path / "end"
    with elsewhere.Host(start="zygote") as host:
        host.run(prepare_an_end, path)

    assert host.exitcode == 0
    assert sorted(path.read_text().split()) == ["atexit", "finalizer", "thread"]


def test_host_that_is_executed_takes_apart_what_modules_hold(tmp_path):
    path = tmp_path / "end"
    with elsewhere.Host(start="exec") as host:
        host.run(prepare_an_end, path)

    assert sorted(path.read_text().split()) == ["atexit", "finalizer", "taken_apart", "thread"]
