"""What hosts print: where it goes, in which order, and what becomes of the last words."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import ctypes
import io
import os
import re
import subprocess
import sys
import threading

import pytest

import elsewhere
from kennel import Dog
from programs import run


@pytest.fixture
def host():
    """A host whose prints come home."""
    with elsewhere.Host(output="home", name="printer") as host:
        yield host


def say(text: str, *, end: str = "\n", error: bool = False) -> str:
    print(text, end=end, file=sys.stderr if error else sys.stdout)
    return text


def say_in_c(text: str) -> None:
    libc = ctypes.CDLL(None)
    libc.puts(text.encode())
    libc.fflush(None)


def say_in_a_program(text: str) -> None:
    subprocess.run(["echo", text], check=True)


def say_and_wait(text: str, pipe: str) -> str:
    print(text)
    with open(pipe, "rb", buffering=0) as stream:
        stream.read(1)
    return "waited"


def say_and_die(text: str) -> None:
    print(text)
    print(text, file=sys.stderr)
    os._exit(3)


def say_at_exit(text: str) -> None:
    atexit.register(print, text)


class Heard(io.TextIOBase):
    """A stream that tells when it was written to."""

    def __init__(self, told=None) -> None:
        self.text = ""
        self.told = told or (lambda: None)
        self.heard = threading.Event()

    def write(self, text: str) -> int:
        self.text += text
        self.heard.set()
        self.told()
        return len(text)


@pytest.mark.parametrize("speak", [say, say_in_c, say_in_a_program])
def test_what_a_call_printed_is_seen_before_its_result(host, capsys, speak):
    host.run(speak, "hello")

    assert capsys.readouterr().out == "hello\n"


def test_both_streams_come_home_to_their_own(host, capsys):
    host.run(say, "on stdout")
    host.run(say, "on stderr", error=True)

    assert capsys.readouterr() == ("on stdout\n", "on stderr\n")


def test_unfinished_line_is_seen_with_the_call(host, capsys):
    host.run(say, "no end", end="")

    assert capsys.readouterr().out == "no end"


def test_prints_of_here_and_there_are_in_the_order_of_the_program(host, capsys):
    for number in range(50):
        print("here", number)
        host.run(say, f"there {number}")

    expected = "".join(f"here {number}\nthere {number}\n" for number in range(50))
    assert capsys.readouterr().out == expected


def test_prints_come_to_the_stdout_that_there_is_at_that_moment(host, capsys):
    with contextlib.redirect_stdout(io.StringIO()) as stream:
        host.run(say, "caught")
    host.run(say, "free")

    assert stream.getvalue() == "caught\n"
    assert capsys.readouterr().out == "free\n"


def test_text_is_whole_whatever_its_letters_and_its_length(host, capsys):
    text = "grüße 🐕 " * 30_000

    host.run(say, text)

    assert capsys.readouterr().out == text + "\n"


def test_prints_are_seen_while_the_call_runs(host, tmp_path):
    pipe = str(tmp_path / "pipe")
    os.mkfifo(pipe)
    own_end = os.open(pipe, os.O_RDWR)
    stream = Heard(lambda: os.write(own_end, b"!"))  # without this the call would never end

    with contextlib.redirect_stdout(stream):
        assert host.run(say_and_wait, "half done", pipe) == "waited"
    os.close(own_end)

    assert stream.text == "half done\n"


def test_prints_while_a_thread_waits_are_shown_by_that_thread(host, tmp_path):
    pipe = str(tmp_path / "pipe")
    os.mkfifo(pipe)
    own_end = os.open(pipe, os.O_RDWR)
    threads = []

    def note():
        threads.append(threading.current_thread())
        os.write(own_end, b"!")

    with contextlib.redirect_stdout(Heard(note)):
        host.run(say_and_wait, "half done", pipe)
    os.close(own_end)

    assert threads == [threading.main_thread()]


def test_prints_are_seen_while_nobody_waits(host):
    stream = Heard()

    with contextlib.redirect_stdout(stream):
        elsewhere.post(host.module("builtins").print, "by the way")
        assert stream.heard.wait(20)

    assert stream.text == "by the way\n"


def test_prints_of_awaited_calls_are_seen_before_their_result(host, capsys):
    async def play():
        for number in range(20):
            await elsewhere.submit(host.module("builtins").print, number)
            print("here", number)

    asyncio.run(play())

    assert capsys.readouterr().out == "".join(f"{number}\nhere {number}\n" for number in range(20))


def test_prints_of_threads_that_call_are_all_seen(host, capsys):
    shout = host.module("builtins").print

    def work(name):
        for number in range(50):
            shout(name, number)

    workers = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    lines = capsys.readouterr().out.splitlines()
    for name in "abcd":
        assert [line for line in lines if line.startswith(name)] == [f"{name} {number}" for number in range(50)]


def test_last_words_are_seen_before_the_death_is_told(capsys):
    host = elsewhere.Host(output="home")

    with pytest.raises(elsewhere.HostDied) as caught:
        host.run(say_and_die, "farewell")

    assert capsys.readouterr() == ("farewell\n", "farewell\n")
    assert caught.value.stderr_tail == "farewell\n"
    host.close()


def test_words_at_the_hosts_exit_are_seen_with_its_close(capsys):
    with elsewhere.Host(output="home") as host:
        host.run(say_at_exit, "good night")

    assert capsys.readouterr().out == "good night\n"


def test_words_of_a_preload_that_fails_are_seen(tmp_path, capsys):
    (tmp_path / "preload_that_speaks.py").write_text("print('trying')\n1 / 0\n")

    with pytest.raises(elsewhere.HostStartError, match="ZeroDivisionError"):
        elsewhere.Host(output="home", preload=["preload_that_speaks"], path=[str(tmp_path)])

    assert capsys.readouterr().out == "trying\n"


def test_words_at_the_end_of_the_program_are_seen():
    program = """
    import atexit, sys
    import elsewhere
    from test_output import say, say_at_exit

    host = elsewhere.Host(output="home")
    host.run(say_at_exit, "good night")
    print("program ends")
    """

    assert run(program) == (0, "program ends\ngood night\n", "")


@pytest.mark.parametrize("broken", ["closed", "none", "raises"])
def test_stdout_that_does_not_work_disturbs_no_call(host, broken, monkeypatch):
    stream = io.StringIO()
    stream.close()

    def fail():
        raise OSError("no room")

    monkeypatch.setattr(sys, "stdout", {"closed": stream, "none": None, "raises": Heard(fail)}[broken])

    assert host.run(say, "hello") == "hello"


def test_letters_that_stdout_has_not_are_escaped(host):
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", write_through=True)

    with contextlib.redirect_stdout(stream):
        host.run(say, "grüße")

    assert raw.getvalue() == b"gr\\xfc\\xdfe\n"


def test_stdout_that_itself_uses_the_host_is_written_to_in_order(host):
    stream = Heard()
    stream.told = lambda: host.run(say, "echo") if stream.text.count("\n") < 3 else None

    with contextlib.redirect_stdout(stream):
        host.run(say, "first")

    assert stream.text == "first\necho\necho\n"


def test_interrupt_while_something_is_shown_is_raised_and_nothing_is_lost(host):
    def interrupt():
        if stream.text == "first\n":
            raise KeyboardInterrupt

    stream = Heard(interrupt)
    with contextlib.redirect_stdout(stream):
        with pytest.raises(KeyboardInterrupt):
            host.run(say, "first")
        host.run(say, "second")

    assert stream.text == "first\nsecond\n"


def test_stdout_that_waits_for_another_call_of_the_host_ends_no_wait(host):
    other_is_done = threading.Event()
    stream = Heard(other_is_done.wait)

    def other():
        stream.heard.wait()
        host.run(abs, -1)
        other_is_done.set()

    worker = threading.Thread(target=other)
    worker.start()
    with contextlib.redirect_stdout(stream):
        host.run(say, "hello")
    worker.join()

    assert stream.text == "hello\n"


def test_flood_is_bounded_and_what_is_dropped_is_said(host, capsys):
    line, lines = "x" * 1023 + "\n", 8 * 1024
    may_go_on = threading.Event()
    stream = Heard(may_go_on.wait)

    with contextlib.redirect_stdout(stream):
        elsewhere.post(host.module("builtins").print, end="")
        elsewhere.post(host.module("builtins").print, "first")
        stream.heard.wait()  # the service thread is stuck in the stream from here on
        host.module("sys").stdout.writelines([line] * lines)
        may_go_on.set()
        host.run(say, "last")

    dropped = re.findall(
        r"\[elsewhere: (\d+) bytes that host 'printer' \(\d+\) printed were dropped\]", capsys.readouterr().err
    )
    assert stream.text.startswith("first\n")
    assert stream.text.endswith("x\nlast\n")
    assert sum(map(int, dropped)) + len(stream.text) == len("first\n") + len(line) * lines + len("last\n")
    assert dropped


def test_inherited_streams_are_those_of_this_process(capfd):
    with elsewhere.Host() as host:
        host.run(say, "on stdout")
    with elsewhere.Host(output="inherit") as host:
        host.run(say, "again")

    assert capfd.readouterr().out == "on stdout\nagain\n"


def test_inherited_stderr_is_passed_on():
    program = """
    import elsewhere
    from test_output import say
    with elsewhere.Host() as host:
        host.run(say, "on stderr", error=True)
    """

    assert run(program) == (0, "", "on stderr\n")


def test_discarded_output_is_seen_nowhere_but_its_tail_is_kept(capfd):
    host = elsewhere.Host(output="discard")
    host.run(say, "on stdout")
    host.run(say_in_c, "in c")

    with pytest.raises(elsewhere.HostDied) as caught:
        host.run(say_and_die, "farewell")
    host.close()

    assert capfd.readouterr() == ("", "")
    assert caught.value.stderr_tail == "farewell\n"


def test_local_host_prints_as_this_process_does(capsys):
    for output in ("inherit", "home"):
        with elsewhere.Host(start="local", output=output) as host:
            host.run(say, "hello")

    assert capsys.readouterr().out == "hello\nhello\n"


@pytest.mark.parametrize(
    "options", [{"output": "teleport"}, {"output": None}, {"output": 5}, {"output": "discard", "start": "local"}]
)
def test_output_that_means_nothing_is_refused(options):
    with pytest.raises(ValueError, match="output"):
        elsewhere.Host(**options)


def test_dog_barks_here_by_a_proxy_alone(capsys):
    dog = elsewhere.Host(output="home").spawn(Dog, "rex")

    dog.call(elsewhere.host_of(dog).module("builtins").print, "woof")
    elsewhere.close(dog)

    assert capsys.readouterr().out == "woof\n"
